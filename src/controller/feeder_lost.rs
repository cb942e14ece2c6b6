//! A feeder that is gone for long: its servers are given back until it runs again. Pure, a part of [`super::decide`].

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::children::ended_at;
use super::decide::View;
use super::pod_missing::{POD_WITHIN, pod_due};
use super::pod_state::{condition, condition_time, is_ending, taken_up_at};
use crate::api::names::FEEDER_CONTAINER;
use crate::api::reason::Reason;
use crate::api::wait::Wait;

/// A feeder that has run for so long is back. One that ends again and again before is not, whatever it says in between.
const BACK_AFTER: SignedDuration = SignedDuration::from_mins(1);

impl View<'_> {
    /// Since when no feeder runs that once ran; none while one runs.
    pub(super) fn feeder_gone_since(&self) -> Option<Timestamp> {
        self.feeder()?;
        let noticed = self.job.status.as_ref()?.controller.feeder_gone_since.as_ref();
        let back_at = self.feeder_back_at();
        // A clock that is set back must not make it later than self.now.
        match (noticed, back_at) {
            (_, Some(back_at)) if back_at <= self.now => None,
            (None, Some(_)) => None,
            (None, None) => Some(self.now),
            (Some(noticed), _) => Some(noticed.0.min(self.now)),
        }
    }

    /// From when on a feeder counts as back that runs self.now.
    pub(super) fn feeder_back_at(&self) -> Option<Timestamp> {
        let since = self.observed.feeder_pods.iter().filter_map(works_since).min()?;
        Some(since + BACK_AFTER)
    }

    /// When the feeder's Job, which has ended, is over: its feeder's word of how it ended may still be on its way. A feeder that is not to
    /// go on here ends without one, as does a Job that somebody gave a limit of time or of pods.
    pub(super) fn feeder_over_at(&self) -> Option<Timestamp> {
        let stopping = self
            .job
            .status
            .as_ref()
            .and_then(|status| status.controller.stopping.as_ref());
        let has_ended = self.written_end().or_else(|| self.reported_end()).is_some();
        if has_ended || self.is_suspended(stopping) {
            return None;
        }
        let ended_at = ended_at(self.observed.workloads.feeder.as_ref()?)?;
        ended_at.checked_add(POD_WITHIN).ok()
    }

    /// Whether the feeder's Job is over, and the job is not.
    pub(super) fn is_feeder_over(&self) -> bool {
        self.feeder_over_at().is_some_and(|over_at| over_at <= self.now)
    }

    /// That the feeder's Job has no pod, where it should have had one for a while.
    pub(super) fn feeder_pod_missing(&self) -> Option<Wait> {
        if self.is_feeder_over() {
            let name = self.observed.workloads.feeder.as_ref()?.name_any();
            let message = format!("Job {name} ended before the feeder said that it is done, and is made anew");
            return Some(Wait::new(Reason::FeederPodMissing, message));
        }
        let told_at = self.feeder_pod_due().filter(|due| *due <= self.now)?;
        let name = self.observed.workloads.feeder.as_ref()?.name_any();
        let account = self.named_account();
        let message = format!("Job {name} has had no pod since {}{account}", told_at - POD_WITHIN);
        Some(Wait::new(Reason::FeederPodMissing, message))
    }

    /// Kubernetes makes no pod for an account that is not there, and says so in the Job's events only.
    fn named_account(&self) -> String {
        let feeder = self.job.spec.feeder.as_ref();
        let Some(account) = feeder.and_then(|feeder| feeder.service_account_name.as_deref()) else {
            return String::new();
        };
        format!("; see that the service account {account} of spec.feeder.serviceAccountName is there")
    }

    /// Until when the feeder's Job, which has none, is to have a pod.
    pub(super) fn feeder_pod_due(&self) -> Option<Timestamp> {
        let job = self.observed.workloads.feeder.as_ref()?;
        let gone = self
            .job
            .status
            .as_ref()
            .and_then(|status| status.controller.feeder_gone_since.as_ref());
        let gone_since = match self.feeder() {
            None => None,
            Some(_) => Some(gone?.0),
        };
        pod_due(job, &self.observed.feeder_pods, gone_since)
    }
}

/// Since when a feeder works in the pod, as far as is known: for ever, where kubelet tells no time. What becomes of containers beside it
/// says nothing of it.
fn works_since(pod: &Pod) -> Option<Timestamp> {
    if may_be_lost(pod) {
        return None;
    }
    let mut containers = pod.status.as_ref()?.container_statuses.iter().flatten();
    let feeder = containers.find(|container| container.name == FEEDER_CONTAINER && container.ready)?;
    let running = feeder.state.as_ref()?.running.as_ref()?;
    let since = running.started_at.as_ref().map_or(Timestamp::MIN, |time| time.0);
    Some(since.checked_sub(node_ahead(pod)).unwrap_or(since))
}

