//! Decides what should be, from what is: pure, and the whole life of a job in one place.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::dereference::Observed;
use super::validate::ValidatedJob;
use super::waiting::{Wait, why_pods_wait};
use crate::api::BatchInferenceJob;
use crate::api::condition::{ConditionType, ConditionUpdate, find, is_true};
use crate::api::names::Component;
use crate::api::reason::Reason;
use crate::api::status::{FeederStage, FeederState, ServersStatus};

/// How often something is looked at that no watch tells of.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// What is to become of the feeder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeederWanted {
    /// It should run.
    Run,
    /// It has ended by itself; its Job stays for its log.
    Leave,
    /// The job ended without it.
    Remove,
}

/// What should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The feeder and what it needs.
    pub feeder: FeederWanted,
    /// How many servers should exist; none means that nothing of them should be left.
    pub servers: Option<i32>,
    /// What the conditions say from now on.
    pub conditions: Vec<ConditionUpdate>,
    /// The servers of this moment.
    pub servers_status: ServersStatus,
    /// When to look again at what no watch tells of.
    pub look_again: Option<Duration>,
}

/// Decides.
#[must_use]
pub fn decide(
    job: &BatchInferenceJob,
    validated: Result<&ValidatedJob, &Wait>,
    observed: &Observed,
    now: Timestamp,
) -> Decision {
    let view = View { job, observed };
    let servers_status = view.servers_status();
    let deadline = view.startup_deadline();
    let end = match validated {
        Err(refusal) => Some(End::by_controller(refusal)),
        Ok(_) => view.end(deadline, now),
    };
    let servers = validated
        .ok()
        .filter(|_| end.is_none() && view.servers_needed())
        .map(|valid| valid.job.spec.server.replicas.unwrap_or(1));
    let mut conditions = view.progress_conditions(servers, end.as_ref());
    conditions.extend(end_conditions(end.as_ref()));
    let waits_for_config_map = end.is_none() && observed.missing_config_map.is_some();
    let until_deadline = deadline
        .filter(|_| servers.is_some())
        .map(|deadline| until(deadline, now));
    Decision {
        feeder: match end {
            None => FeederWanted::Run,
            Some(End { by_feeder: true, .. }) => FeederWanted::Leave,
            Some(End { by_feeder: false, .. }) => FeederWanted::Remove,
        },
        servers,
        conditions,
        servers_status,
        look_again: waits_for_config_map.then_some(LOOK_AGAIN).or(until_deadline),
    }
}

fn until(deadline: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(deadline.duration_since(now)).unwrap_or_default() + Duration::from_secs(1)
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    /// The feeder ended it, and not the controller.
    by_feeder: bool,
    reason: Reason,
    /// What happened and what to do about it.
    message: String,
}

impl End {
    fn by_controller(wait: &Wait) -> Self {
        Self {
            by_feeder: false,
            reason: wait.reason,
            message: explain(wait),
        }
    }
}

struct View<'a> {
    job: &'a BatchInferenceJob,
    observed: &'a Observed,
}

