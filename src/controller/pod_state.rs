//! What a pod is of its job, and what its status says of its life, whoever's pod it is. Pure.

use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::api::names::{Component, LABEL_COMPONENT};

/// The condition of a pod that has this status.
pub(super) fn condition<'a>(pod: &'a Pod, kind: &str, status: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|condition| condition.type_ == kind && condition.status == status)
}

/// Since when that condition has this status.
pub(super) fn condition_time(pod: &Pod, kind: &str, status: &str) -> Option<Timestamp> {
    let condition = condition(pod, kind, status)?;
    condition.last_transition_time.as_ref().map(|time| time.0)
}

/// When kubelet took it up.
pub(super) fn taken_up_at(pod: &Pod) -> Option<Timestamp> {
    Some(pod.status.as_ref()?.start_time.as_ref()?.0)
}

/// Whether it is of this part of its job.
pub(super) fn has_component<K: Resource>(object: &K, component: Component) -> bool {
    object
        .labels()
        .get(LABEL_COMPONENT)
        .is_some_and(|value| value == component.as_str())
}

pub(super) fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready", "True").is_some()
}

/// Whether a container of it runs.
pub(super) fn is_running(pod: &Pod) -> bool {
    let mut containers = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    containers.any(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()))
}

pub(super) fn is_ending(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether all that was to run in a pod has.
pub(super) fn has_succeeded(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Succeeded")
}

/// Whether a container of a pod has done what it was to do, whatever becomes of those beside it.
pub(super) fn has_container_succeeded(pod: &Pod, name: &str) -> bool {
    let containers = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    let mut ended = containers
        .filter(|container| container.name == name)
        .filter_map(|container| container.state.as_ref()?.terminated.as_ref());
    ended.any(|ended| ended.exit_code == 0)
}

/// Whether a pod will never run again. Kubelet leaves such pods behind when it evicts them or its node shuts down; their Deployment
/// has made others in their place.
pub(super) fn has_run(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}
