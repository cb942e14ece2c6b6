//! The end that a manifest amounts to.

use crate::api::reason::Reason;
use crate::api::status::ResultsStatus;
use crate::results::{Claim, ERRORS, Ended, JOB, JobReference, MANIFEST, Manifest, RESULTS, StopReason};
use crate::storage::Store;

use super::report::{End, number};

/// How `job` ended, from the manifest that is in its output.
#[must_use]
pub fn end_of(manifest: &Manifest, job: &JobReference, store: &Store) -> End {
    let (results, errors) = (manifest.results.rows, manifest.errors.rows);
    let rows = results + errors;
    let errors_uri = store.uri_of(ERRORS);
    let (reason, message) = match &manifest.ended {
        Ended::AllRowsFailed => (
            Reason::AllRowsFailed,
            format!("all {rows} rows failed, see `{errors_uri}`"),
        ),
        Ended::Stopped(stopped) => {
            let message = format!(
                "{}; {results} of {rows} rows have a result, see `{errors_uri}`",
                stopped.message
            );
            (reason_of(stopped.reason), message)
        }
        _ if manifest.job.uid != job.uid => {
            let (by, at) = (&manifest.job, &manifest.finished_at);
            let message =
                format!("job {by} finished exactly this work at {at}: {results} of {rows} rows have a result");
            (Reason::ResultsReused, message)
        }
        Ended::AllRowsSucceeded => (Reason::AllRowsSucceeded, format!("all {rows} rows have a result")),
        Ended::SomeRowsFailed => (
            Reason::SomeRowsFailed,
            format!("{errors} of {rows} rows failed, see `{errors_uri}`"),
        ),
    };
    let results = ResultsStatus {
        uri: store.uri_of(RESULTS).to_string(),
        errors_uri: errors_uri.to_string(),
        manifest_uri: store.uri_of(MANIFEST).to_string(),
        rows: number(results),
        errors: number(errors),
    };
    End {
        reason,
        message,
        results: Some(results),
    }
}

fn reason_of(stop: StopReason) -> Reason {
    match stop {
        StopReason::TooManyFailedRows => Reason::TooManyFailedRows,
        StopReason::RowsFailAlike => Reason::RowsFailAlike,
        StopReason::BudgetExceeded => Reason::BudgetExceeded,
        StopReason::DeadlineExceeded => Reason::DeadlineExceeded,
        StopReason::Cancelled => Reason::Cancelled,
    }
}

/// How a job ends that asked for an output of its own, where this claim is.
#[must_use]
pub fn already_claimed(claim: &Claim, store: &Store) -> End {
    let (uri, job) = (store.uri_of(JOB), claim.job());
    let message = format!(
        "`{uri}`: job {job} (uid {}) wrote here, and spec.output.ifExists is Fail: choose an empty output, move the old objects \
         away, or write Resume to go on with the same work",
        job.uid
    );
    End::new(Reason::OutputNotEmpty, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(ended: Ended, uid: &str) -> End {
        let mut manifest: Manifest = serde_json::from_str(include_str!("../results/golden/manifest.json")).unwrap();
        manifest.ended = ended;
        (manifest.results.rows, manifest.errors.rows) = (3, 1);
        let job = JobReference {
            uid: uid.into(),
            ..manifest.job.clone()
        };
        manifest.finished_at = "2026-11-24T10:00:00Z".into();
        end_of(&manifest, &job, &Store::in_memory())
    }

    #[test]
    fn the_outcome_is_the_reason() {
        let manifest: Manifest = serde_json::from_str(include_str!("../results/golden/manifest.json")).unwrap();
        let ours = manifest.job.uid;
        let succeeded = end(Ended::AllRowsSucceeded, &ours);
        assert_eq!(succeeded.reason, Reason::AllRowsSucceeded);
        assert_eq!(succeeded.results.unwrap().uri, "s3://memory/results.jsonl");
        let failed = end(Ended::SomeRowsFailed, &ours);
        assert_eq!(failed.reason, Reason::SomeRowsFailed);
        assert_eq!(failed.message, "1 of 4 rows failed, see `s3://memory/errors.jsonl`");
        assert_eq!(end(Ended::AllRowsFailed, "another").reason, Reason::AllRowsFailed);
    }

    #[test]
    fn what_another_job_finished_is_reused_and_said_so() {
        let reused = end(Ended::SomeRowsFailed, "another");
        assert_eq!(reused.reason, Reason::ResultsReused);
        assert!(
            reused.message.contains("at 2026-11-24T10:00:00Z: 3 of 4 rows"),
            "{}",
            reused.message
        );
    }
}
