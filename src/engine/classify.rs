//! What to do with a row after the server answered, or did not: one decision, as a value.
//!
//! | observed | verdict |
//! | --- | --- |
//! | 2xx with JSON | done |
//! | 2xx with anything else, 408, 500, 502, 504, other 5xx | send again, an attempt is used up |
//! | 429, 503 | the server has no room: send again later, no attempt is used up |
//! | 503 while loading, no connection | the server is unhealthy: no attempt is used up |
//! | a dead engine, a connection lost and no new one to be had | the server crashed with the row in it: no attempt is used up |
//! | connection lost | send again, no attempt is used up |
//! | 401, 403 | stop the job |
//! | other 3xx, 4xx, and 501 | the row failed |

use std::time::Duration;

use super::Engine;
use crate::openai::ResponseBody;

/// What came of sending a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// The server answered.
    Answer(Answer<'a>),
    /// It did not.
    Fault(Fault),
}

/// A whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: &'a ResponseBody,
    /// What the header `Retry-After` comes to, where it was there.
    pub retry_after: Option<Duration>,
}

/// Why there is no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection could be made: the row was not sent.
    ConnectFailed,
    /// The connection ended before the answer did.
    ConnectionLost,
    /// The same, and the server takes no new one.
    ServerGone,
    /// The answer did not come in time.
    TimedOut,
}

/// What to do with the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The answer is the row's result.
    Done,
    /// The answer is the row's error; sending the row again would give the same.
    RowFailed,
    /// Send the row again, to this server or another.
    Retry(RetryReason),
    /// The row is not to blame: send it to another server, and nothing to this one until its health path answers 200.
    ServerUnhealthy,
    /// The same, and the row was in the server when it failed. One row can be the cause, so who was there is remembered.
    ServerCrashed,
    /// No row can succeed: end the job.
    StopJob(StopReason),
}

/// Why a row is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryReason {
    /// The server has no room: send less to it. No attempt is used up, unless the row is refused where no other is.
    Overloaded {
        /// When the server wants to be asked again, where it said so.
        retry_after: Option<Duration>,
    },
    /// The server failed at this request. An attempt is used up.
    ServerError,
    /// The answer says success, and is not JSON. An attempt is used up.
    BadBody,
    /// [`Fault::ConnectionLost`]. No attempt is used up.
    ConnectionLost,
    /// [`Fault::TimedOut`]. An attempt is used up, unless the server gave no sign of life to any row.
    TimedOut,
}

/// Why the job is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// 401 or 403.
    #[error(
        "the model server refuses requests with status {status}: it was started with an API key, which rows are not sent with"
    )]
    AccessDenied {
        /// The status.
        status: u16,
    },
}

/// Decides what to do with a row.
#[must_use]
pub fn classify(engine: Engine, outcome: Outcome<'_>) -> Verdict {
    match outcome {
        Outcome::Fault(fault) => after_fault(fault),
        Outcome::Answer(answer) if is_dead(engine, &answer) => Verdict::ServerCrashed,
        Outcome::Answer(answer) if is_loading(engine, &answer) => Verdict::ServerUnhealthy,
        Outcome::Answer(answer) => after_answer(&answer),
    }
}

fn after_fault(fault: Fault) -> Verdict {
    match fault {
        Fault::ConnectFailed => Verdict::ServerUnhealthy,
        Fault::ServerGone => Verdict::ServerCrashed,
        // Also a kept connection that the server closed as the row was sent: no reason to leave the server.
        Fault::ConnectionLost => Verdict::Retry(RetryReason::ConnectionLost),
        Fault::TimedOut => Verdict::Retry(RetryReason::TimedOut),
    }
}

/// Whether the answer says that the engine behind the server ended.
fn is_dead(engine: Engine, answer: &Answer<'_>) -> bool {
    match engine {
        // `EngineDeadError` (`vllm/v1/engine/exceptions.py`): every request in flight gets it, then the process ends.
        Engine::VLLM => answer.status == 500 && contains(answer.body.as_bytes(), b"EngineCore encountered an issue"),
        Engine::LlamaCpp => false,
    }
}

/// Whether the answer says that the server takes no row yet.
fn is_loading(engine: Engine, answer: &Answer<'_>) -> bool {
    match engine {
        Engine::VLLM => false,
        // While it loads, every path answers so; nothing else of it does, as it queues without limit (llama-server run).
        Engine::LlamaCpp => answer.status == 503 && contains(answer.body.as_bytes(), b"unavailable_error"),
    }
}

fn after_answer(answer: &Answer<'_>) -> Verdict {
    match answer.status {
        200..=299 if answer.body.is_json() => Verdict::Done,
        200..=299 => Verdict::Retry(RetryReason::BadBody),
        401 | 403 => Verdict::StopJob(StopReason::AccessDenied { status: answer.status }),
        429 | 503 => Verdict::Retry(RetryReason::Overloaded {
            retry_after: answer.retry_after,
        }),
        // llama-server: the endpoint is not enabled (`--embeddings`).
        501 => Verdict::RowFailed,
        408 | 500.. => Verdict::Retry(RetryReason::ServerError),
        _ => Verdict::RowFailed,
    }
}

fn contains(body: &[u8], words: &[u8]) -> bool {
    body.windows(words.len()).any(|window| window == words)
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
