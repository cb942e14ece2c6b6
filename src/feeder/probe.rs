//! A request for one token, which tells whether a server that is silent works.

use bytes::Bytes;

use crate::engine::{Fault, Verdict};
use crate::openai::Endpoint;

use super::dispatch::{ReplicaId, Sign, Silent};
use super::memory::Memory;
use super::route::Route;
use super::send::{Outgoing, Reply};

/// Which path is asked: one that the servers have. Of another, the process in front of an engine says at once that there is no such
/// thing, and it says so while the engine hangs.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbedPath {
    read: Option<Endpoint>,
    answered: Option<Endpoint>,
}

impl ProbedPath {
    /// A row of this path is to be sent.
    pub fn read(&mut self, endpoint: Endpoint) {
        self.read.get_or_insert(endpoint);
    }

    /// A row of this path came to that.
    pub fn settled(&mut self, endpoint: Endpoint, verdict: Verdict) {
        if verdict == Verdict::Done {
            self.answered = Some(endpoint);
        }
    }

    /// The path of the last row that was answered well, and before that of the first that was read.
    #[must_use]
    pub fn get(self) -> Option<Endpoint> {
        self.answered.or(self.read)
    }
}

/// What a server says to a request for one token. Its health path would tell of the process, not of the engine.
pub async fn probe(
    silent: Silent,
    mut route: Route,
    endpoint: Endpoint,
    body: Bytes,
    memory: Memory,
) -> (ReplicaId, Sign) {
    let outgoing = Outgoing {
        endpoint,
        body,
        request_id: "probe",
    };
    let sign = match route.send(outgoing, silent.patience, &memory).await {
        // A refusal of this request is an answer, too.
        Reply::Answered(answered) if answered.status < 500 && answered.status != 429 => Sign::Answer,
        Reply::Fault(Fault::TimedOut) => Sign::None,
        Reply::Answered(_) | Reply::TooLarge | Reply::Fault(_) => Sign::Life,
    };
    (silent.replica, sign)
}

/// The body of that request.
#[must_use]
pub fn one_token(endpoint: Endpoint, model: &str) -> Bytes {
    let request = match endpoint {
        Endpoint::ChatCompletions => serde_json::json!({
            "model": model, "messages": [{"role": "user", "content": "a"}], "max_tokens": 1,
        }),
        Endpoint::Completions => serde_json::json!({"model": model, "prompt": "a", "max_tokens": 1}),
        Endpoint::Embeddings => serde_json::json!({"model": model, "input": "a"}),
    };
    request.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_server_is_asked_at_the_path_of_the_first_row_and_then_of_the_last_that_was_answered_well() {
        let mut path = ProbedPath::default();
        assert_eq!(path.get(), None, "without rows there is nothing to ask");
        path.read(Endpoint::Embeddings);
        path.read(Endpoint::Completions);
        assert_eq!(path.get(), Some(Endpoint::Embeddings));
        path.settled(Endpoint::ChatCompletions, Verdict::RowFailed);
        path.settled(Endpoint::ChatCompletions, Verdict::ServerUnhealthy);
        assert_eq!(
            path.get(),
            Some(Endpoint::Embeddings),
            "it may be that the servers have no such path"
        );
        path.settled(Endpoint::Completions, Verdict::Done);
        assert_eq!(path.get(), Some(Endpoint::Completions));
        path.read(Endpoint::Embeddings);
        path.settled(Endpoint::Embeddings, Verdict::RowFailed);
        assert_eq!(path.get(), Some(Endpoint::Completions));
    }
}
