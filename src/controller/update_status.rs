//! The controller's part of the status: computed purely, written once per reconcile, and only when it changed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt};

use super::apply::Obstacle;
use super::cost::{cost, is_recent};
use super::decide::Decision;
use super::exactly::is_outdated;
use super::timeline::{timeline, to_the_second};
use super::validate::ValidatedJob;
use crate::api::BatchInferenceJob;
use crate::api::condition::{ConditionStatus, ConditionType, ConditionUpdate, is_true, merge};
use crate::api::phase::Phase;
use crate::api::status::{CONTROLLER_FIELD_MANAGER, ControllerStatus, CostStatus};
use crate::api::wait::Wait;

/// A status that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write the status of job {namespace}/{job}")]
pub struct UpdateStatusError {
    namespace: String,
    job: String,
    source: kube::Error,
}

/// The status after a reconcile.
#[must_use]
pub fn next_status(
    job: &BatchInferenceJob,
    validated: Option<&ValidatedJob>,
    decision: &Decision,
    obstacle: Option<&Obstacle>,
    now: Timestamp,
) -> ControllerStatus {
    let current = current_status(job);
    let mut updates = decision.conditions.clone();
    let tells_end = |update: &ConditionUpdate| [ConditionType::Complete, ConditionType::Failed].contains(&update.kind);
    let ends = has_end(&current.conditions) || updates.iter().any(tells_end);
    // A job ends once: what stands in the way afterwards neither delays it nor ends it differently.
    if let Some(obstacle) = obstacle.filter(|_| !ends) {
        tell_obstacle(&mut updates, obstacle);
    }
    let now = to_the_second(now);
    let generation = job.meta().generation.unwrap_or_default();
    let conditions = merge(&current.conditions, &updates, generation, now);
    let ended = has_end(&conditions);
    let cost = next_cost(job, decision, now);
    // An end, and that GPUs are released, is told with all that was used up.
    let stays = conditions == current.conditions && is_recent(current.cost.as_ref(), cost.as_ref());
    ControllerStatus {
        cost: if stays { current.cost } else { cost },
        observed_generation: Some(generation),
        phase: Some(Phase::of(&conditions)),
        stopping: decision.stopping.clone(),
        feeder_gone_since: decision.feeder_gone_since.map(to_the_second).map(Time),
        servers_failing: decision.servers_failing.clone(),
        start_time: current.start_time.or(Some(Time(now))),
        completion_time: current.completion_time.or(ended.then_some(Time(now))),
        // What was decided stays, but for the commit of its revision, which becomes known later.
        resolved: validated
            .map(|validated| validated.resolved.clone())
            .or(current.resolved),
        timeline: Some(timeline(
            current.timeline.as_ref(),
            &conditions,
            &decision.pod_times,
            job.status.as_ref().map(|status| &status.reported),
        )),
        conditions,
        servers: Some(decision.servers_status.clone()),
    }
}

/// Whether these are conditions of a job that has ended.
#[must_use]
pub fn has_end(conditions: &[Condition]) -> bool {
    is_true(conditions, ConditionType::Complete) || is_true(conditions, ConditionType::Failed)
}

fn next_cost(job: &BatchInferenceJob, decision: &Decision, now: Timestamp) -> Option<CostStatus> {
    let status = job.status.as_ref()?;
    let prices = status.controller.resolved.as_ref()?.prices.as_ref()?;
    cost(prices, status.reported.usage, &decision.servers_status, now)
}

/// The controller's part of the status as it is.
#[must_use]
pub fn current_status(job: &BatchInferenceJob) -> ControllerStatus {
    job.status
        .as_ref()
        .map(|status| status.controller.clone())
        .unwrap_or_default()
}

/// The status of a job that has ended and is done with, if its spec has changed since: all that changes is that it was seen.
#[must_use]
pub fn seen_status(job: &BatchInferenceJob) -> Option<ControllerStatus> {
    let generation = job.meta().generation;
    let mut status = current_status(job);
    if status.observed_generation == generation {
        return None;
    }
    status.observed_generation = generation;
    for condition in &mut status.conditions {
        condition.observed_generation = generation;
    }
    Some(status)
}

/// Says what is in the way, in the condition that waits for it.
fn tell_obstacle(updates: &mut Vec<ConditionUpdate>, obstacle: &Obstacle) {
    let says = |kind, status, wait: &Wait| {
        ConditionUpdate::new(
            kind,
            status,
            wait.reason,
            format!("{}. {}", wait.message.trim_end_matches('.'), wait.reason.advice()),
        )
    };
    match obstacle {
        Obstacle::Ends(wait) => {
            replace(updates, says(ConditionType::Reconciling, false, wait));
            replace(updates, says(ConditionType::Failed, true, wait));
            replace(updates, says(ConditionType::Stalled, true, wait));
        }
        Obstacle::Waits(wait) => {
            let before_feeder = updates
                .iter()
                .any(|update| update.kind == ConditionType::Reconciling && update.status == ConditionStatus::True);
            if before_feeder {
                replace(updates, says(ConditionType::Reconciling, true, wait));
                replace(updates, says(ConditionType::Validated, false, wait));
            } else {
                replace(updates, says(ConditionType::ServersReady, false, wait));
            }
        }
    }
}

