//! Several jobs with the same work on one output, one after the other or at once.

use std::time::Duration;

use serde_json::json;

use crate::process::FeederProcess;
use crate::rows::{held_line, ids, lines};
use crate::s3_proxy::{Fault, Which};
use crate::until::{PATIENCE, until, until_within};
use crate::world::World;

/// Rows of which the first so many are answered at once, and the others when `later` is released.
fn dataset(answered: usize, held: usize) -> String {
    let held = ids(answered + held).skip(answered);
    lines(answered) + &held.map(|id| held_line(&id, "later")).collect::<String>()
}

/// A job that has five of ten rows, and whose other five are held.
async fn half_done(folder: &str) -> (World, FeederProcess, String) {
    let dataset = dataset(5, 5);
    let mut world = World::with_server(folder, &dataset).await;
    let feeder = world.start();
    world.until_durable(&ids(5).collect::<Vec<_>>()).await;
    (world, feeder, dataset)
}

#[tokio::test]
async fn a_job_that_is_deleted_and_applied_again_asks_only_for_what_is_missing() {
    let dataset = dataset(60, 40);
    let done: Vec<_> = ids(60).collect();
    let mut world = World::with_server("deleted", &dataset).await;
    let feeder = world.start();
    world.until_durable(&done).await;
    // The job is gone when its pod is told to end, so it leaves the output to others at once.
    world.create_again("2", "rows.jsonl");
    feeder.terminate().await;
    let before = world.counts();

    world.server("server").release_all();
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded");
    let output = world.output().await;
    output.prove(&dataset);
    assert_eq!(output.manifest["job"]["uid"], "2");
    let counts = world.counts();
    for id in &done {
        assert_eq!(
            (before[id].received, counts[id].received),
            (1, 1),
            "{id} was sent again"
        );
    }
    assert!(ids(100).skip(60).all(|id| counts[&id].answered >= 1));
}

#[tokio::test]
async fn finished_work_is_reused_with_no_server_when_the_job_comes_back_without_its_status() {
    let dataset = lines(3);
    let mut world = World::with_server("restored-job", &dataset).await;
    assert_eq!(world.run().await["feeder"]["reason"], "AllRowsSucceeded");
    let requests = world.counts();

    let mut restored = world.rival("2").await;
    let status = restored.run().await;
    assert_eq!(status["feeder"]["reason"], "ResultsReused");
    assert_eq!(status["progress"]["completed"], 3);
    assert_eq!(restored.servers_needed(), [false]);
    assert_eq!(world.counts(), requests);
}

#[tokio::test]
async fn of_two_living_jobs_the_younger_waits_without_a_server_and_takes_what_the_older_leaves() {
    let (mut older, older_feeder, dataset) = half_done("in-use").await;

    let mut younger = older.rival("2").await;
    younger.add_server("server-of-younger");
    let younger_feeder = younger.start();
    let status = younger.until_waits("OutputInUse").await;
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(
        message.contains("job tests/triangles works on the same rows"),
        "{message}"
    );
    assert_eq!(status["feeder"]["serversNeeded"], false);

    // The older job's feeder may die and come back: the lease is its own.
    older_feeder.kill().await;
    older.server("server").release_all();
    assert_eq!(older.run().await["feeder"]["reason"], "AllRowsSucceeded");
    assert_eq!(younger_feeder.exit_code().await, 0);
    let status = younger.status();
    assert_eq!(status["feeder"]["reason"], "ResultsReused", "{status}");
    assert!(younger.counts().is_empty());
    assert_eq!(younger.servers_needed(), [false]);
    older.output().await.prove(&dataset);
}

#[tokio::test]
async fn a_job_whose_role_goes_before_its_feeder_leaves_its_output_to_the_next_at_once() {
    let (older, feeder, dataset) = half_done("role-gone").await;
    older.kubernetes.remove_role();
    assert_eq!(feeder.terminate().await, 143);

    let mut younger = older.rival("2").await;
    younger.add_server("server-of-younger").release_all();
    assert_eq!(younger.run().await["feeder"]["reason"], "AllRowsSucceeded");
    assert!(!younger.has_said("OutputInUse"), "the lease was not given back");
    younger.output().await.prove(&dataset);
}

#[tokio::test]
async fn work_that_ends_while_another_job_looks_whether_it_is_done_is_not_done_again() {
    let (older, older_feeder, dataset) = half_done("done-meanwhile").await;

    let mut younger = older.rival("2").await;
    younger.add_server("server-of-younger").release_all();
    let proxy = younger.put_s3_proxy().await;
    // It has seen no manifest then, and sees the lease only when the older job is over.
    let held_up = Fault::Delay(Duration::from_secs(10));
    proxy.fail(Which::gets().of("leases").times(1), held_up);
    let younger_feeder = younger.start();
    until("it looks at the lease", async || proxy.failed() == 1).await;
    older.server("server").release_all();
    assert_eq!(older_feeder.exit_code().await, 0);
    assert_eq!(younger_feeder.exit_code().await, 0);
    assert_eq!(younger.status()["feeder"]["reason"], "ResultsReused");
    assert!(younger.counts().is_empty());
    older.output().await.prove(&dataset);
}

#[tokio::test]
async fn a_job_that_is_killed_for_good_leaves_its_output_to_the_next_within_two_minutes() {
    let (older, feeder, dataset) = half_done("killed-for-good").await;
    feeder.kill().await;

    let mut younger = older.rival("2").await;
    younger.add_server("server-of-younger");
    let feeder = younger.start();
    younger.until_waits("OutputInUse").await;
    younger.server("server-of-younger").release_all();
    // A lease lives for most of a test's usual patience.
    let begins = async || !younger.counts().is_empty();
    until_within(PATIENCE * 2, "the lease expires and rows are sent", begins).await;
    assert_eq!(feeder.exit_code().await, 0);
    assert_eq!(younger.status()["feeder"]["reason"], "AllRowsSucceeded");
    assert!(
        ids(5).all(|id| !younger.counts().contains_key(&id)),
        "a durable row was sent again"
    );
    younger.output().await.prove(&dataset);
}

#[tokio::test]
async fn an_output_that_must_be_empty_is_refused_to_others_and_not_to_a_restart() {
    let dataset = dataset(2, 1);
    let mut world = World::with_server("fail", &dataset).await;
    world.output_spec["ifExists"] = json!("Fail");
    world.create_again("1", "rows.jsonl");
    let feeder = world.start();
    world.until_durable(&ids(2).collect::<Vec<_>>()).await;
    feeder.kill().await;
    world.server("server").release_all();
    assert_eq!(world.run().await["feeder"]["reason"], "AllRowsSucceeded");
    let (before, requests) = (world.output().await, world.counts());

    world.create_again("2", "rows.jsonl");
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "OutputNotEmpty");
    let message = status["feeder"]["message"].as_str().unwrap();
    for part in [
        "s3://test-bucket/fail/out/job.json",
        "job tests/triangles (uid 1)",
        "ifExists is Fail",
        "Resume",
    ] {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
    assert_eq!(status.get("dataset"), None, "the data set was read before");
    assert_eq!(
        (world.counts(), world.output().await.results),
        (requests, before.results)
    );
}
