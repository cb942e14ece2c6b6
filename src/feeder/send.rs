//! Sends one row to one replica.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};

use crate::engine::{Answer, Engine, Fault, Outcome, Verdict, classify};
use crate::openai::ResponseBody;

use super::rows::Row;

/// A long generation without streaming sends no byte before its end, so only the whole attempt is bounded.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_mins(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Below the 5 s after which uvicorn (vLLM) and cpp-httplib (llama-server) close an idle connection, so that a row is
/// seldom sent into one that is about to be closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// An answer that is larger is none that a row can have.
pub const LARGEST_ANSWER: usize = 64 << 20;
const REQUEST_ID: &str = "x-request-id";

/// Sends rows. Cloning is cheap and shares connections.
#[derive(Clone, Debug)]
pub struct Sender(reqwest::Client);

/// What came back.
#[derive(Clone, Debug)]
pub enum Reply {
    /// An answer.
    Answered(Answered),
    /// An answer that is larger than any can be.
    TooLarge,
    /// No whole answer.
    Fault(Fault),
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// The server's own name for the request.
    pub request_id: Option<String>,
    /// When the server wants to be asked again.
    pub retry_after: Option<Duration>,
    /// What it says.
    pub body: ResponseBody,
}

impl Sender {
    /// A sender with connections of its own.
    ///
    /// # Errors
    ///
    /// The TLS backend cannot be set up; it is not used.
    pub fn new() -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            // Pods are inside the cluster, where a proxy for the way out cannot reach them.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build()?;
        Ok(Self(client))
    }

    /// Sends a row and waits for the whole answer, or for a reason why there is none.
    pub async fn send(&self, to: SocketAddr, row: &Row, request_id: &str) -> Reply {
        let answer = tokio::time::timeout(ATTEMPT_TIMEOUT, self.answer(to, row, request_id)).await;
        answer.unwrap_or(Reply::Fault(Fault::TimedOut))
    }

    async fn answer(&self, to: SocketAddr, row: &Row, request_id: &str) -> Reply {
        let request = self.0.post(format!("http://{to}{}", row.endpoint.path()));
        let request = request
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(REQUEST_ID, request_id)
            .body(row.body.clone());
        match request.send().await {
            Ok(response) => read(response).await,
            Err(error) => fault(&error),
        }
    }
}

async fn read(mut response: reqwest::Response) -> Reply {
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > LARGEST_ANSWER => return Reply::TooLarge,
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return fault(&error),
        }
    }
    Reply::Answered(Answered {
        status: response.status().as_u16(),
        request_id: text(response.headers(), REQUEST_ID),
        retry_after: text(response.headers(), RETRY_AFTER.as_str())
            .and_then(|text| text.trim().parse().ok().map(Duration::from_secs)),
        body: ResponseBody::new(body.freeze()),
    })
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(ToOwned::to_owned)
}

fn fault(error: &reqwest::Error) -> Reply {
    Reply::Fault(if error.is_connect() {
        Fault::ConnectFailed
    } else {
        Fault::ConnectionLost
    })
}

impl Reply {
    /// What the reply means for the row.
    #[must_use]
    pub fn verdict(&self, engine: Engine) -> Verdict {
        let outcome = match self {
            Self::TooLarge => return Verdict::RowFailed,
            Self::Fault(fault) => Outcome::Fault(*fault),
            Self::Answered(answered) => Outcome::Answer(Answer {
                status: answered.status,
                body: &answered.body,
                retry_after: answered.retry_after,
            }),
        };
        classify(engine, outcome)
    }
}
