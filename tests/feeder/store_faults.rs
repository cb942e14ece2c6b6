//! A store that fails, is silent, or is gone: rows are kept meanwhile, and every one comes out once.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use crate::rows::{held_line, ids, line_with, lines};
use crate::s3_proxy::{Fault, S3Proxy, Which};
use crate::until::until;
use crate::world::World;

/// Longer than rows wait for their segment.
const OUTAGE: Duration = Duration::from_secs(5);
/// Of the 30 s that a pod has to end.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// As the feeder asks a store that refuses what it took before.
const REFUSED_FOR: Duration = Duration::from_secs(30);
const SKEWED: Fault = Fault::Answer(403, "RequestTimeTooSkewed");
const FULL: Fault = Fault::Answer(507, "InsufficientStorage");

/// A job of forty rows, half of them held, whose store does something to requests of some kind.
async fn with_faults(folder: String, faults: Vec<(Which, Fault)>) {
    let row = |(number, id): (usize, String)| held_line(&id, if number % 2 == 0 { "first" } else { "second" });
    let dataset: String = ids(40).enumerate().map(row).collect();
    let mut world = World::with_server(&folder, &dataset).await;
    let proxy = world.put_s3_proxy().await;
    for (which, fault) in &faults {
        proxy.fail(*which, *fault);
    }
    let feeder = world.start();
    world.server("server").release("first");
    world.until_answered(20).await;
    let first: Vec<_> = ids(40).step_by(2).collect();
    world.until_durable(&first).await;
    world.server("server").release("second");
    assert_eq!(feeder.exit_code().await, 0, "{folder}");
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded", "{folder}");
    world.output().await.prove(&dataset);
    assert!(proxy.failed() >= faults.len(), "{folder}: {:?}", proxy.seen());
    let counts = world.counts();
    assert!(
        counts.values().all(|count| (count.received, count.answered) == (1, 1)),
        "{folder}: {counts:?}"
    );
}

#[tokio::test]
async fn faults_that_pass_cost_no_row() {
    let segments = || Which::puts().of("/segments/");
    let faults = [
        (segments().times(2), Fault::Answer(503, "SlowDown")),
        (segments().times(2), Fault::Answer(500, "InternalError")),
        (segments().times(2), FULL),
        (segments().times(2), SKEWED),
        (segments().times(2), Fault::ResetInRequest),
        (segments().times(2), Fault::ResetInAnswer),
        (segments().times(2), Fault::AnswerLost),
        (segments().times(2), Fault::Delay(Duration::from_secs(1))),
        (Which::gets().times(3), Fault::Answer(500, "InternalError")),
        (Which::gets().of("/rows.jsonl").times(3), Fault::ResetInAnswer),
        (Which::gets().of("list-type").times(3), Fault::AnswerLost),
    ];
    let runs = faults
        .into_iter()
        .enumerate()
        .map(|(number, fault)| with_faults(format!("store-fault-{number}"), vec![fault]));
    futures::future::join_all(runs).await;
}

#[tokio::test]
async fn the_answers_to_all_first_puts_may_be_lost() {
    let keys = [
        "/job.json",
        "/index.json",
        "/segments/",
        "/results.jsonl",
        "/errors.jsonl",
        "/manifest.json",
    ];
    let faults = keys.map(|key| (Which::puts().of(key).times(1), Fault::AnswerLost));
    with_faults("store-first-puts".to_owned(), faults.into()).await;
}

/// A world with 30 durable rows, 30 that are held, and a proxy.
async fn half_done(folder: &str, dataset: &str) -> (World, S3Proxy, crate::process::FeederProcess) {
    let mut world = World::with_server(folder, dataset).await;
    let proxy = world.put_s3_proxy().await;
    let feeder = world.start();
    world.until_completed(30).await;
    until("the others are sent", async || world.server("server").in_flight() == 30).await;
    (world, proxy, feeder)
}

