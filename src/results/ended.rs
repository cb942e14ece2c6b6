//! How a job ended: by its rows, or by a decision to stop it.

use serde::{Deserialize, Serialize};

use super::stopped::{self, StopReason, Stopped};

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub enum Ended {
    /// Every row was answered.
    AllRowsSucceeded,
    /// Every row was run, and some were answered.
    SomeRowsFailed,
    /// Every row was run, and none was answered.
    AllRowsFailed,
    /// It was stopped, and what it had by then are its results.
    Stopped(Stopped),
}

/// The word for it: the reason of the job's `Complete` or `Failed` condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Every row was answered.
    AllRowsSucceeded,
    /// Some rows were answered.
    SomeRowsFailed,
    /// No row was answered.
    AllRowsFailed,
    /// The job was stopped.
    #[serde(untagged)]
    Stopped(StopReason),
}

impl Ended {
    /// The end of a job that came to that many rows of each kind. A decision to stop it counts, however many rows had
    /// been run by then.
    #[must_use]
    pub fn of(stopped: Option<Stopped>, results: u64, errors: u64) -> Self {
        match (stopped, results, errors) {
            (Some(stopped), ..) => Self::Stopped(stopped),
            (None, _, 0) => Self::AllRowsSucceeded,
            (None, 0, _) => Self::AllRowsFailed,
            _ => Self::SomeRowsFailed,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::AllRowsSucceeded => Outcome::AllRowsSucceeded,
            Self::SomeRowsFailed => Outcome::SomeRowsFailed,
            Self::AllRowsFailed => Outcome::AllRowsFailed,
            Self::Stopped(stopped) => Outcome::Stopped(stopped.reason),
        }
    }

    /// The decision to stop it, if there was one.
    #[must_use]
    pub fn stopped(&self) -> Option<&Stopped> {
        match self {
            Self::Stopped(stopped) => Some(stopped),
            _ => None,
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopped(reason) => write!(f, "{reason:?}"),
            by_rows => write!(f, "{by_rows:?}"),
        }
    }
}

/// As it stands in a manifest: two fields that must agree.
#[derive(Serialize, Deserialize)]
struct Fields {
    outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stopped: Option<StoppedFields>,
}

#[derive(Serialize, Deserialize)]
struct StoppedFields {
    code: String,
    message: String,
    at: String,
}

impl From<Ended> for Fields {
    fn from(ended: Ended) -> Self {
        let outcome = ended.outcome();
        let stopped = ended.stopped().map(|stopped| StoppedFields {
            code: stopped.code().to_owned(),
            message: stopped.message.clone(),
            at: stopped.at.clone(),
        });
        Self { outcome, stopped }
    }
}

impl TryFrom<Fields> for Ended {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        match (fields.outcome, fields.stopped) {
            (Outcome::AllRowsSucceeded, None) => Ok(Self::AllRowsSucceeded),
            (Outcome::SomeRowsFailed, None) => Ok(Self::SomeRowsFailed),
            (Outcome::AllRowsFailed, None) => Ok(Self::AllRowsFailed),
            (Outcome::Stopped(reason), Some(StoppedFields { code, message, at })) => {
                stopped::with_code(reason, &code, message, at).map(Self::Stopped)
            }
            (outcome, None) => Err(format!(
                "its outcome is {outcome}, but it does not say why in `stopped`"
            )),
            (outcome, Some(_)) => Err(format!("its outcome is {outcome}, but it was stopped")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopped(reason: StopReason) -> Stopped {
        Stopped {
            reason,
            message: "why".into(),
            at: "2026-11-24T08:04:00Z".into(),
        }
    }

    #[test]
    fn the_outcome_follows_the_counts_unless_the_job_was_stopped() {
        let of = |stopped, results, errors| Ended::of(stopped, results, errors).outcome();
        assert_eq!(of(None, 3, 0), Outcome::AllRowsSucceeded);
        assert_eq!(of(None, 3, 1), Outcome::SomeRowsFailed);
        assert_eq!(of(None, 0, 4), Outcome::AllRowsFailed);
        assert_eq!(of(None, 0, 0), Outcome::AllRowsSucceeded);
        for reason in StopReason::ALL {
            assert_eq!(of(Some(stopped(reason)), 0, 4), Outcome::Stopped(reason));
        }
    }

    #[test]
    fn every_end_reads_back_by_the_name_of_its_reason() {
        for reason in StopReason::ALL {
            let ended = Ended::Stopped(stopped(reason));
            let json = serde_json::to_value(&ended).unwrap();
            assert_eq!(json["outcome"], format!("{reason:?}"));
            assert_eq!(json["stopped"]["code"], reason.code());
            assert_eq!(serde_json::from_value::<Ended>(json).unwrap(), ended);
        }
        let json = serde_json::to_string(&Ended::SomeRowsFailed).unwrap();
        assert_eq!(json, r#"{"outcome":"SomeRowsFailed"}"#);
        assert_eq!(serde_json::from_str::<Ended>(&json).unwrap(), Ended::SomeRowsFailed);
    }

    #[test]
    fn fields_that_contradict_each_other_are_refused() {
        let why = r#""stopped":{"code":"batch_cancelled","message":"","at":""}"#;
        for (json, told) in [
            (r#"{"outcome":"Cancelled"}"#.to_owned(), "does not say why"),
            (format!(r#"{{"outcome":"SomeRowsFailed",{why}}}"#), "but it was stopped"),
            (format!(r#"{{"outcome":"BudgetExceeded",{why}}}"#), "the code of"),
        ] {
            let error = serde_json::from_str::<Ended>(&json).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
