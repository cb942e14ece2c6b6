//! Decides what should be, from what is: pure, and the whole life of a job in one place. What the conditions say of it is in
//! [`super::conditions`].

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::cost::GpuBudget;
use super::dereference::Observed;
use super::lost::{is_counted_though_lost, lost_since};
use super::pod_state::{has_run, is_ending, is_ready};
use super::server_pods::{PodChange, goes_first, pod_changes};
use super::settings::Settings;
use super::starting::Starting;
use super::timeline::{PodTimes, count_devices};
use super::validate::ValidatedJob;
use super::waiting::Program;
use crate::api::BatchInferenceJob;
use crate::api::condition::{ConditionType, ConditionUpdate, find};
use crate::api::reason::Reason;
use crate::api::shutdown::{Shutdown, Stopping};
use crate::api::status::{FeederStage, FeederState, ServersFailing, ServersStatus};
use crate::api::wait::Wait;

/// How often something is looked at that no watch tells of.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// What is to become of the feeder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeederWanted {
    /// It should run.
    Run,
    /// It should be there and not run, if it is there.
    Suspend,
    /// Its Job has ended, and nothing said how: it goes, and another one is made.
    Replace,
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
    /// That the job ends before its last row.
    pub stopping: Option<Stopping>,
    /// Since when no feeder runs, while one should.
    pub feeder_gone_since: Option<Timestamp>,
    /// What keeps servers from starting and may still pass.
    pub servers_failing: Option<ServersFailing>,
    /// Whether the status tells a pace of rows that no feeder keeps.
    pub tells_old_pace: bool,
    /// Whether the model cache is to be filled now, before servers.
    pub fills_model_cache: bool,
    /// How many servers should exist; none means that nothing of them should be left.
    pub servers: Option<i32>,
    /// Which of their pods go first, and which are replaced.
    pub pod_changes: Vec<PodChange>,
    /// What the conditions say from now on.
    pub conditions: Vec<ConditionUpdate>,
    /// How far the servers' pods have come.
    pub pod_times: PodTimes,
    /// The servers of this moment.
    pub servers_status: ServersStatus,
    /// The controller ends the job by this decision, and nothing tells of it yet: it is to be written before anything is deleted.
    pub ends_now: bool,
    /// When to look again at what no watch tells of.
    pub look_again: Option<Duration>,
}

/// Decides.
#[must_use]
pub fn decide(
    job: &BatchInferenceJob,
    validated: Result<&ValidatedJob, &Wait>,
    observed: &Observed,
    settings: &Settings,
    now: Timestamp,
) -> Decision {
    let view = View { job, observed, now };
    let before = job.status.as_ref().and_then(|status| status.controller.servers.clone());
    let servers_status = count_devices(
        &before.unwrap_or_default(),
        view.servers_status(),
        &observed.server_pods,
        now,
    );
    let gpu_budget = GpuBudget::of(job, &servers_status, now);
    let told = view.written_end().or_else(|| view.reported_end());
    let stopping = match &told {
        None => view.stopping(gpu_budget.as_ref()),
        Some(_) => job
            .status
            .as_ref()
            .and_then(|status| status.controller.stopping.clone()),
    };
    let is_suspended = view.is_suspended(stopping.as_ref());
    let starting = view.starting(is_suspended);
    let end = told.or_else(|| view.new_end(validated.err(), stopping.as_ref(), &starting));
    let feeder_gone_since = view.feeder_gone_since().filter(|_| end.is_none() && !is_suspended);
    let lost_at = feeder_gone_since.map(|since| since + settings.feeder_lost_timeout);
    let is_feeder_lost = lost_at.is_some_and(|lost_at| now >= lost_at);
    let servers = view
        .servers(stopping.as_ref())
        .filter(|_| end.is_none() && !is_suspended && !is_feeder_lost);
    let fills_model_cache = servers.is_some() && view.waits_for_model_cache();
    let plan = Plan {
        servers: servers.filter(|_| !fills_model_cache),
        fills_model_cache,
        is_feeder_lost,
        is_suspended: is_suspended && end.is_none(),
        stopping,
    };
    let deadline = view.deadline(&plan, &starting, lost_at).filter(|_| end.is_none());
    let lasts_until = gpu_budget.as_ref().and_then(GpuBudget::lasts_until);
    let dues = [
        deadline,
        lasts_until.filter(|_| end.is_none() && plan.stopping.is_none()),
        view.next_loss(),
        view.next_word_of_feeder(feeder_gone_since),
        view.model_cache_pod_due().filter(|due| *due > now),
    ];
    let deadline = dues.into_iter().flatten().min();
    let waits_for_config_map = end.is_none() && observed.missing_config_map.is_some();
    let looks = [
        waits_for_config_map.then_some(LOOK_AGAIN),
        deadline.map(|deadline| until(deadline, now)),
    ];
    Decision {
        feeder: match &end {
            None if plan.is_suspended => FeederWanted::Suspend,
            None if view.is_feeder_over() => FeederWanted::Replace,
            None => FeederWanted::Run,
            Some(End { by_feeder: true, .. }) => FeederWanted::Leave,
            Some(End { by_feeder: false, .. }) => FeederWanted::Remove,
        },
        tells_old_pace: view.tells_old_pace(plan.is_suspended),
        conditions: view.conditions(&plan, end.as_ref()),
        fills_model_cache: plan.fills_model_cache,
        servers: plan.servers,
        pod_changes: pod_changes(view.feeder(), &observed.server_pods),
        stopping: plan.stopping,
        servers_status,
        pod_times: PodTimes::of(&observed.server_pods),
        feeder_gone_since,
        servers_failing: starting.failing.passing.filter(|_| end.is_none()),
        ends_now: end.is_some_and(|end| end.is_new),
        look_again: looks.into_iter().flatten().min(),
    }
}

