//! A feeder that is killed loses no row, and repeats only the last seconds of work.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::commands::kill_container;
use super::fake_model_server::EventKind;
use super::job::Job;
use super::rows::chats;
use super::tenant::{PATIENCE, Tenant, container_id};
use super::until::until;

/// At 64 rows in flight that take two seconds each: a minute, without the feeder's restarts.
const ROWS: usize = 2000;
const BETWEEN_KILLS: Duration = Duration::from_secs(15);
/// What an answered row may take to be durable.
const DURABLE_WITHIN_MS: u64 = 10_000;

/// From when a kill was begun until it was done, in milliseconds since 1970.
type Kill = RangeInclusive<u64>;

#[tokio::test]
async fn a_feeder_killed_three_times_loses_no_row_and_repeats_only_the_last_seconds() {
    let tenant = Tenant::start("feeder-killed").await;
    let rows = chats(ROWS, &json!({"latency_ms": "2000"}));
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "killed")).await;
    tenant.until_received(1).await;

    let mut kills = Vec::new();
    let mut next = Instant::now();
    for attempt in 1..=3 {
        next += BETWEEN_KILLS;
        sleep_until(next).await;
        kills.push(kill_feeder(&tenant, attempt).await);
        next = next.max(Instant::now());
    }
    tenant.complete("killed", &rows).await;

    let events = tenant.recorder.events();
    let minute = events[events.len() - 1].at_ms - events[0].at_ms;
    assert!(minute >= 60_000, "rows were sent for {minute} ms only");
    for kill in &kills {
        assert!(
            events.iter().any(|event| event.at_ms > *kill.end()),
            "a kill came after the last row"
        );
    }
    let answers = || events.iter().filter(|event| event.event == EventKind::Answered);
    let before_a_kill = |at: u64| {
        kills
            .iter()
            .any(|kill| (*kill.start() - DURABLE_WITHIN_MS..=*kill.end()).contains(&at))
    };
    for (id, received) in tenant.received() {
        let times: Vec<_> = answers()
            .filter(|event| event.id == id)
            .map(|event| event.at_ms)
            .collect();
        let again = &times[..times.len() - 1];
        assert!(
            again.iter().all(|at| before_a_kill(*at)),
            "{id} was sent {received} times and answered at {times:?}; kills at {kills:?}"
        );
    }
    let sent_again: u64 = tenant.received().values().map(|received| received - 1).sum();
    let last_answers = answers().filter(|event| before_a_kill(event.at_ms)).count() as u64;
    assert!(
        (1..=last_answers).contains(&sent_again),
        "{sent_again} requests were sent again, with {last_answers} answers in the seconds before the kills"
    );
    let status = tenant.job("killed").await.status.expect("a status");
    assert_eq!(status.reported.feeder.map(|feeder| feeder.attempt), Some(4));
}

/// Kills the feeder's process as soon as it has begun this attempt.
async fn kill_feeder(tenant: &Tenant, attempt: i64) -> Kill {
    let job = tenant
        .until_job("killed", "this attempt has begun", |job| {
            let feeder = job.status.as_ref().and_then(|status| status.reported.feeder.as_ref());
            feeder.is_some_and(|feeder| feeder.attempt == attempt)
        })
        .await;
    let running = async || container_id(&tenant.feeder_pod(&job).await, "feeder");
    let id = until("a running feeder", PATIENCE, running).await;
    let begun = milliseconds();
    kill_container(&id).await;
    let done = milliseconds();
    until("the feeder's end is seen", PATIENCE, async || {
        (running().await.as_ref() != Some(&id)).then_some(())
    })
    .await;
    begun..=done
}

fn milliseconds() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    u64::try_from(since_1970.as_millis()).expect("a time")
}
