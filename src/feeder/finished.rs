//! A reply becomes a line of the results or the errors.

use std::sync::Arc;
use std::time::Duration;

use crate::dataset::SkippedRow;
use crate::engine::{Fault, Verdict};
use crate::openai::{CustomId, Outcome, ResultRow, RowNumber, Usage};
use crate::results::{FinishedRow, Identity, Kind};

use super::adapters::Bad;
use super::rows::Row;
use super::send::{Answered, LARGEST_ANSWER, Reply};

/// The `error.code` of a row whose answer is larger than any that a row can have.
pub const RESPONSE_TOO_LARGE: &str = "response_too_large";

/// The `error.code` of a row that would be answered by another adapter than it names, or by the base.
const ADAPTER_NOT_CHOSEN: &str = "adapter_not_chosen";

/// Digits of the identity that stand in the names of results and requests.
const IDENTITY_DIGITS: usize = 12;

/// Writes lines for one job.
#[derive(Clone, Debug)]
pub struct Lines {
    identity: String,
    model: Arc<str>,
    attempt_timeout: Duration,
}

impl Lines {
    /// Lines of some work, done by the model of that name, with so much time for each attempt.
    #[must_use]
    pub fn new(identity: Identity, model: &str, attempt_timeout: Duration) -> Self {
        let mut identity = identity.to_string();
        identity.truncate(IDENTITY_DIGITS);
        Self {
            identity,
            model: model.into(),
            attempt_timeout,
        }
    }

    /// A name for a request of ours, unless the server has a better one.
    #[must_use]
    pub fn request_id(&self, attempt: u32, request: u64) -> String {
        format!("req_{}_{attempt}_{request}", self.identity)
    }

    /// The row's end, if this reply is its end.
    #[must_use]
    pub fn finish(&self, row: &Row, request_id: &str, reply: Reply, verdict: Verdict) -> FinishedRow {
        let kind = match verdict {
            Verdict::Done => Kind::Result,
            _ => Kind::Error,
        };
        match reply {
            Reply::Answered(answered) => self.answered(row, request_id, answered, kind),
            Reply::TooLarge => {
                let message = format!("the answer is larger than {LARGEST_ANSWER} bytes");
                self.unanswered(row, RESPONSE_TOO_LARGE, &message)
            }
            Reply::Fault(fault) => self.unanswered(row, code_of(fault), &self.explain(fault)),
        }
    }

    /// The end of a row that has no answer.
    #[must_use]
    pub fn unanswered(&self, row: &Row, code: &str, message: &str) -> FinishedRow {
        FinishedRow {
            row: row.number,
            kind: Kind::Error,
            usage: Usage::default(),
            model: row.adapter.clone(),
            line: self
                .line(row.number, Some(&row.custom_id), Outcome::Unanswered { code, message })
                .into(),
        }
    }

    /// The end of a row whose adapter cannot be used.
    #[must_use]
    pub fn refused(&self, number: RowNumber, custom_id: &CustomId, adapter: &Arc<str>, bad: &Bad) -> FinishedRow {
        let message = format!("adapter `{adapter}`: {}", bad.message);
        let outcome = Outcome::Unanswered {
            code: bad.code,
            message: &message,
        };
        FinishedRow {
            row: number,
            kind: Kind::Error,
            usage: Usage::default(),
            model: Some(Arc::clone(adapter)),
            line: self.line(number, Some(custom_id), outcome).into(),
        }
    }

    /// The end of a row that was never sent, as something else than what it names would answer it.
    #[must_use]
    pub fn missed(
        &self,
        number: RowNumber,
        custom_id: &CustomId,
        adapter: Option<Arc<str>>,
        message: &str,
    ) -> FinishedRow {
        let outcome = Outcome::Unanswered {
            code: ADAPTER_NOT_CHOSEN,
            message,
        };
        FinishedRow {
            row: number,
            kind: Kind::Error,
            usage: Usage::default(),
            model: adapter,
            line: self.line(number, Some(custom_id), outcome).into(),
        }
    }

    /// The end of a row that was never sent, as it is no good request.
    #[must_use]
    pub fn invalid(&self, row: &SkippedRow) -> FinishedRow {
        let message = row.reason.to_string();
        let outcome = Outcome::Invalid {
            line: row.line,
            message: &message,
        };
        FinishedRow {
            row: row.number,
            kind: Kind::Error,
            usage: Usage::default(),
            model: None,
            line: self.line(row.number, row.custom_id.as_ref(), outcome).into(),
        }
    }

    fn answered(&self, row: &Row, request_id: &str, answered: Answered, kind: Kind) -> FinishedRow {
        let body = &answered.body;
        let line = self.line(
            row.number,
            Some(&row.custom_id),
            Outcome::Answered {
                status_code: answered.status,
                request_id: answered.request_id.as_deref().unwrap_or(request_id),
                body,
            },
        );
        FinishedRow {
            row: row.number,
            kind,
            usage: body.usage(),
            // Failed rows are counted of adapters only.
            model: match (&row.adapter, kind) {
                (Some(adapter), _) => Some(Arc::clone(adapter)),
                (None, Kind::Result) => Some(Arc::clone(&self.model)),
                (None, Kind::Error) => None,
            },
            line: answered.held.with(line),
        }
    }

    fn line(&self, row: RowNumber, custom_id: Option<&CustomId>, outcome: Outcome<'_>) -> Vec<u8> {
        let id = format!("batch_req_{}_{row}", self.identity);
        let mut line = Vec::new();
        ResultRow {
            id: &id,
            custom_id,
            outcome,
        }
        .write_to(&mut line);
        line
    }

    fn explain(&self, fault: Fault) -> String {
        match fault {
            Fault::TimedOut => format!("no answer within {} s", self.attempt_timeout.as_secs()),
            Fault::ConnectFailed => "no connection to the server".to_owned(),
            Fault::ConnectionLost | Fault::ServerGone => "the connection to the server was lost".to_owned(),
        }
    }
}

/// The `error.code` of a row that has no answer for this reason.
#[must_use]
pub fn code_of(fault: Fault) -> &'static str {
    match fault {
        Fault::TimedOut => "request_timed_out",
        Fault::ConnectFailed => "server_unreachable",
        Fault::ConnectionLost | Fault::ServerGone => "connection_lost",
    }
}
