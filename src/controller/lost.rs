//! Pods that ended, or will, for no fault of their own, and pods whose node does not answer. Pure.
//!
//! Read in Kubernetes 1.34, in the files that are named beside the words.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::pod_state::{condition, condition_time, has_run, is_ending};
use crate::api::reason::Reason;
use crate::api::wait::Wait;

/// How long a pod may still be there after its grace period: kubelet then kills it at once.
const GONE_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// Reasons of a whole pod: kubelet's eviction (`pkg/kubelet/eviction`), preemption (`pkg/kubelet/preemption`) and the shutdown of its node
/// (`pkg/kubelet/nodeshutdown`; "Shutdown" up to 1.21), and the node that is lost (`pkg/util/node`).
const POD_REASONS: &[&str] = &[
    "Evicted",
    "Preempting",
    "Terminated",
    "NodeShutdown",
    "Shutdown",
    NODE_LOST,
];
const NODE_LOST: &str = "NodeLost";

/// Whether a pod was or is being taken away: evicted, preempted, drained, or its node shut down or lost. It says nothing of the
/// server that ran in it.
pub(super) fn is_taken_away(pod: &Pod) -> bool {
    // Set by scheduler, eviction API, taint manager, pod garbage collection and kubelet.
    has_reason(pod, POD_REASONS) || condition(pod, "DisruptionTarget", "True").is_some() || is_silent(pod)
}

/// Whether a pod tells of the program in it: it is to stay, and nothing has happened to it from outside.
pub(super) fn counts(pod: &Pod) -> bool {
    !has_run(pod) && !is_ending(pod) && !is_taken_away(pod)
}

/// Whether a ReplicaSet counts a pod as a server though its node does not answer: no other takes its place until it is evicted.
pub(super) fn is_counted_though_lost(pod: &Pod) -> bool {
    !has_run(pod) && !is_ending(pod) && is_on_lost_node(pod)
}

/// Since when a pod is known to be on a node that does not answer: nobody knows what still runs there.
pub(super) fn lost_since(pod: &Pod) -> Option<Timestamp> {
    if is_on_lost_node(pod) {
        return Some(condition_time(pod, "Ready", "False").unwrap_or(Timestamp::UNIX_EPOCH));
    }
    // The time of deletion has the grace period in it already.
    let deleted = pod.metadata.deletion_timestamp.as_ref()?.0;
    let was_scheduled = condition(pod, "PodScheduled", "True").is_some();
    deleted.checked_add(GONE_WITHIN).ok().filter(|_| was_scheduled)
}

/// That a node with one of these pods does not answer.
pub(super) fn node_lost(pods: &[Pod], now: Timestamp) -> Option<Wait> {
    let is_lost = |pod: &&Pod| lost_since(pod).is_some_and(|since| since <= now);
    let pod = pods.iter().find(is_lost)?;
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let message = format!(
        "node {} does not answer, and pod {} is still on it",
        node.unwrap_or("(unknown)"),
        pod.name_any()
    );
    Some(Wait::new(Reason::NodeLost, message))
}

/// Whether the cluster says that the pod's node does not answer.
fn is_on_lost_node(pod: &Pod) -> bool {
    is_silent(pod) || has_reason(pod, &[NODE_LOST])
}

/// Whether the node's controller said for kubelet that the pod is not ready, as kubelet does not speak: it changes the condition's
/// status and nothing else, so the containers are still said to be ready
/// (`pkg/controller/util/node/controller_utils.go`, `MarkPodsNotReady`).
fn is_silent(pod: &Pod) -> bool {
    let Some(ready) = condition(pod, "Ready", "False") else {
        return false;
    };
    let containers = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_deref());
    let containers = containers.unwrap_or_default();
    // Kubelet names a reason whenever it says so itself (`pkg/kubelet/status/generate.go`).
    ready.reason.as_deref().is_none_or(str::is_empty)
        && !containers.is_empty()
        && containers.iter().all(|container| container.ready)
}

fn has_reason(pod: &Pod, reasons: &[&str]) -> bool {
    let reason = pod.status.as_ref().and_then(|status| status.reason.as_deref());
    reason.is_some_and(|reason| reasons.contains(&reason))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).expect("a pod")
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn not_ready(reason: Option<&str>, container_ready: bool) -> Pod {
        pod(json!({
            "conditions": [{"type": "Ready", "status": "False", "reason": reason, "lastTransitionTime": at(100)}],
            "containerStatuses": [{
                "name": "server", "image": "i", "imageID": "", "ready": container_ready, "restartCount": 0,
                "state": {"running": {}},
            }],
        }))
    }

    #[test]
    fn what_was_taken_away_is_told_from_what_failed() {
        let disrupted = |reason: &str, status: &str| {
            pod(json!({"conditions": [{"type": "DisruptionTarget", "status": status, "reason": reason}]}))
        };
        let table = vec![
            (
                pod(
                    json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}),
                ),
                true,
            ),
            (pod(json!({"phase": "Failed", "reason": "Preempting"})), true),
            (
                pod(
                    json!({"phase": "Failed", "reason": "Terminated", "message": "Pod was terminated in response to imminent node shutdown."}),
                ),
                true,
            ),
            (
                pod(
                    json!({"phase": "Failed", "reason": "NodeShutdown", "message": "Pod was rejected as the node is shutting down."}),
                ),
                true,
            ),
            (
                pod(json!({"reason": "NodeLost", "message": "Node n which was running pod p is unresponsive"})),
                true,
            ),
            (disrupted("PreemptionByScheduler", "True"), true),
            (disrupted("EvictionByEvictionAPI", "True"), true),
            (disrupted("DeletionByTaintManager", "True"), true),
            (disrupted("DeletionByPodGC", "True"), true),
            (disrupted("TerminationByKubelet", "True"), true),
            (disrupted("PreemptionByScheduler", "False"), false),
            (not_ready(None, true), true),
            (not_ready(Some("ContainersNotReady"), false), false),
            (not_ready(Some("ReadinessGatesNotReady"), true), false),
            (pod(json!({})), false),
        ];
        for (pod, taken_away) in table {
            assert_eq!(is_taken_away(&pod), taken_away, "{pod:?}");
        }
    }

    #[test]
    fn a_pod_that_outlives_its_grace_period_is_on_a_lost_node() {
        let deleted = |scheduled: &str| -> Pod {
            serde_json::from_value(json!({
                "metadata": {"name": "p", "deletionTimestamp": at(1000)},
                "status": {"conditions": [{"type": "PodScheduled", "status": scheduled}]},
            }))
            .expect("a pod")
        };
        assert_eq!(lost_since(&deleted("True")), Some(at(1030)));
        assert_eq!(lost_since(&deleted("False")), None, "it is on no node");
        assert_eq!(lost_since(&not_ready(None, true)), Some(at(100)));
        assert_eq!(lost_since(&not_ready(Some("ContainersNotReady"), false)), None);
        assert!(lost_since(&pod(json!({"reason": "NodeLost"}))).is_some());
    }
}
