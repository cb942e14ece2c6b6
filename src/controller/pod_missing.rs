//! A Job that has had no pod for a while, where it should have one: a quota or a policy may refuse it, which a Job has no condition for.
//! Pure.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::children::has_ended;
use super::pod_state::has_run;

/// A Job's controller makes a pod within seconds.
pub(super) const POD_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// Until when a Job, which has none, is to have a pod: since it was started, or since its last one was missed.
pub(super) fn pod_due(job: &Job, pods: &[Pod], gone_since: Option<Timestamp>) -> Option<Timestamp> {
    let is_suspended = job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
    if is_suspended || has_ended(job) || !pods.iter().all(has_run) {
        return None;
    }
    let started = job.status.as_ref()?.start_time.as_ref()?.0;
    let since = gone_since.map_or(started, |gone| gone.max(started));
    since.checked_add(POD_WITHIN).ok()
}
