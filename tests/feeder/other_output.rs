//! Outputs that are not a healthy bucket: claims, stores that are away, and no scratch disk to begin with.

use crate::rows::{held_line, ids, lines};
use crate::world::World;

/// The job of a world with its output on a claim.
async fn on_claim(folder: &'static str, dataset: &str) -> World {
    let mut world = World::with_server(folder, dataset).await;
    world.put_output_on_claim();
    world
}

#[tokio::test]
async fn an_output_on_a_claim_survives_a_kill_and_what_it_left_half_written_is_removed() {
    let dataset = lines(20) + &ids(30).skip(20).map(|id| held_line(&id, "later")).collect::<String>();
    let mut world = on_claim("claim", &dataset).await;
    let feeder = world.start();
    world.until_durable(&ids(20).collect::<Vec<_>>()).await;
    feeder.kill().await;
    let folder = world.claim.path().join("runs/first");
    for leftover in ["results.jsonl#1", "segments/a000001-00000009.seg#1"] {
        std::fs::write(folder.join(leftover), "cut off").unwrap();
    }

    world.server("server").release_all();
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded");
    assert_eq!(status["feeder"].get("warnings"), None);
    assert_eq!(status["results"]["uri"], "pvc://results/runs/first/results.jsonl");
    world.output().await.prove(&dataset);
    assert!(
        ids(20).all(|id| world.counts()[&id].received == 1),
        "a durable row was sent again"
    );
    let names = std::fs::read_dir(&folder)
        .unwrap()
        .chain(std::fs::read_dir(folder.join("segments")).unwrap());
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<_> = names.filter(|name| name.contains('#')).collect();
    assert_eq!(left, [""; 0]);
}

#[tokio::test]
async fn a_claim_that_cannot_be_written_is_waited_for_before_the_data_set_is_read() {
    let mut world = on_claim("claim-file", &lines(1)).await;
    // A file where a folder should be, as no permission holds back a test that runs as root.
    std::fs::write(world.claim.path().join("runs"), "").unwrap();
    let feeder = world.start();
    let status = world.until_waits("StoreUnavailable").await;
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(message.contains("pvc://results/runs/first/preflight/1"), "{message}");
    assert_eq!(status.get("dataset"), None);
    std::fs::remove_file(world.claim.path().join("runs")).unwrap();
    assert_eq!(feeder.exit_code().await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
}

#[tokio::test]
async fn a_store_that_is_away_for_long_is_a_reason_to_wait_and_every_answer_is_kept() {
    let dataset = lines(10) + &ids(20).skip(10).map(|id| held_line(&id, "later")).collect::<String>();
    let mut world = World::with_server("store-away", &dataset).await;
    let proxy = world.put_s3_proxy().await;
    let feeder = world.start();
    world.until_completed(10).await;
    proxy.go_away().await;
    world.server("server").release_all();
    let status = world.until_waits("StoreUnavailable").await;
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(
        message.contains("s3://test-bucket/store-away/out/segments/"),
        "{message}"
    );
    assert_eq!(status["progress"]["completed"], 10);
    proxy.come_back();
    assert_eq!(feeder.exit_code().await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
    assert!(world.counts().values().all(|count| count.received == 1));
}

#[tokio::test]
async fn a_scratch_directory_that_cannot_be_used_is_told_and_waited_for() {
    let dataset = lines(2);
    let mut world = World::with_server("scratch", &dataset).await;
    std::fs::remove_dir(&world.scratch).unwrap();
    std::fs::write(&world.scratch, "").unwrap();
    let feeder = world.start();
    let status = world.until_waits("ScratchUnusable").await;
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(message.contains("the scratch directory"), "{message}");
    assert_eq!(status["feeder"]["serversNeeded"], false);
    std::fs::remove_file(&world.scratch).unwrap();
    std::fs::create_dir(&world.scratch).unwrap();
    assert_eq!(feeder.exit_code().await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
}
