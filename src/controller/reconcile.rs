//! One reconcile, from what a person wrote to what the status says.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::{Client, ResourceExt};
use rand::RngExt;

use super::apply::{Obstacle, Writer};
use super::as_wanted::AsWanted;
use super::build::{build, servers};
use super::busy::busy_time;
use super::cache::Cache;
use super::children::{Children, has_ended};
use super::decide::{Decision, FeederWanted, decide, may_pass, until};
use super::dereference::{Observed, dereference, is_left_behind};
use super::events;
use super::expiry::{self, Going, expires_at, going};
use super::from_deployment;
use super::in_the_way::name_taken;
use super::lost::node_lost;
use super::model_cache;
use super::serve::Metrics;
use super::server_pods::change_pods;
use super::settings::Settings;
use super::update_status::{Written, current_status, has_end, next_status, seen_status, take_pace_back, update_status};
use super::validate::{ValidatedJob, validate};
use crate::api::BatchInferenceJob;
use crate::api::condition::{ConditionStatus, ConditionType, is_true};
use crate::api::reason::Reason;
use crate::api::status::FeederStage;

/// The finalizer of a deletion that leaves an object's children (`metav1.FinalizerOrphanDependents`).
const ORPHAN: &str = "orphan";
/// How soon a job is looked at again whose reconcile failed, or that is held up by something no watch tells of.
const RETRY: Duration = Duration::from_secs(5);

/// How soon a job is looked at again that changed while it was being reconciled.
const LOOK_AGAIN_AT_NEWER: Duration = Duration::from_millis(200);

/// What every reconcile needs.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What whoever installed the operator decided.
    pub settings: Settings,
    /// This process, in events.
    pub reporter: String,
    /// Counters.
    pub metrics: Metrics,
    /// What the watches brought.
    pub cache: Cache,
    /// Children that need not be looked at.
    pub as_wanted: AsWanted,
}

