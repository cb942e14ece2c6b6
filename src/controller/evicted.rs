//! Pods that kubelet evicted, for a limit of their own or for room on the node. Pure.
//!
//! Kubelet's words: `pkg/kubelet/eviction/helpers.go` of Kubernetes 1.34.

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::pod_state::{has_run, is_running, taken_up_at};
use crate::api::reason::Reason;
use crate::api::wait::Wait;

/// Of a pod that used more of the node's disk than it may: its next one would, too.
const OWN_LIMITS: [&str; 3] = [
    "exceeded its local ephemeral storage limit",
    "Pod ephemeral local storage usage exceeds the total limit",
    "Usage of EmptyDir volume",
];

/// Why the last of these pods was evicted, while no other runs in its place.
pub(super) fn why_evicted(pods: &[Pod]) -> Option<Wait> {
    if pods.iter().any(is_running) {
        return None;
    }
    let evicted = pods.iter().filter_map(|pod| Some((pod, eviction(pod)?)));
    let (pod, status) = evicted.max_by_key(|(pod, _)| taken_up_at(pod))?;
    Some(wait(pod, status))
}

/// A pod that was evicted as it had used more of the node's disk than it may, and when it had started.
pub(super) fn exceeded_own_limit(pod: &Pod) -> Option<(Wait, Timestamp)> {
    let status = eviction(pod).filter(|status| is_for_own_limit(status))?;
    Some((wait(pod, status), taken_up_at(pod)?))
}

fn wait(pod: &Pod, status: &PodStatus) -> Wait {
    let reason = if is_for_own_limit(status) {
        Reason::EphemeralStorageExceeded
    } else {
        Reason::Evicted
    };
    let words = status.message.as_deref().unwrap_or_default().trim();
    Wait::new(reason, format!("kubelet evicted pod {}: {words}", pod.name_any()))
}

fn eviction(pod: &Pod) -> Option<&PodStatus> {
    let status = pod.status.as_ref().filter(|_| has_run(pod))?;
    (status.reason.as_deref() == Some("Evicted")).then_some(status)
}

fn is_for_own_limit(status: &PodStatus) -> bool {
    let words = status.message.as_deref().unwrap_or_default();
    OWN_LIMITS.iter().any(|sign| words.contains(sign))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": name}, "status": status})).expect("a pod")
    }

    fn evicted(name: &str, minute: u32, words: &str) -> Pod {
        let started = format!("2026-11-24T10:{minute:02}:00Z");
        pod(
            name,
            json!({"phase": "Failed", "reason": "Evicted", "message": words, "startTime": started}),
        )
    }

    #[test]
    fn the_last_eviction_is_told_until_another_pod_runs() {
        let scratch = evicted(
            "p-2",
            2,
            "Usage of EmptyDir volume \"scratch\" exceeds the limit \"2Gi\". ",
        );
        let mut pods = vec![
            evicted("p-1", 1, "The node was low on resource: memory. "),
            scratch,
            pod("p-3", json!({})),
        ];
        let wait = why_evicted(&pods).expect("a reason");
        assert_eq!(wait.reason, Reason::EphemeralStorageExceeded);
        assert_eq!(
            wait.message,
            "kubelet evicted pod p-2: Usage of EmptyDir volume \"scratch\" exceeds the limit \"2Gi\"."
        );
        pods.remove(1);
        assert_eq!(why_evicted(&pods).map(|wait| wait.reason), Some(Reason::Evicted));
        let running = json!({"containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                                                    "state": {"running": {}}}]});
        pods.push(pod("p-4", running));
        assert_eq!(why_evicted(&pods), None);
    }

    #[test]
    fn only_limits_of_its_own_speak_against_a_pod() {
        let at_fault = |words: &str| exceeded_own_limit(&evicted("p", 1, words)).is_some();
        assert!(at_fault(
            "Container server exceeded its local ephemeral storage limit \"1Gi\". "
        ));
        assert!(at_fault(
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. "
        ));
        assert!(at_fault(
            "Usage of EmptyDir volume \"cache\" exceeds the limit \"1Gi\". "
        ));
        assert!(!at_fault(
            "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 0. "
        ));
    }
}
