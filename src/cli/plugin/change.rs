//! `cancel`, `suspend`, `resume`: changes of a job that is there.

use std::process::ExitCode;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::arguments::{CancelArguments, ChangeArguments};
use super::job::Job;
use super::jobs::Jobs;
use super::printed;
use super::standard_output;
use crate::api::shutdown::Shutdown;

/// What cannot be changed any more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{job} has ended already ({reason}): there is nothing left to {verb}")]
pub struct Ended {
    job: String,
    reason: String,
    verb: &'static str,
}

/// Ends a job before its last row.
///
/// # Errors
///
/// [`Ended`], [`super::refusal::Refusal`], or standard output cannot be written.
pub async fn cancel(jobs: &Jobs, arguments: &CancelArguments) -> anyhow::Result<ExitCode> {
    let (how, what) = if arguments.now {
        (Shutdown::Terminate, "is being cancelled; rows in flight are aborted")
    } else {
        (Shutdown::Stop, "is being cancelled; rows in flight are waited for")
    };
    let (job, output) = (&arguments.job.job, arguments.job.output);
    let found = not_ended(jobs.find(job).await?, "cancel")?;
    let changed = if is_terminated(&found) {
        found
    } else {
        jobs.change(&found, json!({"shutdown": how})).await?
    };
    let what = if is_terminated(&changed) && !arguments.now {
        "is being cancelled already; rows in flight are aborted"
    } else {
        what
    };
    standard_output::write(&printed::changed(&changed, what, output, Timestamp::now())?)?;
    Ok(ExitCode::SUCCESS)
}

/// A job that aborts its rows cannot go back to waiting for them.
fn is_terminated(job: &Job) -> bool {
    job.value("/spec/shutdown") == Some(&json!(Shutdown::Terminate))
}

/// Gives the GPUs of a job back.
///
/// # Errors
///
/// As [`cancel`].
pub async fn suspend(jobs: &Jobs, arguments: &ChangeArguments) -> anyhow::Result<ExitCode> {
    change(jobs, arguments, "suspend", &json!({"suspend": true}), "suspended").await
}

/// Goes on with a job.
///
/// # Errors
///
/// As [`cancel`].
pub async fn resume(jobs: &Jobs, arguments: &ChangeArguments) -> anyhow::Result<ExitCode> {
    change(jobs, arguments, "resume", &json!({"suspend": false}), "resumed").await
}

async fn change(
    jobs: &Jobs,
    arguments: &ChangeArguments,
    verb: &'static str,
    spec: &Value,
    what: &str,
) -> anyhow::Result<ExitCode> {
    let found = not_ended(jobs.find(&arguments.job).await?, verb)?;
    let changed = jobs.change(&found, spec.clone()).await?;
    standard_output::write(&printed::changed(&changed, what, arguments.output, Timestamp::now())?)?;
    Ok(ExitCode::SUCCESS)
}

fn not_ended(job: Job, verb: &'static str) -> Result<Job, Ended> {
    match job.end() {
        None => Ok(job),
        Some(end) => Err(Ended {
            job: job.full_name(),
            reason: end.reason,
            verb,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_is_not_changed() {
        let ended = Job::new(json!({
            "metadata": {"name": "x"},
            "status": {"conditions": [{"type": "Failed", "status": "True", "reason": "Cancelled"}]},
        }));
        assert_eq!(
            not_ended(ended, "suspend").unwrap_err().to_string(),
            "batchinferencejob.batchinference.dev/x has ended already (Cancelled): there is nothing left to suspend"
        );
        not_ended(Job::new(json!({})), "suspend").unwrap();
    }

    #[test]
    fn only_terminate_is_final() {
        for (shutdown, expected) in [(json!("Terminate"), true), (json!("Stop"), false), (Value::Null, false)] {
            assert_eq!(
                is_terminated(&Job::new(json!({"spec": {"shutdown": shutdown}}))),
                expected
            );
        }
    }
}
