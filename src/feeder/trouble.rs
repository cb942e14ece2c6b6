//! What a failure of a store means: wait, end the job, or start anew.

use crate::api::reason::Reason;
use crate::api::wait::Wait;
use crate::dataset::{InspectError, ReadError, SourceError};
use crate::{results, storage};

use super::report::End;

pub use crate::storage::chain;

/// Why the feeder does not go on with its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The job ends here.
    Ended(End),
    /// Another start of the feeder may go on, as with keys that have been changed since.
    Restart(String),
    /// The feeder was asked to stop.
    Interrupted,
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Trying again may help.
    Passing(Wait),
    /// Trying again will not help.
    Final(Stop),
}

impl Trouble {
    /// Something to wait for.
    pub fn wait(reason: Reason, message: impl Into<String>) -> Self {
        Self::Passing(Wait::new(reason, message))
    }

    /// An end of the job.
    pub fn end(reason: Reason, message: impl Into<String>) -> Self {
        Self::Final(Stop::Ended(End::new(reason, message)))
    }
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        let reason = match &error {
            SourceError::Unavailable { .. } => return Self::wait(Reason::StoreUnavailable, chain(&error)),
            SourceError::ClockSkew { .. } => return Self::wait(Reason::ClockSkew, error.to_string()),
            SourceError::Scratch { .. } => return Self::wait(Reason::ScratchUnusable, error.to_string()),
            SourceError::NotFound { .. } => Reason::DatasetNotFound,
            SourceError::PermissionDenied { .. } | SourceError::Unauthenticated { .. } => Reason::DatasetAccessDenied,
            SourceError::Changed { .. } => Reason::DatasetChanged,
            SourceError::Undecodable { .. } => Reason::DatasetInvalid,
        };
        Self::end(reason, error.to_string())
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Source(SourceError::PermissionDenied { .. } | SourceError::Unauthenticated { .. }) => {
                // The keys were good before. The next start reads the Secret anew, and ends the job if they are refused still.
                Self::Final(Stop::Restart(error.to_string()))
            }
            ReadError::Source(error) => error.into(),
            ReadError::Row { .. } => Self::end(Reason::DatasetInvalid, chain(&error)),
            ReadError::Good { .. } => Self::end(Reason::DatasetChanged, error.to_string()),
        }
    }
}

impl From<InspectError> for Trouble {
    fn from(error: InspectError) -> Self {
        match error {
            InspectError::Refused(refusal) => Self::end(Reason::DatasetInvalid, refusal.to_string()),
            InspectError::Source(error) => error.into(),
            InspectError::Scratch(error) => Self::wait(
                Reason::ScratchUnusable,
                format!("{}; spec.feeder.scratch.sizeLimit may be too small", chain(&error)),
            ),
        }
    }
}

/// As the output's store means it.
impl From<storage::Error> for Trouble {
    fn from(error: storage::Error) -> Self {
        let wait = wait_for_output(&error);
        if matches!(wait.reason, Reason::OutputNotWritable | Reason::ResultsTooLarge) {
            return Self::end(wait.reason, wait.message);
        }
        Self::Passing(wait)
    }
}

/// What a failure of the output's store is called while it lasts. Only `OutputNotWritable` and `ResultsTooLarge` do not pass by
/// themselves. A clock is put right by whoever runs the node, and room is made, while the job waits; its spec is not what is wrong.
pub fn wait_for_output(error: &storage::Error) -> Wait {
    use storage::Error as E;
    let (reason, message) = match error {
        E::Unavailable { .. } => (Reason::StoreUnavailable, chain(error)),
        E::NotAsWritten { .. } => (Reason::StoreUnavailable, error.to_string()),
        E::ClockSkew { .. } => (Reason::ClockSkew, error.to_string()),
        E::Full { .. } => (Reason::OutputFull, error.to_string()),
        E::TooLarge { .. } => (Reason::ResultsTooLarge, error.to_string()),
        E::NotFound { .. }
        | E::BucketNotFound { .. }
        | E::AccessDenied { .. }
        | E::NotOurs { .. }
        | E::Unsupported { .. } => (Reason::OutputNotWritable, error.to_string()),
    };
    Wait::new(reason, message)
}

impl From<results::Error> for Trouble {
    fn from(error: results::Error) -> Self {
        use results::Error as E;
        match error {
            E::Store(error) => error.into(),
            E::Vanished { .. } => Self::wait(Reason::StoreUnavailable, chain(&error)),
            // Somebody deleted segments: their rows are run again.
            E::MissingRows { .. } => Self::Final(Stop::Restart(chain(&error))),
            E::Damaged { .. }
            | E::UnknownRow { .. }
            | E::Unreadable { .. }
            | E::OtherManifest { .. }
            | E::FileLost { .. }
            | E::Json { .. } => Self::end(Reason::OutputNotEmpty, chain(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable() -> object_store::Error {
        object_store::Error::Generic {
            store: "S3",
            source: "503".into(),
        }
    }

    #[test]
    fn a_store_that_is_away_is_waited_for() {
        let dataset = SourceError::Unavailable {
            object: "s3://b/k".into(),
            source: unavailable(),
        };
        let uri = storage::StoreUri::parse_prefix("s3://b/out").unwrap();
        let output = storage::Error::Unavailable {
            uri,
            source: Box::new(unavailable()),
        };
        for trouble in [Trouble::from(dataset), results::Error::from(output).into()] {
            assert!(
                matches!(&trouble, Trouble::Passing(wait)
                    if wait.reason == Reason::StoreUnavailable && wait.message.contains("503")),
                "{trouble:?}"
            );
        }
    }

    #[test]
    fn keys_refused_at_the_start_end_the_job_and_later_restart_the_feeder() {
        let refused = || SourceError::Unauthenticated {
            object: "s3://b/k".into(),
            hint: "check the Secret".into(),
            source: unavailable(),
        };
        let at_start = Trouble::from(refused());
        assert!(matches!(at_start, Trouble::Final(Stop::Ended(end)) if end.reason == Reason::DatasetAccessDenied));
        let later = Trouble::from(ReadError::from(refused()));
        assert!(matches!(later, Trouble::Final(Stop::Restart(why)) if why.contains("check the Secret")));
    }
}
