//! Model servers that misbehave: every row comes out once, and none fails for its server's sake.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fake_model_server::Storm;
use crate::rows::{held_line, ids, line, line_with, lines};
use crate::until::until;
use crate::world::World;

/// Bytes that are JSON but for one that is not UTF-8.
const NOT_UTF8: &str = "eyJhIjoi/yJ9";

/// Runs a job to its end, and gives its status; the output is proven.
async fn run(world: &mut World, dataset: &str) -> Value {
    let status = world.run().await;
    world.output().await.prove(dataset);
    status
}

#[tokio::test]
async fn what_is_no_whole_answer_is_asked_for_again() {
    let once = [
        ("cut-fin", json!({"cut": "fin", "times": "1"})),
        ("cut-reset", json!({"cut": "reset", "times": "1"})),
        ("closed", json!({"close": "true", "times": "1"})),
        ("truncated", json!({"truncated": "true", "times": "1"})),
        ("not-json", json!({"raw_body": "<html>", "times": "1"})),
        ("not-utf8", json!({"raw_body_base64": NOT_UTF8, "times": "1"})),
        ("no-body", json!({"raw_body": "", "times": "1"})),
        ("error", json!({"status": "500", "times": "1"})),
        ("gateway", json!({"status": "502", "times": "1"})),
        (
            "too-many",
            json!({"status": "429", "times": "1", "retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        ),
    ];
    let slow = [
        ("slow-first-byte", json!({"latency_ms": "2000"})),
        ("slow-body", json!({"body_ms": "2000"})),
    ];
    let rows = || once.iter().chain(&slow);
    let dataset: String = rows().map(|(id, fake)| line_with(id, fake)).collect::<String>() + &lines(50);
    let mut world = World::with_server("no-answers", &dataset).await;
    let status = run(&mut world, &dataset).await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded");
    let counts = world.counts();
    for (id, _) in &once {
        assert_eq!(counts[*id].received, 2, "{id}");
    }
    for id in slow.iter().map(|(id, _)| (*id).to_owned()).chain(ids(50)) {
        assert_eq!((counts[&id].received, counts[&id].answered), (1, 1), "{id}");
    }
}

#[tokio::test]
async fn a_row_that_never_gets_an_answer_fails_alone_with_what_came() {
    let rows = [
        ("truncated", json!({"truncated": "true"})),
        ("not-utf8", json!({"raw_body_base64": NOT_UTF8})),
        ("error", json!({"status": "500"})),
    ];
    let dataset = rows.iter().map(|(id, fake)| line_with(id, fake)).collect::<String>() + &lines(20);
    let mut world = World::with_server("never", &dataset).await;
    let status = run(&mut world, &dataset).await;
    assert_eq!(status["feeder"]["reason"], "SomeRowsFailed");
    let failed = world.output().await.error_rows();
    let named: Vec<_> = failed.iter().map(|row| row["custom_id"].as_str().unwrap()).collect();
    assert_eq!(named, ["truncated", "not-utf8", "error"]);
    let cut = failed[0]["error"]["message"].as_str().unwrap();
    assert!(cut.starts_with(r#"{"choices""#) || cut.starts_with(r#"{"id""#), "{cut}");
    assert!(
        failed[1]["error"]["message"].as_str().unwrap().contains(r#"{"a":""#),
        "{}",
        failed[1]
    );
    assert_eq!(failed[2]["response"]["body"]["error"]["message"], "scripted");
    assert!(rows.iter().all(|(id, _)| world.counts()[*id].received == 5));
}

#[tokio::test]
async fn a_storm_of_503_costs_no_row_an_attempt() {
    let dataset = lines(3);
    let mut world = World::with_server("storm", &dataset).await;
    let mut job = world.job("rows.jsonl");
    job["spec"]["rowPolicy"] = json!({"maxAttempts": 2});
    world.kubernetes.put_job(job);
    world.server("server").set_storm(Some(Storm::of_all(503)));
    let feeder = world.start();
    // Then some row was turned away more often than it has attempts.
    until("many are turned away", async || server_turned_away(&world) > 3 * 2).await;
    world.server("server").set_storm(None);
    assert_eq!(feeder.exit_code().await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
    let counts = world.counts();
    assert!(counts.values().all(|count| count.answered == 1));
}

fn server_turned_away(world: &World) -> u64 {
    server_turned_away_by(world, "server")
}

fn server_turned_away_by(world: &World, pod: &str) -> u64 {
    world.server(pod).turned_away()
}

#[tokio::test]
async fn a_server_that_turns_two_of_three_away_and_says_when_to_come_again_is_kept() {
    let dataset = lines(60);
    let mut world = World::with_server("shower", &dataset).await;
    world.server("server").set_storm(Some(Storm {
        status: 429,
        retry_after: Some("1".to_owned()),
        turned_away: 2,
        of: 3,
    }));
    let feeder = world.start();
    until("some are turned away", async || server_turned_away(&world) >= 20).await;
    world.server("server").set_storm(None);
    assert_eq!(feeder.exit_code().await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
    assert!(world.counts().values().all(|count| count.answered == 1));
}

#[tokio::test]
async fn a_server_that_crashes_and_comes_back_gets_its_rows_again_and_none_is_blamed() {
    let held = |id: String| held_line(&id, "later");
    let dataset: String = lines(10)
        + &(10..60)
            .map(|number| held(format!("row-{number:03}")))
            .collect::<String>();
    let mut world = World::new("comes-back", &dataset).await;
    world.add_server_with("server", |settings| settings.crash = Duration::from_secs(2));
    let feeder = world.start();
    let durable: Vec<_> = ids(10).collect();
    world.until_durable(&durable).await;
    let sent = async || world.server("server").in_flight() == 50;
    until("the others are sent", sent).await;
    for _ in 0..2 {
        world.server("server").crash();
        until("it forgets them", async || world.server("server").in_flight() == 0).await;
        until("one is sent again", async || world.server("server").in_flight() > 0).await;
    }
    world.server("server").release_all();
    assert_eq!(feeder.exit_code().await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
    let counts = world.counts();
    assert!(counts.values().all(|count| count.answered == 1));
    assert!(ids(10).all(|id| counts[&id].received == 1), "{counts:?}");
}

#[tokio::test]
async fn an_answer_that_takes_long_is_waited_for_while_its_tokens_come() {
    let long = json!({"hold": "later", "tokens_per_second": "50"});
    let dataset = line("short") + &line_with("long", &long);
    let mut world = World::with_server("long", &dataset).await;
    let feeder = world.start();
    world.until_durable(&["short".to_owned()]).await;
    world.server("server").release_all();
    assert_eq!(feeder.exit_code().await, 0);
    world.output().await.prove(&dataset);
    assert_eq!(world.counts()["long"].received, 1);
}

/// Longer than any time in which a server without a byte could be taken for dead.
#[tokio::test]
#[ignore = "three minutes: make soak"]
async fn an_answer_that_takes_minutes_is_waited_for_while_its_tokens_come() {
    let long = json!({"latency_ms": "180000", "tokens_per_second": "50"});
    let dataset = lines(20) + &line_with("long", &long);
    let mut world = World::with_server("minutes", &dataset).await;
    let feeder = world.start();
    assert_eq!(feeder.exit_code_within(Duration::from_mins(5)).await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
    assert!(world.counts().values().all(|count| count.received == 1));
}

/// Ten lost connections may be the network's fault, and with the waits between them they take two minutes.
#[tokio::test]
#[ignore = "three minutes: make soak"]
async fn a_row_that_the_server_always_hangs_up_at_fails_and_no_other_does() {
    let dataset = lines(50) + &line_with("hung-up-at", &json!({"close": "true"}));
    let mut world = World::with_server("hung-up-at", &dataset).await;
    let feeder = world.start();
    assert_eq!(feeder.exit_code_within(Duration::from_mins(6)).await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "SomeRowsFailed");
    let output = world.output().await;
    output.prove(&dataset);
    let failed = output.error_rows();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["custom_id"], "hung-up-at");
    assert_eq!(failed[0]["error"]["code"], "poison_row");
    let message = failed[0]["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("the connection to the model server was lost each time"),
        "{message}"
    );
}

#[tokio::test]
async fn a_server_that_answers_every_row_with_500_fails_no_row_where_another_works() {
    let dataset = lines(400);
    let mut world = World::new("dead-device", &dataset).await;
    for pod in ["dead", "alive"] {
        world.add_server_with(pod, |settings| settings.latency = Duration::from_millis(20));
    }
    world.server("dead").set_storm(Some(Storm::of_all(500)));
    let status = run(&mut world, &dataset).await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded");
    let asked = server_turned_away_by(&world, "dead");
    assert!(
        (1..400).contains(&asked),
        "each row would be tried there more than once: {asked}"
    );
}

#[tokio::test]
async fn a_server_whose_device_dies_is_named_and_its_rows_wait_unblamed_for_another() {
    let held = ids(400).skip(20).map(|id| held_line(&id, "later"));
    let dataset = lines(20) + &held.collect::<String>();
    let mut world = World::new("device-dies", &dataset).await;
    // More than twice that many would wait in its queue, and are not sent.
    world.add_server_with("server", |settings| settings.slots = 64);
    let feeder = world.start();
    world.until_answered(20).await;
    world.server("server").set_storm(Some(Storm::of_all(500)));
    world.server("server").release_all();
    until("it is named", async || {
        world.status()["feeder"]["hungServers"] == json!(["server"])
    })
    .await;
    world.add_server("another").release_all();
    assert_eq!(feeder.exit_code().await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
}
