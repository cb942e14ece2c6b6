//! Servers that go away.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::fake_model_server::Settings;
use crate::rows::{held_line, ids, lines};
use crate::until::{AT_ONCE, until};
use crate::world::World;

/// Few enough that every server takes all of them at once.
const ROWS: usize = 12;

#[tokio::test]
async fn a_server_that_crashes_loses_no_row_and_fails_none() {
    let dataset: String = ids(ROWS).map(|id| held_line(&id, "later")).collect();
    let mut world = World::new("crash", &dataset).await;
    world.add_server("server-a");
    world.add_server("server-b");
    let feeder = world.start();
    let in_flight = || ["server-a", "server-b"].map(|it| world.server(it).in_flight());
    let busy = async || in_flight().iter().sum::<usize>() == ROWS;
    until("all rows are sent", busy).await;
    let lost = world.server("server-a").requests();
    assert!(!lost.is_empty() && lost.len() < ROWS, "both servers have some");

    world.crash_server("server-a");
    world.server("server-b").release_all();
    // It has more to do than before only when rows came back.
    world.until_answered(ROWS - lost.len() + 1).await;
    world.kubernetes.delete_server("server-a");
    world.add_server("server-c").release_all();
    assert_eq!(feeder.exit_code().await, 0);

    let status = world.status();
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded");
    assert_eq!(
        status["progress"],
        json!({"total": ROWS, "completed": ROWS, "failed": 0, "percent": 100})
    );
    let output = world.output().await;
    output.prove(&dataset);
    assert_eq!(output.errors, "");
    let counts = world.counts();
    assert!(lost.keys().all(|id| counts[id].answered == 1), "{counts:?}");
    world.assert_nothing_was_refused();
}

#[tokio::test]
async fn a_server_that_leaves_gives_its_rows_back_at_once() {
    let dataset: String = ids(ROWS).map(|id| held_line(&id, "later")).collect();
    let mut world = World::with_server("leaves", &dataset).await;
    let feeder = world.start();
    let busy = async || world.server("server").in_flight() == ROWS;
    until("the server has all rows", busy).await;

    // It lives on, and would hold its rows for ever.
    let gone = Instant::now();
    world.kubernetes.delete_server("server");
    world.add_server("server-b");
    let drained = async || world.server("server").in_flight() == 0;
    until("the server has no row any more", drained).await;
    let drained_after = gone.elapsed();
    assert!(drained_after <= AT_ONCE, "{drained_after:?}");
    world.server("server-b").release_all();
    assert_eq!(feeder.exit_code().await, 0);
    world.output().await.prove(&dataset);
    let answers = world.server("server-b").answers();
    assert_eq!(answers.len(), ROWS);
    for answer in answers {
        let (row, after) = (answer.id, answer.received - gone);
        assert!(after <= AT_ONCE, "{row} came to the other server after {after:?}");
    }
}

#[tokio::test]
async fn a_server_that_has_left_gets_no_more_rows() {
    let dataset = lines(2000);
    let mut world = World::new("left", &dataset).await;
    // Slow enough that rows are sent for some seconds after one has left: 400 a second.
    let slow = |settings: &mut Settings| {
        settings.latency = Duration::from_millis(20);
        settings.slots = 8;
    };
    world.add_server_with("server-a", slow);
    let feeder = world.start();
    world.until_answered(1).await;

    // It lives on, and would take them.
    let gone = Instant::now();
    world.kubernetes.delete_server("server-a");
    world.add_server_with("server-b", slow);
    assert_eq!(feeder.exit_code().await, 0);
    world.output().await.prove(&dataset);
    let sent_until = |server| world.server(server).last_received().unwrap() - gone;
    assert!(sent_until("server-a") <= AT_ONCE, "{:?}", sent_until("server-a"));
    assert!(
        sent_until("server-b") > AT_ONCE,
        "the test ends too early to show anything"
    );
}