/// A reconcile that failed, by step.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Reading the cluster.
    #[error(transparent)]
    Dereference(#[from] super::dereference::DereferenceError),
    /// Writing children.
    #[error(transparent)]
    Apply(#[from] super::apply::ApplyError),
    /// Marking or replacing a server's pod.
    #[error(transparent)]
    ServerPod(#[from] super::server_pods::ServerPodError),
    /// Deleting a job that is over.
    #[error(transparent)]
    Expiry(#[from] super::expiry::ExpiryError),
    /// Writing the status.
    #[error(transparent)]
    UpdateStatus(#[from] super::update_status::UpdateStatusError),
    /// The stored object does not fit its definition: nothing can be done until it changes.
    #[error("job {namespace}/{name} cannot be read: {problem}")]
    Unreadable {
        /// The job's namespace.
        namespace: String,
        /// The job's name.
        name: String,
        /// What does not fit.
        problem: String,
    },
}

/// Makes the cluster match the job: reads (`dereference`), makes sense of the spec (`validate`), decides (`decide`) and builds
/// (`build`) purely, writes (`apply`), and says in the status how far that is (`update_status`).
///
/// # Errors
/// By step; every one is tried again.
pub async fn reconcile(
    job: Arc<DeserializeGuard<BatchInferenceJob>>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let started = std::time::Instant::now();
    let (outcome, busy) = match &job.0 {
        Ok(job) => busy_time(Box::pin(reconcile_job(job, &context))).await,
        Err(invalid) => busy_time(Box::pin(tell_unreadable(&job, &invalid.error, &context))).await,
    };
    context
        .metrics
        .reconciled(outcome.as_ref().err(), started.elapsed(), busy);
    outcome
}

async fn reconcile_job(job: &BatchInferenceJob, context: &Context) -> Result<Action, ReconcileError> {
    let client = &context.client;
    let now = Timestamp::now();
    match going(job, now) {
        Some(Going::Deleted) => {
            give_up(job, context).await?;
            return Ok(Action::await_change());
        }
        Some(Going::Expired) => {
            expiry::delete(client, job).await?;
            return Ok(Action::await_change());
        }
        None => {}
    }
    let until_expiry = expires_at(job).map(|expiry| until(expiry, now));
    let uid = job.uid().unwrap_or_default();
    let is_left = context.cache.servers(&uid).is_some() || context.cache.model_cache(&uid).is_some();
    if is_finished(job) && !is_left && !has_a_feeder_that_may_run(job, context) {
        context.as_wanted.forget(&uid);
        if let Some(seen) = seen_status(job) {
            update_status(client, job, &seen).await?;
        }
        return Ok(until_expiry.map_or_else(Action::await_change, Action::requeue));
    }
    let mut observed = dereference(client, &context.cache, job, &context.settings.hub).await?;
    let filled = from_deployment::filled(job, observed.source.as_ref(), &context.settings);
    let validated = filled
        .and_then(|job| validate(&job, &context.settings))
        .and_then(|validated| model_cache::accepted(validated, observed.model_cache_claim.as_ref()));
    let mut decision = decide(job, validated.as_ref(), &observed, &context.settings, now);
    if claims_release(job, &decision) && is_left_behind(client, job).await? {
        observed.is_left_behind = true;
        decision = decide(job, validated.as_ref(), &observed, &context.settings, now);
    }
    let writer = Writer {
        client,
        cache: &context.cache,
        as_wanted: &context.as_wanted,
        job,
    };
    let obstacle = match &validated {
        // An end comes first into the status, and that brings the job back to be carried out: an end that got lost when all was
        // deleted already would be GPU time spent anew.
        _ if decision.ends_now => None,
        Ok(validated) => {
            let made = make(writer, validated, &decision, &observed, &context.settings);
            let obstacle = Box::pin(made).await?;
            let obstacle = obstacle.map(|obstacle| explained(obstacle, &observed, now));
            let going = observed.workloads.servers.as_ref().filter(|servers| is_going(servers));
            if let Some(servers) = going.filter(|_| is_node_lost(obstacle.as_ref())) {
                writer.let_go(servers).await?;
            }
            obstacle
        }
        Err(wait) if may_pass(wait) && decision.feeder == FeederWanted::Run => Some(Obstacle::Waits(wait.clone())),
        Err(_) => {
            if let Some(feeder) = &observed.workloads.feeder {
                writer.suspend_or_resume(feeder, decision.feeder).await?;
            }
            writer.apply(&Children::default(), &decision, &observed).await?
        }
    };
    if decision.servers.is_some() {
        change_pods(client, job, &decision.pod_changes).await?;
    }
    let before = current_status(job);
    let after = next_status(job, validated.as_ref().ok(), &decision, obstacle.as_ref(), now);
    if before != after {
        if update_status(client, job, &after).await? == Written::Outdated {
            // The watch brings the newer job; should it have brought it already, this look is soon.
            return Ok(Action::requeue(with_jitter(LOOK_AGAIN_AT_NEWER)));
        }
        for event in events::events_for(job, &before, &after, &context.reporter, now) {
            events::publish(client, &event).await;
        }
    } else if decision.tells_old_pace {
        take_pace_back(client, job).await?;
    }
    Ok(next_look(&decision, obstacle.as_ref(), until_expiry))
}

/// Whether the job ended without its feeder, which is still there: it would write to the output of a job that is over.
fn has_a_feeder_that_may_run(job: &BatchInferenceJob, context: &Context) -> bool {
    let feeder = job.status.as_ref().and_then(|status| status.reported.feeder.as_ref());
    let has_reported = feeder.is_some_and(|feeder| feeder.state == FeederStage::Ended);
    let found = context.cache.feeder(&job.uid().unwrap_or_default());
    !has_reported && found.is_some_and(|found| !has_ended(&found))
}

/// Takes servers and feeder from a job that is being deleted. Kubernetes does so only when the object is gone, and somebody's finalizer may
/// keep it for long. Not where the children are to outlive it.
async fn give_up(job: &BatchInferenceJob, context: &Context) -> Result<(), ReconcileError> {
    if job.finalizers().iter().any(|finalizer| finalizer == ORPHAN) {
        return Ok(());
    }
    let uid = job.uid().unwrap_or_default();
    let writer = Writer {
        client: &context.client,
        cache: &context.cache,
        as_wanted: &context.as_wanted,
        job,
    };
    let servers = context.cache.servers(&uid);
    let model_cache = context.cache.model_cache(&uid);
    let feeder = context.cache.feeder(&uid);
    writer
        .remove_all(servers.as_deref(), model_cache.as_deref(), feeder.as_deref())
        .await?;
    Ok(())
}

/// A job that cannot be read has no status to write to, so an event tells of it.
async fn tell_unreadable(
    job: &DeserializeGuard<BatchInferenceJob>,
    problem: &str,
    context: &Context,
) -> Result<Action, ReconcileError> {
    let event = events::event_for_unreadable(job, problem, &context.reporter, Timestamp::now());
    events::publish(&context.client, &event).await;
    Err(ReconcileError::Unreadable {
        namespace: job.namespace().unwrap_or_default(),
        name: job.name_any(),
        problem: problem.to_owned(),
    })
}

/// Builds and applies. Before anything of the job exists, its names must be free, and the servers are rehearsed, so that a template
/// that Kubernetes refuses costs neither a feeder nor a GPU. Under a name that is taken, Kubernetes would refuse any template.
async fn make(
    writer: Writer<'_>,
    validated: &ValidatedJob,
    decision: &Decision,
    observed: &Observed,
    settings: &Settings,
) -> Result<Option<Obstacle>, ReconcileError> {
    if is_first(writer.job, decision, observed) {
        if let Some(wait) = name_taken(writer.job, &observed.others) {
            return Ok(Some(Obstacle::Waits(wait)));
        }
        if let Some(obstacle) = rehearse(writer, validated).await? {
            return Ok(Some(obstacle));
        }
    }
    let wanted = build(validated, decision, settings, &observed.workloads);
    Ok(writer.apply(&wanted, decision, observed).await?)
}

/// Whether the job is to have its first feeder. One that has reported is made again whatever servers there are: it may need none.
fn is_first(job: &BatchInferenceJob, decision: &Decision, observed: &Observed) -> bool {
    let has_reported = job
        .status
        .as_ref()
        .is_some_and(|status| status.reported.feeder.is_some());
    decision.feeder == FeederWanted::Run && !has_reported && observed.workloads.feeder.is_none()
}

async fn rehearse(writer: Writer<'_>, validated: &ValidatedJob) -> Result<Option<Obstacle>, ReconcileError> {
    let Some(wanted) = &validated.servers else {
        return Ok(None);
    };
    let replicas = wanted.spec.replicas.unwrap_or(1);
    let rehearsal = servers::deployment(validated, wanted, replicas, None);
    Ok(writer.rehearse(&rehearsal).await?)
}

/// Servers that were given back and are wanted again wait for the last pod of the old ones, but not for one on a lost node.
fn explained(obstacle: Obstacle, observed: &Observed, now: Timestamp) -> Obstacle {
    match obstacle {
        Obstacle::Waits(wait) if wait.reason == Reason::WaitingForOldChild => {
            Obstacle::Waits(node_lost(&observed.server_pods, now).unwrap_or(wait))
        }
        other => other,
    }
}

fn is_going(servers: &Deployment) -> bool {
    servers.metadata.deletion_timestamp.is_some()
}

fn is_node_lost(obstacle: Option<&Obstacle>) -> bool {
    matches!(obstacle, Some(Obstacle::Waits(wait)) if wait.reason == Reason::NodeLost)
}

/// Whether the status is to say that GPUs are released, and did not yet, or is not looked at again after this: then it is proven.
fn claims_release(job: &BatchInferenceJob, decision: &Decision) -> bool {
    let says = |kind: ConditionType| {
        let mut said = decision.conditions.iter().filter(|update| update.kind == kind);
        said.any(|update| update.status == ConditionStatus::True)
    };
    let before = current_status(job).conditions;
    let was_said = is_true(&before, ConditionType::GPUsReleased);
    let is_end = has_end(&before) || says(ConditionType::Complete) || says(ConditionType::Failed);
    says(ConditionType::GPUsReleased) && (!was_said || is_end)
}

/// Ended, and every GPU proven to be released: nothing is left to do.
#[must_use]
pub fn is_finished(job: &BatchInferenceJob) -> bool {
    let conditions = current_status(job).conditions;
    has_end(&conditions) && is_true(&conditions, ConditionType::GPUsReleased)
}

fn next_look(decision: &Decision, obstacle: Option<&Obstacle>, until_expiry: Option<Duration>) -> Action {
    let retry = obstacle.map(|_| with_jitter(RETRY));
    let looks = [retry, decision.look_again, until_expiry];
    let jitter = Duration::from_millis(rand::rng().random_range(0..500));
    let next = looks.into_iter().flatten().min().map(|next| next + jitter);
    next.map_or_else(Action::await_change, Action::requeue)
}

/// What follows a failed reconcile: nothing for an object that cannot be read, another try for all else.
#[must_use]
pub fn error_policy(job: &DeserializeGuard<BatchInferenceJob>, error: &ReconcileError) -> Action {
    tracing::warn!(
        job = %job.name_any(),
        namespace = %job.namespace().unwrap_or_default(),
        error = error as &dyn std::error::Error,
        "reconcile failed"
    );
    if matches!(error, ReconcileError::Unreadable { .. }) {
        return Action::await_change();
    }
    Action::requeue(with_jitter(RETRY))
}

/// Up to a quarter more, so that many jobs do not come back in the same moment.
fn with_jitter(delay: Duration) -> Duration {
    delay.mul_f64(1.0 + rand::rng().random_range(0.0..0.25))
}