/// What a job that has not ended is to have.
pub(super) struct Plan {
    pub(super) servers: Option<i32>,
    /// The servers that rows need wait for their model.
    pub(super) fills_model_cache: bool,
    pub(super) is_feeder_lost: bool,
    pub(super) is_suspended: bool,
    pub(super) stopping: Option<Stopping>,
}

/// How long it is until a deadline has passed for certain.
pub(super) fn until(deadline: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(deadline.duration_since(now)).unwrap_or_default() + Duration::from_secs(1)
}

/// Whether a job that is refused waits for something that may come by itself.
pub(super) fn may_pass(refusal: &Wait) -> bool {
    matches!(refusal.reason, Reason::DeploymentMissing | Reason::ClaimMissing)
}

fn count<'a>(pods: impl Iterator<Item = &'a Pod>) -> i32 {
    i32::try_from(pods.count()).unwrap_or(i32::MAX)
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The feeder ended it, and not the controller.
    pub(super) by_feeder: bool,
    /// Nothing but this decision tells of it: neither a condition nor the feeder's report.
    pub(super) is_new: bool,
    /// Another version of the operator wrote it, for a reason that this one does not know: what it said of the end stays.
    pub(super) is_foreign: bool,
    pub(super) reason: Reason,
    /// What happened and what to do about it.
    pub(super) message: String,
}

impl End {
    fn by_controller(wait: &Wait) -> Self {
        Self {
            by_feeder: false,
            is_new: true,
            is_foreign: false,
            reason: wait.reason,
            message: wait.explain(),
        }
    }
}

/// A job and what the cluster has for it, at this moment.
pub(super) struct View<'a> {
    pub(super) job: &'a BatchInferenceJob,
    pub(super) observed: &'a Observed,
    pub(super) now: Timestamp,
}

