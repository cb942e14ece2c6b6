//! `results`, without keys: through a pod.

use rustix::process::Signal;
use serde_json::json;

use crate::api_server::Fault;
use crate::fetching::world;
use crate::plugin::{ended, ignores_hangup, interrupt, send};
use crate::store::{completed, finish, lines, put_segment, spec, store, text};
use crate::until::until;

#[tokio::test]
async fn without_keys_rows_come_through_a_pod() {
    let lines = lines(10, "x");
    let folder = "through-a-pod";
    finish(&store(folder).await, &lines).await;
    let (server, machine) = world(folder).await;
    server.put_feeder(folder, "store-keys");
    server.forbid("GET secrets");
    let ended = machine.run("results through-a-pod -o rows.jsonl").await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.starts_with("reading `s3://"), "{}", ended.stderr);
    assert_eq!(machine.read("rows.jsonl"), text(&lines, None));
    let (created, left) = server.pods();
    assert_eq!((created.len(), left), (1, 0));
    assert_eq!(created[0]["spec"]["containers"][0]["image"], "operator:1");

    let running = "running-beside-a-pod";
    put_segment(&store(running).await, &lines, &[1, 3, 8]).await;
    let progress = json!({"total": 10, "completed": 2, "failed": 1});
    let status = json!({"phase": "Running", "progress": progress});
    server.put(running, spec(running), status);
    server.put_feeder(running, "store-keys");
    let partial = machine.run(&format!("results {running} --partial")).await;
    let expected: String = [1, 3, 8].iter().map(|row| lines[*row].1.as_str()).collect();
    assert_eq!((partial.code, partial.stdout), (0, expected), "{}", partial.stderr);
    assert_eq!(server.pods().1, 0);
}

