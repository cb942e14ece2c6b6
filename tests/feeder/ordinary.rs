//! A job without any trouble.

use std::time::Instant;

use serde_json::json;

use crate::kubernetes::NAMESPACE;
use crate::process::program_with_open_files;
use crate::rows::{held_line, ids, lines};
use crate::until::{AT_ONCE, until};
use crate::world::{JOB, World};

#[tokio::test]
async fn three_hundred_rows_through_two_servers_come_back_in_order_and_each_was_sent_once() {
    let dataset = lines(299) + &held_line("row-299", "last");
    let mut world = World::new("ordinary", &dataset).await;
    world.add_server("server-a");
    world.add_server("server-b");
    let feeder = world.start();
    world.until_servers_are_needed().await;
    for server in ["server-a", "server-b"] {
        world.server(server).release_all();
    }
    assert_eq!(feeder.exit_code().await, 0);
    world.assert_nothing_was_refused();
    let status = world.status();

    let output = world.output().await;
    output.prove(&dataset);
    assert_eq!((output.results.lines().count(), output.errors.as_str()), (300, ""));
    let job = json!({"namespace": NAMESPACE, "name": JOB, "uid": world.uid});
    assert_eq!(output.manifest["job"], job);

    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded");
    assert_eq!(status["feeder"]["attempt"], 1);
    assert_eq!(status["dataset"]["rows"], 300);
    assert_eq!(status["dataset"]["sha256"], output.manifest["dataset"]["sha256"]);
    assert_eq!(
        status["progress"],
        json!({"total": 300, "completed": 300, "failed": 0, "percent": 100})
    );
    assert_eq!(status["usage"], output.manifest["usage"]);
    assert_eq!(
        (&status["results"]["rows"], &status["results"]["errors"]),
        (&json!(300), &json!(0))
    );
    assert_eq!(world.servers_needed(), [false, true, false]);

    let counts = world.counts();
    assert!(
        counts.values().all(|count| (count.received, count.answered) == (1, 1)),
        "{counts:?}"
    );
    assert!(counts.keys().cloned().eq(ids(300)));
    for server in ["server-a", "server-b"] {
        assert!(!world.server(server).requests().is_empty(), "{server} was not used");
    }
}

#[tokio::test]
async fn a_feeder_waits_until_the_controller_has_decided_and_a_server_is_ready() {
    let dataset = lines(1);
    let mut world = World::new("waits", &dataset).await;
    let mut undecided = world.job("rows.jsonl");
    undecided["status"] = json!({});
    world.kubernetes.put_job(undecided);
    let feeder = world.start();
    world.until_attempt(1).await;
    let mut decided = world.job("rows.jsonl");
    decided["status"]["feeder"] = world.status()["feeder"].clone();
    world.kubernetes.put_job(decided);
    world.until_servers_are_needed().await;
    let ready = Instant::now();
    world.add_server("server");
    assert_eq!(feeder.exit_code().await, 0);
    let used_after = world.server("server").answers()[0].received - ready;
    assert!(used_after <= AT_ONCE, "{used_after:?}");
    world.output().await.prove(&dataset);
    world.assert_nothing_was_refused();
}

#[tokio::test]
async fn an_api_server_that_is_away_holds_up_no_row() {
    let all: Vec<_> = ids(20).collect();
    let dataset: String = all.iter().map(|id| held_line(id, "later")).collect();
    let mut world = World::with_server("away", &dataset).await;
    let feeder = world.start();
    until("all rows are sent", async || world.counts().len() == 20).await;
    until("progress is told", async || {
        world.status()["progress"]["completed"] == 0
    })
    .await;
    world.kubernetes.set_away(true);
    world.server("server").release_all();
    world.until_durable(&all).await;
    assert_eq!(world.status()["progress"]["completed"], 0);
    world.kubernetes.set_away(false);
    assert_eq!(feeder.exit_code().await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
}

#[tokio::test]
async fn no_more_rows_are_in_flight_than_open_files_allow() {
    let dataset: String = ids(40).map(|id| held_line(&id, &id)).collect();
    let mut world = World::with_server("open-files", &dataset).await;
    // All but eight are for something else than rows.
    let feeder = world.start_as(&program_with_open_files(128 + 8));
    world.until_received(8).await;
    let one = world.counts().into_keys().next().expect("a row in flight");
    world.server("server").release(&one);
    world.until_received(9).await;
    assert_eq!(world.counts().len(), 9, "one more for one that is done");
    world.server("server").release_all();
    assert_eq!(feeder.exit_code().await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
}
