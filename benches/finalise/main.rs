//! Measures what happens to finished rows: recorded, resumed from, merged into the results.
//!
//!     finalise-figures                              # everything, in a folder and on a SeaweedFS of its own
//!     finalise-figures make FOLDER SEGMENTS ROWS near|scattered
//!     finalise-figures finalise|resume|remove|copy FOLDER ROWS
//!     finalise-figures record FOLDER ROWS
//!
//! FOLDER is a path or `s3://…`, with the keys in the environment as for `verify`. Each figure is a process of its own, for its peak
//! memory.

#![expect(clippy::unwrap_used, reason = "a measurement that fails says why by panicking")]
#![expect(clippy::cast_precision_loss, reason = "figures are printed with three digits")]

#[path = "../../tests/storage/ports.rs"]
mod ports;
#[path = "../../tests/storage/seaweedfs.rs"]
#[expect(dead_code, reason = "tests use all of it")]
mod seaweedfs;

use std::process::Command;
use std::time::Instant;

use batch_inference_operator::openai::{RowNumber, RowSet, Usage};
use batch_inference_operator::results::{
    Checksum, DatasetFacts, Durable, Finished, FinishedRow, Identity, JobReference, Kind, Ledger, LedgerWriter,
    Manifest, SEGMENTS, Segment, SegmentId, Work, finalise, read_manifest, remove_segments, resume,
};
use batch_inference_operator::storage::{Entry, Side, Store, open_named_folder};
use futures::{StreamExt, stream};
use seaweedfs::{BUCKET, SECRET_KEY, SeaweedFs};

const LINE_BYTES: usize = 650;
/// Rows are answered up to so many segments late.
const SEGMENTS_LATE: u64 = 8;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => everything().await,
        ["make", folder, segments, rows, order] => {
            make(&open(folder), number(segments), number(rows), order == "scattered").await;
        }
        ["finalise", folder, rows] => {
            let store = open(folder);
            let manifest = finalise(&store, &finished(number(rows))).await.unwrap();
            let bytes = manifest.results.bytes;
            measured(&format!("finalise {rows} rows"), bytes, number(rows));
        }
        ["resume", folder, rows] => {
            let ledger = resume(&open(folder), 1000).await.unwrap();
            assert_eq!(ledger.durable().rows(), number(rows));
            measured(&format!("resume {rows} rows"), 0, number(rows));
        }
        ["remove", folder, rows] => {
            let store = open(folder);
            let manifest: Manifest = read_manifest(&store).await.unwrap().unwrap();
            let bytes = manifest.results.bytes;
            let removal = remove_segments(&store, &manifest).await.unwrap();
            measured(&format!("check the files, {removal:?}"), bytes, number(rows));
        }
        ["copy", folder, rows] => {
            let bytes = copy(&open(folder)).await;
            measured("read and write as much", bytes, number(rows));
        }
        ["record", folder, rows] => record(open(folder), number(rows)).await,
        _ => panic!("unknown arguments: {arguments:?}"),
    }
}

async fn everything() {
    let folder = tempfile::tempdir().unwrap();
    figures(&folder.path().display().to_string(), &[]);
    let server = SeaweedFs::start().await;
    figures(
        &format!("s3://{BUCKET}/figures"),
        &server.environment(Side::Output, SECRET_KEY),
    );
}

fn figures(root: &str, environment: &[(String, String)]) {
    println!("in {root}");
    for (name, segments, rows, order) in [
        ("near", "250", "5000", "near"),
        ("small", "20000", "20", "scattered"),
        ("many", "2500", "400", "near"),
    ] {
        println!("{segments} segments of {rows} rows of {LINE_BYTES} bytes, {order}:");
        let folder = format!("{root}/{name}/");
        let all = (number(segments) * number(rows)).to_string();
        let steps: [&[&str]; 4] = [
            &["make", &folder, segments, rows, order],
            &["resume", &folder, &all],
            &["finalise", &folder, &all],
            &["remove", &folder, &all],
        ];
        for step in steps {
            run(step, environment);
        }
    }
    run(&["record", &format!("{root}/record/"), "1000000"], environment);
}

fn run(arguments: &[&str], environment: &[(String, String)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let status = command.args(arguments).envs(environment.iter().cloned()).status();
    assert!(status.unwrap().success(), "{arguments:?}");
}

fn open(folder: &str) -> Store {
    if !folder.starts_with("s3://") {
        std::fs::create_dir_all(folder).unwrap();
    }
    let vars = std::env::vars().map(|(name, value)| (name.trim_start_matches("OUTPUT_").to_owned(), value));
    open_named_folder(folder, vars).unwrap()
}

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}

