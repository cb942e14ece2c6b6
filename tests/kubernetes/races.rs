//! Two things that meet in the life of a job while it has rows to send: the table in docs/reliability.md says who wins.

use batch_inference_operator::api::BatchInferenceJob;
use batch_inference_operator::api::condition::ConditionType;
use batch_inference_operator::api::phase::Phase;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::commands::kill_container;
use super::job::Job;
use super::rows::{chat, chats};
use super::s3_proxy::{Fault, Which};
use super::stages::{
    count_codes, in_flight, phase, stopping, suspend, until_held_row_is_sent_again, until_seen, until_stopping,
};
use super::tenant::{PATIENCE, Tenant, container_id, end_of};
use super::until::until;

/// More rows than one server takes at once.
const ROWS: usize = 300;
/// What a server gets at once, of which nothing is known.
const IN_FLIGHT: usize = 64;
/// Enough for a job that is resumed to come to its end on a busy machine.
const DEADLINE_SECONDS: i64 = 90;

fn started(job: &BatchInferenceJob) -> Timestamp {
    let status = job.status.as_ref().expect("a status");
    status.controller.start_time.clone().expect("a start").0
}

#[tokio::test]
async fn a_suspended_job_outlives_its_deadline_and_has_all_of_its_time_when_it_is_resumed() {
    let tenant = Tenant::start("suspended-late").await;
    let rows = in_flight(&tenant, Job::new(&tenant, "job"), "job").await;
    suspend(&tenant, "job").await;
    let deadline = started(&tenant.job("job").await) + SignedDuration::from_secs(DEADLINE_SECONDS);
    until("the deadline has passed", PATIENCE, async || {
        (Timestamp::now() > deadline).then_some(())
    })
    .await;
    tenant
        .patch_spec("job", &json!({"activeDeadlineSeconds": DEADLINE_SECONDS}))
        .await;
    let job = until_seen(&tenant, "job").await;
    assert_eq!((phase(&job), stopping(&job)), (Some(Phase::Suspended), None));

    tenant.patch_spec("job", &json!({"suspend": false})).await;
    until_held_row_is_sent_again(&tenant).await;
    tenant.release("job", "held").await;
    tenant.complete("job", &rows).await;
}

#[tokio::test]
async fn a_deadline_that_passes_while_a_job_stops_changes_nothing() {
    let tenant = Tenant::start("stopped-late").await;
    let rows = chats(ROWS, &json!({"hold": "held"}));
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "job")).await;
    tenant.until_received(IN_FLIGHT).await;
    tenant.patch_spec("job", &json!({"shutdown": "Stop"})).await;
    let first = stopping(&until_stopping(&tenant, "job").await);
    tenant.patch_spec("job", &json!({"activeDeadlineSeconds": 1})).await;
    assert_eq!(stopping(&until_seen(&tenant, "job").await), first);

    tenant.release("job", "held").await;
    let job = tenant.end("job").await;
    assert_eq!(end_of(&job), "Failed: Cancelled");
    assert_eq!(stopping(&job), first);
    let output = tenant.output("job").await;
    output.prove(&rows);
    let sent = tenant.received().len();
    assert_eq!(output.results.lines().count(), sent, "what was sent has its answer");
    assert_eq!(count_codes(&output.errors, "batch_cancelled"), ROWS - sent);
}

#[tokio::test]
async fn a_job_that_is_shut_down_when_its_time_was_over_is_out_of_time() {
    let (tenant, proxy) = Tenant::behind_proxy("late-stopped").await;
    let rows = in_flight(&tenant, Job::new(&tenant, "job"), "job").await;
    // So that there is a moment between the decision and the end.
    proxy.fail(Which::puts().of("/stopped.json"), Fault::Answer(503, "SlowDown"));
    tenant.patch_spec("job", &json!({"activeDeadlineSeconds": 1})).await;
    let first = stopping(&until_stopping(&tenant, "job").await);
    tenant.patch_spec("job", &json!({"shutdown": "Stop"})).await;
    let job = until_seen(&tenant, "job").await;
    assert_eq!((end_of(&job).as_str(), stopping(&job)), ("no end", first.clone()));

    proxy.heal();
    let job = tenant.end("job").await;
    assert_eq!(
        (end_of(&job).as_str(), stopping(&job)),
        ("Failed: DeadlineExceeded", first)
    );
    let output = tenant.output("job").await;
    output.prove(&rows);
    assert_eq!(count_codes(&output.errors, "batch_expired"), 1);
}

