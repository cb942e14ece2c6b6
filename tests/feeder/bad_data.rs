//! Data sets that cannot be run: the job ends before any server is asked for, and says which line and why.

use serde_json::{Value, json};

use crate::rows::{MODEL, line, lines, row_with};
use crate::world::World;

/// Runs a job to an end that must come before any server is needed, and gives its status.
async fn refused_early(world: &mut World, reason: &str) -> Value {
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], reason, "{status}");
    assert_eq!(world.servers_needed(), [false]);
    assert!(world.counts().is_empty(), "a row was sent");
    status
}

/// The message must have each of the parts.
fn assert_says(status: &Value, parts: &[&str]) {
    let message = status["feeder"]["message"].as_str().unwrap();
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

/// A data set is refused, with the lines named in the status and the parts in the message.
async fn refuses(folder: &'static str, dataset: &str, lines: &[i64], parts: &[&str]) {
    let mut world = World::with_server(folder, dataset).await;
    let status = refused_early(&mut world, "DatasetInvalid").await;
    assert_says(&status, parts);
    let named = status["dataset"]["invalidRows"].as_array().cloned().unwrap_or_default();
    let named: Vec<_> = named.iter().map(|row| row["line"].as_i64().unwrap()).collect();
    assert_eq!(named, lines);
}

/// A row after a good one, with one field changed.
fn spoiled(field: &str, value: &Value) -> String {
    let mut row = row_with("spoiled", &json!({}));
    *row.pointer_mut(field).unwrap() = value.clone();
    format!("{}{row}\n", line("good"))
}

#[tokio::test]
async fn a_line_that_is_not_json_is_named() {
    let dataset = lines(6) + "{\"custom_id\": \"row-6\", oops}\n" + &line("row-7");
    refuses(
        "not-json",
        &dataset,
        &[7],
        &["1 of 8 rows is invalid", "line 7", "not JSON"],
    )
    .await;
}

#[tokio::test]
async fn a_custom_id_that_stands_twice_is_named_with_both_lines() {
    let dataset = lines(4) + &line("row-001");
    let parts = ["line 5", "`row-001` stands already in line 2"];
    refuses("duplicate", &dataset, &[5], &parts).await;
}

#[tokio::test]
async fn a_custom_id_that_is_a_number_is_named() {
    let dataset = spoiled("/custom_id", &json!(7));
    refuses(
        "number",
        &dataset,
        &[2],
        &["line 2", "custom_id is the number 7", "write it as a string"],
    )
    .await;
}

#[tokio::test]
async fn an_unknown_url_is_named_with_those_that_can_be_written() {
    let dataset = spoiled("/url", &json!("/v1/images"));
    refuses("url", &dataset, &[2], &["line 2", "/v1/images", "/v1/chat/completions"]).await;
}

#[tokio::test]
async fn a_model_that_nothing_serves_is_named_with_its_rows_and_what_to_write() {
    let rows = ["a", "b", "c"].map(|id| {
        let mut row = row_with(id, &json!({}));
        row["body"]["model"] = json!("gpt-5");
        format!("{row}\n")
    });
    let dataset = line("good") + &rows.concat();
    let parts = [
        "the model `gpt-5` of 3 rows (first in line 2)",
        "write `org/model`",
        "gpt-4o-mini",
        MODEL,
    ];
    refuses("model", &dataset, &[2], &parts).await;
}

#[tokio::test]
async fn a_data_set_without_rows_is_refused() {
    refuses("empty", "", &[], &["no rows"]).await;
}

#[tokio::test]
async fn a_data_set_that_is_not_there_is_named() {
    let mut world = World::with_server("missing", &lines(1)).await;
    world.create_again("2", "other.jsonl");
    let status = refused_early(&mut world, "DatasetNotFound").await;
    assert_says(&status, &["missing/other.jsonl", "does not exist", "spec.dataset"]);
}

#[tokio::test]
async fn a_key_that_the_store_refuses_is_told_with_where_it_comes_from() {
    let mut world = World::with_server("key", &lines(1)).await;
    world.set_key("DATASET_AWS_SECRET_ACCESS_KEY", "wrong");
    let status = refused_early(&mut world, "DatasetAccessDenied").await;
    assert_says(
        &status,
        &[
            "key/rows.jsonl",
            "AWS_ACCESS_KEY_ID",
            "spec.dataset.credentialsSecretRef",
        ],
    );
}

#[tokio::test]
async fn a_key_that_the_outputs_store_refuses_is_told_too() {
    let mut world = World::with_server("output-key", &lines(1)).await;
    world.set_key("OUTPUT_AWS_SECRET_ACCESS_KEY", "wrong");
    let status = refused_early(&mut world, "OutputNotWritable").await;
    assert_says(&status, &["output-key/out", "spec.output.credentialsSecretRef"]);
}
