//! Servers that go away.

use serde_json::json;

use crate::rows::{held_line, ids};
use crate::until::until;
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
    world.kubernetes.delete_server("server");
    world.add_server("server-b").release_all();
    assert_eq!(feeder.exit_code().await, 0);
    world.output().await.prove(&dataset);
    assert_eq!(world.server("server-b").requests().len(), ROWS);
}