fn line_of(number: u64) -> FinishedRow {
    let start = format!(r#"{{"id":"batch_req_{number}","custom_id":"row-{number}","text":""#);
    let text = "x".repeat(LINE_BYTES - start.len() - 3);
    FinishedRow {
        row: RowNumber(number),
        kind: Kind::Result,
        usage: Usage {
            prompt_tokens: 100,
            completion_tokens: 20,
        },
        model: Some("base".into()),
        line: format!("{start}{text}\"}}").into(),
    }
}

async fn make(store: &Store, segments: u64, rows: u64, scattered: bool) {
    let mut contents = vec![Vec::new(); usize::try_from(segments).unwrap()];
    for row in 0..segments * rows {
        // A multiplicative hash, as any order that is not the input's will do.
        let late = (row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % (SEGMENTS_LATE * rows);
        let segment = if scattered {
            row % segments
        } else {
            ((row + late) / rows).min(segments - 1)
        };
        contents[usize::try_from(segment).unwrap()].push(row);
    }
    stream::iter((0..).zip(contents))
        .for_each_concurrent(8, async |(number, rows)| {
            let rows = rows.into_iter().map(line_of).collect();
            let segment = Segment::new(SegmentId::new(1, number), rows);
            let bytes = segment.encode().unwrap().concat();
            store.create(&segment.header().id.key(), bytes).await.unwrap();
        })
        .await;
}

/// Reads what a merge reads and writes as much, and nothing else: what the store can do at most.
async fn copy(store: &Store) -> u64 {
    const READ_AHEAD: usize = 4;
    let segments = store.list(SEGMENTS).await.unwrap();
    let bytes = segments.iter().map(|segment| segment.size).sum();
    let read = |segment: Entry| async move { store.read(&segment.key).await.unwrap().unwrap() };
    let mut read = stream::iter(segments).map(read).buffered(READ_AHEAD);
    let mut written = store.overwrite("copied", bytes);
    while let Some(segment) = read.next().await {
        written.put(segment).await.unwrap();
    }
    written.finish().await.unwrap();
    bytes
}

/// What a feeder does with each finished row, as fast as it can: memory bounds it, as it bounds a feeder.
async fn record(store: Store, rows: u64) {
    let prepared: Vec<_> = (0..100).map(line_of).collect();
    let before = processor_seconds();
    let start = Instant::now();
    let writer = LedgerWriter::start(store, Ledger::new(1, 0, Durable::default()));
    let mut status = writer.status();
    for number in 0..rows {
        let mut row = prepared[usize::try_from(number % 100).unwrap()].clone();
        // Each has bytes of its own, as those of answers are.
        row.line = row.line.to_vec().into();
        row.row = RowNumber(number ^ 63);
        writer.record(row);
        while writer.bytes_in_memory() > 16 << 20 {
            status.changed().await.unwrap();
        }
    }
    writer.flush().await;
    let took = (processor_seconds() - before) * 1e6 / rows as f64;
    println!(
        "  record {rows} rows: {:.2} s, {took:.2} us of processor time a row",
        start.elapsed().as_secs_f64()
    );
    measured("record", rows * LINE_BYTES as u64, rows);
}

fn finished(rows: u64) -> Finished {
    let work = Work {
        dataset_sha256: Checksum::of(b"rows"),
        model: "base".into(),
        revision: None,
        quantization: None,
        adapters: Vec::new(),
    };
    let text = |text: &str| text.to_owned();
    Finished {
        identity: Identity::of(&work),
        job: JobReference {
            namespace: text("default"),
            name: text("figures"),
            uid: text("1"),
        },
        dataset: DatasetFacts {
            uri: text("s3://bucket/rows.jsonl"),
            rows,
            bytes: 1,
            sha256: work.dataset_sha256,
        },
        invalid_rows: RowSet::default(),
        prices: None,
        started_at: text("2026-11-24T08:00:00Z"),
        finished_at: text("2026-11-24T08:05:00Z"),
        operator_version: text("0.1.0"),
    }
}

/// User and system time of this process. Linux counts hundredths of a second.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (number(fields[11]) + number(fields[12])) as f64 / 100.0
}

fn measured(what: &str, bytes: u64, rows: u64) {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split_whitespace().next().unwrap().parse().unwrap();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let started = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap();
    let wall = uptime - number(started) as f64 / 100.0;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let processor = processor_seconds();
    println!(
        "  {what}: {wall:.2} s, {:.0} MB/s, {processor:.2} s of processor time ({:.2} us a row), peak{peak}",
        bytes as f64 / 1e6 / wall,
        processor * 1e6 / rows as f64,
    );
}
