//! What every store must do. Each function uses keys of its own.

use std::collections::BTreeSet;

use batch_inference_operator::openai::{RowNumber, RowSet, Usage};
use batch_inference_operator::results::{
    Checksum, Claim, Claimed, DatasetFacts, Ended, Finished, FinishedRow, JobReference, Kind, LedgerWriter, Work,
    claim, finalise, resume,
};
use batch_inference_operator::storage::{Error, Parts, Put, Store, preflight};
use futures::future::join_all;

pub async fn holds_on(store: &Store) {
    a_preflight_finds_a_store_that_can_do_all_and_leaves_nothing(store).await;
    a_second_create_changes_nothing(store).await;
    of_many_creates_at_once_one_wins(store).await;
    what_is_not_there_is_none(store).await;
    ranges_end_where_the_object_ends(store).await;
    a_listing_is_sorted_and_stays_in_its_folder(store).await;
    an_overwrite_replaces_and_an_abort_does_not(store).await;
    empty_objects_exist(store).await;
    uris_name_the_place(store);
    rows_become_results(store).await;
}

async fn a_preflight_finds_a_store_that_can_do_all_and_leaves_nothing(store: &Store) {
    for _ in 0..2 {
        let found = preflight(store, "preflight/uid").await.unwrap();
        assert!(found.creates_once && found.deletes, "{found:?}");
        assert_eq!(store.read("preflight/uid").await.unwrap(), None);
    }
}

async fn a_second_create_changes_nothing(store: &Store) {
    let create = |text: &'static str| store.create("created", text);
    assert_eq!(create("first").await.unwrap(), Put::Created);
    assert_eq!(create("second").await.unwrap(), Put::AlreadyExists);
    assert_eq!(store.read("created").await.unwrap().unwrap(), "first");
}

async fn of_many_creates_at_once_one_wins(store: &Store) {
    let creates = (0..8).map(|n| store.create("raced", format!("{n}")));
    let puts = join_all(creates).await;
    let won = puts.iter().filter(|put| matches!(put, Ok(Put::Created)));
    assert_eq!(won.count(), 1, "{puts:?}");
}

async fn what_is_not_there_is_none(store: &Store) {
    assert_eq!(store.read("nothing").await.unwrap(), None);
    assert_eq!(store.size("nothing").await.unwrap(), None);
    assert_eq!(store.list("nothing/").await.unwrap(), []);
    let error = store.read_range("nothing", 0..1).await.unwrap_err();
    let told = matches!(&error, Error::NotFound { uri, .. } if *uri == store.uri_of("nothing"));
    assert!(told, "{error:?}");
}

async fn ranges_end_where_the_object_ends(store: &Store) {
    store.create("ranges", "0123456789").await.unwrap();
    assert_eq!(store.size("ranges").await.unwrap(), Some(10));
    assert_eq!(store.read_range("ranges", 2..5).await.unwrap(), "234");
    assert_eq!(store.read_range("ranges", 8..99).await.unwrap(), "89");
}

async fn a_listing_is_sorted_and_stays_in_its_folder(store: &Store) {
    for key in ["list/b", "list/a/c", "list/a#1x", "list2/x"] {
        store.create(key, "1").await.unwrap();
    }
    let listed = store.list("list/").await.unwrap();
    let keys: Vec<_> = listed.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["list/a#1x", "list/a/c", "list/b"]);
    assert!(listed.iter().all(|entry| entry.size == 1));
    let all: BTreeSet<_> = store.list("").await.unwrap().into_iter().collect();
    assert!(listed.iter().all(|entry| all.contains(entry)));
}

async fn an_overwrite_replaces_and_an_abort_does_not(store: &Store) {
    store.create("overwritten", "first").await.unwrap();
    let mut aborted = store.overwrite("overwritten", 0);
    aborted.write(b"aborted").await.unwrap();
    aborted.abort().await;
    assert_eq!(store.read("overwritten").await.unwrap().unwrap(), "first");

    let mut writer = store.overwrite("overwritten", 0);
    writer.write(b"sec").await.unwrap();
    writer.write(b"ond").await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(store.read("overwritten").await.unwrap().unwrap(), "second");
}

async fn empty_objects_exist(store: &Store) {
    store.overwrite("empty", 0).finish().await.unwrap();
    assert_eq!(store.size("empty").await.unwrap(), Some(0));
    assert_eq!(store.read("empty").await.unwrap().unwrap(), "");
}

fn uris_name_the_place(store: &Store) {
    let uri = store.uri_of("results.jsonl").to_string();
    assert!(uri.ends_with("/results.jsonl"), "{uri}");
}

