//! `spec.ttlSecondsAfterFinished`: jobs that ended are deleted after a while. Their outputs stay.

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
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_expires_so_long_after_its_end() {
        let job = |ttl: serde_json::Value, ended: serde_json::Value| -> BatchInferenceJob {
            let spec = json!({"dataset": {"inline": ""}, "server": {"baseModel": "m"}, "output": {"uri": "s3://b/o/"},
                              "ttlSecondsAfterFinished": ttl});
            let object = json!({"apiVersion": "batchinference.dev/v1alpha1", "kind": "BatchInferenceJob",
                                "metadata": {"name": "j"}, "spec": spec, "status": {"completionTime": ended}});
            serde_json::from_value(object).expect("a job")
        };
        let expiry = |ttl, ended| expires_at(&job(ttl, ended)).map(|time| time.to_string());
        let ended = || json!("2026-11-24T10:00:00Z");
        assert_eq!(expiry(json!(60), ended()).as_deref(), Some("2026-11-24T10:01:00Z"));
        assert_eq!(expiry(json!(0), ended()).as_deref(), Some("2026-11-24T10:00:00Z"));
        assert_eq!(expiry(json!(null), ended()), None);
        assert_eq!(expiry(json!(60), json!(null)), None);
    }
}