fn half_held() -> String {
    lines(30)
        + &(30..60)
            .map(|number| held_line(&format!("row-{number:03}"), "later"))
            .collect::<String>()
}

#[tokio::test]
async fn rows_that_are_answered_while_the_store_is_gone_are_kept_and_not_sent_again() {
    let dataset = half_held();
    let (world, proxy, feeder) = half_done("store-gone", &dataset).await;
    proxy.go_away().await;
    world.server("server").release_all();
    world.until_answered(60).await;
    sleep(OUTAGE).await;
    assert_eq!(world.status()["progress"]["completed"], 30);
    proxy.come_back();
    assert_eq!(feeder.exit_code().await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
    assert!(world.counts().values().all(|count| count.received == 1));
}

#[tokio::test]
async fn a_feeder_that_is_killed_while_the_store_is_gone_goes_on_when_it_is_back() {
    let dataset = half_held();
    let (mut world, proxy, feeder) = half_done("store-gone-killed", &dataset).await;
    proxy.go_away().await;
    world.server("server").release_all();
    world.until_answered(60).await;
    feeder.kill().await;
    let feeder = world.start();
    world.until_attempt(2).await;
    sleep(OUTAGE).await;
    proxy.come_back();
    assert_eq!(feeder.exit_code().await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
    let counts = world.counts();
    assert!(ids(30).all(|id| counts[&id].received == 1), "{counts:?}");
    assert_eq!(
        world.status()["progress"],
        json!({"total": 60, "completed": 60, "failed": 0, "percent": 100})
    );
}

#[tokio::test]
async fn a_feeder_that_is_asked_to_stop_while_the_store_is_gone_does_not_wait_for_it() {
    for silent in [false, true] {
        let (mut world, proxy, feeder) = half_done(&format!("store-gone-terminated-{silent}"), &half_held()).await;
        if silent {
            proxy.fail(Which::all(), Fault::Silence);
        } else {
            proxy.go_away().await;
        }
        world.server("server").release_all();
        world.until_answered(60).await;
        let asked = Instant::now();
        assert_eq!(feeder.terminate().await, 143);
        assert!(asked.elapsed() < GONE_WITHIN, "silent: {silent}, {:?}", asked.elapsed());
        assert_eq!(world.status()["progress"]["completed"], 30);

        proxy.heal();
        proxy.come_back();
        assert_eq!(world.run().await["feeder"]["reason"], "AllRowsSucceeded");
        world.output().await.prove(&half_held());
        let counts = world.counts();
        assert!(ids(30).all(|id| counts[&id].received == 1), "{counts:?}");
    }
}

#[tokio::test]
async fn a_feeder_that_is_asked_to_stop_while_it_ends_a_job_without_its_store_does_not_wait_for_it() {
    // Each row that was not run has these words, so that all of them are more than may wait for the store.
    let message = "m".repeat(1024);
    let dataset: String = ids(20_000).map(|id| held_line(&id, "never")).collect();
    let mut world = World::with_server("ended-terminated", &dataset).await;
    let proxy = world.put_s3_proxy().await;
    proxy.fail(Which::puts().of("/segments/"), FULL);
    let feeder = world.start();
    world.until_received(1).await;
    let since = "2026-11-24T10:00:00Z";
    world.tell_stopping(json!({"reason": "Cancelled", "mode": "Terminate", "message": message, "since": since}));
    let status = world.until_waits("OutputFull").await;
    assert_eq!(status["feeder"]["serversNeeded"], false, "{status}");
    let asked = Instant::now();
    assert_eq!(feeder.terminate().await, 143);
    assert!(asked.elapsed() < GONE_WITHIN, "{:?}", asked.elapsed());

    proxy.heal();
    let sent = world.counts();
    assert_eq!(world.run().await["feeder"]["reason"], "Cancelled");
    world.output().await.prove(&dataset);
    assert_eq!(world.counts(), sent, "rows were sent again");
}

#[tokio::test]
async fn a_store_that_refuses_for_a_while_is_waited_for_by_name() {
    let dataset: String = ids(2)
        .zip(["first", "last"])
        .map(|(id, held)| held_line(&id, held))
        .collect();
    for (folder, fault, reason) in [("skewed", SKEWED, "ClockSkew"), ("full", FULL, "OutputFull")] {
        let mut world = World::with_server(format!("store-{folder}"), &dataset).await;
        let proxy = world.put_s3_proxy().await;
        proxy.fail(Which::puts().of("/preflight/"), fault);
        let feeder = world.start();
        world.until_waits(reason).await;
        proxy.heal();
        world.until_received(2).await;
        proxy.fail(Which::puts().of("/segments/"), fault);
        world.server("server").release("first");
        let status = world.until_waits(reason).await;
        assert_eq!(status["feeder"]["serversNeeded"], true, "{status}");
        world.server("server").release_all();
        proxy.heal();
        assert_eq!(feeder.exit_code().await, 0);
        world.output().await.prove(&dataset);
    }
}

#[tokio::test]
async fn keys_that_are_refused_after_rows_were_written_end_the_start_and_not_the_job() {
    let mut world = World::with_server("keys-expired", &lines(20)).await;
    let proxy = world.put_s3_proxy().await;
    proxy.fail(Which::puts().of("/results.jsonl"), Fault::Answer(403, "AccessDenied"));
    assert_eq!(world.start().exit_code().await, 1);
    assert_eq!(world.status()["feeder"]["state"], "Finalizing");
    proxy.heal();
    assert_eq!(world.run().await["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&lines(20));
    assert!(world.counts().values().all(|count| count.received == 1));
}

#[tokio::test]
async fn keys_that_are_still_refused_at_the_next_start_are_waited_for_by_name_and_without_servers() {
    let mut world = World::with_server("keys-late", &lines(20)).await;
    let proxy = world.put_s3_proxy().await;
    let denied = Fault::Answer(403, "AccessDenied");
    proxy.fail(Which::puts().of("/results.jsonl"), denied);
    assert_eq!(world.start().exit_code().await, 1);
    for (which, reason) in [
        (Which::puts(), "OutputNotWritable"),
        (Which::all().of("/rows.jsonl"), "DatasetAccessDenied"),
        // It may be looked at, and not be read.
        (Which::gets().of("/rows.jsonl"), "DatasetAccessDenied"),
    ] {
        proxy.heal();
        proxy.fail(which, denied);
        let feeder = world.start();
        let status = world.until_waits(reason).await;
        assert_eq!(status["feeder"]["serversNeeded"], false, "{status}");
        let message = status["feeder"]["message"].as_str().unwrap();
        assert!(message.contains("it was allowed before"), "{message}");
        assert_eq!(feeder.exit_code().await, 1, "the next start has the keys of then");
    }
    proxy.heal();
    assert_eq!(world.run().await["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&lines(20));
}

#[tokio::test]
async fn a_completed_upload_whose_answer_is_lost_costs_no_result() {
    // More than a part.
    let answer = json!({"raw_body": json!({"text": "x".repeat(8192)}).to_string()});
    let dataset: String = ids(1000).map(|id| line_with(&id, &answer)).collect();
    let mut world = World::with_server("completion-lost", &dataset).await;
    let proxy = world.put_s3_proxy().await;
    proxy.fail(Which::posts().of("uploadId=").times(1), Fault::AnswerLost);
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded", "{status}");
    assert_eq!(proxy.failed(), 1);
    let seen = proxy.seen().into_iter();
    let begun = seen.filter(|(request, _)| request.method == "POST" && request.target.contains("?uploads"));
    assert_eq!(begun.count(), 1, "the upload was made anew");
    world.output().await.prove(&dataset);
    assert!(world.counts().values().all(|count| count.received == 1));
}

#[tokio::test]
async fn a_secret_that_is_half_changed_at_a_restart_is_waited_for_by_name_and_without_servers() {
    let dataset = half_held();
    let (mut world, proxy, feeder) = half_done("half-changed", &dataset).await;
    feeder.kill().await;
    world.set_key("OUTPUT_AWS_ENDPOINT_URL", "no address");
    let feeder = world.start();
    let status = world.until_waits("OutputNotWritable").await;
    assert_eq!(status["feeder"]["serversNeeded"], false, "{status}");
    assert_eq!(
        feeder.exit_code().await,
        1,
        "the next start has what the Secret holds then"
    );
    world.set_key("OUTPUT_AWS_ENDPOINT_URL", &proxy.url());
    world.server("server").release_all();
    assert_eq!(world.run().await["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
}

#[tokio::test]
async fn a_bucket_that_is_gone_in_mid_run_ends_the_start_and_is_waited_for_without_servers() {
    let dataset = half_held();
    let (mut world, proxy, feeder) = half_done("bucket-gone", &dataset).await;
    proxy.fail(Which::puts().of("/out/"), Fault::Answer(404, "NoSuchBucket"));
    let gone = Instant::now();
    world.server("server").release_all();
    world.until_waits("OutputNotWritable").await;
    assert_eq!(feeder.exit_code().await, 1, "it may be there again at the next start");
    assert!(gone.elapsed() > REFUSED_FOR, "{:?}", gone.elapsed());
    let feeder = world.start();
    world.until_attempt(2).await;
    let status = world.until_waits("OutputNotWritable").await;
    assert_eq!(status["feeder"]["serversNeeded"], false, "{status}");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(message.contains("bucket"), "{message}");
    assert_eq!(feeder.exit_code().await, 1, "the next start looks again");
    proxy.heal();
    assert_eq!(world.run().await["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
    let counts = world.counts();
    assert!(ids(30).all(|id| counts[&id].received == 1), "{counts:?}");
}

#[tokio::test]
async fn segments_of_a_feeder_that_is_killed_before_it_removes_them_are_removed_by_the_next() {
    let mut world = World::with_server("killed-before-removal", &lines(20)).await;
    let proxy = world.put_s3_proxy().await;
    proxy.fail(Which::deletes(), Fault::Silence);
    let feeder = world.start();
    let store = world.store("out");
    until("the manifest", async || {
        store
            .read("manifest.json")
            .await
            .is_ok_and(|manifest| manifest.is_some())
    })
    .await;
    let told = Instant::now();
    assert_eq!(feeder.terminate().await, 143);
    assert!(told.elapsed() < GONE_WITHIN, "{:?}", told.elapsed());
    let before = proxy.failed();
    let feeder = world.start();
    until("the next one removes them, too", async || proxy.failed() > before).await;
    feeder.kill().await;
    proxy.heal();
    assert_eq!(store.list("segments/").await.unwrap().len(), 1);
    assert_eq!(world.run().await["feeder"]["reason"], "AllRowsSucceeded");
    assert_eq!(store.list("segments/").await.unwrap().len(), 0);
    world.output().await.prove(&lines(20));
}

#[tokio::test]
async fn an_output_that_refuses_one_object_for_good_ends_the_job_when_a_start_gets_nothing_done() {
    let mut world = World::with_server("one-object-refused", &lines(20)).await;
    let proxy = world.put_s3_proxy().await;
    let denied = Fault::Answer(403, "AccessDenied");
    proxy.fail(Which::puts().of("/results.jsonl"), denied);
    assert_eq!(world.start().exit_code().await, 1, "rows have become durable");
    // Of each preflight, both puts that come first.
    proxy.fail(Which::puts().of("/preflight/").after(2), denied);
    assert_eq!(world.start().exit_code().await, 1, "the keys have expired");
    proxy.heal();
    proxy.fail(Which::puts().of("/results.jsonl"), denied);
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "OutputNotWritable");
    let message = status["feeder"]["message"].as_str().unwrap();
    for named in ["out/results.jsonl` was refused", "out/preflight/1` can be written"] {
        assert!(message.contains(named), "{message}");
    }
    assert!(world.counts().values().all(|count| count.received == 1));
}

#[tokio::test]
async fn an_output_that_refuses_every_segment_ends_the_job_in_its_first_start() {
    let mut world = World::with_server("segments-refused", &lines(20)).await;
    let proxy = world.put_s3_proxy().await;
    proxy.fail(Which::puts().of("/segments/"), Fault::Answer(403, "AccessDenied"));
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "OutputNotWritable");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(
        message.contains("out/segments/a000001-00000000.seg` was refused"),
        "{message}"
    );
    assert_eq!(status["progress"]["completed"], 0);
}

#[tokio::test]
async fn segments_stay_and_it_is_said_where_s3_refuses_to_delete() {
    let mut world = World::with_server("no-deletes", &lines(20)).await;
    let proxy = world.put_s3_proxy().await;
    proxy.fail(Which::deletes(), Fault::DeletesRefused);
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(message.contains("segment"), "{message}");
    assert_eq!(world.store("out").list("segments/").await.unwrap().len(), 1);
}

#[tokio::test]
#[ignore = "four minutes: make soak"]
async fn a_store_that_is_gone_for_minutes_is_waited_for() {
    let dataset = half_held();
    let (world, proxy, feeder) = half_done("store-gone-minutes", &dataset).await;
    proxy.go_away().await;
    world.server("server").release_all();
    world.until_answered(60).await;
    sleep(Duration::from_mins(3)).await;
    let feeder_says = world.status()["feeder"].clone();
    assert_eq!(feeder_says["serversNeeded"], false, "every row is answered");
    let message = feeder_says["message"].as_str().unwrap();
    assert!(message.contains("store-gone-minutes"), "{message}");
    proxy.come_back();
    assert_eq!(feeder.exit_code_within(Duration::from_mins(2)).await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
    assert!(world.counts().values().all(|count| count.received == 1));
}

#[tokio::test]
#[ignore = "eleven minutes: make soak"]
async fn in_an_outage_of_ten_minutes_no_more_is_sent_than_memory_may_hold() {
    // Some 35 MB of answers, several times what may wait for the store.
    let answer = json!({"text": "x".repeat(4096)}).to_string();
    let fake = json!({"raw_body": answer, "latency_ms": "50"});
    let dataset: String = (0..8000).map(|row| line_with(&format!("row-{row}"), &fake)).collect();
    let mut world = World::with_server("store-gone-long", &dataset).await;
    let proxy = world.put_s3_proxy().await;
    let feeder = world.start();
    world.until_answered(500).await;
    proxy.go_away().await;
    sleep(Duration::from_mins(1)).await;
    let answered = world.answers_given();
    assert!(answered < 8000, "{answered}");
    sleep(Duration::from_mins(9)).await;
    assert_eq!(
        world.answers_given(),
        answered,
        "more was sent while nothing could be stored"
    );
    assert_eq!(
        world.status()["feeder"]["reason"],
        "StoreUnavailable",
        "{}",
        world.status()
    );
    let peak = feeder.peak_mebibytes();
    assert!(peak < 128, "{peak} MiB");
    proxy.come_back();
    assert_eq!(feeder.exit_code_within(Duration::from_mins(2)).await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
    assert!(world.counts().values().all(|count| count.received == 1));
}

#[tokio::test]
#[ignore = "two minutes: make soak"]
async fn a_store_that_is_silent_is_asked_again() {
    let dataset = half_held();
    let (world, proxy, feeder) = half_done("store-silent", &dataset).await;
    proxy.fail(Which::all().times(3), Fault::Silence);
    world.server("server").release_all();
    assert_eq!(feeder.exit_code_within(Duration::from_mins(4)).await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
    assert!(world.counts().values().all(|count| count.received == 1));
}