impl View<'_> {
    fn feeder(&self) -> Option<&FeederState> {
        self.job.status.as_ref()?.reported.feeder.as_ref()
    }

    fn servers_needed(&self) -> bool {
        self.feeder().is_some_and(|feeder| feeder.servers_needed)
    }

    fn condition(&self, kind: ConditionType) -> Option<Wait> {
        let conditions = &self.job.status.as_ref()?.controller.conditions;
        let condition = find(conditions, kind).filter(|condition| condition.status == "True")?;
        Some(Wait::new(Reason::parse(&condition.reason)?, condition.message.clone()))
    }

    /// The end, if there is one. An end once written stays.
    fn end(&self, deadline: Option<Timestamp>, now: Timestamp) -> Option<End> {
        if let Some(feeder) = self.feeder().filter(|feeder| feeder.state == FeederStage::Ended) {
            let reason = feeder
                .reason
                .as_deref()
                .and_then(Reason::parse)
                .unwrap_or(Reason::SpecInvalid);
            let message = feeder.message.clone().unwrap_or_default();
            // The feeder's messages say themselves what to do.
            return Some(End {
                by_feeder: true,
                reason,
                message,
            });
        }
        if let Some(Wait { reason, message }) = self.condition(ConditionType::Failed) {
            return Some(End {
                by_feeder: false,
                reason,
                message,
            });
        }
        if deadline.is_some_and(|deadline| self.servers_needed() && now >= deadline) {
            return Some(End::by_controller(&self.startup_timeout()));
        }
        None
    }

    fn startup_timeout(&self) -> Wait {
        let seconds = self.job.spec.server.startup_timeout_seconds;
        let cause = why_pods_wait(Component::Server, &self.observed.server_pods);
        let cause = cause.map_or_else(|| "it is still loading".to_owned(), |wait| wait.message);
        Wait::new(
            Reason::StartupTimeout,
            format!("a server was not ready {seconds} s after it was scheduled: {cause}"),
        )
    }

    /// When the first of the servers that are not ready has had its time: from when it was scheduled, or from when it was last ready.
    fn startup_deadline(&self) -> Option<Timestamp> {
        let allowed = SignedDuration::from_secs(self.job.spec.server.startup_timeout_seconds.into());
        let pods = self
            .observed
            .server_pods
            .iter()
            .filter(|pod| !is_ready(pod) && !is_ending(pod));
        pods.filter_map(starting_since).map(|since| since + allowed).min()
    }

    fn servers_status(&self) -> ServersStatus {
        let count = |pods: usize| i32::try_from(pods).unwrap_or(i32::MAX);
        let ready = self
            .observed
            .server_pods
            .iter()
            .filter(|pod| is_ready(pod) && !is_ending(pod))
            .count();
        ServersStatus {
            replicas: count(self.observed.server_pods.len()),
            ready: count(ready),
        }
    }

    fn progress_conditions(&self, servers: Option<i32>, end: Option<&End>) -> Vec<ConditionUpdate> {
        let mut updates = vec![self.reconciling(end), self.validated(end)];
        if self.is_validated(end) {
            updates.push(self.servers_ready(servers));
            updates.push(self.results_available());
        }
        if self.is_validated(end) || end.is_some() {
            updates.push(self.gpus_released(servers));
        }
        updates
    }

    fn reconciling(&self, end: Option<&End>) -> ConditionUpdate {
        if let Some(end) = end {
            return ConditionUpdate::new(ConditionType::Reconciling, false, Reason::Ended, end.reason.as_str());
        }
        if self.feeder().is_some() {
            return ConditionUpdate::new(
                ConditionType::Reconciling,
                false,
                Reason::FeederRunning,
                "the feeder has run",
            );
        }
        let wait = self.feeder_wait();
        ConditionUpdate::new(ConditionType::Reconciling, true, wait.reason, explain(&wait))
    }

    /// Why the feeder has not reported yet.
    fn feeder_wait(&self) -> Wait {
        if let Some(name) = &self.observed.missing_config_map {
            return Wait::new(
                Reason::ConfigMapMissing,
                format!("configmap \"{name}\" of spec.dataset.configMap not found"),
            );
        }
        why_pods_wait(Component::Feeder, &self.observed.feeder_pods)
            .unwrap_or_else(|| Wait::new(Reason::FeederStarting, "the feeder's pod is starting"))
    }

    /// Whether the data set is known to be good. It stays so: only an end that names the data set or output takes it back.
    fn is_validated(&self, end: Option<&End>) -> bool {
        let before = self
            .job
            .status
            .as_ref()
            .is_some_and(|status| is_true(&status.controller.conditions, ConditionType::Validated));
        let by_end = end.is_some_and(|end| {
            end.reason.is_success() || matches!(end.reason, Reason::AllRowsFailed | Reason::ServerRefusesRequests)
        });
        let feeding = self
            .feeder()
            .is_some_and(|feeder| matches!(feeder.state, FeederStage::Feeding | FeederStage::Finalizing));
        before || by_end || feeding
    }

    fn validated(&self, end: Option<&End>) -> ConditionUpdate {
        let update =
            |status, reason, message: String| ConditionUpdate::new(ConditionType::Validated, status, reason, message);
        if self.is_validated(end) {
            let dataset = self
                .job
                .status
                .as_ref()
                .and_then(|status| status.reported.dataset.as_ref());
            let rows = dataset.map_or(0, |dataset| dataset.rows);
            return update(true, Reason::DatasetValid, format!("{rows} rows, each can be run"));
        }
        match (end, self.feeder()) {
            (Some(end), _) => update(false, end.reason, end.message.clone()),
            (None, None) => {
                let wait = self.feeder_wait();
                update(false, wait.reason, explain(&wait))
            }
            (None, Some(feeder)) => {
                let message = feeder
                    .message
                    .clone()
                    .unwrap_or_else(|| "the data set is being read and checked".into());
                update(false, Reason::Inspecting, message)
            }
        }
    }

    fn servers_ready(&self, servers: Option<i32>) -> ConditionUpdate {
        let update = |status, reason, message: String| {
            ConditionUpdate::new(ConditionType::ServersReady, status, reason, message)
        };
        let Some(wanted) = servers else {
            return update(
                false,
                Reason::ServersNotNeeded,
                "no row is left that needs a server".into(),
            );
        };
        let ready = self.servers_status().ready;
        if ready > 0 {
            return update(true, Reason::ServersReady, format!("{ready} of {wanted} ready"));
        }
        let wait = why_pods_wait(Component::Server, &self.observed.server_pods)
            .unwrap_or_else(|| Wait::new(Reason::ServersStarting, format!("0 of {wanted} ready")));
        update(false, wait.reason, explain(&wait))
    }

    fn gpus_released(&self, servers: Option<i32>) -> ConditionUpdate {
        let update =
            |status, reason, message: &str| ConditionUpdate::new(ConditionType::GPUsReleased, status, reason, message);
        if servers.is_some() {
            return update(false, Reason::ServersRunning, "servers are needed for rows");
        }
        if self.observed.servers_left() {
            return update(false, Reason::ServersTerminating, "servers are ending");
        }
        update(
            true,
            Reason::ServersGone,
            "no Deployment, ReplicaSet or pod of the servers is left",
        )
    }

    fn results_available(&self) -> ConditionUpdate {
        let update = |status, reason, message: String| {
            ConditionUpdate::new(ConditionType::ResultsAvailable, status, reason, message)
        };
        match self
            .job
            .status
            .as_ref()
            .and_then(|status| status.reported.results.as_ref())
        {
            Some(results) => update(true, Reason::ResultsWritten, format!("see {}", results.manifest_uri)),
            None => update(
                false,
                Reason::ResultsPending,
                "results are written when the last row is finished".into(),
            ),
        }
    }
}

