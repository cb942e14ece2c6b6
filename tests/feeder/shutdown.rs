//! Jobs that are to end, or to hold still, before all of their rows were run.

use std::collections::BTreeSet;
use std::time::Duration;

use batch_inference_operator::api::prices::Prices;
use serde_json::{Value, json};

use crate::process::FeederProcess;
use crate::rows::{held_line, ids, lines};
use crate::s3_proxy::{Fault, Which};
use crate::until::until;
use crate::world::World;

/// As many rows as a server gets at once, of which nothing is known.
const IN_FLIGHT: usize = 64;

/// The controller's decision.
fn stopping(reason: &str, mode: &str) -> Value {
    json!({"reason": reason, "mode": mode, "message": "as the test wants it", "since": "2026-11-24T10:00:00Z"})
}

/// A world with ten rows done, and many in flight that are answered when they are released.
async fn world_in_flight(folder: &'static str) -> (World, String, FeederProcess) {
    let held: String = (10..300)
        .map(|number| held_line(&format!("row-{number:03}"), "later"))
        .collect();
    let dataset = lines(10) + &held;
    let mut world = World::new(folder, &dataset).await;
    // More than that would wait in its queue, and is not sent.
    world.add_server_with("server", |settings| {
        settings.slots = IN_FLIGHT;
        // What is released at once still takes seconds.
        settings.latency = Duration::from_millis(500);
    });
    let feeder = world.start();
    world.until_durable(&ids(10).collect::<Vec<_>>()).await;
    until("many are in flight", async || {
        world.server("server").in_flight() >= IN_FLIGHT
    })
    .await;
    (world, dataset, feeder)
}

fn codes(errors: &[Value]) -> BTreeSet<&str> {
    errors.iter().filter_map(|row| row["error"]["code"].as_str()).collect()
}

#[tokio::test]
async fn stop_lets_the_rows_in_flight_finish_and_sends_no_more() {
    let (world, dataset, feeder) = world_in_flight("stop").await;
    world.tell_stopping(stopping("Cancelled", "Stop"));
    world.server("server").release_all();
    assert_eq!(feeder.exit_code().await, 0);
    let status = world.status();
    assert_eq!(status["feeder"]["reason"], "Cancelled");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(message.starts_with("as the test wants it; "), "{message}");
    let output = world.output().await;
    output.prove(&dataset);
    assert_eq!(output.manifest["outcome"], "Cancelled");
    let sent = world.counts().values().filter(|count| count.received > 0).count();
    assert_eq!(output.results.lines().count(), sent, "what was sent has its answer");
    assert!(sent < 300, "{sent}");
    assert_eq!(codes(&output.error_rows()), ["batch_cancelled"].into());
    assert_eq!(world.servers_needed(), [false, true, false]);
}

#[tokio::test]
async fn terminate_aborts_the_rows_in_flight() {
    let (world, dataset, feeder) = world_in_flight("terminate").await;
    world.tell_stopping(stopping("Cancelled", "Terminate"));
    assert_eq!(feeder.exit_code().await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "Cancelled");
    let output = world.output().await;
    output.prove(&dataset);
    assert_eq!(output.results.lines().count(), 10);
}

#[tokio::test]
async fn stop_may_become_terminate() {
    let (world, dataset, feeder) = world_in_flight("stop-terminate").await;
    world.tell_stopping(stopping("Cancelled", "Stop"));
    world.server("server").release("nothing");
    world.tell_stopping(stopping("Cancelled", "Terminate"));
    assert_eq!(feeder.exit_code().await, 0);
    let output = world.output().await;
    output.prove(&dataset);
    assert_eq!(output.results.lines().count(), 10);
}

#[tokio::test]
async fn a_feeder_that_starts_after_the_decision_needs_no_server() {
    let (mut world, dataset, feeder) = world_in_flight("late").await;
    feeder.kill().await;
    let sent = world.counts();
    let needed = world.servers_needed().len();
    world.tell_stopping(stopping("DeadlineExceeded", "Terminate"));
    assert_eq!(world.run().await["feeder"]["reason"], "DeadlineExceeded");
    let output = world.output().await;
    output.prove(&dataset);
    assert_eq!(codes(&output.error_rows()), ["batch_expired"].into());
    assert_eq!(world.counts(), sent);
    assert_eq!(world.servers_needed()[needed..], [false]);
}

