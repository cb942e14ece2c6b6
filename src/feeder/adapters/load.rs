//! Has one server load adapters, and sees which of them it refuses.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use reqwest::header::CONTENT_TYPE;
use tokio::time::sleep;

use crate::api::Engine;
use crate::engine::adapters::{LLAMA_CPP_LIST, LoadRequest, Loaded, llama_cpp_ids, load_request, loaded};
use crate::feeder::backoff::backoff;
use crate::feeder::trouble::chain;

use super::table::Asking;
use super::{Bad, Known};

/// An adapter is downloaded first, and read: some hundred megabytes.
const ANSWERS_WITHIN: Duration = Duration::from_mins(10);
/// Loaded at a time: downloads overlap, and engines load one by one.
const AT_ONCE: usize = 4;
/// vLLM says of a hub that does not answer that there is no such adapter. So it is believed when it says so again.
const REFUSALS: u32 = 3;
/// With the waits between them, so many tries take half a minute to a minute: as long as a hub may fail before an adapter is given up that it
/// has, or of which it is not certain that it is to blame.
const FAILURES: u32 = 8;
/// So many count for [`ANSWERS_WITHIN`] without an answer. After two of them an adapter is given up: the rows of all others wait for it.
const FAILURES_IN_TIMEOUT: u32 = FAILURES / 2;
/// Of an answer, this much is read, in bytes: a list of a hundred paths is shorter.
const LONGEST_ANSWER: usize = 1 << 20;
/// Of an answer, in bytes.
const LONGEST_QUOTE: usize = 300;

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Those that the server will not have, by their place.
    pub refused: Vec<(usize, Bad)>,
    /// The numbers that llama-server has for paths.
    pub ids: HashMap<String, u64>,
}

/// Has the server at `address` load them; waits for as long as it takes, and says by `tell` what goes wrong meanwhile.
pub async fn load(
    asking: &Asking,
    client: &reqwest::Client,
    address: &str,
    adapters: &[Known],
    tell: impl Fn(String) + Sync,
) -> Report {
    let server = Server {
        asking,
        client,
        address,
        tell: &tell,
    };
    if asking.engine == Engine::LlamaCpp {
        return server.look_up(adapters).await;
    }
    let usable: Vec<_> = adapters
        .iter()
        .enumerate()
        .filter(|(_, adapter)| adapter.bad.is_none())
        .collect();
    let mut left = usable.into_iter();
    let mut loads = FuturesUnordered::new();
    let mut report = Report::default();
    for (place, adapter) in left.by_ref().take(AT_ONCE) {
        loads.push(server.load(place, adapter));
    }
    while let Some(refused) = loads.next().await {
        report.refused.extend(refused);
        if let Some((place, adapter)) = left.next() {
            loads.push(server.load(place, adapter));
        }
    }
    report
}

struct Server<'a, Tell> {
    asking: &'a Asking,
    client: &'a reqwest::Client,
    address: &'a str,
    tell: &'a Tell,
}

impl<Tell: Fn(String) + Sync> Server<'_, Tell> {
    /// The adapter's place and why it refuses it, if it does.
    async fn load(&self, place: usize, adapter: &Known) -> Option<(usize, Bad)> {
        let asked = self.asking.asked(adapter, None);
        let request = load_request(&asked, &self.asking.call(&asked))?;
        let (mut refusals, mut tries) = (Refusals::at_most(self.most_refusals()), 0);
        loop {
            let said = match self.post(&request).await {
                Ok((status, body)) => {
                    let answer = loaded(self.asking.engine, &adapter.name, status, &body);
                    if answer == Loaded::Yes {
                        return None;
                    }
                    refusals.count(answer);
                    quote(status, &body)
                }
                Err(error) => {
                    refusals.count_silence(&error);
                    chain(&error.without_url())
                }
            };
            if refusals.are_enough() {
                // The path too: vLLM writes `<path>` for some of them.
                let message = format!("a server does not load it from `{}`: {said}", adapter.path);
                return Some((place, Bad::not_loaded(message)));
            }
            tries += 1;
            (self.tell)(format!("`{}` is not loaded yet: {said}", adapter.name));
            sleep(backoff(tries, rand::random())).await;
        }
    }

    fn most_refusals(&self) -> u32 {
        // What is not there would not be asked for.
        if self.asking.is_checked { FAILURES } else { REFUSALS }
    }

    async fn post(&self, request: &LoadRequest) -> Result<(u16, String), reqwest::Error> {
        let (path, body) = match request {
            LoadRequest::Load { path, body } => (*path, body),
            LoadRequest::OneToken { endpoint, body } => (endpoint.path(), body),
        };
        let request = self.client.post(format!("http://{}{path}", self.address));
        let request = request.header(CONTENT_TYPE, "application/json").timeout(ANSWERS_WITHIN);
        let response = request.body(body.to_string()).send().await?;
        let status = response.status().as_u16();
        let body = read(response).await?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// llama-server has its files already, and numbers them.
    async fn look_up(&self, adapters: &[Known]) -> Report {
        let mut failures = 0;
        let ids: HashMap<_, _> = loop {
            match self.list().await {
                Ok(answer) => break llama_cpp_ids(&answer).into_iter().collect(),
                Err(error) => {
                    failures += 1;
                    (self.tell)(format!(
                        "the list of adapters is not there yet: {}",
                        chain(&error.without_url())
                    ));
                    sleep(backoff(failures, rand::random())).await;
                }
            }
        };
        let missing = adapters
            .iter()
            .enumerate()
            .filter(|(_, adapter)| !ids.contains_key(&adapter.path));
        let missing = missing.filter(|(_, adapter)| adapter.bad.is_none());
        let refused = missing.map(|(place, adapter)| {
            let message = format!("a server has no file {} among its adapters", adapter.path);
            (place, Bad::not_loaded(message))
        });
        Report {
            refused: refused.collect(),
            ids,
        }
    }

    async fn list(&self) -> Result<Vec<u8>, reqwest::Error> {
        let url = format!("http://{}{LLAMA_CPP_LIST}", self.address);
        let response = self.client.get(url).timeout(ANSWERS_WITHIN).send().await?;
        read(response.error_for_status()?).await
    }
}

