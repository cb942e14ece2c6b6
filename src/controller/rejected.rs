//! Pods that kubelet did not take, as for a device that is not healthy. The scheduler does not know of it and chooses the node again, so
//! the next pod follows within a second. Pure.
//!
//! Kubelet's words: `pkg/kubelet/kubelet.go` of Kubernetes 1.34, `rejectPod`; it gives such a pod a start time as any other
//! (`pkg/kubelet/status/status_manager.go`).

use k8s_openapi::api::core::v1::{Pod, PodStatus};

use super::pod_state::{has_run, taken_up_at};
use crate::api::reason::Reason;
use crate::api::wait::Wait;

const REJECTED: &str = "Pod was rejected: ";

/// Why the last pod that came to a kubelet was not taken. Of the many that follow each other, the message names none: it would be
/// another one every second.
pub(super) fn why_rejected(pods: &[Pod]) -> Option<Wait> {
    // Of two in one second, the one that was taken.
    let last = pods
        .iter()
        .max_by_key(|pod| (taken_up_at(pod), rejection(pod).is_none()))?;
    let status = rejection(last)?;
    let node = last.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let words = status.message.as_deref().unwrap_or_default();
    Some(Wait::new(
        Reason::PodRejected,
        format!(
            "kubelet of node {} refused the pod ({}): {}",
            node.unwrap_or("(unknown)"),
            status.reason.as_deref().unwrap_or_default(),
            words.strip_prefix(REJECTED).unwrap_or(words).trim()
        ),
    ))
}

fn rejection(pod: &Pod) -> Option<&PodStatus> {
    let status = pod.status.as_ref().filter(|_| has_run(pod))?;
    let reason = status.reason.as_deref().unwrap_or_default();
    let words = status.message.as_deref().unwrap_or_default();
    // Older kubelets have other words. One whose node has no room is told as evicted.
    let is_rejected =
        words.starts_with(REJECTED) || reason == "UnexpectedAdmissionError" || reason.starts_with("OutOf");
    (is_rejected && reason != "Evicted").then_some(status)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NO_DEVICE: &str = "Pod was rejected: Allocate failed due to no healthy devices present; cannot allocate unhealthy devices nvidia.com/gpu, which is unexpected";

    fn pod(status: Value) -> Pod {
        serde_json::from_value(
            json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": []}, "status": status}),
        )
        .expect("a pod")
    }

    fn failed(second: u32, reason: &str, message: &str) -> Pod {
        let started = format!("2026-11-24T10:00:{second:02}Z");
        pod(json!({"phase": "Failed", "reason": reason, "message": message, "startTime": started}))
    }

    fn taken(second: u32) -> Pod {
        pod(json!({"phase": "Pending", "startTime": format!("2026-11-24T10:00:{second:02}Z")}))
    }

    #[test]
    fn a_pod_that_kubelet_did_not_take_is_told_in_its_words() {
        let refused =
            |reason: &str, message: &str| why_rejected(&[failed(1, reason, message)]).map(|wait| wait.message);
        assert_eq!(
            refused("UnexpectedAdmissionError", NO_DEVICE).as_deref(),
            Some(
                "kubelet of node n refused the pod (UnexpectedAdmissionError): Allocate failed due to no healthy devices present; \
                 cannot allocate unhealthy devices nvidia.com/gpu, which is unexpected"
            )
        );
        assert!(
            refused(
                "TopologyAffinityError",
                "Pod was rejected: Resources cannot be allocated"
            )
            .is_some()
        );
        assert!(
            refused(
                "OutOfnvidia.com/gpu",
                "Pod Node didn't have enough resource: nvidia.com/gpu"
            )
            .is_some()
        );
        assert_eq!(
            refused("Evicted", "Pod was rejected: The node had condition: [DiskPressure]. "),
            None
        );
        assert_eq!(
            refused("DeadlineExceeded", "Pod was active on the node longer than it may be"),
            None
        );
    }

    #[test]
    fn it_is_told_until_a_later_pod_was_taken() {
        let refused = || failed(5, "UnexpectedAdmissionError", NO_DEVICE);
        let is_told = |pods: &[Pod]| why_rejected(pods).is_some();
        assert!(
            is_told(&[refused(), pod(json!({"phase": "Pending"}))]),
            "the next has come to no kubelet"
        );
        assert!(is_told(&[taken(4), refused()]), "beside an older one that was taken");
        assert!(!is_told(&[refused(), taken(5)]));
        assert!(!is_told(&[taken(6), refused()]));
        assert!(!is_told(&[
            refused(),
            failed(6, "Evicted", "The node was low on resource: memory. ")
        ]));
        assert!(!is_told(&[]));
    }
}