impl View<'_> {
    pub(super) fn feeder(&self) -> Option<&FeederState> {
        self.job.status.as_ref()?.reported.feeder.as_ref()
    }

    pub(super) fn servers_needed(&self) -> bool {
        self.feeder().is_some_and(|feeder| feeder.servers_needed)
    }

    /// How many servers the rows need; none where they go to an endpoint. No new ones for the last rows of a job that is stopped.
    fn servers(&self, stopping: Option<&Stopping>) -> Option<i32> {
        let server = self.job.spec.server.as_ref()?;
        let are_there = self.observed.workloads.servers.is_some();
        let may_be = match stopping.map(|stopping| stopping.mode) {
            None => true,
            Some(Shutdown::Stop) => are_there,
            Some(Shutdown::Terminate) => false,
        };
        let replicas = server.replicas.unwrap_or(1);
        let replicas = self.most_replicas().map_or(replicas, |most| replicas.min(most));
        let wanted = self
            .feeder()
            .and_then(|feeder| feeder.servers_wanted)
            .unwrap_or(replicas);
        let working = wanted.max(1).max(self.servers_to_keep());
        (self.servers_needed() && may_be).then(|| working.saturating_add(self.servers_lost()).min(replicas))
    }

    /// Servers that no row can be sent to, and that would still be counted.
    fn servers_lost(&self) -> i32 {
        let pods = self.observed.server_pods.iter();
        count(pods.filter(|pod| is_counted_though_lost(pod)))
    }

    /// Ready servers that are not marked to go first: with fewer, a ReplicaSet could let a busy one go.
    fn servers_to_keep(&self) -> i32 {
        let kept = self
            .ready_servers()
            .filter(|pod| !self.feeder().is_some_and(|feeder| goes_first(feeder, pod)));
        count(kept)
    }

    /// When something is due that no watch tells of; a feeder that is gone is lost at `lost_at`.
    fn deadline(&self, plan: &Plan, starting: &Starting, lost_at: Option<Timestamp>) -> Option<Timestamp> {
        // What a job that is stopped has is enough for it.
        let of_starts = starting.due().filter(|_| plan.stopping.is_none());
        let of_servers = [of_starts, lost_at].map(|at| at.filter(|_| plan.servers.is_some()));
        let of_the_job = match &plan.stopping {
            None => self.active_deadline(),
            Some(stopping) => self.feeder_deadline(stopping),
        };
        of_servers.into_iter().flatten().chain(of_the_job).min()
    }

    /// The condition, when it is there.
    pub(super) fn condition(&self, kind: ConditionType) -> Option<&Condition> {
        find(&self.job.status.as_ref()?.controller.conditions, kind)
    }

    /// The end that a condition tells of. It stays, whatever is reported later, and whether its reason is known or not: a job ends once.
    pub(super) fn written_end(&self) -> Option<End> {
        let written = [ConditionType::Failed, ConditionType::Complete]
            .into_iter()
            .filter_map(|kind| self.condition(kind))
            .find(|condition| condition.status == "True")?;
        let known = Reason::parse(&written.reason);
        let reason = known.unwrap_or(Reason::SpecInvalid);
        Some(End {
            by_feeder: self.reported_end().is_some_and(|reported| reported.reason == reason),
            is_new: false,
            is_foreign: known.is_none(),
            reason,
            message: written.message.clone(),
        })
    }

    /// The end that the feeder reports.
    pub(super) fn reported_end(&self) -> Option<End> {
        let feeder = self.feeder().filter(|feeder| feeder.state == FeederStage::Ended)?;
        let reason = feeder.reason.as_deref().and_then(Reason::parse);
        Some(End {
            by_feeder: true,
            is_new: false,
            is_foreign: false,
            reason: reason.unwrap_or(Reason::SpecInvalid),
            // The feeder's messages say themselves what to do.
            message: feeder.message.clone().unwrap_or_default(),
        })
    }

    /// An end that the controller comes to itself.
    fn new_end(&self, refusal: Option<&Wait>, stopping: Option<&Stopping>, starting: &Starting) -> Option<End> {
        let is_final = |refusal: &&Wait| !may_pass(refusal) && !self.has_what_it_needs(stopping);
        if let Some(refusal) = refusal.filter(is_final) {
            return Some(End::by_controller(refusal));
        }
        if let Some(stopping) = stopping {
            return self.end_without_feeder(stopping).as_ref().map(End::by_controller);
        }
        if !self.servers_needed() {
            return None;
        }
        // Servers that run have their model, whatever is still said of its cache.
        if let Some(failure) = self.model_cache_failure().filter(|_| self.waits_for_model_cache()) {
            return Some(End::by_controller(&failure));
        }
        if let Some(failure) = starting
            .failing
            .failure
            .as_ref()
            .filter(|failure| self.now >= failure.due)
        {
            return Some(End::by_controller(&failure.wait));
        }
        let is_too_late = starting.deadline.is_some_and(|deadline| self.now >= deadline);
        is_too_late.then(|| End::by_controller(&self.startup_timeout()))
    }

    /// What runs in the servers' pods.
    pub(super) fn server(&self) -> Program {
        let status = self.job.status.as_ref();
        let resolved = status.and_then(|status| status.controller.resolved.as_ref());
        let engine = resolved.map(|resolved| resolved.engine);
        let written = || self.job.spec.server.as_ref().map(|server| server.engine);
        Program::Server(engine.or_else(written).unwrap_or_default())
    }

    /// When the next pod that is ending would be on a lost node: it is then said, and nothing else tells of it.
    fn next_loss(&self) -> Option<Timestamp> {
        let losses = self.observed.server_pods.iter().filter_map(lost_since);
        losses.filter(|loss| *loss > self.now).min()
    }

    /// When more is to be said of a feeder: that it has no pod, that its Job is over, or that it is back.
    fn next_word_of_feeder(&self, gone_since: Option<Timestamp>) -> Option<Timestamp> {
        let back_at = self.feeder_back_at().filter(|_| gone_since.is_some());
        [self.feeder_pod_due(), self.feeder_over_at(), back_at]
            .into_iter()
            .flatten()
            .filter(|at| *at > self.now)
            .min()
    }

    /// Whether the job was accepted and nothing need be made for it now. A newer operator may refuse what an older one started;
    /// that goes on as it is. Servers that were taken from a job that is suspended or stopped are none that it needs.
    fn has_what_it_needs(&self, stopping: Option<&Stopping>) -> bool {
        let found = &self.observed.workloads;
        let status = self.job.status.as_ref();
        let holds_still = self.job.spec.suspend == Some(true) || stopping.is_some();
        let needs_servers = self.servers_needed() && self.job.spec.endpoint.is_none() && !holds_still;
        status.is_some_and(|status| status.controller.resolved.is_some())
            && found.feeder.is_some()
            && (found.servers.is_some() || !needs_servers)
    }

    pub(super) fn servers_status(&self) -> ServersStatus {
        ServersStatus {
            replicas: count(self.live_servers()),
            ready: count(self.ready_servers()),
            ..ServersStatus::default()
        }
    }

    pub(super) fn ready_servers(&self) -> impl Iterator<Item = &Pod> {
        self.live_servers().filter(|pod| is_ready(pod) && !is_ending(pod))
    }

    pub(super) fn live_servers(&self) -> impl Iterator<Item = &Pod> {
        self.observed.server_pods.iter().filter(|pod| !has_run(pod))
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
