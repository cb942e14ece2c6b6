//! A reply becomes a line of the results or the errors.

use std::sync::Arc;

use crate::engine::{Fault, Verdict};
use crate::openai::{Outcome, ResultRow, Usage};
use crate::results::{FinishedRow, Identity, Kind};

use super::rows::Row;
use super::send::{ATTEMPT_TIMEOUT, Answered, LARGEST_ANSWER, Reply};

/// Digits of the identity that stand in the names of results and requests.
const IDENTITY_DIGITS: usize = 12;

/// Writes lines for one job.
#[derive(Clone, Debug)]
pub struct Lines {
    identity: String,
    model: Arc<str>,
}

impl Lines {
    /// Lines of some work, done by the model of that name.
    #[must_use]
    pub fn new(identity: Identity, model: &str) -> Self {
        let mut identity = identity.to_string();
        identity.truncate(IDENTITY_DIGITS);
        Self {
            identity,
            model: model.into(),
        }
    }

    /// A name for a request of ours, unless the server has a better one.
    #[must_use]
    pub fn request_id(&self, attempt: u32, request: u64) -> String {
        format!("req_{}_{attempt}_{request}", self.identity)
    }

    /// The row's end, if this reply is its end.
    #[must_use]
    pub fn finish(&self, row: &Row, request_id: &str, reply: &Reply, verdict: Verdict) -> FinishedRow {
        let kind = match verdict {
            Verdict::Done => Kind::Result,
            _ => Kind::Error,
        };
        let (line, usage) = match reply {
            Reply::Answered(answered) => self.answered(row, request_id, answered),
            Reply::TooLarge => {
                let message = format!("the answer is larger than {LARGEST_ANSWER} bytes");
                (self.unanswered(row, "response_too_large", &message), Usage::default())
            }
            Reply::Fault(fault) => {
                let (code, message) = explain(*fault);
                (self.unanswered(row, code, &message), Usage::default())
            }
        };
        FinishedRow {
            row: row.number,
            kind,
            usage,
            model: (kind == Kind::Result).then(|| Arc::clone(&self.model)),
            line: line.into(),
        }
    }

    fn answered(&self, row: &Row, request_id: &str, answered: &Answered) -> (Vec<u8>, Usage) {
        let body = &answered.body;
        let line = self.line(
            row,
            Outcome::Answered {
                status_code: answered.status,
                request_id: answered.request_id.as_deref().unwrap_or(request_id),
                body,
            },
        );
        (line, body.usage())
    }

    fn unanswered(&self, row: &Row, code: &str, message: &str) -> Vec<u8> {
        self.line(row, Outcome::Unanswered { code, message })
    }

    fn line(&self, row: &Row, outcome: Outcome<'_>) -> Vec<u8> {
        let id = format!("batch_req_{}_{}", self.identity, row.number);
        let mut line = Vec::new();
        ResultRow {
            id: &id,
            custom_id: &row.custom_id,
            outcome,
        }
        .write_to(&mut line);
        line
    }
}

fn explain(fault: Fault) -> (&'static str, String) {
    match fault {
        Fault::TimedOut => (
            "request_timed_out",
            format!("no answer within {} s", ATTEMPT_TIMEOUT.as_secs()),
        ),
        Fault::ConnectFailed => ("server_unreachable", "no connection to the server".to_owned()),
        Fault::ConnectionLost => ("connection_lost", "the connection to the server was lost".to_owned()),
    }
}
