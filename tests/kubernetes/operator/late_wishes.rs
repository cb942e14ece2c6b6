//! Wishes that come when the results are written, and before the controller knows: the job ends as if nobody had asked.

use batch_inference_operator::api::BatchInferenceJob;
use batch_inference_operator::api::status::FeederStage;
use serde_json::{Value, json};

use super::Controller;
use super::controller_killed::ends_as_if_undisturbed;
use crate::job::Job;
use crate::rows::twenty_and_one_held;
use crate::tenant::Tenant;

fn has_ended(job: &BatchInferenceJob) -> bool {
    let feeder = job.status.as_ref().and_then(|status| status.reported.feeder.as_ref());
    feeder.is_some_and(|feeder| feeder.state == FeederStage::Ended)
}

/// A job that is asked for something when its feeder has said that it ended.
async fn asked_at_the_end(name: &str, wish: Value) {
    let tenant = Tenant::start(name).await;
    tenant.put("rows.jsonl", &twenty_and_one_held()).await;
    tenant.submit(&Job::new(&tenant, "job")).await;
    tenant.until_received(21).await;
    let controller = Controller::running(&tenant.client).await;
    controller.pause().await;
    tenant.release("job", "held").await;
    tenant.until_job("job", "the feeder's end", has_ended).await;
    tenant.patch_spec("job", &wish).await;
    controller.kill_paused().await;
    ends_as_if_undisturbed(&tenant, &twenty_and_one_held()).await;
}

#[tokio::test]
async fn a_job_that_is_suspended_when_its_results_are_written_ends() {
    Box::pin(asked_at_the_end("late-suspend", json!({"suspend": true}))).await;
}

#[tokio::test]
async fn a_job_that_is_terminated_when_its_results_are_written_is_complete() {
    Box::pin(asked_at_the_end("late-terminate", json!({"shutdown": "Terminate"}))).await;
}
