//! A data set that is stored compressed.

use std::io::Write;

use batch_inference_operator::results::Checksum;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::rows::{held_line, ids, lines};
use crate::world::World;

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_compressed_data_set_is_gone_on_with_after_a_kill() {
    let (early, all) = (30, 80);
    let held: String = ids(all).skip(early).map(|id| held_line(&id, "late")).collect();
    let dataset = lines(early) + &held;
    // Two members, as of two files that were put together.
    let (first, second) = dataset.split_at(dataset.len() / 3);
    let stored = [gzip(first), gzip(second)].concat();
    let mut world = World::with_server("compressed", &dataset).await;
    world.put_dataset("rows.jsonl.gz", &stored).await;
    world.kubernetes.put_job(world.job("rows.jsonl.gz"));
    let feeder = world.start();
    let early: Vec<String> = ids(early).collect();
    world.until_durable(&early).await;
    feeder.kill().await;
    world.server("server").release_all();
    let status = world.run().await;

    assert_eq!(status["feeder"]["attempt"], 2);
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded");
    assert_eq!(status["dataset"]["rows"], all);
    assert_eq!(status["dataset"]["bytes"], stored.len());
    let output = world.output().await;
    assert_eq!(output.manifest["dataset"]["sha256"], Checksum::of(&stored).to_string());
    let answered = output.results.lines().map(|line| {
        let row: Value = serde_json::from_str(line).unwrap();
        row["custom_id"].as_str().unwrap().to_owned()
    });
    assert!(answered.eq(ids(all)));
    let counts = world.counts();
    assert!(early.iter().all(|id| counts[id].received == 1), "{counts:?}");
}

#[tokio::test]
async fn a_compressed_data_set_that_is_cut_off_costs_no_server() {
    let stored = gzip(&lines(100));
    let mut world = World::with_server("cut-off", &lines(1)).await;
    world.put_dataset("rows.jsonl.gz", &stored[..stored.len() - 5]).await;
    world.kubernetes.put_job(world.job("rows.jsonl.gz"));
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "DatasetInvalid");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(
        message.contains("cut-off/rows.jsonl.gz` is not readable as gzip after"),
        "{message}"
    );
    assert!(message.contains("it is cut off here; upload all of it"), "{message}");
    assert!(world.servers_needed().iter().all(|needed| !needed));
}
