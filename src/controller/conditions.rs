//! What every condition says, from what is and what was decided: pure, a part of [`super::decide`].

use super::decide::{End, Plan, View};
use super::dereference::NamedConfigMap;
use super::endpoint;
use super::evicted::why_evicted;
use super::lost::node_lost;
use super::rejected::why_rejected;
use super::waiting::{Program, why_pods_are_refused, why_pods_wait};
use crate::api::condition::{ConditionStatus, ConditionType, ConditionUpdate};
use crate::api::reason::Reason;
use crate::api::status::{DatasetStatus, FeederStage};
use crate::api::wait::Wait;

/// The conditions that say why a job ended.
const WHY_ENDED: [ConditionType; 5] = [
    ConditionType::Reconciling,
    ConditionType::Validated,
    ConditionType::Complete,
    ConditionType::Failed,
    ConditionType::Stalled,
];

impl View<'_> {
    /// What the conditions say from now on. One that is not named stays as it is.
    pub(super) fn conditions(&self, plan: &Plan, end: Option<&End>) -> Vec<ConditionUpdate> {
        let mut updates = self.progress_conditions(plan, end);
        updates.extend(self.suspended(plan));
        updates.extend(end_conditions(end));
        if end.is_some_and(|end| end.is_foreign) {
            updates.retain(|update| !WHY_ENDED.contains(&update.kind));
        }
        updates
    }

    fn progress_conditions(&self, plan: &Plan, end: Option<&End>) -> Vec<ConditionUpdate> {
        let mut updates = vec![self.reconciling(plan, end), self.validated(plan, end)];
        // An end may take back that the data set is good; what was said while it was must not stay as it is.
        let was_said = self.condition(ConditionType::ServersReady).is_some();
        if self.is_validated(end) || (end.is_some() && was_said) {
            updates.push(match &self.job.spec.endpoint {
                Some(endpoint) => self.endpoint_used(endpoint, plan, end),
                None => self.servers_ready(plan),
            });
            updates.push(self.results_available(plan, end));
        }
        // An end is written before it is carried out, and a job whose GPUs are said to be released is not looked at again.
        let is_carried_out = !end.is_some_and(|end| end.is_new);
        if is_carried_out && (self.is_validated(end) || end.is_some()) {
            updates.push(match &self.job.spec.endpoint {
                Some(_) => endpoint::no_servers(),
                None => self.gpus_released(plan),
            });
        }
        updates
    }

    /// Said once the job was suspended, and from then on.
    fn suspended(&self, plan: &Plan) -> Option<ConditionUpdate> {
        if plan.is_suspended {
            let message = "spec.suspend is true: no server runs, and finished rows are kept";
            return Some(ConditionUpdate::new(
                ConditionType::Suspended,
                true,
                Reason::Suspended,
                message,
            ));
        }
        self.condition(ConditionType::Suspended)?;
        Some(ConditionUpdate::new(
            ConditionType::Suspended,
            false,
            Reason::Resumed,
            "the job is not suspended",
        ))
    }

    fn reconciling(&self, plan: &Plan, end: Option<&End>) -> ConditionUpdate {
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
        if plan.is_suspended {
            // Nothing is under way, as with a batch/v1 Job that is suspended (kstatus).
            return ConditionUpdate::new(
                ConditionType::Reconciling,
                false,
                Reason::Suspended,
                "the job is suspended",
            );
        }
        let wait = self.feeder_wait();
        ConditionUpdate::new(ConditionType::Reconciling, true, wait.reason, wait.explain())
    }

    /// Why the feeder's pod does not run.
    fn feeder_pod_wait(&self) -> Option<Wait> {
        let pods = &self.observed.feeder_pods;
        why_pods_wait(Program::Feeder, pods)
            .or_else(|| why_rejected(pods))
            .or_else(|| why_evicted(pods))
            .or_else(|| self.feeder_pod_missing())
    }

    /// What the feeder says that it waits for.
    pub(super) fn reported_wait(&self) -> Option<Wait> {
        let feeder = self.feeder().filter(|feeder| feeder.state != FeederStage::Ended)?;
        let reason = feeder.reason.as_deref().and_then(Reason::parse)?;
        Some(Wait::new(reason, feeder.message.clone().unwrap_or_default()))
    }

    /// Why the feeder does not go on.
    fn why_the_feeder_waits(&self) -> Option<Wait> {
        let (pod, reported) = (self.feeder_pod_wait(), self.reported_wait());
        // While keys are refused, each start of the feeder ends, which looks like a crash loop.
        let ends_again = pod
            .as_ref()
            .is_some_and(|wait| wait.reason == Reason::FeederCrashLooping);
        if ends_again && reported.as_ref().is_some_and(|wait| wait.reason.is_refusal()) {
            return reported;
        }
        pod.or(reported)
    }

    /// What keeps rows from being sent, so that the feeder has given its servers back.
    fn wait_without_servers(&self) -> Option<Wait> {
        self.feeder().filter(|feeder| feeder.state == FeederStage::Feeding)?;
        self.why_the_feeder_waits()
    }

    /// Why the feeder has not reported yet.
    fn feeder_wait(&self) -> Wait {
        if let Some(NamedConfigMap { name, named_by }) = &self.observed.missing_config_map {
            let message = format!("configmap \"{name}\" of {named_by} not found");
            return Wait::new(Reason::ConfigMapMissing, message);
        }
        self.feeder_pod_wait()
            .unwrap_or_else(|| Wait::new(Reason::FeederStarting, "the feeder's pod is starting"))
    }

    /// Whether the data set is known to be good. It stays so: only an end that says that it is not takes it back.
    fn is_validated(&self, end: Option<&End>) -> bool {
        let taken_back = end.is_some_and(|end| {
            matches!(
                end.reason,
                Reason::DatasetChanged | Reason::DatasetInvalid | Reason::DatasetNotFound
            )
        });
        let before = self
            .condition(ConditionType::Validated)
            .is_some_and(|condition| condition.status == "True");
        let by_end = end.is_some_and(|end| match end.reason {
            Reason::AllRowsFailed
            | Reason::TooManyFailedRows
            | Reason::RowsFailAlike
            | Reason::BudgetExceeded
            | Reason::EndpointAccessDenied
            | Reason::ServerRefusesRequests => true,
            // The controller ends a job so whose data set is not checked yet.
            Reason::Cancelled | Reason::DeadlineExceeded => end.by_feeder,
            reason => reason.is_success(),
        });
        let feeding = self
            .feeder()
            .is_some_and(|feeder| matches!(feeder.state, FeederStage::Feeding | FeederStage::Finalizing));
        !taken_back && (before || by_end || feeding)
    }

    fn validated(&self, plan: &Plan, end: Option<&End>) -> ConditionUpdate {
        let update = |status: bool, reason, message: String| {
            ConditionUpdate::new(ConditionType::Validated, status, reason, message)
        };
        if self.is_validated(end) {
            let dataset = self
                .job
                .status
                .as_ref()
                .and_then(|status| status.reported.dataset.as_ref());
            return update(
                true,
                Reason::DatasetValid,
                dataset.map_or_else(String::new, what_can_be_run),
            );
        }
        if end.is_none() && plan.is_suspended {
            return update(false, Reason::Suspended, "the job is suspended".into());
        }
        match (end, self.feeder()) {
            (Some(end), _) => update(false, end.reason, end.message.clone()),
            (None, None) => {
                let wait = self.feeder_wait();
                update(false, wait.reason, wait.explain())
            }
            (None, Some(_)) => match self.why_the_feeder_waits() {
                Some(wait) => update(false, wait.reason, wait.explain()),
                None => update(
                    false,
                    Reason::Inspecting,
                    "the data set is being read and checked".into(),
                ),
            },
        }
    }

    fn servers_ready(&self, plan: &Plan) -> ConditionUpdate {
        let update = |status: bool, reason, message: String| {
            ConditionUpdate::new(ConditionType::ServersReady, status, reason, message)
        };
        if plan.is_suspended {
            return update(false, Reason::Suspended, "the job is suspended".into());
        }
        if plan.is_feeder_lost {
            let message = "no feeder runs, and the servers are given back until one does";
            let wait = Wait::new(Reason::FeederLost, message);
            return update(false, wait.reason, wait.explain());
        }
        if plan.fills_model_cache {
            let wait = self.model_cache_wait();
            return update(false, wait.reason, wait.explain());
        }
        let Some(wanted) = plan.servers else {
            if let Some(wait) = self.wait_without_servers().filter(|_| plan.stopping.is_none()) {
                return update(false, wait.reason, wait.explain());
            }
            return update(
                false,
                Reason::ServersNotNeeded,
                "no row is left that needs a server".into(),
            );
        };
        let ready = self.servers_status().ready;
        let hung = self.feeder().map_or(&[][..], |feeder| &feeder.hung_servers);
        if let Some(first) = hung.first() {
            let works = ready > i32::try_from(hung.len()).unwrap_or(i32::MAX);
            let message = format!("server {first} takes rows and answers none, and its pod is replaced");
            return update(works, Reason::ServerHung, message);
        }
        let waits = self.why_servers_wait();
        if ready > 0 {
            let others = waits.filter(|_| ready < wanted);
            let others = others.map_or_else(String::new, |wait| {
                format!("; of the others: {}, {}", wait.reason, wait.message)
            });
            let fewer = self.fewer_replicas().map_or_else(String::new, |why| format!("; {why}"));
            return update(
                true,
                Reason::ServersReady,
                format!("{ready} of {wanted} ready{others}{fewer}"),
            );
        }
        let wait = waits.unwrap_or_else(|| Wait::new(Reason::ServersStarting, format!("0 of {wanted} ready")));
        update(false, wait.reason, wait.explain())
    }

    /// Why servers are not ready that should be.
    fn why_servers_wait(&self) -> Option<Wait> {
        let pods = &self.observed.server_pods;
        let deployment = self.observed.workloads.servers.as_ref();
        why_pods_wait(self.server(), pods)
            .or_else(|| deployment.and_then(why_pods_are_refused))
            .or_else(|| why_rejected(pods))
            .or_else(|| why_evicted(pods))
            .or_else(|| node_lost(pods, self.now))
    }

    fn gpus_released(&self, plan: &Plan) -> ConditionUpdate {
        let update = |status: bool, reason, message: &str| {
            ConditionUpdate::new(ConditionType::GPUsReleased, status, reason, message)
        };
        // Servers that wait for their model are needed as those that run.
        if plan.servers.is_some() || plan.fills_model_cache {
            return update(false, Reason::ServersRunning, "servers are needed for rows");
        }
        if let Some(wait) = node_lost(&self.observed.server_pods, self.now) {
            let kind = ConditionType::GPUsReleased;
            return ConditionUpdate::new(kind, ConditionStatus::Unknown, wait.reason, wait.explain());
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

    /// Once the data set is good, this is where it is told when the feeder or its pod waits: without it there are no results.
    fn results_available(&self, plan: &Plan, end: Option<&End>) -> ConditionUpdate {
        let update = |status: bool, reason, message: String| {
            ConditionUpdate::new(ConditionType::ResultsAvailable, status, reason, message)
        };
        let reported = self.job.status.as_ref().map(|status| &status.reported);
        if let Some(results) = reported.and_then(|reported| reported.results.as_ref()) {
            return update(true, Reason::ResultsWritten, format!("see {}", results.manifest_uri));
        }
        let stopping = || {
            let stopping = plan.stopping.as_ref()?;
            Some(Wait::new(Reason::Stopping, stopping.message.clone()))
        };
        let wait = self.why_the_feeder_waits().or_else(stopping);
        match wait.filter(|_| end.is_none()) {
            Some(wait) => update(false, wait.reason, wait.explain()),
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

fn what_can_be_run(dataset: &DatasetStatus) -> String {
    let rows = dataset.rows;
    match dataset.skipped_rows {
        None => format!("{rows} rows, each can be run"),
        Some(skipped) => {
            format!("{rows} rows, of which {skipped} cannot be run and become errors (see status.dataset.invalidRows)")
        }
    }
}
