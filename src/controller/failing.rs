//! Which servers will never work as they are configured, and from when on that is certain: pure, a part of [`super::decide`].
//!
//! What passes by itself never ends a job: no room, a quota, a policy, a Secret or volume that is not there yet, a registry that does
//! not answer, a container runtime that is slow, a pod that was taken away. Nor does a server that was ready once, or any while another
//! one is ready: what works is no mistake, as all have the same pod template. What may be over in a moment has to last, from when it is
//! first told: whatever a pod did before, such as pulling its image, says nothing of it.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::evicted::exceeded_own_limit;
use super::lost::counts;
use super::pod_state::{condition_time, is_ready, taken_up_at};
use super::pulling::{Pull, pull};
use super::timeline::to_the_second;
use super::waiting::{Program, is_runtime_slow, why_container_waits};
use crate::api::reason::Reason;
use crate::api::status::ServersFailing;
use crate::api::wait::Wait;
use crate::engine::last_words::ALSO_OF_A_SILENT_HUB;

/// Kubelet counts no pulls. It tries again 10 s, then 20 s after a pull that failed (`pkg/kubelet/kubelet.go` of Kubernetes 1.34,
/// `imageBackOffPeriod`), looking every few seconds: within a minute it has tried three times.
const THREE_PULLS: SignedDuration = SignedDuration::from_mins(1);
/// Each pause is twice the one before it, up to five minutes (`MaxImageBackOff`): two of these, and a minute.
const THREE_LATE_PULLS: SignedDuration = SignedDuration::from_mins(11);
/// A container that cannot be started may wait for something of its node, such as a device.
const STARTS_WITHIN: SignedDuration = SignedDuration::from_mins(1);
/// How often a server may be started anew that ends in words that are not recognised: with kubelet's pauses, five minutes.
const RESTARTS: i32 = 5;
/// For words that vLLM also has for a Hub that does not answer; a third start is half a minute later.
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

/// What the servers' pods fail of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Failing {
    /// The failure that is certain first.
    pub(super) failure: Option<ConfigurationFailure>,
    /// What may still pass.
    pub(super) passing: Option<ServersFailing>,
}

/// What the servers' pods fail of; `before` is what was told as [`Failing::passing`] at the last look.
pub(super) fn failing(program: Program, pods: &[Pod], before: Option<&ServersFailing>, now: Timestamp) -> Failing {
    let alive = || pods.iter().filter(|pod| counts(pod));
    if alive().any(is_ready) {
        return Failing::default();
    }
    let stuck: Vec<_> = alive()
        .filter(|pod| !was_ready(pod))
        .flat_map(|pod| stuck_containers(program, pod))
        .collect();
    let passing = passing(&stuck, before, now);
    let failures = stuck.iter().filter_map(|container| container.failure(passing.as_ref()));
    let failure = failures.chain(evictions(pods)).min_by_key(|failure| failure.due);
    Failing { failure, passing }
}

/// The wait that was told before, while there is no other word, or else the first one.
fn passing(stuck: &[Stuck], before: Option<&ServersFailing>, now: Timestamp) -> Option<ServersFailing> {
    let now = to_the_second(now);
    let lasts = |before: &&ServersFailing| {
        let mut same = stuck
            .iter()
            .filter(|container| container.wait.reason.as_str() == before.reason);
        same.any(|container| matches!(container.certainty, Certainty::IfItLasts | Certainty::Unsaid))
    };
    if let Some(before) = before.filter(lasts) {
        // A clock that is set back must not make it later than now.
        let since = Time(before.since.0.min(now));
        return Some(ServersFailing {
            since,
            ..before.clone()
        });
    }
    let first = stuck
        .iter()
        .find(|container| container.certainty == Certainty::IfItLasts)?;
    Some(ServersFailing {
        reason: first.wait.reason.to_string(),
        since: Time(now),
    })
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

/// A container that waits for what may be a mistake of the job.
struct Stuck {
    wait: Wait,
    certainty: Certainty,
    /// When kubelet took it up.
    since: Timestamp,
}

/// Whether a wait is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Certainty {
    Certain,
    IfItLasts,
    /// Kubelet does not say for the moment: while it pauses, up to Kubernetes 1.31.
    Unsaid,
}

fn stuck_containers(program: Program, pod: &Pod) -> Vec<Stuck> {
    let Some(status) = &pod.status else { return Vec::new() };
    let started = taken_up_at(pod);
    let initialized = condition_time(pod, "Initialized", "True").or(started);
    let init = status.init_container_statuses.iter().flatten();
    let main = status.container_statuses.iter().flatten();
    let containers = init
        .map(|container| (container, started))
        .chain(main.map(|container| (container, initialized)));
    containers
        .filter_map(|(container, since)| {
            let wait = why_container_waits(program, container)?;
            Some(Stuck {
                certainty: certainty(&wait, container)?,
                wait,
                since: since?,
            })
        })
        .collect()
}

fn certainty(wait: &Wait, container: &ContainerStatus) -> Option<Certainty> {
    let after = |restarts: i32| (container.restart_count >= restarts).then_some(Certainty::Certain);
    match wait.reason {
        Reason::ModelNotFound if wait.message.contains(ALSO_OF_A_SILENT_HUB) => after(RESTARTS_WITHOUT_MODEL),
        Reason::ServerCrashLooping => after(RESTARTS),
        Reason::AdapterNotLoaded
        | Reason::ModelAccessDenied
        | Reason::ModelNotFound
        | Reason::OutOfGPUMemory
        | Reason::QuantizationUnsupported
        | Reason::UnsupportedArchitecture
        | Reason::InvalidServerArguments => Some(Certainty::Certain),
        Reason::ContainerNotStarting if is_runtime_slow(&wait.message) => None,
        Reason::ContainerNotStarting => Some(Certainty::IfItLasts),
        Reason::ImagePullFailed => match meaning_of_pull(container)? {
            Pull::InvalidName => Some(Certainty::Certain),
            Pull::Refused => Some(Certainty::IfItLasts),
            Pull::Unknown => Some(Certainty::Unsaid),
            Pull::NoAnswer => None,
        },
        _ => None,
    }
}

impl Stuck {
    /// From when on it is a failure.
    fn failure(&self, passing: Option<&ServersFailing>) -> Option<ConfigurationFailure> {
        let due = match self.certainty {
            Certainty::Certain => self.since,
            Certainty::IfItLasts => self.lasts_until(passing?)?,
            Certainty::Unsaid => return None,
        };
        let wait = self.wait.clone();
        Some(ConfigurationFailure { wait, due })
    }

    /// Until when it may pass.
    fn lasts_until(&self, passing: &ServersFailing) -> Option<Timestamp> {
        if self.wait.reason.as_str() != passing.reason {
            return None;
        }
        let told = passing.since.0.max(self.since);
        let pause = match self.wait.reason {
            Reason::ImagePullFailed => three_pulls(told.duration_since(self.since)),
            _ => STARTS_WITHIN,
        };
        told.checked_add(pause).ok()
    }
}

/// How long three pulls take, where others failed before for so long: the next two pauses are three times as long together.
fn three_pulls(failed_before: SignedDuration) -> SignedDuration {
    (THREE_PULLS + failed_before * 3).min(THREE_LATE_PULLS)
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
    match (taken_up_at(pod), condition_time(pod, "Ready", "False")) {
        (Some(started), Some(unready)) => unready.duration_since(started) > FIRST_WORDS,
        _ => false,
    }
}

#[cfg(test)]
#[path = "failing_tests.rs"]
mod tests;
