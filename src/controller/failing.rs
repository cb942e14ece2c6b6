//! Which servers will never work as they are configured, and from when on that is certain: pure, a part of [`super::decide`].
//!
//! What passes by itself never ends a job: no room, a quota, a policy, a Secret or volume that is not there yet, a registry that does
//! not answer, a pod that was taken away. Nor does a server that was ready once, or any while another one is ready: what works is no
//! mistake, as all have the same pod template.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::evicted::exceeded_own_limit;
use super::lost::counts;
use super::pod_state::{condition_time, is_ready};
use super::pulling::{Pull, pull};
use super::waiting::{Program, why_container_waits};
use crate::api::reason::Reason;
use crate::api::wait::Wait;

/// Kubelet counts no pulls. It tries again 10 s, then 20 s after a pull that failed (`pkg/kubelet/kubelet.go` of Kubernetes 1.34,
/// `imageBackOffPeriod`), looking every few seconds: within a minute it has tried three times.
const THREE_PULLS: SignedDuration = SignedDuration::from_mins(1);
/// A container that cannot be started may wait for something of its node, such as a device.
const STARTS_WITHIN: SignedDuration = SignedDuration::from_mins(1);
/// How often a server may be started anew that ends in words that are not recognised: with kubelet's pauses, five minutes.
const RESTARTS: i32 = 5;
/// vLLM says that there is no such model of a Hub that does not answer, too; a third start is half a minute later.
const RESTARTS_WITHOUT_MODEL: i32 = 2;
/// Pods that used more disk than they may, one after another, are no chance.
const EVICTIONS: usize = 3;
/// Kubelet says with its first words of a pod that it is not ready (`pkg/kubelet/status/status_manager.go`). Only a pod that was ready
/// became unready later.
const FIRST_WORDS: SignedDuration = SignedDuration::from_secs(2);

/// Why the servers will never work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConfigurationFailure {
    /// In words.
    pub(super) wait: Wait,
    /// From when on it is certain.
    pub(super) due: Timestamp,
}

/// The failure among the servers' pods that is certain first.
pub(super) fn configuration_failure(program: Program, pods: &[Pod]) -> Option<ConfigurationFailure> {
    let alive = || pods.iter().filter(|pod| counts(pod));
    if alive().any(is_ready) {
        return None;
    }
    let failures = alive()
        .filter(|pod| !was_ready(pod))
        .flat_map(|pod| failures_of(program, pod));
    failures.chain(evictions(pods)).min_by_key(|failure| failure.due)
}

/// That kubelet evicts each of them, as they use more disk than they may.
fn evictions(pods: &[Pod]) -> Option<ConfigurationFailure> {
    let mut evicted: Vec<_> = pods.iter().filter_map(exceeded_own_limit).collect();
    evicted.sort_by_key(|(_, started)| *started);
    let (wait, due) = evicted
        .get(EVICTIONS - 1)
        .filter(|_| !pods.iter().any(was_ready))?
        .clone();
    Some(ConfigurationFailure { wait, due })
}

fn failures_of(program: Program, pod: &Pod) -> Vec<ConfigurationFailure> {
    let Some(status) = &pod.status else { return Vec::new() };
    let started = status.start_time.as_ref().map(|time| time.0);
    let initialized = condition_time(pod, "Initialized", "True").or(started);
    let init = status.init_container_statuses.iter().flatten();
    let main = status.container_statuses.iter().flatten();
    let containers = init
        .map(|container| (container, started))
        .chain(main.map(|container| (container, initialized)));
    containers
        .filter_map(|(container, since)| {
            let wait = why_container_waits(program, container)?;
            let due = due(&wait, container, since?)?;
            Some(ConfigurationFailure { wait, due })
        })
        .collect()
}

/// From when on a container's wait is a failure; `since` is when kubelet took it up.
fn due(wait: &Wait, container: &ContainerStatus, since: Timestamp) -> Option<Timestamp> {
    let after = |pause: SignedDuration| since.checked_add(pause).ok();
    match wait.reason {
        Reason::AdapterNotLoaded
        | Reason::ModelAccessDenied
        | Reason::OutOfGPUMemory
        | Reason::QuantizationUnsupported
        | Reason::UnsupportedArchitecture
        | Reason::InvalidServerArguments => Some(since),
        Reason::ModelNotFound => (container.restart_count >= RESTARTS_WITHOUT_MODEL).then_some(since),
        Reason::ServerCrashLooping => (container.restart_count >= RESTARTS).then_some(since),
        Reason::ContainerNotStarting => after(STARTS_WITHIN),
        Reason::ImagePullFailed => match meaning_of_pull(container)? {
            Pull::InvalidName => Some(since),
            Pull::Refused => after(THREE_PULLS),
            Pull::NoAnswer | Pull::Unknown => None,
        },
        _ => None,
    }
}

fn meaning_of_pull(container: &ContainerStatus) -> Option<Pull> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    pull(
        waiting.reason.as_deref()?,
        waiting.message.as_deref().unwrap_or_default(),
    )
}

/// Whether a pod that is not ready was ready before.
fn was_ready(pod: &Pod) -> bool {
    let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    match (started, condition_time(pod, "Ready", "False")) {
        (Some(started), Some(unready)) => unready.duration_since(started.0) > FIRST_WORDS,
        _ => false,
    }
}

#[cfg(test)]
#[path = "failing_tests.rs"]
mod tests;
