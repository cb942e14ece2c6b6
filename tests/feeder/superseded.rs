//! Two feeders of one job at once, as after the loss of a node.

use std::time::Duration;

use serde_json::json;

use crate::rows::{held_line, ids, line_with};
use crate::until::until;
use crate::world::{JOB, World};

#[tokio::test]
async fn a_feeder_that_wakes_up_after_the_job_was_finished_harms_nothing() {
    let dataset: String = ids(20).map(|id| held_line(&id, "later")).collect();
    let mut world = World::with_server("woken", &dataset).await;
    let first = world.start();
    world.until_received(20).await;
    first.pause().await;
    let second = world.start();
    until("the second has sent all too", async || {
        world.counts().values().all(|count| count.received == 2)
    })
    .await;
    world.server("server").release_all();
    assert_eq!(second.exit_code().await, 0);
    let (status, manifest) = (world.status(), world.output().await.manifest);
    first.resume().await;
    // Its rows were answered long ago; it finds the end decided.
    assert_eq!(first.exit_code().await, 0);
    assert_eq!(world.status(), status);
    let output = world.output().await;
    assert_eq!(output.manifest, manifest);
    output.prove(&dataset);
}

#[tokio::test]
async fn a_feeder_that_was_superseded_writes_no_status_and_its_rows_count_once() {
    let dataset: String = ids(20).map(|id| held_line(&id, "later")).collect();
    let mut world = World::with_server("superseded", &dataset).await;
    let first = world.start();
    until("the first feeder has sent all", async || {
        world.counts().values().filter(|it| it.received == 1).count() == 20
    })
    .await;
    let second = world.start();
    until("the second has sent all too", async || {
        world.counts().values().all(|it| it.received == 2)
    })
    .await;
    assert_eq!(world.status()["feeder"]["attempt"], 2);
    world.server("server").release_all();
    assert_eq!((first.exit_code().await, second.exit_code().await), (0, 0));

    world.output().await.prove(&dataset);
    let status = world.status();
    assert_eq!(
        (
            status["feeder"]["attempt"].as_i64(),
            status["feeder"]["reason"].as_str()
        ),
        (Some(2), Some("AllRowsSucceeded"))
    );
    let statuses = world.kubernetes.statuses(JOB);
    let attempts: Vec<_> = statuses
        .iter()
        .filter_map(|status| status["feeder"]["attempt"].as_i64())
        .collect();
    assert!(attempts.is_sorted(), "{attempts:?}");
}

/// Progress is told every six seconds, and a feeder learns then that another one works.
const LEARNS_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_feeder_that_wakes_up_beside_its_successor_ends_long_before_the_job_does() {
    let row = json!({"latency_ms": "40"});
    let dataset: String = ids(2500).map(|id| line_with(&id, &row)).collect();
    let mut world = World::new("zombie", &dataset).await;
    world.add_server_with("server", |settings| settings.slots = 4);
    let first = world.start();
    world.until_answered(100).await;
    first.pause().await;
    let second = world.start();
    world.until_attempt(2).await;
    first.resume().await;
    assert_eq!(first.exit_code_within(LEARNS_WITHIN).await, 0);
    assert_eq!(
        world.status()["feeder"]["state"],
        "Feeding",
        "the second one still works"
    );
    assert_eq!(second.exit_code().await, 0);
    world.output().await.prove(&dataset);
}
