//! Jobs that are suspended, shut down, or out of time, and jobs that are over.

use std::time::Duration;

use batch_inference_operator::api::BatchInferenceJob;
use batch_inference_operator::api::condition::ConditionType;
use batch_inference_operator::api::phase::Phase;
use batch_inference_operator::api::status::{self, CONTROLLER_FIELD_MANAGER, FEEDER_FIELD_MANAGER};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::job::Job;
use super::rows::chats;
use super::stages::{
    count_codes, in_flight, phase, stopping, suspend, until_held_row_is_sent_again, until_no_feeder, until_stopping,
};
use super::tenant::{Tenant, condition, end_of};
use super::until::until;

#[tokio::test]
async fn a_suspended_job_gives_its_gpus_back_and_goes_on_where_it_was() {
    let tenant = Tenant::start("suspended").await;
    let rows = in_flight(&tenant, Job::new(&tenant, "suspended"), "suspended").await;

    suspend(&tenant, "suspended").await;
    let job = tenant.job("suspended").await;
    assert_eq!(phase(&job), Some(Phase::Suspended));
    until_no_feeder(&tenant, &job).await;
    let has_no_pace = |job: &BatchInferenceJob| {
        let progress = job.status.as_ref().and_then(|status| status.reported.progress.as_ref());
        progress.is_some_and(|it| it.rows_per_second.is_none() && it.estimated_completion_time.is_none())
    };
    let job = tenant.until_job("suspended", "there is no pace", has_no_pace).await;
    let progress = job.status.and_then(|status| status.reported.progress);
    assert_eq!(progress.expect("progress").completed, 20);

    tenant.patch_spec("suspended", &json!({"suspend": false})).await;
    until_held_row_is_sent_again(&tenant).await;
    tenant.release("suspended", "held").await;
    tenant.complete("suspended", &rows).await;
    let again = tenant.received().into_iter().filter(|(_, received)| *received > 1);
    assert_eq!(again.map(|(id, _)| id).collect::<Vec<_>>(), ["held"]);
}

#[tokio::test]
async fn a_job_that_is_made_suspended_takes_nothing() {
    let tenant = Tenant::start("made-suspended").await;
    tenant.put("rows.jsonl", &chats(3, &json!({}))).await;
    tenant
        .submit(&Job::new(&tenant, "later").set("/suspend", json!(true)))
        .await;
    tenant
        .until_reason("later", ConditionType::Suspended, "Suspended")
        .await;
    let children = tenant
        .kubectl(&["get", "jobs,deployments,pods,roles", "--output", "name"])
        .await;
    assert_eq!(children.expect("a listing"), "");

    tenant.patch_spec("later", &json!({"suspend": null})).await;
    tenant.complete("later", &chats(3, &json!({}))).await;
}

#[tokio::test]
async fn a_suspended_job_loses_the_pace_that_its_dead_feeder_left() {
    let tenant = Tenant::start("old-pace").await;
    tenant.put("rows.jsonl", &chats(3, &json!({}))).await;
    tenant
        .submit(&Job::new(&tenant, "job").set("/suspend", json!(true)))
        .await;
    tenant.until_reason("job", ConditionType::Suspended, "Suspended").await;
    let job = tenant.job("job").await;
    let left = json!({"progress": {"total": 3, "completed": 1, "failed": 0, "percent": 33, "rowsPerSecond": "2.5",
                                   "estimatedCompletionTime": "2030-01-01T00:00:00Z"}});
    let left = status::patch("job", &job.metadata.uid.unwrap_or_default(), None, &left);
    let as_feeder = PatchParams::apply(FEEDER_FIELD_MANAGER).force();
    let written = tenant.jobs().patch_status("job", &as_feeder, &Patch::Apply(left)).await;
    written.expect("a status");

    let is_told = |job: &BatchInferenceJob| {
        let progress = job.status.as_ref().and_then(|status| status.reported.progress.as_ref());
        progress.is_some_and(|progress| {
            progress.completed == 1
                && progress.rows_per_second.is_none()
                && progress.estimated_completion_time.is_none()
        })
    };
    let job = tenant.until_job("job", "there is no pace", is_told).await;
    let owners = job.metadata.managed_fields.unwrap_or_default();
    let mut by_controller = owners
        .iter()
        .filter(|owner| owner.manager.as_deref() == Some(CONTROLLER_FIELD_MANAGER));
    assert!(
        by_controller.all(|owner| owner.operation.as_deref() == Some("Apply")),
        "it owns nothing more: {owners:?}"
    );

    tenant.patch_spec("job", &json!({"suspend": null})).await;
    tenant.complete("job", &chats(3, &json!({}))).await;
}

