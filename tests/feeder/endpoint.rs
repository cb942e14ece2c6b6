//! Rows that go to a server that someone else runs: nothing is started for them, and nothing in Kubernetes tells of it.

use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::fake_model_server::{FakeModelServer, Settings};
use crate::process::FeederProcess;
use crate::rows::{MODEL, ids, line, line_with, lines, row_with};
use crate::until::until;
use crate::world::World;

const KEY: &str = "sk-of-the-test";

/// A server that takes rows with this key only.
fn guarded() -> FakeModelServer {
    FakeModelServer::start(Settings::local(&[MODEL, "--api-key", KEY])).unwrap()
}

/// Has the rows go to this server.
fn send_to(world: &mut World, server: FakeModelServer, key: Option<&str>) {
    world.use_endpoint(server.address(), key);
    world.keep_server("endpoint", server);
}

fn open() -> FakeModelServer {
    FakeModelServer::start(Settings::local(&[MODEL])).unwrap()
}

/// Whatever a person can read of the job.
fn told(world: &World) -> String {
    let statuses: Vec<String> = world
        .kubernetes
        .statuses(crate::world::JOB)
        .iter()
        .map(Value::to_string)
        .collect();
    statuses.concat() + &world.logs()
}

#[tokio::test]
async fn rows_come_back_from_an_endpoint_that_asks_for_no_key() {
    let dataset = [
        lines(40),
        line_with("too-many", &json!({"status": "429", "times": "1", "retry_after": "1"})),
        line_with("error", &json!({"status": "500", "times": "1"})),
        line_with("cut", &json!({"cut": "reset", "times": "1"})),
        line_with("wrong", &json!({"status": "400"})),
    ]
    .concat();
    let mut world = World::new("endpoint", &dataset).await;
    send_to(&mut world, open(), None);
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "SomeRowsFailed");
    let output = world.output().await;
    output.prove(&dataset);
    assert_eq!(output.manifest["models"][0]["name"], MODEL);
    let counts = world.counts();
    for (id, received) in [("too-many", 2), ("error", 2), ("cut", 2), ("wrong", 1)] {
        assert_eq!(counts[id].received, received, "{id}");
    }
    assert!(ids(40).all(|id| counts[&id].answered == 1), "{counts:?}");
    assert_eq!(world.servers_needed(), [false, true, false]);
}

#[tokio::test]
async fn every_row_carries_the_model_and_the_key_that_nobody_is_shown() {
    let mut without_name = row_with("without-name", &json!({}));
    without_name["body"]["model"] = json!("");
    let dataset = format!("{without_name}\n{}", line("with-name"));
    let mut world = World::new("endpoint-key", &dataset).await;
    // A Secret that was made from a file ends with a line break.
    send_to(&mut world, guarded(), Some(&format!("{KEY}\n")));
    assert_eq!(world.run().await["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
    assert!(!told(&world).contains(KEY));
}

#[tokio::test]
async fn a_key_that_the_endpoint_refuses_ends_the_job_by_name() {
    let mut world = World::new("endpoint-wrong-key", &lines(5)).await;
    send_to(&mut world, guarded(), Some("sk-another"));
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "EndpointAccessDenied");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(
        message.contains("refuses requests with status 401") && message.contains("spec.endpoint.apiKeySecretRef"),
        "{message}"
    );
    assert_eq!(status.get("results"), None);
    assert!(!told(&world).contains("sk-another"));
}

#[tokio::test]
async fn an_endpoint_that_asks_for_a_key_refuses_rows_without_one() {
    let mut world = World::new("endpoint-no-key", &lines(5)).await;
    send_to(&mut world, guarded(), None);
    assert_eq!(world.run().await["feeder"]["reason"], "EndpointAccessDenied");
}

/// Starts the feeder, and lets the row go that is held under `name` when all five others are answered.
async fn start_and_release(world: &mut World, name: &str) -> FeederProcess {
    let feeder = world.start();
    world.until_completed(5).await;
    world.server("endpoint").release(name);
    feeder
}

#[tokio::test]
async fn a_row_that_is_refused_where_others_are_answered_fails_alone() {
    let flagged = line_with("flagged", &json!({"status": "403", "hold": "flagged"}));
    let dataset = [lines(5), flagged].concat();
    let mut world = World::new("endpoint-flagged", &dataset).await;
    send_to(&mut world, open(), None);
    let feeder = start_and_release(&mut world, "flagged").await;
    assert_eq!(feeder.exit_code().await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "SomeRowsFailed");
    world.output().await.prove(&dataset);
    assert_eq!(world.counts()["flagged"].received, 1);
}

#[tokio::test]
async fn a_key_that_was_replaced_is_read_anew_once() {
    let rotated = |times: &str| line_with("rotated", &json!({"status": "401", "times": times, "hold": "rotated"}));
    for (folder, times, reason) in [
        ("endpoint-new-key", "1", "AllRowsSucceeded"),
        ("endpoint-old-key", "2", "EndpointAccessDenied"),
    ] {
        let dataset = [lines(5), rotated(times)].concat();
        let mut world = World::new(folder, &dataset).await;
        send_to(&mut world, open(), None);
        let feeder = start_and_release(&mut world, "rotated").await;
        assert_eq!(feeder.exit_code().await, 1, "the next start has the key of then");
        assert_eq!(world.run().await["feeder"]["reason"], reason);
    }
}

#[tokio::test]
async fn a_row_for_another_model_is_refused_before_anything_is_sent() {
    let mut other = row_with("other", &json!({}));
    other["body"]["model"] = json!("gpt-4o-mini");
    let mut world = World::new("endpoint-other-model", &format!("{other}\n")).await;
    send_to(&mut world, open(), None);
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "DatasetInvalid");
    assert_eq!(world.counts().len(), 0);
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_waited_for_by_name() {
    let dataset = lines(5);
    let mut world = World::new("endpoint-away", &dataset).await;
    let mut settings = Settings::local(&[MODEL]);
    // Nobody listens there, and nobody else is given it.
    let kept = TcpSocket::new_v4().unwrap();
    kept.set_reuseaddr(true).unwrap();
    kept.bind(([127, 0, 0, 1], 0).into()).unwrap();
    settings.address = kept.local_addr().unwrap();
    world.use_endpoint(settings.address, None);
    let feeder = world.start();
    until("the job says what it waits for", async || {
        world.status()["feeder"]["reason"] == "EndpointUnreachable"
    })
    .await;
    world.keep_server("endpoint", FakeModelServer::start(settings).unwrap());
    assert_eq!(feeder.exit_code().await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
    drop(kept);
}
