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
        let (mut refusals, mut failures) = (0, 0);
        loop {
            let problem = match self.post(&request).await {
                Ok((status, body)) => match loaded(self.asking.engine, &adapter.name, status, &body) {
                    Loaded::Yes => return None,
                    Loaded::No => {
                        refusals += 1;
                        let said = quote(status, &body);
                        if refusals == REFUSALS {
                            return Some((place, Bad::not_loaded(format!("a server does not load it: {said}"))));
                        }
                        said
                    }
                    Loaded::NotYet => quote(status, &body),
                },
                Err(error) => chain(&error.without_url()),
            };
            failures += 1;
            (self.tell)(format!("`{}` is not loaded yet: {problem}", adapter.name));
            sleep(backoff(failures, rand::random())).await;
        }
    }

    async fn post(&self, request: &LoadRequest) -> Result<(u16, String), reqwest::Error> {
        let (path, body) = match request {
            LoadRequest::Load { path, body } => (*path, body),
            LoadRequest::OneToken { endpoint, body } => (endpoint.path(), body),
        };
        let request = self.client.post(format!("http://{}{path}", self.address));
        let request = request.header(CONTENT_TYPE, "application/json").timeout(ANSWERS_WITHIN);
        let response = request.body(body.to_string()).send().await?;
        Ok((response.status().as_u16(), response.text().await?))
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
        Ok(response.error_for_status()?.bytes().await?.to_vec())
    }
}

fn quote(status: u16, body: &str) -> String {
    let line = body.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{status} {}", &line[..line.floor_char_boundary(LONGEST_QUOTE)])
}