#[tokio::test]
async fn a_job_whose_tokens_are_used_up_gives_up_its_row_in_flight() {
    let tenant = Tenant::start("budget").await;
    let rows = chats(20, &json!({"hold": "first"})) + &chat("held", "", &json!({"hold": "held"}));
    tenant.put("rows.jsonl", &rows).await;
    // Less than the answers to the first rows cost.
    let job = Job::new(&tenant, "job").set("/budget", json!({"maxTotalTokens": 80}));
    tenant.submit(&job).await;
    tenant.until_received(21).await;
    let received = tenant.received();
    tenant.release("job", "first").await;

    let job = tenant.end("job").await;
    assert_eq!(end_of(&job), "Failed: BudgetExceeded");
    let usage = job.status.and_then(|status| status.reported.usage).expect("a usage");
    assert!(usage.total_tokens > 80, "{usage:?}");
    let output = tenant.output("job").await;
    output.prove(&rows);
    let answered = output.results.lines().count();
    assert!((1..=20).contains(&answered), "{answered}");
    assert_eq!(count_codes(&output.errors, "batch_failed"), 21 - answered);
    assert!(output.errors.contains("\"held\""), "{}", output.errors);
    assert_eq!(tenant.received(), received, "rows were sent again");
}

#[tokio::test]
async fn a_feeder_that_is_killed_while_a_job_stops_leaves_the_end_to_the_next_one() {
    let tenant = Tenant::start("stopped-killed").await;
    let rows = in_flight(&tenant, Job::new(&tenant, "job"), "job").await;
    let received = tenant.received();
    tenant.patch_spec("job", &json!({"shutdown": "Stop"})).await;
    let job = until_stopping(&tenant, "job").await;
    let feeder = container_id(&tenant.feeder_pod(&job).await, "feeder").expect("a feeder that runs");
    kill_container(&feeder).await;

    let job = tenant.end("job").await;
    assert_eq!(end_of(&job), "Failed: Cancelled");
    let feeder = job.status.and_then(|status| status.reported.feeder);
    assert_eq!(feeder.map(|feeder| feeder.attempt), Some(2));
    let output = tenant.output("job").await;
    output.prove(&rows);
    assert_eq!(output.results.lines().count(), 20);
    assert_eq!(count_codes(&output.errors, "batch_cancelled"), 1);
    assert_eq!(tenant.received(), received, "rows were sent again");
}

#[tokio::test]
async fn a_job_that_is_shut_down_while_another_has_its_output_leaves_that_one_alone() {
    let tenant = Tenant::start("in-use").await;
    let rows = in_flight(&tenant, Job::new(&tenant, "older"), "older").await;
    let younger = Job::new(&tenant, "younger").set("/output/uri", json!(tenant.uri("older/")));
    tenant.submit(&younger).await;
    tenant
        .until_reason("younger", ConditionType::Validated, "OutputInUse")
        .await;
    let received = tenant.received();
    tenant.patch_spec("younger", &json!({"shutdown": "Stop"})).await;
    let ended = tenant.end("younger").await;
    assert_eq!(end_of(&ended), "Failed: Cancelled");
    assert_eq!(ended.status.and_then(|status| status.reported.results), None);

    tenant.release("older", "held").await;
    tenant.complete("older", &rows).await;
    assert_eq!(tenant.received(), received, "rows were sent again");
}
