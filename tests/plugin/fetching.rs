//! `results`.

use batch_inference_operator::results::Kind;
use serde_json::json;

use crate::api_server::ApiServer;
use crate::plugin::Machine;
use crate::s3_proxy::{Fault, S3Proxy, Which};
use crate::store::{completed, finish, keys, lines, put_segment, s3, spec, store, text, uri};
use crate::until::until;

/// As the plugin asks for a file: in ranges of so many bytes, four of them in flight.
const RANGE_BYTES: u64 = 4 << 20;

/// A machine without keys of its own, whose job has a Secret with them.
pub async fn world(folder: &str) -> (ApiServer, Machine) {
    let server = ApiServer::start().await;
    server.put_secret("store-keys", keys().await);
    server.put(folder, spec(folder), completed(folder, 10));
    let machine = Machine::of(&server);
    (server, machine)
}

#[tokio::test]
async fn every_row_is_in_one_file_in_input_order() {
    let lines = lines(10, "x");
    finish(&store("one-file").await, &lines).await;
    let (_server, machine) = world("one-file").await;
    let ended = machine.run("results one-file -o rows.jsonl").await;
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{}", ended.stderr);
    assert_eq!(ended.stderr, "10 rows: 8 results and 2 errors\n");
    assert_eq!(machine.read("rows.jsonl"), text(&lines, None));
    let piped = machine.run("results one-file").await;
    assert_eq!(piped.stdout, text(&lines, None));
    let named = machine
        .with(keys().await)
        .run(&format!("results --from {}", uri("one-file")))
        .await;
    assert_eq!(named.stdout, text(&lines, None));
}

#[tokio::test]
async fn results_and_errors_are_two_files_where_asked_for() {
    let lines = lines(10, "x");
    finish(&store("two-files").await, &lines).await;
    let (_server, machine) = world("two-files").await;
    assert_eq!(machine.run("results two-files --split -o out").await.code, 0);
    assert_eq!(machine.read("out/results.jsonl"), text(&lines, Some(Kind::Result)));
    assert_eq!(machine.read("out/errors.jsonl"), text(&lines, Some(Kind::Error)));
}

#[tokio::test]
async fn a_job_that_runs_gives_what_it_has_only_when_asked() {
    let lines = lines(10, "x");
    let folder = "running";
    put_segment(&store(folder).await, &lines, &[1, 3, 8]).await;
    let (server, machine) = world(folder).await;
    server.set_status(
        folder,
        json!({"phase": "Running", "progress": {"total": 10, "completed": 2, "failed": 1}}),
    );
    let refused = machine.run("results running -o rows.jsonl").await;
    assert_eq!(refused.code, 3);
    assert!(
        refused.stderr.contains("--partial takes the 3 of 10 rows"),
        "{}",
        refused.stderr
    );
    let partial = machine.run("results running --partial -o rows.jsonl").await;
    assert_eq!(
        (partial.code, partial.stderr.as_str()),
        (0, "3 of 10 rows so far: the job has not written its results\n")
    );
    let expected: String = [1, 3, 8].iter().map(|row| lines[*row].1.as_str()).collect();
    assert_eq!(machine.read("rows.jsonl"), expected);
}

#[tokio::test]
async fn a_download_that_broke_goes_on_where_it_was() {
    let lines = lines(3000, &"x".repeat(12 << 10));
    let folder = "broken";
    finish(&store(folder).await, &lines).await;
    let (_server, machine) = world(folder).await;
    let proxy = S3Proxy::start(s3().await.s3(), s3().await.filer()).await;
    let endpoint = ("AWS_ENDPOINT_URL".to_owned(), proxy.url());
    let machine = machine.with([endpoint]);

    let three_ranges = 3 * RANGE_BYTES;
    proxy.fail(Which::gets().of("results.jsonl").behind(three_ranges), Fault::Silence);
    let mut process = machine.start("results broken -o rows.jsonl");
    let part = machine.path("rows.jsonl.part");
    until("a part is there", async || {
        part.metadata().is_ok_and(|part| part.len() > RANGE_BYTES)
    })
    .await;
    process.kill().await.unwrap();
    assert!(!machine.path("rows.jsonl").exists());

    proxy.heal();
    let before = proxy.seen().len();
    let ended = machine.run("results broken -o rows.jsonl").await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(machine.read("rows.jsonl") == text(&lines, None), "other rows");
    assert!(!part.exists());
    let seen = &proxy.seen()[before..];
    let ranges: Vec<_> = seen.iter().filter_map(|(request, _)| request.header("range")).collect();
    let begins_anew = ranges.iter().any(|range| range.starts_with("bytes=0-"));
    assert!(!ranges.is_empty() && !begins_anew, "{ranges:?}");
}

#[tokio::test]
async fn a_file_that_was_changed_after_the_job_is_refused() {
    let lines = lines(10, "x");
    let store = store("changed").await;
    finish(&store, &lines).await;
    let results = text(&lines, Some(Kind::Result)).replacen('x', "y", 1);
    store.replace("results.jsonl", results).await.unwrap();
    let (_server, machine) = world("changed").await;
    let ended = machine.run("results changed -o rows.jsonl").await;
    assert_eq!(ended.code, 3);
    assert!(ended.stderr.contains("is not as the manifest says"), "{}", ended.stderr);
    assert!(!machine.path("rows.jsonl").exists());
}

#[tokio::test]
async fn a_folder_of_this_machine_needs_no_cluster() {
    let lines = lines(10, "x");
    let machine = Machine::new("");
    std::fs::create_dir(machine.path("out")).unwrap();
    let folder = machine.path("out").display().to_string();
    let store = batch_inference_operator::storage::open_named_folder(&folder, []).unwrap();
    finish(&store, &lines).await;
    let ended = machine.run("results --from out").await;
    assert_eq!((ended.code, ended.stdout), (0, text(&lines, None)), "{}", ended.stderr);
}