/// Three parts and a rest, in pieces that fit neither.
pub async fn large_objects_are_written_in_parts(store: &Store) {
    let piece: Vec<u8> = (0..1_000_003_u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut writer = store.overwrite("large", 0);
    for _ in 0..27 {
        writer.write(&piece).await.unwrap();
    }
    assert_eq!(store.size("large").await.unwrap(), None);
    writer.finish().await.unwrap();
    let read = store.read("large").await.unwrap().unwrap();
    assert!(read.chunks_exact(piece.len()).all(|chunk| chunk == piece));
    assert_eq!(read.len(), 27 * piece.len());

    let mut aborted = store.overwrite("aborted", 0);
    for _ in 0..27 {
        aborted.write(&piece).await.unwrap();
    }
    aborted.abort().await;
    assert_eq!(store.size("aborted").await.unwrap(), None);
}

/// Processes that know nothing of each other upload a part each, in any order, and one of them twice.
pub async fn parts_of_several_processes_are_one_object(store: &Store, open: impl Fn() -> Parts) {
    const PART: usize = 5 << 20;
    let content: Vec<u8> = (0..=255).cycle().take(2 * PART + 7).collect();
    let upload = open().begin("uploaded").await.unwrap();
    let put = async |number: usize| {
        let piece = content.chunks(PART).nth(number).unwrap().to_vec();
        open().put("uploaded", &upload, number, piece.into()).await.unwrap()
    };
    let last = put(2).await;
    put(0).await;
    let first = put(0).await;
    let second = put(1).await;
    assert_eq!(store.size("uploaded").await.unwrap(), None);
    let parts = vec![first, second, last];
    open().complete("uploaded", &upload, parts).await.unwrap();
    assert!(store.read("uploaded").await.unwrap().unwrap() == content, "other bytes");

    let upload = open().begin("given-up").await.unwrap();
    open().put("given-up", &upload, 0, "x".into()).await.unwrap();
    open().abort("given-up", &upload).await.unwrap();
    assert_eq!(store.size("given-up").await.unwrap(), None);
}

/// A job's whole life in its output, with a feeder that dies after half of the rows.
pub async fn rows_become_results(store: &Store) {
    const ROWS: u64 = 3000;
    let ours = job_claim(ROWS);
    assert_eq!(claim(store, &ours).await.unwrap(), Claimed::New);
    for (attempt, rows) in [(1, 0..ROWS / 2), (2, 0..ROWS)] {
        let ledger = resume(store, attempt).await.unwrap();
        let writer = LedgerWriter::start(store.clone(), ledger);
        for number in rows.rev() {
            writer.record(finished_row(number, attempt));
        }
        writer.flush().await;
        let status = writer.status().borrow().clone();
        assert!(status.trouble.is_none());
        assert_eq!(status.results, ROWS / 2 * u64::from(attempt));
    }
    let again = claim(store, &ours).await.unwrap();
    assert_eq!(again, Claimed::Resumed(Box::new(ours.clone())));

    let manifest = finalise(store, &finished(&ours, ROWS)).await.unwrap();
    let results = store.read("results.jsonl").await.unwrap().unwrap();
    let want: String = (0..ROWS)
        .map(|number| line(number, if number < ROWS / 2 { 1 } else { 2 }) + "\n")
        .collect();
    assert!(results == want.as_bytes(), "{} bytes", results.len());
    assert_eq!(manifest.ended, Ended::AllRowsSucceeded);
    assert_eq!(manifest.results.sha256, Checksum::of(&results));
    assert_eq!(manifest.usage.total_tokens, ROWS * 3);
    assert_eq!(store.size("errors.jsonl").await.unwrap(), Some(0));
    let again = finalise(store, &finished(&ours, ROWS)).await.unwrap();
    assert_eq!(again, manifest);
}

fn job_claim(rows: u64) -> Claim {
    let job = JobReference {
        namespace: "default".into(),
        name: "triangles".into(),
        uid: "1".into(),
    };
    let work = Work {
        dataset_sha256: Checksum::of(b"rows"),
        model: "base".into(),
        revision: None,
        quantization: None,
        adapters: Vec::new(),
    };
    Claim::new(job, "s3://bucket/rows.jsonl", rows, work)
}

fn finished(claim: &Claim, rows: u64) -> Finished {
    Finished {
        identity: claim.identity(),
        job: claim.job().clone(),
        dataset: DatasetFacts {
            uri: "s3://bucket/rows.jsonl".into(),
            rows,
            bytes: 4,
            sha256: Checksum::of(b"rows"),
        },
        invalid_rows: RowSet::default(),
        prices: None,
        started_at: "2026-11-24T08:00:00Z".into(),
        finished_at: "2026-11-24T08:05:00Z".into(),
        operator_version: "0.1.0".into(),
    }
}

fn finished_row(number: u64, attempt: u32) -> FinishedRow {
    FinishedRow {
        row: RowNumber(number),
        kind: Kind::Result,
        usage: Usage {
            prompt_tokens: 2,
            completion_tokens: 1,
        },
        model: Some("base".into()),
        line: line(number, attempt).into(),
    }
}

/// Long enough that all of them need several segments and several parts.
fn line(number: u64, attempt: u32) -> String {
    let text = "x".repeat(10_000);
    format!(r#"{{"custom_id":"{number}","attempt":{attempt},"text":"{text}"}}"#)
}