#[tokio::test]
async fn what_cannot_be_read_is_told_with_another_way() {
    let (server, machine) = world("keyless").await;
    server.forbid("GET secrets");
    server.put_feeder("keyless", "store-keys");
    server.forbid("POST pods");
    let ended = machine.run("results keyless").await;
    assert_eq!(ended.code, 3);
    for expected in [
        "set the keys of its store in the environment, AWS_ACCESS_KEY_ID and",
        "you may not create pods",
    ] {
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }

    let mut on_claim = spec("keyless");
    on_claim["output"] = json!({"uri": "pvc://claim/out/"});
    server.put("on-claim", on_claim, completed("keyless", 10));
    let ended = machine.run("results on-claim").await;
    assert_eq!(ended.code, 3);
    for expected in [
        "--from FOLDER",
        "the job's feeder, whose image and keys it would have, is not there any more",
    ] {
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_again_and_a_pod_that_is_lost_replaced() {
    let lines = lines(10, "x");
    let folder = "broken-connections";
    finish(&store(folder).await, &lines).await;
    let (server, machine) = world(folder).await;
    server.put_feeder(folder, "store-keys");
    server.forbid("GET secrets");
    // The first is asked where its objects are.
    server.fail_execs(&[Some(Fault::Break), None, Some(Fault::Break), Some(Fault::LosePod)]);
    let ended = machine.run(&format!("results {folder} -o rows.jsonl")).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .contains("the connection to the pod was lost; it is asked again"),
        "{}",
        ended.stderr
    );
    assert_eq!(machine.read("rows.jsonl"), text(&lines, None));
    let (created, left) = server.pods();
    assert_eq!((created.len(), left), (2, 0));
    assert!(server.has_failed_execs());
}

#[tokio::test]
async fn a_fetch_that_is_interrupted_leaves_no_pod_and_goes_on_later() {
    let lines = lines(10, "x");
    let folder = "interrupted-fetch";
    finish(&store(folder).await, &lines).await;
    let (server, machine) = world(folder).await;
    server.put_feeder(folder, "store-keys");
    server.forbid("GET secrets");
    server.fail_execs(&[None, Some(Fault::Silence)]);
    let process = machine.start(&format!("results {folder} -o rows.jsonl"));
    until("the pod is asked", async || {
        server.pods().1 == 1 && server.has_failed_execs()
    })
    .await;
    interrupt(&process);
    let interrupted = ended(process).await;
    assert_eq!(interrupted.code, 3);
    assert!(
        interrupted
            .stderr
            .contains("the same command goes on where this one was"),
        "{}",
        interrupted.stderr
    );
    assert_eq!(server.pods().1, 0);

    let again = machine.run(&format!("results {folder} -o rows.jsonl")).await;
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(machine.read("rows.jsonl"), text(&lines, None));
}

/// Where the ranges of `results.jsonl` begin that these commands ask for.
fn starts(commands: &[Vec<String>]) -> Vec<u64> {
    let starts = commands.iter().filter_map(|words| {
        let at = words.iter().position(|word| word == "read")?;
        let (key, start) = (words.get(at + 1)?, words.get(at + 2)?);
        (key == "results.jsonl").then(|| start.parse().unwrap())
    });
    starts.collect()
}

#[tokio::test]
async fn a_fetch_that_broke_asks_the_pod_only_for_what_is_left() {
    // Ranges have four mebibytes: of the results, the third never comes, nor the next, and both files are read side by side.
    let end_of_third = "12582912";
    let lines = lines(3000, &"x".repeat(12 << 10));
    let folder = "ranges-through-a-pod";
    finish(&store(folder).await, &lines).await;
    let (server, machine) = world(folder).await;
    server.put_feeder(folder, "store-keys");
    server.forbid("GET secrets");
    server.silence_execs(Some(end_of_third));
    let process = machine.start(&format!("results {folder} -o rows.jsonl"));
    let part = machine.path("rows.jsonl.part");
    until("two ranges are there", async || {
        part.metadata().is_ok_and(|part| part.len() > 8 << 20)
    })
    .await;
    interrupt(&process);
    let interrupted = ended(process).await;
    assert_eq!(interrupted.code, 3, "{}", interrupted.stderr);
    assert!(!machine.path("rows.jsonl").exists());

    server.silence_execs(None);
    let before = server.commands().len();
    let again = machine.run(&format!("results {folder} -o rows.jsonl")).await;
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(machine.read("rows.jsonl") == text(&lines, None), "other rows");
    assert!(!part.exists());
    let starts = starts(&server.commands()[before..]);
    // Three rows of four are results.
    assert!(starts.iter().min().is_some_and(|start| *start > 4 << 20), "{starts:?}");
    assert_eq!(server.pods().1, 0);
}

#[tokio::test]
async fn a_secret_that_says_only_where_the_store_is_is_told_and_a_pod_asked() {
    let folder = "place-only";
    let (server, machine) = world(folder).await;
    server.put_secret(
        "store-keys",
        [("AWS_ENDPOINT_URL".to_owned(), "https://s3.example".to_owned())],
    );
    server.put_feeder(folder, "store-keys");
    server.forbid("POST pods");
    let ended = machine.run(&format!("results {folder}")).await;
    assert_eq!(ended.code, 3);
    for expected in [
        "neither the environment nor the Secret store-keys says who asks (which AWS_ACCESS_KEY_ID and",
        "you may not create pods",
    ] {
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_fetch_that_is_ended_while_its_pod_starts_leaves_none() {
    let folder = "starting-pod";
    let (server, machine) = world(folder).await;
    server.put_feeder(folder, "store-keys");
    server.forbid("GET secrets");
    server.hold_pods();
    // Tests that nohup has started pass it on that hangups are ignored.
    let hangup = (!ignores_hangup()).then_some(Signal::HUP);
    for signal in [Signal::INT, Signal::TERM].into_iter().chain(hangup) {
        let process = machine.start(&format!("results {folder}"));
        until("a pod is there", async || server.pods().1 == 1).await;
        send(&process, signal);
        let interrupted = ended(process).await;
        assert_eq!(interrupted.code, 3, "{signal:?}");
        assert!(
            interrupted.stderr.contains("error: interrupted"),
            "{}",
            interrupted.stderr
        );
        assert_eq!(server.pods().1, 0, "{signal:?}");
    }
}

#[tokio::test]
async fn a_pod_that_waits_for_a_node_is_waited_for_and_says_so() {
    let lines = lines(10, "x");
    let folder = "waiting-pod";
    finish(&store(folder).await, &lines).await;
    let (server, machine) = world(folder).await;
    server.put_feeder(folder, "store-keys");
    server.forbid("GET secrets");
    server.hold_pods();
    let process = machine.start(&format!("results {folder}"));
    until("the pod is watched", async || {
        let seen = server.seen();
        seen.iter()
            .any(|request| request.contains("/pods?") && request.contains("watch=true"))
    })
    .await;
    server.release_pods();
    let ended = ended(process).await;
    assert_eq!((ended.code, ended.stdout), (0, text(&lines, None)), "{}", ended.stderr);
    let told = "waits: 0/3 nodes are available: 3 Insufficient cpu.\n";
    assert_eq!(ended.stderr.matches(told).count(), 1, "{}", ended.stderr);
}

#[tokio::test]
async fn a_pod_that_may_not_be_asked_is_removed_and_the_right_is_named() {
    let folder = "no-exec";
    let (server, machine) = world(folder).await;
    server.put_feeder(folder, "store-keys");
    server.forbid("GET secrets");
    server.forbid("GET /exec");
    let ended = machine.run(&format!("results {folder}")).await;
    assert_eq!(ended.code, 3);
    let expected = "you may not exec into pods in namespace `team`";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    let (created, left) = server.pods();
    assert_eq!((created.len(), left), (1, 0));
}
