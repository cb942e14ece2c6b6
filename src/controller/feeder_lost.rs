//! A feeder that is gone for long: its servers are given back until it runs again. Pure, a part of [`super::decide`].

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;

use super::decide::View;
use super::pod_state::condition;

impl View<'_> {
    /// Since when no feeder runs that once ran; none while one runs.
    pub(super) fn feeder_gone_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.feeder()?;
        if self.observed.feeder_pods.iter().any(runs) {
            return None;
        }
        let noticed = self.job.status.as_ref()?.controller.feeder_gone_since.as_ref();
        Some(noticed.map_or(now, |time| time.0))
    }
}

/// Whether a feeder works in the pod, as far as is known: on a node that is lost, containers seem to run for ever, but the pod is not
/// ready (node lifecycle controller, `pkg/controller/nodelifecycle` of Kubernetes 1.34).
fn runs(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let is_unready = ["False", "Unknown"]
        .iter()
        .any(|status| condition(pod, "Ready", status).is_some());
    let mut containers = status.container_statuses.iter().flatten();
    let has_running = containers.any(|container| {
        let state = container.state.as_ref();
        state.is_some_and(|state| state.running.is_some())
    });
    has_running && !is_unready
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
        assert!(runs(&pod("running", "True")));
        assert!(!runs(&pod("running", "False")), "its node may be lost");
        assert!(!runs(&pod("running", "Unknown")));
        assert!(!runs(&pod("waiting", "True")));
        assert!(!runs(&Pod::default()));
    }
}
