//! `stopped.json`: why a job ended before all of its rows were run. Whoever creates it has decided that.

use serde::de::Error as _;
use serde::{Deserialize, Serialize};

use crate::storage::{Put, Store};

use super::STOPPED;
use super::error::Error;
use super::format;

const FORMAT: &str = "batchinference.dev/stopped/v1";

/// Why a job was stopped, as its `Failed` condition gives the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StopReason {
    /// More rows failed than the job allows.
    TooManyFailedRows,
    /// The first rows all failed the same way.
    RowsFailAlike,
    /// Tokens or money are used up.
    BudgetExceeded,
    /// The time is over.
    DeadlineExceeded,
    /// Somebody asked for it.
    Cancelled,
}

impl StopReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::TooManyFailedRows,
        Self::RowsFailAlike,
        Self::BudgetExceeded,
        Self::DeadlineExceeded,
        Self::Cancelled,
    ];

    /// The `error.code` of rows that were never run, in the words of an OpenAI batch where it has one.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::DeadlineExceeded => "batch_expired",
            Self::Cancelled => "batch_cancelled",
            Self::TooManyFailedRows | Self::RowsFailAlike | Self::BudgetExceeded => "batch_failed",
        }
    }

    /// Whether only failed rows can be the cause.
    #[must_use]
    pub fn needs_errors(self) -> bool {
        matches!(self, Self::TooManyFailedRows | Self::RowsFailAlike)
    }
}

/// The decision to stop a job. What it has by then are its results: rows that are never run become error rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Why.
    pub reason: StopReason,
    /// Why, for people; also the `error.message` of rows that were never run.
    pub message: String,
    /// When, RFC 3339.
    pub at: String,
}

impl Stopped {
    /// The `error.code` of rows that were never run.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.reason.code()
    }
}

/// The content of `stopped.json`.
#[derive(Serialize, Deserialize)]
struct Content {
    format: String,
    outcome: StopReason,
    code: String,
    message: String,
    at: String,
}

/// Stops a job, create-only: the first decision counts, and is returned.
///
/// # Errors
///
/// [`Error`]; after one, this decision or another may stand all the same.
pub async fn stop(store: &Store, stopped: &Stopped) -> Result<Stopped, Error> {
    let uri = || store.uri_of(STOPPED);
    let json = encode(stopped).map_err(|source| Error::Json { uri: uri(), source })?;
    if store.create(STOPPED, json).await? == Put::Created {
        return Ok(stopped.clone());
    }
    let decided = read_stopped(store).await?;
    decided.ok_or_else(|| Error::Vanished { uri: uri() })
}

/// Reads the decision to stop; `None` while there is none.
///
/// # Errors
///
/// [`Error`] when the store fails or the object is not ours.
pub async fn read_stopped(store: &Store) -> Result<Option<Stopped>, Error> {
    let Some(json) = store.read(STOPPED).await? else {
        return Ok(None);
    };
    parse(&json).map(Some).map_err(|source| Error::Unreadable {
        uri: store.uri_of(STOPPED),
        source,
    })
}

fn encode(stopped: &Stopped) -> serde_json::Result<Vec<u8>> {
    let content = Content {
        format: FORMAT.to_owned(),
        outcome: stopped.reason,
        code: stopped.code().to_owned(),
        message: stopped.message.clone(),
        at: stopped.at.clone(),
    };
    let mut json = serde_json::to_vec_pretty(&content)?;
    json.push(b'\n');
    Ok(json)
}

fn parse(json: &[u8]) -> serde_json::Result<Stopped> {
    let content: Content = serde_json::from_slice(json)?;
    format::check(&content.format, FORMAT)?;
    with_code(content.outcome, &content.code, content.message, content.at).map_err(serde_json::Error::custom)
}

/// A decision whose file gives the code as well, which must be that of the reason.
pub(super) fn with_code(reason: StopReason, code: &str, message: String, at: String) -> Result<Stopped, String> {
    if code != reason.code() {
        return Err(format!("the code of {reason:?} is {}, not {code}", reason.code()));
    }
    Ok(Stopped { reason, message, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_the_golden_file() -> Stopped {
        Stopped {
            reason: StopReason::BudgetExceeded,
            message: "spec.budget.maxTotalTokens is 1000000, and 1000204 tokens are used".into(),
            at: "2026-11-24T08:04:00Z".into(),
        }
    }

    #[test]
    fn the_golden_file_is_written_byte_for_byte_and_read() {
        let golden = include_str!("golden/stopped.json");
        let written = String::from_utf8(encode(&of_the_golden_file()).unwrap()).unwrap();
        assert_eq!(written, golden);
        assert_eq!(parse(golden.as_bytes()).unwrap(), of_the_golden_file());
    }

    #[test]
    fn a_later_version_or_a_wrong_code_is_refused() {
        let golden = include_str!("golden/stopped.json");
        for (from, to, told) in [
            ("/v1", "/v2", "its format is batchinference.dev/stopped/v2"),
            (
                "batch_failed",
                "batch_expired",
                "the code of BudgetExceeded is batch_failed",
            ),
        ] {
            let error = parse(golden.replace(from, to).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[tokio::test]
    async fn the_first_decision_counts() {
        let store = Store::in_memory();
        assert_eq!(read_stopped(&store).await.unwrap(), None);
        let first = of_the_golden_file();
        assert_eq!(stop(&store, &first).await.unwrap(), first);
        let second = Stopped {
            reason: StopReason::Cancelled,
            ..first.clone()
        };
        assert_eq!(stop(&store, &second).await.unwrap(), first);
        assert_eq!(read_stopped(&store).await.unwrap(), Some(first));
    }
}
