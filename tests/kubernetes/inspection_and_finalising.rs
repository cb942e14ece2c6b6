//! What is asked of a job while its data set is read, or while its results are written: a store that is slow holds it there.

use batch_inference_operator::api::condition::ConditionType;
use batch_inference_operator::api::phase::Phase;
use batch_inference_operator::api::status::FeederStage;
use serde_json::json;

use super::job::Job;
use super::rows::chats;
use super::s3_proxy::{Fault, S3Proxy, Which};
use super::stages::{phase, until_no_feeder, until_seen, until_stage};
use super::tenant::{PATIENCE, Tenant, condition, end_of};
use super::until::until;

const SLOW: Fault = Fault::Answer(503, "SlowDown");

/// The rows of jobs here.
pub fn three_rows() -> String {
    chats(3, &json!({}))
}

/// A job whose feeder asks for the data set and does not get it.
pub async fn in_inspection(name: &str) -> (Tenant, S3Proxy) {
    let (tenant, proxy) = Tenant::behind_proxy(name).await;
    tenant.put("rows.jsonl", &three_rows()).await;
    proxy.fail(Which::all().of("/rows.jsonl"), SLOW);
    tenant.submit(&Job::new(&tenant, "job")).await;
    until("the data set is asked for", PATIENCE, async || {
        (proxy.failed() > 0).then_some(())
    })
    .await;
    until_stage(&tenant, "job", FeederStage::Inspecting).await;
    (tenant, proxy)
}

/// A job whose rows are all finished, and whose results are not taken.
pub async fn in_finalising(name: &str) -> (Tenant, S3Proxy) {
    let (tenant, proxy) = Tenant::behind_proxy(name).await;
    tenant.put("rows.jsonl", &three_rows()).await;
    proxy.fail(Which::puts().of("/results.jsonl"), SLOW);
    tenant.submit(&Job::new(&tenant, "job")).await;
    until_stage(&tenant, "job", FeederStage::Finalizing).await;
    (tenant, proxy)
}

#[tokio::test]
async fn a_job_that_is_out_of_time_while_its_data_is_read_ends_at_once_and_without_results() {
    let (tenant, proxy) = in_inspection("late-inspection").await;
    tenant.patch_spec("job", &json!({"activeDeadlineSeconds": 1})).await;
    let job = tenant.end("job").await;
    assert_eq!(end_of(&job), "Failed: DeadlineExceeded");
    let failed = condition(&job, ConditionType::Failed).expect("an end");
    assert!(failed.message.contains("there are no results"), "{failed:?}");
    until_no_feeder(&tenant, &job).await;
    assert!(!tenant.had_servers().await);
    drop(proxy);
}

#[tokio::test]
async fn a_job_that_is_suspended_while_its_data_is_read_reads_it_when_it_is_resumed() {
    let (tenant, proxy) = in_inspection("suspended-inspection").await;
    tenant.patch_spec("job", &json!({"suspend": true})).await;
    let job = tenant
        .until_job("job", "it is suspended", |job| phase(job) == Some(Phase::Suspended))
        .await;
    until_no_feeder(&tenant, &job).await;
    assert!(!tenant.had_servers().await);
    proxy.heal();
    tenant.patch_spec("job", &json!({"suspend": false})).await;
    tenant.complete("job", &three_rows()).await;
}

/// Whatever it is asked, it is complete once the store takes its results.
async fn ends_all_the_same(name: &str, wish: serde_json::Value) {
    let (tenant, proxy) = in_finalising(name).await;
    tenant.patch_spec("job", &wish).await;
    let job = until_seen(&tenant, "job").await;
    assert_eq!(
        (end_of(&job).as_str(), phase(&job)),
        ("no end", Some(Phase::Finalizing)),
        "{wish}"
    );
    proxy.heal();
    tenant.complete("job", &three_rows()).await;
}

#[tokio::test]
async fn a_job_that_is_suspended_while_it_writes_its_results_is_complete() {
    Box::pin(ends_all_the_same("finalising-suspend", json!({"suspend": true}))).await;
}

#[tokio::test]
async fn a_job_that_is_shut_down_while_it_writes_its_results_is_complete() {
    Box::pin(ends_all_the_same("finalising-stop", json!({"shutdown": "Stop"}))).await;
    Box::pin(ends_all_the_same(
        "finalising-terminate",
        json!({"shutdown": "Terminate"}),
    ))
    .await;
}

#[tokio::test]
async fn a_job_that_is_out_of_time_while_it_writes_its_results_is_complete() {
    Box::pin(ends_all_the_same(
        "finalising-late",
        json!({"activeDeadlineSeconds": 1}),
    ))
    .await;
}