fn replace(updates: &mut Vec<ConditionUpdate>, update: ConditionUpdate) {
    updates.retain(|other| other.kind != update.kind);
    updates.push(update);
}

/// Whether a status was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is there.
    Yes,
    /// The job had changed since it was read, so what was decided may no longer be right: it is to be decided again.
    Outdated,
}

/// Writes the status, unless the job has changed since it was read.
///
/// # Errors
/// When the API server does not take it.
pub async fn update_status(
    client: &Client,
    job: &BatchInferenceJob,
    status: &ControllerStatus,
) -> Result<Written, UpdateStatusError> {
    let version = job.resource_version();
    let patch = crate::api::status::patch(
        &job.name_any(),
        &job.uid().unwrap_or_default(),
        version.as_deref(),
        status,
    );
    let params = PatchParams::apply(CONTROLLER_FIELD_MANAGER).force();
    send(client, job, &params, &Patch::Apply(patch)).await
}

/// Takes the pace of rows back that a feeder left, unless the job has changed since it was read. The fields are the feeder's: a patch that
/// only removes them makes the controller no owner of anything, and the next feeder sets them again.
///
/// # Errors
/// When the API server does not take it.
pub async fn take_pace_back(client: &Client, job: &BatchInferenceJob) -> Result<Written, UpdateStatusError> {
    let patch = serde_json::json!({
        "metadata": {"uid": job.uid(), "resourceVersion": job.resource_version()},
        "status": {"progress": {"rowsPerSecond": null, "estimatedCompletionTime": null}},
    });
    let params = PatchParams {
        field_manager: Some(CONTROLLER_FIELD_MANAGER.into()),
        ..PatchParams::default()
    };
    send(client, job, &params, &Patch::Merge(patch)).await
}

async fn send(
    client: &Client,
    job: &BatchInferenceJob,
    params: &PatchParams,
    patch: &Patch<serde_json::Value>,
) -> Result<Written, UpdateStatusError> {
    let namespace = job.namespace().unwrap_or_default();
    let api: Api<BatchInferenceJob> = Api::namespaced(client.clone(), &namespace);
    match api.patch_status(&job.name_any(), params, patch).await {
        Ok(_) => Ok(Written::Yes),
        Err(error) if is_outdated(&error) => Ok(Written::Outdated),
        Err(source) => Err(UpdateStatusError {
            namespace,
            job: job.name_any(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::reason::Reason;
    use crate::api::status::ServersStatus;
    use crate::controller::decide::FeederWanted;
    use crate::controller::timeline::PodTimes;

    fn status_after(condition: ConditionUpdate, obstacle: &Obstacle) -> ControllerStatus {
        let job: BatchInferenceJob = serde_json::from_value(serde_json::json!({
            "apiVersion": "batchinference.dev/v1alpha1",
            "kind": "BatchInferenceJob",
            "metadata": {"name": "triangles", "namespace": "geometry"},
            "spec": {"dataset": {"inline": ""}, "server": {"baseModel": "m"}, "output": {"uri": "s3://b/o/"}},
        }))
        .expect("a job");
        let decision = Decision {
            feeder: FeederWanted::Leave,
            stopping: None,
            feeder_gone_since: None,
            servers_failing: None,
            tells_old_pace: false,
            pod_changes: Vec::new(),
            fills_model_cache: false,
            servers: None,
            conditions: vec![condition],
            servers_status: ServersStatus::default(),
            pod_times: PodTimes::default(),
            ends_now: false,
            look_again: None,
        };
        next_status(&job, None, &decision, Some(obstacle), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_changed_spec_of_a_job_that_ended_is_seen_and_nothing_else() {
        let job = |observed: i64| -> BatchInferenceJob {
            let condition = serde_json::json!({"type": "Complete", "status": "True", "reason": "AllRowsSucceeded", "message": "",
                                               "observedGeneration": observed, "lastTransitionTime": "2026-11-24T10:00:00Z"});
            serde_json::from_value(serde_json::json!({
                "apiVersion": "batchinference.dev/v1alpha1", "kind": "BatchInferenceJob",
                "metadata": {"name": "triangles", "generation": 3},
                "spec": {"dataset": {"inline": ""}, "server": {"baseModel": "m"}, "output": {"uri": "s3://b/o/"}},
                "status": {"observedGeneration": observed, "phase": "Completed", "conditions": [condition]},
            }))
            .expect("a job")
        };
        assert_eq!(seen_status(&job(3)), None);
        assert_eq!(seen_status(&job(2)), Some(current_status(&job(3))));
    }

    #[test]
    fn an_obstacle_does_not_change_how_a_job_ended() {
        let obstacle = Obstacle::Ends(Wait::new(Reason::PodTemplateInvalid, "refused"));
        let complete = ConditionUpdate::new(ConditionType::Complete, true, Reason::AllRowsSucceeded, "");
        let after = status_after(complete, &obstacle);
        assert_eq!(after.phase, Some(Phase::Completed));
        assert!(!is_true(&after.conditions, ConditionType::Failed));
        let reconciling = ConditionUpdate::new(ConditionType::Reconciling, true, Reason::FeederStarting, "");
        assert_eq!(status_after(reconciling, &obstacle).phase, Some(Phase::Failed));
    }
}