fn end_conditions(end: Option<&End>) -> Vec<ConditionUpdate> {
    let Some(End { reason, message, .. }) = end else {
        return Vec::new();
    };
    let says = |kind| ConditionUpdate::new(kind, true, *reason, message.clone());
    if reason.is_success() {
        return vec![says(ConditionType::Complete)];
    }
    vec![says(ConditionType::Failed), says(ConditionType::Stalled)]
}

/// What happened, and what to do about it when there is something to do.
fn explain(wait: &Wait) -> String {
    let advice = wait.reason.advice();
    if advice.starts_with("Nothing to do") {
        return wait.message.clone();
    }
    let happened = wait.message.trim_end_matches('.');
    if happened.is_empty() {
        return advice.to_owned();
    }
    format!("{happened}. {advice}")
}

fn is_ending(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

fn is_ready(pod: &Pod) -> bool {
    condition_time(pod, "Ready", "True").is_some()
}

/// Since when a pod has had nothing to wait for but its own start.
fn starting_since(pod: &Pod) -> Option<Timestamp> {
    let scheduled = condition_time(pod, "PodScheduled", "True")?;
    let lost_readiness = condition_time(pod, "Ready", "False").unwrap_or(scheduled);
    Some(scheduled.max(lost_readiness))
}

fn condition_time(pod: &Pod, kind: &str, status: &str) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions
        .iter()
        .find(|condition| condition.type_ == kind && condition.status == status)?;
    condition.last_transition_time.as_ref().map(|time| time.0)
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
