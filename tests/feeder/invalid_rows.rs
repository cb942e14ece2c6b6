//! Data sets with bad rows that their jobs go on without: `invalidRows: Skip`.

use batch_inference_operator::dataset::MAX_ROW_BYTES;
use batch_inference_operator::results::SEGMENTS;
use serde_json::{Value, json};

use crate::rows::{held_line, line, line_with};
use crate::s3_proxy::{Fault, Which};
use crate::until::until;
use crate::world::World;

/// A world whose job skips invalid rows, and has that `rowPolicy`.
async fn skipping(folder: &'static str, dataset: &str, row_policy: &Value) -> World {
    let world = World::with_server(folder, dataset).await;
    let mut job = world.job("rows.jsonl");
    job["spec"]["dataset"]["invalidRows"] = json!("Skip");
    job["spec"]["rowPolicy"] = row_policy.clone();
    world.kubernetes.put_job(job);
    world
}

/// What the errors say of each invalid row: its line, and its name.
fn lines_and_names(errors: &[Value]) -> Vec<(u64, Value)> {
    let invalid = errors.iter().filter(|row| row["error"]["code"] == "invalid_row");
    invalid
        .map(|row| (row["error"]["line"].as_u64().unwrap(), row["custom_id"].clone()))
        .collect()
}

#[tokio::test]
async fn bad_rows_become_errors_with_their_lines_and_all_others_are_run() {
    let bad = line("named").replace("POST", "GET");
    let too_long = " ".repeat(MAX_ROW_BYTES + 1) + "\n";
    let dataset = [
        &line("a"),
        "\n",
        "{oops\n",
        &line("b"),
        &too_long,
        &bad,
        &line("a"),
        &line("c"),
    ]
    .concat();
    let mut world = skipping("skip", &dataset, &json!({})).await;
    let status = world.run().await;

    assert_eq!(status["feeder"]["reason"], "SomeRowsFailed");
    assert_eq!(
        status["progress"],
        json!({"total": 7, "completed": 3, "failed": 4, "percent": 100})
    );
    assert_eq!(status["dataset"]["skippedRows"], 4);
    let named: Vec<_> = status["dataset"]["invalidRows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["line"])
        .collect();
    assert_eq!(named, [3, 5, 6, 7]);
    // Proves it, too.
    let output = world.output().await;
    let errors = output.error_rows();
    assert_eq!(
        lines_and_names(&errors),
        [(3, Value::Null), (5, Value::Null), (6, json!("named")), (7, json!("a"))]
    );
    let message = errors[2]["error"]["message"].as_str().unwrap();
    assert!(message.contains("write \"POST\""), "{message}");
    let ids: Vec<Value> = output
        .results
        .lines()
        .map(|row| serde_json::from_str::<Value>(row).unwrap()["custom_id"].clone())
        .collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert!(
        world.counts().values().all(|count| count.received == 1),
        "{:?}",
        world.counts()
    );
}

#[tokio::test]
async fn a_restarted_feeder_skips_the_same_rows_and_reports_them_again() {
    let dataset = line("a") + "[]\n" + &held_line("b", "later");
    let mut world = skipping("skip-killed", &dataset, &json!({"maxFailedRows": 0})).await;
    let feeder = world.start();
    world.until_durable(&["a".to_owned()]).await;
    feeder.kill().await;
    world.server("server").release("later");
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "SomeRowsFailed");
    assert_eq!(status["dataset"]["skippedRows"], 1);
    assert_eq!(status["dataset"]["invalidRows"][0]["line"], 2);
    assert_eq!(lines_and_names(&world.output().await.error_rows()), [(2, Value::Null)]);
}

#[tokio::test]
async fn a_restart_that_finds_only_skipped_rows_left_needs_no_server() {
    let dataset = held_line("a", "later") + "[]\n" + &held_line("b", "later");
    let mut world = skipping("skip-left", &dataset, &json!({})).await;
    let proxy = world.put_s3_proxy().await;
    proxy.fail(Which::puts().of("/results.jsonl"), Fault::Answer(403, "AccessDenied"));
    let feeder = world.start();
    let store = world.output_store();
    let segments = async || store.list(SEGMENTS).await.unwrap();
    until("the skipped row is durable", async || segments().await.len() == 1).await;
    let skipped = segments().await.remove(0).key;
    world.server("server").release_all();
    assert_eq!(feeder.exit_code().await, 1, "the results are refused");
    assert_eq!(segments().await.len(), 2);
    store.delete([skipped].into_iter()).await.unwrap();

    proxy.heal();
    world.crash_server("server");
    assert_eq!(world.run().await["feeder"]["reason"], "SomeRowsFailed");
    assert_eq!(world.servers_needed(), [false, true, false]);
    let output = world.output().await;
    assert_eq!(output.results.lines().count(), 2);
    assert_eq!(lines_and_names(&output.error_rows()), [(2, Value::Null)]);
}

#[tokio::test]
async fn skipped_rows_are_none_of_those_that_may_not_fail() {
    let dataset = "{}\n".repeat(150) + &line("good") + &line_with("refused", &json!({"status": "400"}));
    let mut world = skipping("skip-may-fail", &dataset, &json!({"maxFailedRows": 1})).await;
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "SomeRowsFailed", "{status}");
    assert_eq!(lines_and_names(&world.output().await.error_rows()).len(), 150);
}

#[tokio::test]
async fn a_job_that_stops_early_tells_invalid_rows_from_those_that_were_not_run() {
    let dataset = line_with("refused", &json!({"status": "400"})) + &held_line("held", "never") + "[]\n";
    let mut world = skipping("skip-stopped", &dataset, &json!({"maxFailedRows": 0})).await;
    assert_eq!(world.run().await["feeder"]["reason"], "TooManyFailedRows");
    let errors = world.output().await.error_rows();
    let codes: Vec<_> = errors.iter().map(|row| &row["error"]["code"]).collect();
    assert_eq!(codes, [&Value::Null, &json!("batch_failed"), &json!("invalid_row")]);
}

#[tokio::test]
async fn a_job_that_does_not_skip_is_refused_where_another_one_has() {
    let dataset = line("a") + "[]\n";
    let mut world = skipping("skip-then-fail", &dataset, &json!({})).await;
    world.run().await;
    world.create_again("2", "rows.jsonl");
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "DatasetInvalid", "{status}");
}

#[tokio::test]
async fn a_data_set_without_a_good_row_is_refused_all_the_same() {
    let mut world = skipping("skip-all", "[]\n{}\n", &json!({})).await;
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "DatasetInvalid");
    assert_eq!(world.servers_needed(), [false]);
}
