//! One reconcile, from what a person wrote to what the status says.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::{Client, ResourceExt};
use rand::RngExt;

use super::apply::{Obstacle, apply, rehearse};
use super::build::{build, servers};
use super::decide::{Decision, FeederWanted, decide, until};
use super::dereference::{Observed, dereference};
use super::events;
use super::expiry::{self, expires_at};
use super::serve::Metrics;
use super::server_pods::change_pods;
use super::settings::Settings;
use super::update_status::{Written, current_status, next_status, update_status};
use super::validate::{ValidatedJob, validate};
use crate::api::BatchInferenceJob;
use crate::api::condition::{ConditionType, is_true};

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
    let outcome = match &job.0 {
        Ok(job) => Box::pin(reconcile_job(job, &context)).await,
        Err(invalid) => Err(tell_unreadable(&job, &invalid.error, &context).await),
    };
    context.metrics.reconciled(outcome.as_ref().err(), started.elapsed());
    outcome
}

async fn reconcile_job(job: &BatchInferenceJob, context: &Context) -> Result<Action, ReconcileError> {
    if job.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let client = &context.client;
    let now = Timestamp::now();
    let expiry = expires_at(job);
    if expiry.is_some_and(|expiry| expiry <= now) {
        expiry::delete(client, job).await?;
        return Ok(Action::await_change());
    }
    let until_expiry = expiry.map(|expiry| until(expiry, now));
    if is_finished(job) {
        return Ok(until_expiry.map_or_else(Action::await_change, Action::requeue));
    }
    let observed = dereference(client, job).await?;
    let validated = validate(job, &context.settings);
    let decision = decide(job, validated.as_ref(), &observed, &context.settings, now);
    let obstacle = match &validated {
        // An end comes first into the status, and that brings the job back to be carried out: an end that got lost when all was
        // deleted already would be GPU time spent anew.
        _ if decision.ends_now => None,
        Ok(validated) => make(validated, &decision, &observed, context).await?,
        Err(_) => apply(client, job, &super::children::Children::default(), &decision, &observed).await?,
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
        if let Some(event) = events::event_for(job, &before, &after, &context.reporter, now) {
            events::publish(client, &event).await;
        }
    }
    Ok(next_look(&decision, obstacle.as_ref(), until_expiry))
}

/// A job that cannot be read has no status to write to, so an event tells of it.
async fn tell_unreadable(
    job: &DeserializeGuard<BatchInferenceJob>,
    problem: &str,
    context: &Context,
) -> ReconcileError {
    let event = events::event_for_unreadable(job, problem, &context.reporter, Timestamp::now());
    events::publish(&context.client, &event).await;
    ReconcileError::Unreadable {
        namespace: job.namespace().unwrap_or_default(),
        name: job.name_any(),
        problem: problem.to_owned(),
    }
}

/// Builds and applies. Before anything of the job exists, the servers are rehearsed, so that a template that Kubernetes refuses
/// costs neither a feeder nor a GPU.
async fn make(
    validated: &ValidatedJob,
    decision: &Decision,
    observed: &Observed,
    context: &Context,
) -> Result<Option<Obstacle>, ReconcileError> {
    let (client, job) = (&context.client, &validated.job);
    let is_first = observed.children.feeder.is_none() && decision.feeder == FeederWanted::Run;
    if is_first {
        let replicas = job.spec.server.replicas.unwrap_or(1);
        let rehearsed = rehearse(client, job, &servers::deployment(validated, replicas, None)).await?;
        if rehearsed.is_some() {
            return Ok(rehearsed);
        }
    }
    let wanted = build(validated, decision, &context.settings, &observed.children);
    Ok(apply(client, job, &wanted, decision, observed).await?)
}

/// Ended, and every GPU proven to be released: nothing is left to do.
#[must_use]
pub fn is_finished(job: &BatchInferenceJob) -> bool {
    let conditions = current_status(job).conditions;
    let holds = |kind| is_true(&conditions, kind);
    (holds(ConditionType::Complete) || holds(ConditionType::Failed)) && holds(ConditionType::GPUsReleased)
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
