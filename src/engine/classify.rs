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
//!
//! What an engine says in words of its own goes before: `vllm`, `lorax`, `llama_cpp`. SGLang's statuses mean what the table says.

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
    /// 401 or 403; of an endpoint also 402.
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
        Outcome::Answer(answer) => in_own_words(engine, &answer).unwrap_or_else(|| after_answer(&answer)),
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

/// What an answer means that only this engine gives.
fn in_own_words(engine: Engine, answer: &Answer<'_>) -> Option<Verdict> {
    match engine {
        Engine::VLLM => vllm(answer),
        Engine::LoRAX => lorax(answer),
        Engine::LlamaCpp => llama_cpp(answer),
        Engine::SGLang | Engine::Custom => None,
    }
}

fn vllm(answer: &Answer<'_>) -> Option<Verdict> {
    // `EngineDeadError` (`vllm/v1/engine/exceptions.py`): every request in flight gets it, then the process ends.
    let is_dead = answer.status == 500 && says(answer, VLLM_IS_DEAD);
    is_dead.then_some(Verdict::ServerCrashed)
}

const VLLM_IS_DEAD: &str = "EngineCore encountered an issue";

/// Whether vLLM says that it ends.
pub(super) fn is_dead_vllm(body: &str) -> bool {
    body.contains(VLLM_IS_DEAD)
}

fn llama_cpp(answer: &Answer<'_>) -> Option<Verdict> {
    // While it loads, every path answers so; nothing else of it does, as it queues without limit (llama-server run).
    let is_loading = answer.status == 503 && says(answer, "unavailable_error");
    is_loading.then_some(Verdict::ServerUnhealthy)
}

/// LoRAX answers 424 to whatever goes wrong in a shard (`router/src/server.rs`, `InferError::GenerationError`), with the exception's words.
fn lorax(answer: &Answer<'_>) -> Option<Verdict> {
    if answer.status != 424 {
        return None;
    }
    if LORAX_WITHOUT_SHARD.iter().any(|words| says(answer, words)) {
        return Some(Verdict::ServerCrashed);
    }
    if LORAX_ABOUT_ADAPTER.iter().any(|words| says(answer, words)) {
        return Some(Verdict::RowFailed);
    }
    Some(Verdict::Retry(RetryReason::ServerError))
}

/// The router has lost its shard, and the launcher ends it (`router/client/src/lib.rs`, `launcher/src/main.rs`). The second is tonic's word.
const LORAX_WITHOUT_SHARD: [&str; 2] = ["Could not connect to LoRAX server", "Server error: transport error"];

/// Of the adapter that a row names, which is the same when it is asked for again: `server/lorax_server/adapters/__init__.py`, `utils/adapter.py`,
/// `utils/sources/`, `models/model.py`, and huggingface_hub's words (`utils/_http.py`), as nothing else is downloaded for a row. Not the
/// words of a 404 of Predibase: an older address answers so when the newer one fails (`sources/__init__.py`, `fetch_legacy_url`).
const LORAX_ABOUT_ADAPTER: [&str; 12] = [
    "No valid adapter config file found",
    "is not compatible with model",
    "Unknown adapter source",
    "This model does not support adapter loading",
    "Memory reserved for adapters is 0",
    "is larger than adapter memory reservation",
    "No local weights found",
    "is not ready for use",
    "is not yet available",
    "api_token must be provided",
    "Repository Not Found for url",
    "Cannot access gated repo for url",
];

/// Whether LoRAX says of an adapter that it will not have it.
pub(super) fn lorax_refuses_adapter(body: &str) -> bool {
    LORAX_ABOUT_ADAPTER.iter().any(|words| body.contains(words))
}

/// Whether LoRAX says that its shard is gone.
pub(super) fn lorax_is_without_shard(body: &str) -> bool {
    LORAX_WITHOUT_SHARD.iter().any(|words| body.contains(words))
}

/// Whether a server says that it does not have the adapter that a row names. One that had it was started anew, as no engine forgets those
/// that it was told to load: `vllm/entrypoints/openai/models/serving.py`, `sglang/srt/lora/lora_registry.py`.
#[must_use]
pub fn lacks_adapter(engine: Engine, answer: &Answer<'_>) -> bool {
    match engine {
        Engine::VLLM => answer.status == 404 && says(answer, "does not exist"),
        Engine::SGLang => answer.status == 400 && says(answer, "LoRA adapters are not loaded"),
        // Loads what each request names, or has had all since its start.
        Engine::LoRAX | Engine::LlamaCpp | Engine::Custom => false,
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

fn says(answer: &Answer<'_>, words: &str) -> bool {
    let body = answer.body.as_bytes();
    body.windows(words.len()).any(|window| window == words.as_bytes())
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
