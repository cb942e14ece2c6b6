//! An output in which a job has been before.

use std::collections::BTreeMap;

use batch_inference_operator::results::SEGMENTS;
use serde_json::json;

use crate::fake_model_server::Count;
use crate::output::Output;
use crate::rows::{MODEL, lines};
use crate::world::World;

#[tokio::test]
async fn the_same_work_of_a_job_that_was_created_again_is_reused_without_a_request() {
    let dataset = lines(3);
    let mut world = World::with_server("reused", &dataset).await;
    assert_eq!(world.run().await["feeder"]["reason"], "AllRowsSucceeded");
    let before = Before::of(&world).await;

    world.create_again("2", "rows.jsonl");
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "ResultsReused");
    assert_eq!(
        (
            status["progress"]["completed"].as_i64(),
            status["results"]["rows"].as_i64()
        ),
        (Some(3), Some(3))
    );
    before.assert_unchanged(&world).await;
}

#[tokio::test]
async fn results_that_are_reused_must_be_whole_as_the_segments_are_gone() {
    let dataset = lines(3);
    let mut world = World::with_server("cut-short", &dataset).await;
    world.run().await;
    assert_eq!(world.store("out").list(SEGMENTS).await.unwrap(), []);

    world.replace("out/results.jsonl", "").await;
    world.create_again("2", "rows.jsonl");
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "OutputNotEmpty");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(
        message.contains("cut-short/out/results.jsonl") && message.contains("its segments were removed"),
        "{message}"
    );
    assert!(world.counts().values().all(|count| count.received == 1));
}

#[tokio::test]
async fn a_name_that_a_later_job_does_not_have_is_refused_though_the_data_set_was_good_before() {
    let dataset = lines(3).replace(&format!("\"model\":\"{MODEL}\""), "\"model\":\"gpt-4o-mini\"");
    let mut world = World::with_server("fewer-names", &dataset).await;
    assert_eq!(world.run().await["feeder"]["reason"], "AllRowsSucceeded");

    "2".clone_into(&mut world.uid);
    let mut job = world.job("rows.jsonl");
    job["spec"]["server"]["servedModelNames"] = json!([]);
    world.kubernetes.put_job(job);
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "DatasetInvalid");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(message.contains("the model `gpt-4o-mini` of 3 rows"), "{message}");

    // With the name, and one more, it is the same work.
    "3".clone_into(&mut world.uid);
    let mut job = world.job("rows.jsonl");
    job["spec"]["server"]["servedModelNames"] = json!(["gpt-5", "gpt-4o-mini"]);
    world.kubernetes.put_job(job);
    assert_eq!(world.run().await["feeder"]["reason"], "ResultsReused");
}

#[tokio::test]
async fn the_output_of_other_work_is_refused_before_any_server_and_left_as_it_is() {
    let mut world = World::with_server("other", &lines(3)).await;
    world.run().await;
    let before = Before::of(&world).await;

    world.put_dataset("others.jsonl", &lines(4)).await;
    world.create_again("2", "others.jsonl");
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "OutputNotEmpty");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(
        message.contains("tests/triangles") && message.contains("s3://test-bucket/other/out"),
        "{message}"
    );
    before.assert_unchanged(&world).await;
}

#[tokio::test]
async fn a_job_that_has_ended_is_left_alone() {
    let mut world = World::with_server("ended", &lines(1)).await;
    let ended = world.run().await;
    assert_eq!(world.start().exit_code().await, 0);
    assert_eq!(world.status(), ended);
}

#[tokio::test]
async fn a_feeder_of_a_job_that_is_gone_ends_without_a_word() {
    let mut world = World::with_server("gone", &lines(1)).await;
    let mut other = world.job("rows.jsonl");
    other["metadata"]["uid"] = "2".into();
    world.kubernetes.put_job(other);
    assert_eq!(world.start().exit_code().await, 0);
    assert_eq!(world.status().get("feeder"), None);
    assert!(world.counts().is_empty());
}

/// What the first job did.
struct Before {
    output: Output,
    requests: BTreeMap<String, Count>,
    servers_needed: Vec<bool>,
}

impl Before {
    async fn of(world: &World) -> Self {
        Self {
            output: world.output().await,
            requests: world.counts(),
            servers_needed: world.servers_needed(),
        }
    }

    /// The second job needed no server, sent nothing, and left the output as it was.
    async fn assert_unchanged(self, world: &World) {
        let needed = world.servers_needed();
        assert_eq!(needed, self.servers_needed, "the second job needed servers");
        assert_eq!(world.counts(), self.requests);
        let after = world.output().await;
        let before = self.output;
        assert_eq!((after.results, after.manifest), (before.results, before.manifest));
    }
}
