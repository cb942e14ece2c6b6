//! Feeders that are ended in mid-run.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::output::durable;
use crate::rows::{held_line, ids, line, line_with, lines};
use crate::until::until;
use crate::world::World;

/// What a kill may cost: the answers of this time before it.
const DURABLE_WITHIN: Duration = Duration::from_secs(10);

/// Three times 30 rows that become durable before a kill and 20 that are answered right before it, and 50 for the last start.
fn dataset() -> String {
    let row = |(number, id): (usize, String)| {
        let (kill, within) = (number / 50, number % 50);
        let name = if within < 30 { "early" } else { "late" };
        held_line(&id, &format!("{name}-{kill}"))
    };
    ids(200).enumerate().map(row).collect()
}

#[tokio::test]
async fn rows_that_are_durable_are_not_sent_again_after_three_kills() {
    let dataset = dataset();
    let all: Vec<String> = ids(200).collect();
    let mut world = World::new("killed", &dataset).await;
    world.add_server("server-a");
    world.add_server("server-b");
    let release = |world: &World, name: &str| ["server-a", "server-b"].map(|server| world.server(server).release(name));
    let mut late = BTreeSet::new();
    for kill in 0..3 {
        let feeder = world.start();
        release(&world, &format!("early-{kill}"));
        world.until_answered(kill * 50 + 30).await;
        let answered = Instant::now();
        world.until_durable(&all[..kill * 50 + 30]).await;
        assert!(answered.elapsed() < DURABLE_WITHIN, "{:?}", answered.elapsed());
        assert_eq!(world.status()["feeder"]["attempt"], kill + 1);
        release(&world, &format!("late-{kill}"));
        world.until_answered(kill * 50 + 50).await;
        feeder.kill().await;
        late.extend(all[kill * 50 + 30..kill * 50 + 50].iter().cloned());
    }
    for server in ["server-a", "server-b"] {
        world.server(server).release_all();
    }
    let status = world.run().await;

    assert_eq!(status["feeder"]["attempt"], 4);
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
    assert_eq!(
        world.servers_needed(),
        [false, true, false],
        "servers stay while a feeder is restarted"
    );
    let counts = world.counts();
    let answered_again: BTreeSet<_> = counts
        .iter()
        .filter(|(_, count)| count.answered > 1)
        .map(|(id, _)| id)
        .collect();
    assert!(!answered_again.is_empty(), "the kills came too late to show anything");
    assert!(answered_again.iter().all(|id| late.contains(*id)), "{answered_again:?}");
    assert!(
        counts.values().all(|count| count.answered <= 2 && count.received <= 4),
        "{counts:?}"
    );
}

#[tokio::test]
async fn a_feeder_that_is_asked_to_stop_keeps_what_was_answered_and_the_next_goes_on() {
    let answered = 20;
    let busy = line_with("busy", &json!({"status": "503", "times": "4"}));
    let dataset = lines(answered) + &busy;
    let mut world = World::with_server("terminated", &dataset).await;
    let feeder = world.start();
    world.until_answered(answered).await;
    // A row is only sent again a while after its answer, and what came before that answer has been taken by then.
    let is_sent_again = async || world.counts().get("busy").is_some_and(|count| count.received >= 3);
    until("the busy server was asked twice more", is_sent_again).await;
    assert_eq!(feeder.terminate().await, 143);
    let kept = durable(&world.store("out")).await;
    assert_eq!(kept, ids(answered).collect());
    assert_eq!(world.status()["feeder"]["serversNeeded"], true);

    let status = world.run().await;
    assert_eq!(status["feeder"]["attempt"], 2);
    assert_eq!(
        status["progress"],
        json!({"total": 21, "completed": 21, "failed": 0, "percent": 100})
    );
    world.output().await.prove(&dataset);
    let counts = world.counts();
    assert!(ids(answered).all(|id| counts[&id].received == 1), "{counts:?}");
}

/// Three blocks of rows, of which the last waits for its answer.
fn three_blocks() -> String {
    const ROWS: usize = 9000;
    let held = |row| held_line(&format!("row-{row}"), "later");
    let rows = (0..ROWS).map(|row| line(&format!("row-{row}"))).take(ROWS - 1);
    rows.chain([held(ROWS - 1)]).collect()
}

#[tokio::test]
async fn a_restart_reads_nothing_of_the_data_set_but_what_is_left() {
    let mut world = World::with_server("not-inspected-again", &three_blocks()).await;
    let proxy = world.put_s3_proxy().await;
    let feeder = world.start();
    world.until_received(9000).await;
    let all_but_one = async || durable(&world.store("out")).await.len() == 8999;
    until("all rows but one are durable", all_but_one).await;
    feeder.kill().await;
    let before = proxy.seen().len();
    world.server("server").release_all();
    assert_eq!(world.run().await["feeder"]["attempt"], 2);
    let seen = proxy.seen();
    let reads = seen[before..]
        .iter()
        .filter(|(request, _)| request.method == "GET" && request.path().ends_with("/rows.jsonl"));
    let mut ranges: BTreeSet<_> = reads.filter_map(|(request, _)| request.header("range")).collect();
    assert!(ranges.remove("bytes=0-0"), "whether it may be read: {ranges:?}");
    assert_eq!(ranges.len(), 1, "{ranges:?}");
}

#[tokio::test]
async fn a_block_that_changes_while_the_job_runs_ends_it() {
    let held: String = ids(100).map(|id| held_line(&id, "later")).collect();
    let rest = |mark: &str| {
        (100..40_000)
            .map(|row| line(&format!("{mark}-{row}")))
            .collect::<String>()
    };
    let mut world = World::with_server("block-changed", &(held.clone() + &rest("row"))).await;
    let feeder = world.start();
    world.until_received(50).await;
    world.replace("rows.jsonl", &(held + &rest("new"))).await;
    world.server("server").release_all();
    assert_eq!(feeder.exit_code().await, 0);
    let status = world.status();
    assert_eq!(status["feeder"]["reason"], "DatasetChanged", "{status}");
    assert!(world.counts().keys().all(|id| !id.starts_with("new")));
}

#[tokio::test]
async fn a_data_set_that_is_replaced_between_two_starts_ends_the_job() {
    let mut world = World::with_server("replaced", &(line("a") + &held_line("b", "later"))).await;
    let feeder = world.start();
    world.until_durable(&["a".to_owned()]).await;
    feeder.kill().await;
    world.replace("rows.jsonl", &lines(2)).await;
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "DatasetChanged");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(message.contains("replaced/rows.jsonl"), "{message}");
    assert_eq!(world.counts().len(), 2, "no row of the other data set was sent");
}
