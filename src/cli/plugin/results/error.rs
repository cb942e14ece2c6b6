//! Why rows cannot be fetched.

use std::io;
use std::path::PathBuf;

use super::super::job::Job;
use super::super::pod::PodError;
use super::super::progress::Progress;
use super::super::refusal::Refusal;
use super::super::standard_output::StandardOutputError;
use crate::results;
use crate::storage::{self, NamedError, OpenError, Store, StoreUri, UriError};

/// Why rows cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The job runs, waits, or failed before it could write anything.
    #[error("`{output}` has no results of this job: {state}")]
    NotFinished {
        /// Where they would be.
        output: StoreUri,
        /// How far the job is, and what can be done.
        state: String,
    },
    /// Rows were fetched that are finished so far, and then the job was.
    #[error("the job has just written its results: the same command fetches them now")]
    EndedMeanwhile,
    /// Nothing here opens the store, and no pod could be started that does.
    #[error("{what} cannot be read from here, nor through a pod: {advice}")]
    NoPod {
        /// Where the output is.
        what: String,
        /// What to do instead.
        advice: String,
        /// Why there is no pod.
        source: Box<PodError>,
    },
    /// By the person who began it.
    #[error("interrupted; with -o, the same command goes on where this one was (with --partial, from the start)")]
    Interrupted,
    /// The job names no output that this program knows.
    #[error("the job's spec.output is not what this program knows: is the operator newer?")]
    UnknownOutput(#[source] serde_json::Error),
    /// The cluster did not give it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What was read is not what the manifest says.
    #[error("`{uri}` is not as the manifest says: it was changed after the job, or damaged on the way; try again")]
    Changed {
        /// The file.
        uri: StoreUri,
    },
    /// The disk of this machine.
    #[error("`{}` cannot be written", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What -o names would be replaced by a file.
    #[error("`{}` is no file: name one by -o (--split takes a folder; without -o, rows go to standard output)", path.display())]
    NoFile {
        /// What is there.
        path: PathBuf,
    },
    /// Two fetches would write one file.
    #[error("`{}` is written by another fetch: wait for it, or choose another -o", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// Standard output. Not transparent: it is looked for among the causes.
    #[error("the rows cannot be written")]
    StandardOutput(#[from] StandardOutputError),
    /// A wrong URI in the job.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// The store cannot be asked with these keys.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What --from names.
    #[error(transparent)]
    Named(#[from] NamedError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] storage::Error),
    /// Segments or manifest cannot be read.
    #[error(transparent)]
    Results(#[from] results::Error),
}

impl FetchError {
    /// Says how far a job is. Without a job, nothing is known.
    #[must_use]
    pub fn not_finished(job: Option<&Job>, store: &Store) -> Self {
        Self::NotFinished {
            output: store.uri_of(""),
            state: job.map_or_else(
                || "there is no manifest; --partial takes what is finished".to_owned(),
                state,
            ),
        }
    }

    /// Whether rows from an earlier try may be to blame.
    #[must_use]
    pub fn is_change(&self) -> bool {
        matches!(self, Self::Changed { .. })
    }
}

fn state(job: &Job) -> String {
    let partial = match Progress::of(job).filter(|progress| progress.done > 0) {
        Some(progress) => format!(
            "; --partial takes the {} of {} rows that are finished",
            progress.done, progress.total
        ),
        None => String::new(),
    };
    match job.end() {
        Some(end) if end.message.is_empty() => format!("it ended as {}{partial}", end.reason),
        Some(end) => format!("it ended as {} ({}){partial}", end.reason, end.message),
        None => format!(
            "it is {}; wait for it with `kubectl bij wait {}`{partial}",
            job.phase(),
            job.name()
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(status: Value) -> String {
        let job = Job::new(json!({"metadata": {"name": "x"}, "status": status}));
        FetchError::not_finished(Some(&job), &Store::in_memory()).to_string()
    }

    #[test]
    fn a_job_without_results_says_how_to_get_some() {
        let running = said(json!({"phase": "Running", "progress": {"total": 10, "completed": 4}}));
        assert!(
            running.ends_with(
                "it is Running; wait for it with `kubectl bij wait x`; --partial takes the 4 of 10 rows that are finished"
            ),
            "{running}"
        );
        let failed = json!({"type": "Failed", "status": "True", "reason": "DatasetInvalid", "message": "line 8"});
        let failed = said(json!({"phase": "Failed", "conditions": [failed]}));
        assert!(failed.ends_with("it ended as DatasetInvalid (line 8)"), "{failed}");
    }
}
