//! When what happened, and how long devices were held: pure, from the pods and from what was known before.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::pod_state::{condition_time, has_run};
use super::server_resources::is_device;
use crate::api::condition::{ConditionType, find, reason_of};
use crate::api::reason::Reason;
use crate::api::status::{FeederStage, FeederStatus, HeldDevices, ServersStatus, Timeline};

/// Devices are counted anew this often while nothing else changes, in seconds: each time is a write.
const COUNTED_EVERY: i64 = 60;

/// Times are kept in whole seconds, as the API server keeps them: a finer one would differ from itself when read back.
pub(super) fn to_the_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// When the first of some pods came how far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodTimes {
    scheduled: Option<Timestamp>,
    /// When the first container began.
    pub(super) image_pulled: Option<Timestamp>,
    ready: Option<Timestamp>,
}

impl PodTimes {
    /// Of the pods of this moment.
    #[must_use]
    pub fn of(pods: &[Pod]) -> Self {
        let first = |time: fn(&Pod) -> Option<Timestamp>| pods.iter().filter_map(time).min();
        Self {
            scheduled: first(scheduled_at),
            image_pulled: first(started_at),
            ready: first(ready_at),
        }
    }
}

/// The timeline after this look; what was once known stays.
#[must_use]
pub fn timeline(
    before: Option<&Timeline>,
    conditions: &[Condition],
    pods: &PodTimes,
    reported: Option<&FeederStatus>,
) -> Timeline {
    let before = before.cloned().unwrap_or_default();
    let became_true = |kind| {
        let condition = find(conditions, kind).filter(|condition| condition.status == "True")?;
        Some(condition.last_transition_time.clone())
    };
    // There is nothing to release of a job whose rows go to an endpoint.
    let had_none = reason_of(conditions, ConditionType::GPUsReleased) == Some(Reason::NoServers.as_str());
    let released = became_true(ConditionType::GPUsReleased).filter(|_| !had_none);
    let feeder = reported.and_then(|reported| reported.feeder.as_ref());
    let durable = feeder.and_then(|feeder| feeder.last_durable_at.clone());
    let is_last = reported.is_some_and(has_last_row);
    Timeline {
        validated_at: before.validated_at.or_else(|| became_true(ConditionType::Validated)),
        scheduled_at: before.scheduled_at.or_else(|| pods.scheduled.map(Time)),
        image_pulled_at: before.image_pulled_at.or_else(|| pods.image_pulled.map(Time)),
        servers_ready_at: before.servers_ready_at.or_else(|| pods.ready.map(Time)),
        first_row_at: before.first_row_at.or_else(|| durable.clone()),
        last_row_at: durable.filter(|_| is_last).or(before.last_row_at),
        gpus_released_at: released.or(before.gpus_released_at),
    }
}

/// The servers' devices after this look, from the pods' real lives: from when each is scheduled to when it has ended or is gone.
#[must_use]
pub fn count_devices(before: &ServersStatus, now: ServersStatus, pods: &[Pod], at: Timestamp) -> ServersStatus {
    let at = to_the_second(not_before_counted(before, at));
    let mut ended = before.ended_device_seconds.clone();
    let mut held = Vec::new();
    let counted_at = before.counted_at.as_ref().map(|time| time.0);
    for pod in pods {
        let uid = pod.uid().unwrap_or_default();
        let known = before.held.iter().find(|held| held.uid == uid);
        match (scheduled_at(pod), known) {
            (Some(since), _) if !has_run(pod) => held.push(HeldDevices {
                uid,
                since: Time(since),
                devices: devices(pod),
            }),
            // What kubelet does not take any more need not say when it was scheduled.
            (_, Some(known)) => {
                let until = ended_at(pod).or(last_known_at(pod).max(counted_at));
                add(
                    &mut ended,
                    &known.devices,
                    known.since.0,
                    until.unwrap_or(known.since.0),
                );
            }
            (_, None) => {}
        }
    }
    let is_there = |uid: &str| pods.iter().any(|pod| pod.metadata.uid.as_deref() == Some(uid));
    for gone in before.held.iter().filter(|held| !is_there(&held.uid)) {
        add(&mut ended, &gone.devices, gone.since.0, at);
    }
    let mut counted = ServersStatus {
        ended_device_seconds: ended,
        held,
        device_seconds: before.device_seconds.clone(),
        counted_at: before.counted_at.clone(),
        ..now
    };
    let age = before
        .counted_at
        .as_ref()
        .map(|time| at.as_second() - time.0.as_second());
    let is_due = age.is_none_or(|age| age >= COUNTED_EVERY);
    if (is_due && !counted.held.is_empty()) || counted.held != before.held {
        counted.device_seconds = device_seconds(&counted, at);
        counted.counted_at = Some(Time(at));
    }
    counted
}

