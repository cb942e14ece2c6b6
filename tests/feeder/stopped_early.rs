//! Jobs that stop before all of their rows were run.

use serde_json::{Value, json};

use crate::rows::{held_line, ids, line, line_with};
use crate::s3_proxy::{Fault, Which};
use crate::until::until;
use crate::world::World;

/// A world whose job has that `rowPolicy`.
async fn world_with(folder: &'static str, dataset: &str, row_policy: &Value) -> World {
    let world = World::with_server(folder, dataset).await;
    let mut job = world.job("rows.jsonl");
    job["spec"]["rowPolicy"] = row_policy.clone();
    world.kubernetes.put_job(job);
    world
}

fn codes(rows: &[Value]) -> Vec<&str> {
    rows.iter()
        .map(|row| row["error"]["code"].as_str().unwrap_or("answered"))
        .collect()
}

#[tokio::test]
async fn more_failed_rows_than_may_stop_the_job_and_what_is_there_are_its_results() {
    let refused = |id: &str| line_with(id, &json!({"status": "400", "hold": "refused"}));
    let held: String = ids(300).map(|id| held_line(&id, "never")).collect();
    let dataset = line("good") + &refused("a") + &refused("b") + &held;
    let mut world = world_with("too-many", &dataset, &json!({"maxFailedRows": 1})).await;
    let feeder = world.start();
    world.until_durable(&["good".to_owned()]).await;
    world.server("server").release("refused");
    assert_eq!(feeder.exit_code().await, 0);
    let status = world.status();
    let feeder = &status["feeder"];
    assert_eq!(feeder["reason"], "TooManyFailedRows");
    let message = feeder["message"].as_str().unwrap();
    assert!(
        message.contains("2 rows failed, and rowPolicy.maxFailedRows allows 1"),
        "{message}"
    );
    let output = world.output().await;
    output.prove(&dataset);
    let errors = output.error_rows();
    let codes = codes(&errors);
    assert_eq!(
        codes.iter().filter(|code| **code == "batch_failed").count() + 3,
        303,
        "{codes:?}"
    );
    assert_eq!(codes[..2], ["answered", "answered"]);
    assert_eq!(world.servers_needed(), [false, true, false]);

    // The same work applied again, without its status, has ended already.
    let sent = world.counts();
    world.create_again("2", "rows.jsonl");
    assert_eq!(world.run().await["feeder"]["reason"], "TooManyFailedRows");
    assert_eq!(world.counts(), sent);
}

#[tokio::test]
async fn rows_that_all_fail_alike_stop_the_job_and_the_failure_is_quoted() {
    let dataset: String = ids(1000).map(|id| line_with(&id, &json!({"status": "400"}))).collect();
    let mut world = World::with_server("alike", &dataset).await;
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "RowsFailAlike");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(
        message.contains("the first 100 rows all failed the same way: 400 scripted"),
        "{message}"
    );
    world.output().await.prove(&dataset);
    assert!(world.counts().len() < 1000, "the rest was never sent");
}

#[tokio::test]
async fn a_feeder_killed_while_it_stops_the_job_sends_no_more_rows() {
    let dataset: String = ids(20).map(|id| line(&id)).collect();
    let mut world = World::with_server("stopped", &dataset).await;
    let store = world.store("out");
    let proxy = world.put_s3_proxy().await;
    // It gets as far as the claim, and sends nothing.
    proxy.fail(Which::puts().of("/index.json"), Fault::Silence);
    let feeder = world.start();
    let is_claimed = async || store.size("job.json").await.unwrap().is_some();
    until("the output is claimed", is_claimed).await;
    feeder.kill().await;
    proxy.heal();
    let stopped = json!({
        "format": "batchinference.dev/stopped/v1", "outcome": "TooManyFailedRows", "code": "batch_failed",
        "message": "enough", "at": "2026-11-25T01:00:00Z",
    });
    store.create("stopped.json", stopped.to_string()).await.unwrap();
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "TooManyFailedRows");
    assert_eq!(status["progress"]["failed"], 20);
    assert!(world.counts().is_empty());
    assert_eq!(world.servers_needed(), [false], "no server was needed");
}

#[tokio::test]
async fn attempts_and_their_time_are_those_of_the_job() {
    let dataset = line_with("slow", &json!({"hold": "never"})) + &line_with("failing", &json!({"status": "500"}));
    let policy = json!({"maxAttempts": 2, "attemptTimeoutSeconds": 5});
    let mut world = world_with("policy", &dataset, &policy).await;
    assert_eq!(world.run().await["feeder"]["reason"], "AllRowsFailed");
    let errors = world.output().await.error_rows();
    assert_eq!(errors[0]["error"]["message"], "no answer within 5 s");
    assert_eq!(errors[1]["response"]["status_code"], 500);
    let counts = world.counts();
    assert_eq!(counts["failing"].received, 2);
    // While the server shows no life at all, a time without an answer is not put down to the row: at most twice.
    assert!((2..=4).contains(&counts["slow"].received), "{counts:?}");
}
