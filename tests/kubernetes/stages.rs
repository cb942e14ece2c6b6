//! Points in the life of a job at which something is asked of it, and what is to be seen of it then.

use batch_inference_operator::api::BatchInferenceJob;
use batch_inference_operator::api::condition::ConditionType;
use batch_inference_operator::api::phase::Phase;
use batch_inference_operator::api::shutdown::Stopping;
use batch_inference_operator::api::status::FeederStage;
use serde_json::{Value, json};

use super::job::Job;
use super::rows::twenty_and_one_held;
use super::tenant::{PATIENCE, Tenant};
use super::until::until;

/// A job that has twenty rows done and one in flight; its rows.
pub async fn in_flight(tenant: &Tenant, job: Job, name: &str) -> String {
    let rows = twenty_and_one_held();
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&job).await;
    tenant.until_completed(name, 20).await;
    rows
}

/// Suspends a job, and waits until its GPUs are released.
pub async fn suspend(tenant: &Tenant, name: &str) {
    tenant.patch_spec(name, &json!({"suspend": true})).await;
    tenant
        .until_reason(name, ConditionType::GPUsReleased, "ServersGone")
        .await;
}

/// Waits until the row that a server held is at another one.
pub async fn until_held_row_is_sent_again(tenant: &Tenant) {
    until("the held row again", PATIENCE, async || {
        (tenant.received().get("held") == Some(&2)).then_some(())
    })
    .await;
}

/// Waits until the feeder says that it is so far.
pub async fn until_stage(tenant: &Tenant, name: &str, stage: FeederStage) -> BatchInferenceJob {
    let is_there = |job: &BatchInferenceJob| {
        let feeder = job.status.as_ref().and_then(|status| status.reported.feeder.as_ref());
        feeder.is_some_and(|feeder| feeder.state == stage)
    };
    tenant
        .until_job(name, &format!("the feeder is {stage:?}"), is_there)
        .await
}

/// Waits until the controller has seen the spec as it is.
pub async fn until_seen(tenant: &Tenant, name: &str) -> BatchInferenceJob {
    let is_seen = |job: &BatchInferenceJob| {
        let status = job.status.as_ref();
        let observed = status.and_then(|status| status.controller.observed_generation);
        observed.is_some() && observed == job.metadata.generation
    };
    tenant.until_job(name, "the spec is seen", is_seen).await
}

/// Waits until the controller has decided that the job ends before its last row.
pub async fn until_stopping(tenant: &Tenant, name: &str) -> BatchInferenceJob {
    tenant.until_job(name, "it stops", |job| stopping(job).is_some()).await
}

pub async fn until_no_feeder(tenant: &Tenant, job: &BatchInferenceJob) {
    until("no pod of the feeder is left", PATIENCE, async || {
        tenant.feeder_pods(job).await.is_empty().then_some(())
    })
    .await;
}

/// Lets a namespace have no more than so many pods, beside those that are there; the quota's name is `pods`.
pub async fn allow_pods(tenant: &Tenant, pods: u32) {
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "pods"},
                       "spec": {"hard": {"count/pods": pods.to_string()}}});
    tenant.apply(&quota).await;
    until("the quota counts", PATIENCE, async || {
        let used = ["get", "resourcequota", "pods", "--output", "jsonpath={.status.used}"];
        let used = tenant.kubectl(&used).await;
        used.ok().filter(|used| used.contains("count/pods"))
    })
    .await;
}

pub fn phase(job: &BatchInferenceJob) -> Option<Phase> {
    job.status.as_ref()?.controller.phase
}

/// The decision that the job ends before its last row.
pub fn stopping(job: &BatchInferenceJob) -> Option<Stopping> {
    job.status.as_ref()?.controller.stopping.clone()
}

/// How often an `error.code` is in the errors.
pub fn count_codes(errors: &str, code: &str) -> usize {
    let rows = errors
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a row of JSON"));
    rows.filter(|row| row["error"]["code"] == code).count()
}