/// How often a server would not have an adapter.
#[derive(Debug)]
struct Refusals {
    most: u32,
    refused: u32,
    failed: u32,
}

impl Refusals {
    /// After so many, an adapter is given up.
    fn at_most(most: u32) -> Self {
        Self {
            most,
            refused: 0,
            failed: 0,
        }
    }

    /// Takes one more answer.
    fn count(&mut self, answer: Loaded) {
        match answer {
            Loaded::No => self.refused += 1,
            Loaded::Failed => self.failed += 1,
            Loaded::Yes | Loaded::NotYet => {}
        }
    }

    /// Takes that there was none. A server that cannot be reached says nothing of the adapter.
    fn count_silence(&mut self, error: &reqwest::Error) {
        if error.is_timeout() && !error.is_connect() {
            self.failed += FAILURES_IN_TIMEOUT;
        }
    }

    /// Whether the adapter is given up.
    fn are_enough(&self) -> bool {
        self.refused >= self.most || self.refused + self.failed >= FAILURES
    }
}

/// The beginning of an answer.
async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        body.extend_from_slice(&piece);
        if body.len() >= LONGEST_ANSWER {
            break;
        }
    }
    Ok(body)
}

fn quote(status: u16, body: &str) -> String {
    let line = body.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{status} {}", &line[..line.floor_char_boundary(LONGEST_QUOTE)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::loopback::serve;

    #[test]
    fn an_adapter_is_given_up_in_the_end_but_not_for_a_server_that_has_no_time() {
        use Loaded::{Failed, No, NotYet};
        for (most, answers, given_up_at) in [
            (REFUSALS, vec![No; 9], Some(3)),
            (FAILURES, vec![No; 9], Some(8)),
            (REFUSALS, vec![Failed; 9], Some(8)),
            (REFUSALS, vec![Failed, No, Failed, No, NotYet, No], Some(6)),
            (FAILURES, [No, Failed].repeat(4), Some(8)),
            (REFUSALS, vec![NotYet; 100], None),
        ] {
            let mut refusals = Refusals::at_most(most);
            let found = answers.iter().position(|answer| {
                refusals.count(*answer);
                refusals.are_enough()
            });
            assert_eq!(found.map(|place| place + 1), given_up_at, "{most} {answers:?}");
        }
    }

    #[tokio::test]
    async fn an_adapter_that_hangs_is_given_up_but_not_for_a_server_that_is_away() {
        let router = axum::Router::new().fallback(std::future::pending::<()>);
        let hanging = serve(router).await;
        // It is held, and nobody listens.
        let unheard = tokio::net::TcpSocket::new_v4().unwrap();
        unheard.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let away = unheard.local_addr().unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut refusals = Refusals::at_most(REFUSALS);
        for (address, is_enough) in [(away, false), (away, false), (hanging, false), (hanging, true)] {
            let request = client
                .post(format!("http://{address}/"))
                .timeout(Duration::from_millis(100));
            refusals.count_silence(&request.send().await.unwrap_err());
            assert_eq!(refusals.are_enough(), is_enough, "{address}");
        }
    }

    #[tokio::test]
    async fn an_answer_without_end_is_read_as_far_as_it_matters() {
        let endless = || async {
            let piece = bytes::Bytes::from(vec![b'a'; 64 << 10]);
            let pieces = futures::stream::repeat_with(move || Ok::<_, std::convert::Infallible>(piece.clone()));
            axum::body::Body::from_stream(pieces)
        };
        let router = axum::Router::new().fallback(endless);
        let address = serve(router).await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client.get(format!("http://{address}/")).send().await.unwrap();
        let read = read(response).await.unwrap();
        assert!(
            (LONGEST_ANSWER..2 * LONGEST_ANSWER).contains(&read.len()),
            "{}",
            read.len()
        );
    }
}
