//! A job that names its data set only: both data set and output are in the namespace's default store.

use serde_json::json;

use crate::rows::lines;
use crate::seaweedfs::BUCKET;
use crate::world::World;

/// A world whose job has nothing but a name for its data set, which is at this key.
async fn named(folder: &'static str, name: &str, key: &str, dataset: &str) -> World {
    let mut world = World::with_server(folder, "").await;
    world.set_default_store(Some(&format!("s3://{BUCKET}/{folder}")));
    world.put_dataset(key, dataset).await;
    world.change_spec(|spec| {
        spec["dataset"] = json!({"name": name});
        spec.as_object_mut().unwrap().remove("output");
    });
    // Where the test looks for it.
    world.output_spec = json!({"uri": format!("s3://{BUCKET}/{folder}/jobs/triangles/")});
    world
}

#[tokio::test]
async fn a_name_is_enough_and_the_same_job_applied_again_finds_its_results() {
    let dataset = lines(20);
    let mut world = named("default-store", "my_rows", "datasets/my_rows.jsonl", &dataset).await;
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded");
    let place = format!("s3://{BUCKET}/default-store");
    assert_eq!(
        status["results"]["uri"],
        format!("{place}/jobs/triangles/results.jsonl")
    );
    let manifest = world.output_store().read("manifest.json").await.unwrap().unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["dataset"]["uri"], format!("{place}/datasets/my_rows.jsonl"));

    world.create_again("2", "rows.jsonl");
    world.change_spec(|spec| {
        spec["dataset"] = json!({"name": "my_rows"});
        spec.as_object_mut().unwrap().remove("output");
    });
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "ResultsReused");
    assert!(world.counts().values().all(|count| count.received == 1));
}

#[tokio::test]
async fn a_data_set_that_is_not_there_is_told_with_where_it_was_looked_for() {
    let mut world = named("default-store-none", "other", "datasets/rows.jsonl", &lines(1)).await;
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "DatasetNotFound");
    let message = status["feeder"]["message"].as_str().unwrap();
    let place = format!("s3://{BUCKET}/default-store-none/datasets/other.jsonl");
    assert!(message.contains(&place), "{message}");
    assert_eq!(world.servers_needed(), [false]);
}

#[tokio::test]
async fn a_secret_that_does_not_say_where_the_store_is_ends_the_job_and_says_what_to_add() {
    let mut world = named("default-store-uri", "rows", "datasets/rows.jsonl", &lines(1)).await;
    world.set_default_store(None);
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "DatasetAccessDenied");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("the Secret batch-inference-store has no uri: add it, as s3://"),
        "{message}"
    );
    assert_eq!(world.servers_needed(), [false]);
}