/// How long devices were held until a moment, in seconds by resource name.
#[must_use]
pub fn device_seconds(servers: &ServersStatus, at: Timestamp) -> BTreeMap<String, i64> {
    let at = not_before_counted(servers, at);
    let mut seconds = servers.ended_device_seconds.clone();
    for held in &servers.held {
        add(&mut seconds, &held.devices, held.since.0, at);
    }
    seconds
}

/// The devices that are held, by resource name.
#[must_use]
pub fn devices_held(servers: &ServersStatus) -> BTreeMap<String, i64> {
    let mut devices = BTreeMap::new();
    for (name, count) in servers.held.iter().flat_map(|held| &held.devices) {
        *devices.entry(name.clone()).or_default() += count;
    }
    devices
}

/// A clock that is set back takes nothing away.
fn not_before_counted(servers: &ServersStatus, at: Timestamp) -> Timestamp {
    let counted = servers.counted_at.as_ref().map(|time| time.0);
    counted.map_or(at, |counted| at.max(counted))
}

fn add(sum: &mut BTreeMap<String, i64>, devices: &BTreeMap<String, i64>, since: Timestamp, until: Timestamp) {
    let seconds = until.as_second().saturating_sub(since.as_second()).max(0);
    for (name, count) in devices {
        *sum.entry(name.clone()).or_default() += count.saturating_mul(seconds);
    }
}

/// A pod's devices by resource name: what its containers are limited to.
fn devices(pod: &Pod) -> BTreeMap<String, i64> {
    let mut devices = BTreeMap::new();
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    for limits in containers.filter_map(|container| container.resources.as_ref()?.limits.as_ref()) {
        for (name, quantity) in limits.iter().filter(|(name, _)| is_device(name)) {
            // Devices are whole numbers.
            *devices.entry(name.clone()).or_default() += quantity.0.parse::<i64>().unwrap_or(0);
        }
    }
    devices
}

fn scheduled_at(pod: &Pod) -> Option<Timestamp> {
    condition_time(pod, "PodScheduled", "True")
}

fn ready_at(pod: &Pod) -> Option<Timestamp> {
    condition_time(pod, "Ready", "True")
}

/// When the first container runs, its image is there.
fn started_at(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let running = statuses
        .iter()
        .filter_map(|status| status.state.as_ref()?.running.as_ref());
    running.filter_map(|running| Some(running.started_at.as_ref()?.0)).min()
}

/// When the last container ended of a pod that will never run again. Kubelet does not know of a pod that it did not take (no device,
/// no room, a node that shuts down), nor of a container that it has lost (`ContainerStatusUnknown`).
fn ended_at(pod: &Pod) -> Option<Timestamp> {
    let containers = pod.status.as_ref()?.container_statuses.iter().flatten();
    let ended = containers.filter_map(|status| status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref());
    ended.map(|time| time.0).max()
}

/// When a pod of which no end is known changed last.
fn last_known_at(pod: &Pod) -> Option<Timestamp> {
    let changes = [
        ("Ready", "False"),
        ("ContainersReady", "False"),
        ("DisruptionTarget", "True"),
    ];
    changes
        .into_iter()
        .filter_map(|(kind, status)| condition_time(pod, kind, status))
        .max()
}

/// Whether no row is left to become durable. That no servers are needed does not tell: they are also given back while the store's
/// keys are refused.
fn has_last_row(reported: &FeederStatus) -> bool {
    let is_over = reported
        .feeder
        .as_ref()
        .is_some_and(|feeder| matches!(feeder.state, FeederStage::Finalizing | FeederStage::Ended));
    let progress = reported.progress.as_ref();
    is_over || progress.is_some_and(|progress| progress.completed + progress.failed == progress.total)
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