#[tokio::test]
async fn a_decision_that_comes_when_all_rows_are_done_changes_nothing() {
    let mut world = World::with_server("all-done", &lines(10)).await;
    let proxy = world.put_s3_proxy().await;
    proxy.fail(Which::puts().of("/results.jsonl"), Fault::Answer(503, "SlowDown"));
    let feeder = world.start();
    until("it writes the results", async || {
        world.status()["feeder"]["state"] == "Finalizing"
    })
    .await;
    world.tell_stopping(stopping("Cancelled", "Terminate"));
    proxy.heal();
    assert_eq!(feeder.exit_code().await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&lines(10));
}

#[tokio::test]
async fn a_job_that_waits_for_another_ones_output_ends_without_results() {
    let (mut world, _, feeder) = world_in_flight("no-turn").await;
    let mut younger = world.rival("2").await;
    let waiting = younger.start();
    younger.until_waits("OutputInUse").await;
    younger.tell_stopping(stopping("Cancelled", "Stop"));
    assert_eq!(waiting.exit_code().await, 0);
    let status = younger.status();
    assert_eq!(
        (&status["feeder"]["reason"], &status["results"]),
        (&json!("Cancelled"), &Value::Null)
    );
    feeder.kill().await;
    world.server("server").release_all();
    assert_eq!(world.run().await["feeder"]["reason"], "AllRowsSucceeded");
}

#[tokio::test]
async fn a_budget_of_tokens_ends_the_job_with_what_is_there() {
    let dataset = lines(2000);
    let mut world = World::with_server("budget", &dataset).await;
    let mut job = world.job("rows.jsonl");
    job["spec"]["budget"] = json!({"maxTotalTokens": 1000});
    world.kubernetes.put_job(job);
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "BudgetExceeded");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("spec.budget.maxTotalTokens is 1000, and 10"),
        "{message}"
    );
    let output = world.output().await;
    output.prove(&dataset);
    assert_eq!(codes(&output.error_rows()), ["batch_failed"].into());
    let used = status["usage"]["totalTokens"].as_i64().unwrap();
    assert!((1001..2000).contains(&used), "{used}");
}

#[tokio::test]
async fn a_budget_of_money_ends_the_job_with_what_is_there_and_the_manifest_says_what_it_cost() {
    let dataset = lines(2000);
    let mut world = World::with_server("money", &dataset).await;
    let mut job = world.job("rows.jsonl");
    job["spec"]["budget"] = json!({"maxTokenCost": "0.0005"});
    world.kubernetes.put_job(job);
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "BudgetExceeded");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("spec.budget.maxTokenCost is 0.0005 USD, and the 10"),
        "{message}"
    );
    let output = world.output().await;
    output.prove(&dataset);
    assert_eq!(codes(&output.error_rows()), ["batch_failed"].into());
    let used = status["usage"]["totalTokens"].as_u64().unwrap();
    assert!((1001..2000).contains(&used), "{used}");
    let prices: Prices = serde_json::from_value(json!({"currency": "USD", "perMillionTokens": "0.50"})).unwrap();
    assert_eq!(
        output.manifest["cost"],
        json!({"tokenCost": prices.of_tokens(used), "prices": prices})
    );
}

#[tokio::test]
async fn a_job_that_does_not_run_has_no_rate() {
    let (mut world, dataset, feeder) = world_in_flight("suspended").await;
    until("a rate is said", async || {
        world.status()["progress"]["rowsPerSecond"].is_string()
    })
    .await;
    assert_eq!(feeder.terminate().await, 143);
    let status = world.status();
    assert_eq!(status["progress"]["rowsPerSecond"], Value::Null, "{status}");
    assert_eq!(status["progress"]["completed"], 10);
    world.server("server").release_all();
    assert_eq!(world.run().await["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
}
