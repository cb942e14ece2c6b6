//! Jobs that go: somebody deletes them, or they ended and `spec.ttlSecondsAfterFinished` are over. Their outputs stay.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Api, DeleteParams, Preconditions};
use kube::{Client, ResourceExt};

use super::exactly::delete_exactly;
use crate::api::BatchInferenceJob;

/// A job that could not be deleted.
#[derive(Debug, thiserror::Error)]
#[error("failed to delete job {namespace}/{job}, whose spec.ttlSecondsAfterFinished are over")]
pub struct ExpiryError {
    namespace: String,
    job: String,
    source: kube::Error,
}

/// Why nothing more is decided of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    /// Somebody deletes it.
    Deleted,
    /// It ended so long ago that it is to be deleted.
    Expired,
}

/// Whether a job goes. That comes before all that its spec asks for and its status says: one that is deleted is neither stopped nor
/// finalised, and one that stops has not ended yet.
#[must_use]
pub fn going(job: &BatchInferenceJob, now: Timestamp) -> Option<Going> {
    if job.metadata.deletion_timestamp.is_some() {
        return Some(Going::Deleted);
    }
    let is_over = expires_at(job).is_some_and(|expiry| expiry <= now);
    is_over.then_some(Going::Expired)
}

/// When a job that ended is to be deleted, as a batch/v1 Job is
/// (<https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/>).
#[must_use]
pub fn expires_at(job: &BatchInferenceJob) -> Option<Timestamp> {
    let kept = SignedDuration::from_secs(job.spec.ttl_seconds_after_finished?.into());
    let ended = job.status.as_ref()?.controller.completion_time.as_ref()?.0;
    ended.checked_add(kept).ok()
}

/// Deletes a job exactly as it is known, and its children with it. Of one that changed meanwhile the time may be another one now.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn delete(client: &Client, job: &BatchInferenceJob) -> Result<(), ExpiryError> {
    let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
    let api: Api<BatchInferenceJob> = Api::namespaced(client.clone(), &namespace);
    let exactly = Preconditions {
        uid: job.uid(),
        resource_version: job.resource_version(),
    };
    let deleted = delete_exactly(&api, &name, DeleteParams::background(), exactly).await;
    deleted.map_err(|source| ExpiryError {
        namespace,
        job: name,
        source,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ENDED: &str = "2026-11-24T10:00:00Z";

    /// A job with this in its spec and that status.
    fn job(given: &Value, status: &Value) -> BatchInferenceJob {
        let mut spec = json!({"dataset": {"inline": ""}, "server": {"baseModel": "m"}, "output": {"uri": "s3://b/o/"}});
        let given = given.as_object().cloned().expect("an object");
        spec.as_object_mut().expect("an object").extend(given);
        let object = json!({"apiVersion": "batchinference.dev/v1alpha1", "kind": "BatchInferenceJob",
                            "metadata": {"name": "j"}, "spec": spec, "status": status});
        serde_json::from_value(object).expect("a job")
    }

    /// What is decided of a job so many seconds after [`ENDED`].
    fn goes(job: &BatchInferenceJob, seconds: i64) -> Option<Going> {
        let ended: Timestamp = ENDED.parse().expect("a time");
        going(job, ended + SignedDuration::from_secs(seconds))
    }

    /// The decision to end before the last row, of the moment of [`ENDED`].
    fn stopping(reason: &str) -> Value {
        let decision = json!({"reason": reason, "mode": "Stop", "message": "as asked", "since": ENDED});
        json!({"startTime": ENDED, "stopping": decision})
    }

    #[test]
    fn a_job_that_is_deleted_is_neither_stopped_nor_finalised() {
        for (spec, status) in [
            (json!({"shutdown": "Stop"}), json!({"startTime": ENDED})),
            (json!({"shutdown": "Terminate"}), stopping("Cancelled")),
            (json!({"activeDeadlineSeconds": 1}), json!({"startTime": ENDED})),
            (json!({"activeDeadlineSeconds": 1}), stopping("DeadlineExceeded")),
        ] {
            let mut job = job(&spec, &status);
            assert_eq!(goes(&job, 60), None, "{spec}");
            job.metadata.deletion_timestamp = serde_json::from_value(json!(ENDED)).expect("a time");
            assert_eq!(goes(&job, 60), Some(Going::Deleted), "{spec}");
        }
    }

    #[test]
    fn a_job_that_is_shut_down_expires_only_after_it_has_ended() {
        let spec = json!({"shutdown": "Stop", "ttlSecondsAfterFinished": 0});
        assert_eq!(
            goes(&job(&spec, &stopping("Cancelled")), 3600),
            None,
            "it writes its results"
        );
        let mut ended = stopping("Cancelled");
        ended["completionTime"] = json!(ENDED);
        assert_eq!(goes(&job(&spec, &ended), 0), Some(Going::Expired));
        let spec = json!({"shutdown": "Stop", "ttlSecondsAfterFinished": 60});
        assert_eq!(goes(&job(&spec, &ended), 59), None);
        assert_eq!(goes(&job(&spec, &ended), 60), Some(Going::Expired));
    }

    #[test]
    fn a_job_expires_so_long_after_its_end() {
        let expiry = |ttl: Value, ended: Value| {
            let job = job(
                &json!({"ttlSecondsAfterFinished": ttl}),
                &json!({"completionTime": ended}),
            );
            expires_at(&job).map(|time| time.to_string())
        };
        let ended = || json!(ENDED);
        assert_eq!(expiry(json!(60), ended()).as_deref(), Some("2026-11-24T10:01:00Z"));
        assert_eq!(expiry(json!(0), ended()).as_deref(), Some("2026-11-24T10:00:00Z"));
        assert_eq!(expiry(json!(null), ended()), None);
        assert_eq!(expiry(json!(60), json!(null)), None);
    }
}
