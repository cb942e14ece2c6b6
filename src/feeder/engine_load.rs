//! Asks a replica's engine again and again how much it has to do.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::{sleep, timeout};

use crate::engine::metrics::LARGEST_PAGE;
use crate::engine::{Engine, EngineLoad, engine_load};

/// How often the engine is asked.
const PERIOD: Duration = Duration::from_secs(1);
/// And at first, while little is known of what it can do.
const FIRST_PERIOD: Duration = Duration::from_millis(250);
const FIRST_PERIODS: u32 = 8;
/// A server that does not tell is asked ever more rarely, up to this.
const LONGEST_PERIOD: Duration = Duration::from_mins(1);
/// An answer that takes longer says what was.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Hands on what the engine at `address` says of its load, for ever; dropping it ends it. A question without an answer, or with an
/// answer that does not tell, is no news: `tell` is not called.
pub async fn follow_engine_load(
    client: &reqwest::Client,
    engine: Engine,
    address: SocketAddr,
    metrics_path: &str,
    mut tell: impl FnMut(EngineLoad),
) {
    let url = format!("http://{address}{metrics_path}");
    let (mut told, mut in_vain) = (0_u32, 0_u32);
    loop {
        let page = timeout(TIMEOUT, ask(client, &url)).await.ok().flatten();
        if let Some(load) = page.and_then(|page| engine_load(engine, &page)) {
            tell(load);
            told = told.saturating_add(1);
            in_vain = 0;
        } else {
            in_vain = in_vain.saturating_add(1);
        }
        sleep(pause(told, in_vain)).await;
    }
}

/// After so many answers that told, and so many in a row since that did not.
fn pause(told: u32, in_vain: u32) -> Duration {
    let period = if told < FIRST_PERIODS { FIRST_PERIOD } else { PERIOD };
    period.saturating_mul(1 << in_vain.min(16)).min(LONGEST_PERIOD)
}

/// The page; nothing where there is none, or one larger than any engine's.
async fn ask(client: &reqwest::Client, url: &str) -> Option<BytesMut> {
    let mut response = client.get(url).send().await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    let mut page = BytesMut::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if page.len() + chunk.len() > LARGEST_PAGE {
            return None;
        }
        page.extend_from_slice(&chunk);
    }
    Some(page)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    const PAGE: &str = "llamacpp:requests_processing 4\nllamacpp:requests_deferred 6\nllamacpp:n_decode_total 61\n";
    /// Only reached when the test has failed.
    const DEADLINE: Duration = Duration::from_secs(30);

    /// Serves the pages one after another, the last one for ever, and follows them; returns the first `count` loads.
    async fn loads(pages: Vec<(StatusCode, String)>, count: usize) -> Vec<EngineLoad> {
        let asked = Arc::new(AtomicUsize::new(0));
        let page = move || async move {
            let next = asked.fetch_add(1, Ordering::Relaxed).min(pages.len() - 1);
            pages[next].clone()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = axum::serve(listener, Router::new().route("/metrics", get(page)));
        let (sender, mut received) = mpsc::unbounded_channel();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let following = follow_engine_load(&client, Engine::LlamaCpp, address, "/metrics", |load| {
            _ = sender.send(load);
        });
        let enough = async {
            let mut loads = Vec::new();
            while loads.len() < count {
                loads.extend(received.recv().await);
            }
            loads
        };
        let loads = async {
            tokio::select! {
                loads = enough => loads,
                () = following => Vec::new(),
                _ = server => Vec::new(),
            }
        };
        timeout(DEADLINE, loads).await.unwrap()
    }

    #[tokio::test]
    async fn the_engines_load_is_told() {
        let load = EngineLoad {
            running: 4,
            waiting: 6,
            work: 61,
        };
        assert_eq!(loads(vec![(StatusCode::OK, PAGE.to_owned())], 2).await, [load; 2]);
    }

    #[tokio::test]
    async fn what_does_not_tell_is_no_news() {
        let pages = vec![
            (StatusCode::NOT_IMPLEMENTED, PAGE.replace('4', "5")),
            (StatusCode::OK, "something else 1\n".to_owned()),
            (
                StatusCode::OK,
                format!("{}{}", PAGE.replace('4', "5"), "#".repeat(LARGEST_PAGE)),
            ),
            (StatusCode::OK, PAGE.to_owned()),
        ];
        assert_eq!(loads(pages, 1).await[0].running, 4);
    }

    #[test]
    fn a_server_that_does_not_tell_is_asked_ever_more_rarely() {
        assert_eq!(pause(1, 0), FIRST_PERIOD);
        assert_eq!(pause(FIRST_PERIODS, 0), PERIOD);
        assert_eq!(pause(FIRST_PERIODS, 2), PERIOD * 4);
        assert_eq!(pause(0, 8), LONGEST_PERIOD);
        assert_eq!(pause(u32::MAX, u32::MAX), LONGEST_PERIOD);
    }
}