/// Whether the pod's node may be lost: its containers then seem to run for ever, but the pod is not ready. Kubelet names a reason where it
/// says so itself, as of a container beside the feeder; the node lifecycle controller (`pkg/controller/nodelifecycle` of Kubernetes 1.34)
/// names none, and changes nothing of a pod that was not ready before: such a one is only evicted.
fn may_be_lost(pod: &Pod) -> bool {
    let Some(unready) = condition(pod, "Ready", "False") else {
        return condition(pod, "Ready", "Unknown").is_some();
    };
    is_ending(pod) || unready.reason.as_deref().is_none_or(str::is_empty)
}

/// By how much the clock of a pod's node is ahead: kubelet tells by it when it took up the pod, which it did as soon as the API server
/// had given it the pod, and when its containers began.
fn node_ahead(pod: &Pod) -> SignedDuration {
    match (taken_up_at(pod), condition_time(pod, "PodScheduled", "True")) {
        (Some(taken_up), Some(given)) => taken_up.duration_since(given).max(SignedDuration::ZERO),
        _ => SignedDuration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_feeder_runs_in_a_pod_that_is_ready() {
        let pod = |state: &str, ready: &str| -> Pod {
            let status = json!({"conditions": [{"type": "Ready", "status": ready}],
                                "containerStatuses": [{"name": "feeder", "image": "", "imageID": "", "ready": true,
                                                       "restartCount": 0, "state": {state: {}}}]});
            serde_json::from_value(json!({"status": status})).expect("a pod")
        };
        let runs = |pod: &Pod| works_since(pod).is_some();
        assert!(runs(&pod("running", "True")));
        assert!(!runs(&pod("running", "False")), "its node may be lost");
        assert!(!runs(&pod("running", "Unknown")));
        assert!(!runs(&pod("waiting", "True")));
        assert!(!runs(&Pod::default()));
    }

    #[test]
    fn a_container_beside_the_feeder_says_nothing_of_it() {
        let at = |second: i64| Timestamp::from_second(second).expect("in range");
        let container = |name: &str, ready: bool, state: serde_json::Value| json!({"name": name, "image": "", "imageID": "", "ready": ready, "restartCount": 0, "state": state});
        let runs = |since: i64| json!({"running": {"startedAt": at(since)}});
        let ended = json!({"terminated": {"exitCode": 0}});
        let waits = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let pod = |feeder: serde_json::Value, beside: serde_json::Value, is_ending: bool| -> Pod {
            let unready = json!({"type": "Ready", "status": "False", "reason": "ContainersNotReady"});
            let deleted = is_ending.then(|| at(2000));
            serde_json::from_value(json!({"metadata": {"deletionTimestamp": deleted}, "status": {
                "conditions": [unready], "containerStatuses": [beside, feeder]}}))
            .expect("a pod")
        };
        let works = |pod: &Pod| works_since(pod).map(Timestamp::as_second);
        let feeder = || container("feeder", true, runs(1000));
        let proxy = |ready: bool| container("proxy", ready, runs(10));
        assert_eq!(
            works(&pod(feeder(), container("helper", false, ended), false)),
            Some(1000)
        );
        assert_eq!(works(&pod(feeder(), proxy(false), false)), Some(1000));
        assert_eq!(works(&pod(container("feeder", false, waits), proxy(true), false)), None);
        assert_eq!(
            works(&pod(container("feeder", false, runs(1000)), proxy(true), false)),
            None
        );
        assert_eq!(works(&pod(feeder(), proxy(false), true)), None, "its node may be lost");
    }

    #[test]
    fn a_feeder_on_a_node_whose_clock_is_wrong_works_since_it_began() {
        let at = |second: i64| Timestamp::from_second(second).expect("in range");
        let works_since = |taken_up: i64, began: i64| {
            let container = json!({"name": "feeder", "image": "", "imageID": "", "ready": true, "restartCount": 1,
                                   "state": {"running": {"startedAt": at(began)}}});
            let scheduled = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": at(1000)});
            let status =
                json!({"startTime": at(taken_up), "conditions": [scheduled], "containerStatuses": [container]});
            let pod: Pod = serde_json::from_value(json!({"status": status})).expect("a pod");
            works_since(&pod).map(Timestamp::as_second)
        };
        assert_eq!(works_since(1000, 1300), Some(1300));
        assert_eq!(works_since(1000 + 3600, 1300 + 3600), Some(1300), "an hour ahead");
        assert_eq!(
            works_since(1000 - 3600, 1300 - 3600),
            Some(1300 - 3600),
            "an hour behind"
        );
    }
}