#[tokio::test]
async fn terminate_ends_a_job_with_what_is_there() {
    let tenant = Tenant::start("terminated").await;
    let rows = in_flight(&tenant, Job::new(&tenant, "terminated"), "terminated").await;
    tenant.patch_spec("terminated", &json!({"shutdown": "Terminate"})).await;
    let job = tenant.end("terminated").await;
    assert_eq!(
        (end_of(&job).as_str(), phase(&job)),
        ("Failed: Cancelled", Some(Phase::Cancelled))
    );
    let available = condition(&job, ConditionType::ResultsAvailable).expect("a condition");
    assert_eq!(available.status, "True");
    let output = tenant.output("terminated").await;
    output.prove(&rows);
    assert_eq!(output.results.lines().count(), 20);
    assert_eq!(count_codes(&output.errors, "batch_cancelled"), 1);
    let refusal = tenant
        .kubectl(&[
            "patch",
            "bij",
            "terminated",
            "--type",
            "merge",
            "--patch",
            r#"{"spec":{"shutdown":"Stop"}}"#,
        ])
        .await;
    assert!(
        refusal
            .expect_err("a refusal")
            .contains("shutdown cannot be taken back")
    );
}

#[tokio::test]
async fn stop_waits_for_the_rows_in_flight() {
    let tenant = Tenant::start("stopped").await;
    let rows = in_flight(&tenant, Job::new(&tenant, "stopped"), "stopped").await;
    tenant.patch_spec("stopped", &json!({"shutdown": "Stop"})).await;
    until_stopping(&tenant, "stopped").await;
    tenant.release("stopped", "held").await;
    tenant.complete("stopped", &rows).await;
}

#[tokio::test]
async fn a_job_that_stops_may_still_be_terminated() {
    let tenant = Tenant::start("stopped-terminated").await;
    let rows = in_flight(&tenant, Job::new(&tenant, "job"), "job").await;
    tenant.patch_spec("job", &json!({"shutdown": "Stop"})).await;
    let first = stopping(&until_stopping(&tenant, "job").await).expect("a decision");
    tenant.patch_spec("job", &json!({"shutdown": "Terminate"})).await;
    let job = tenant.end("job").await;
    assert_eq!(end_of(&job), "Failed: Cancelled");
    assert_eq!(
        stopping(&job).map(|decision| (decision.reason, decision.since)),
        Some((first.reason, first.since))
    );
    let output = tenant.output("job").await;
    output.prove(&rows);
    assert_eq!(count_codes(&output.errors, "batch_cancelled"), 1);
}

#[tokio::test]
async fn a_suspended_job_that_is_shut_down_writes_its_results_without_servers() {
    let tenant = Tenant::start("suspended-stopped").await;
    let rows = in_flight(&tenant, Job::new(&tenant, "both"), "both").await;
    suspend(&tenant, "both").await;
    let sent = tenant.received();
    tenant.patch_spec("both", &json!({"shutdown": "Stop"})).await;
    let job = tenant.end("both").await;
    assert_eq!(end_of(&job), "Failed: Cancelled");
    let output = tenant.output("both").await;
    output.prove(&rows);
    assert_eq!(output.results.lines().count(), 20);
    assert_eq!(tenant.received(), sent, "no row was sent for it");
}

#[tokio::test]
async fn a_job_that_is_shut_down_before_its_data_is_checked_ends_at_once_and_writes_nothing() {
    let tenant = Tenant::without_keys("early").await;
    tenant.submit(&Job::new(&tenant, "early")).await;
    tenant
        .until_reason("early", ConditionType::Validated, "SecretMissing")
        .await;
    tenant.patch_spec("early", &json!({"shutdown": "Stop"})).await;
    let job = tenant.end("early").await;
    assert_eq!(end_of(&job), "Failed: Cancelled");
    assert!(tenant.list("early/").await.is_empty());
    until_no_feeder(&tenant, &job).await;
}

#[tokio::test]
async fn a_job_out_of_time_ends_with_what_is_there_and_is_deleted_after_a_while() {
    let tenant = Tenant::start("deadline").await;
    let rows = in_flight(&tenant, Job::new(&tenant, "late"), "late").await;
    tenant.patch_spec("late", &json!({"activeDeadlineSeconds": 1})).await;
    let job = tenant.end("late").await;
    assert_eq!(
        (end_of(&job).as_str(), phase(&job)),
        ("Failed: DeadlineExceeded", Some(Phase::Failed))
    );
    let output = tenant.output("late").await;
    output.prove(&rows);
    assert_eq!(count_codes(&output.errors, "batch_expired"), 1);

    let before = tenant.list("late/").await;
    tenant.patch_spec("late", &json!({"ttlSecondsAfterFinished": 1})).await;
    until("the job is gone", Duration::from_mins(1), async || {
        let left = tenant.kubectl(&["get", "bij,jobs,pods", "--output", "name"]).await;
        left.expect("a listing").is_empty().then_some(())
    })
    .await;
    assert_eq!(tenant.list("late/").await, before);
}
