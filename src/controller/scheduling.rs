//! Why a pod has no node, in a plain sentence before the scheduler's own words: pure, a part of [`super::waiting`].
//!
//! The words are kube-scheduler's (`pkg/scheduler/framework/types.go`, `FitError`, and `plugins/`, of Kubernetes 1.34).

use k8s_openapi::api::core::v1::PodCondition;

use crate::api::reason::Reason;
use crate::api::wait::Wait;

/// Said of nodes that were not asked to make room. Where only room is wanted, those are nodes on which the pod would not fit even
/// when nothing else ran there (`plugins/noderesources/fit.go`, `Unresolvable`).
const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";
/// Said of nodes with enough of everything, which others have and must be left (`plugins/defaultpreemption`).
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";

/// Why the pod of this condition (`PodScheduled`) has no node; none when it has one.
pub(super) fn why_not_scheduled(condition: &PodCondition) -> Option<Wait> {
    if condition.status != "False" {
        return None;
    }
    let words = without_not_found(condition.message.as_deref().unwrap_or_default());
    // "persistentvolumeclaim "NAME" not found": plugins/volumebinding, as the next two.
    if words.contains("persistentvolumeclaim") && words.contains("not found") {
        return Some(Wait::new(Reason::ClaimMissing, words));
    }
    if words.contains("unbound immediate PersistentVolumeClaims")
        || words.contains("didn't find available persistent volumes to bind")
    {
        return Some(Wait::new(
            Reason::ClaimPending,
            format!("a PersistentVolumeClaim is not bound to a volume; the scheduler says: {words}"),
        ));
    }
    let sentence = sentence(words).map_or_else(String::new, |sentence| format!("{sentence}; "));
    let message = format!("{sentence}the scheduler says: {words}");
    Some(Wait::new(Reason::Unschedulable, message))
}

/// Without what the scheduler did not find for itself: the last words of a pod that no preemption helps are `ErrNotFound` of
/// `plugins/dynamicresources`.
fn without_not_found(words: &str) -> &str {
    words.strip_suffix(". not found").unwrap_or(words)
}

/// What the scheduler's words come to; none when they say nothing that is known here.
fn sentence(words: &str) -> Option<String> {
    let (_, nodes) = words.split_once("nodes are available: ")?;
    let (nodes, preemption) = match nodes.split_once("preemption: ") {
        Some((nodes, preemption)) => (nodes, preemption),
        None => (nodes, ""),
    };
    let says = |part: &str| nodes.contains(part);
    let lacking = resources_lacking(nodes);
    let mut facts: Vec<String> = Vec::new();
    if let Some(fact) = lack(&lacking, preemption) {
        facts.push(fact);
    }
    if says("untolerated taint") || says("taints that the pod didn't tolerate") {
        facts.push("a node has a taint that the pod does not tolerate".into());
    }
    if says("didn't match Pod's node affinity/selector") {
        facts.push("a node does not match the pod's node selector or affinity".into());
    }
    // `ErrReasonNodeConflict` of `plugins/volumebinding/binder.go`, in the words of older and of newer versions.
    if says("volume node affinity conflict") || says("didn't match PersistentVolume's node affinity") {
        facts.push(
            "a volume of the pod is at other nodes than those that it may use (of a model cache: let spec.feeder.podTemplate have the \
             node selector or zone of the servers, so that the claim is bound there)"
                .into(),
        );
    }
    if says("were unschedulable") {
        facts.push("a node is cordoned".into());
    }
    (!facts.is_empty()).then(|| facts.join(", and "))
}

/// What nodes have too little of: each "K Insufficient RESOURCE".
fn resources_lacking(nodes: &str) -> Vec<&str> {
    let after = nodes.split("Insufficient ").skip(1);
    let names = after.filter_map(|rest| rest.split([',', ' ']).next());
    names.map(|name| name.trim_end_matches('.')).collect()
}

/// Whether there is none of it or others have it, where the words allow to tell.
fn lack(lacking: &[&str], preemption: &str) -> Option<String> {
    let resource = match lacking {
        [] => return None,
        [one] => *one,
        several => return Some(format!("no node has enough free {}", several.join(" and "))),
    };
    // It is also said what is still lacking without the pods that may be preempted.
    let are_taken = preemption.contains(NO_VICTIMS) || preemption.contains(&format!("Insufficient {resource}"));
    let are_not_there = preemption.contains(NOT_HELPFUL) && !are_taken;
    Some(if are_taken {
        format!("there are nodes with enough {resource}, and others use it")
    } else if are_not_there {
        format!("no node that the pod may use has enough {resource} for it, even with nothing else there")
    } else {
        format!(
            "no node has enough free {resource} (the scheduler does not say whether others use it or there is none)"
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn condition(words: &str) -> PodCondition {
        serde_json::from_value(
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}),
        )
        .expect("a condition")
    }

    /// The form is that of `FitError` of Kubernetes 1.34 with its plugins' reasons; older forms have their version.
    #[test]
    fn the_scheduler_s_words_become_a_reason_and_a_sentence() {
        let table = [
            (
                "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
                Reason::Unschedulable,
                "no node that the pod may use has enough nvidia.com/gpu for it, even with nothing else there; the scheduler says: 0/1",
            ),
            (
                // Up to Kubernetes 1.33.
                "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
                Reason::Unschedulable,
                "there are nodes with enough nvidia.com/gpu, and others use it; the scheduler says: 0/1",
            ),
            (
                "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 node(s) had untolerated taint(s). no new claims to deallocate, preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.",
                Reason::Unschedulable,
                "there are nodes with enough nvidia.com/gpu, and others use it, and a node has a taint that the pod does not tolerate; the",
            ),
            (
                // Up to Kubernetes 1.33, where the taint is named.
                "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }. preemption: not eligible due to preemptionPolicy=Never.",
                Reason::Unschedulable,
                "no node has enough free nvidia.com/gpu (the scheduler does not say",
            ),
            (
                "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
                Reason::Unschedulable,
                "a node does not match the pod's node selector or affinity; the",
            ),
            (
                "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
                Reason::Unschedulable,
                "no node has enough free cpu and memory; the",
            ),
            (
                "0/1 nodes are available: 1 node(s) were unschedulable. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
                Reason::Unschedulable,
                "a node is cordoned; the",
            ),
            (
                "0/2 nodes are available: 1 node(s) had volume node affinity conflict, 1 Insufficient nvidia.com/gpu. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
                Reason::Unschedulable,
                "a volume of the pod is at other nodes than those that it may use (of a model cache: let spec.feeder.podTemplate",
            ),
            (
                "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found",
                Reason::ClaimPending,
                "is not bound to a volume",
            ),
            (
                "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind.",
                Reason::ClaimPending,
                "is not bound to a volume",
            ),
            (
                "0/1 nodes are available: persistentvolumeclaim \"data\" not found. not found",
                Reason::ClaimMissing,
                "\"data\" not found",
            ),
            (
                "no nodes available to schedule pods",
                Reason::Unschedulable,
                "the scheduler says: no nodes",
            ),
        ];
        for (words, reason, says) in table {
            let wait = why_not_scheduled(&condition(words)).expect("waits");
            assert_eq!(wait.reason, reason, "{words}");
            assert!(!wait.message.ends_with(". not found"), "{}", wait.message);
            assert!(wait.message.contains(says), "{:?} should have {says:?}", wait.message);
            assert!(wait.message.ends_with(without_not_found(words)), "{}", wait.message);
        }
    }
}
