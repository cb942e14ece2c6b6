//! `verify` as a process, on outputs that the operator's own code has written.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use batch_inference_operator::openai::{RowNumber, RowSet, Usage};
use batch_inference_operator::results::{
    Checksum, Claim, DatasetFacts, Finished, FinishedRow, JobReference, Kind, LedgerWriter, Work, claim, finalise,
    resume,
};
use batch_inference_operator::storage::{Side, Store, StoreUri, open_output};

use crate::seaweedfs::{BUCKET, SECRET_KEY, SeaweedFs};

/// Enough that each file is read in several requests.
const ROWS: u64 = 3000;
const PADDING: usize = 4000;

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn verify(dataset: &str, output: &str, environment: &[(String, String)]) -> Ended {
    let ended = Command::new(env!("CARGO_BIN_EXE_batch-inference-operator"))
        .args(["verify", "--dataset", dataset, "--output", output])
        .env_clear()
        .envs(environment.iter().cloned())
        .output()
        .unwrap();
    let ended = Ended {
        code: ended.status.code(),
        stdout: String::from_utf8(ended.stdout).unwrap(),
        stderr: String::from_utf8(ended.stderr).unwrap(),
    };
    assert!(!ended.stdout.contains(SECRET_KEY) && !ended.stderr.contains(SECRET_KEY));
    ended
}

/// The keys as a person has them in the environment.
fn environment(server: &SeaweedFs, secret_key: &str) -> Vec<(String, String)> {
    let vars = server.environment(Side::Output, secret_key);
    let vars = vars.map(|(name, value)| (name.replace(Side::Output.env_prefix(), ""), value));
    vars.into()
}

pub async fn proves_an_output_in_s3_and_says_what_differs(server: &SeaweedFs) {
    let (dataset, output) = (
        format!("s3://{BUCKET}/verify/rows.jsonl"),
        format!("s3://{BUCKET}/verify/out"),
    );
    let store = open(server, &output);
    let rows = write_dataset(&open(server, &format!("s3://{BUCKET}/verify"))).await;
    let keys = environment(server, SECRET_KEY);

    let nothing = verify(&dataset, &output, &keys);
    assert_eq!(nothing.code, Some(2), "{}", nothing.stdout);
    assert!(nothing.stderr.contains("correct --output"), "{}", nothing.stderr);
    let ours = begin(&store, &rows).await;
    let unfinished = verify(&dataset, &output, &keys);
    assert_eq!(unfinished.code, Some(1), "{}", unfinished.stderr);
    assert!(
        unfinished.stdout.contains("the job has not ended"),
        "{}",
        unfinished.stdout
    );
    assert!(
        unfinished.stdout.contains("3000 rows: 2000 results, 1000 errors"),
        "{}",
        unfinished.stdout
    );

    finalise(&store, &finished(&ours, &rows)).await.unwrap();
    let proven = verify(&dataset, &output, &keys);
    assert_eq!(
        (proven.code, proven.stderr.as_str()),
        (Some(0), ""),
        "{}",
        proven.stdout
    );
    let statement = "proven: 3000 rows in = 2000 results + 1000 errors, each row exactly once, in input order\n";
    assert!(proven.stdout.starts_with(statement), "{}", proven.stdout);
    assert!(
        proven
            .stdout
            .contains("14000 prompt tokens + 4000 completion tokens = 18000"),
        "{}",
        proven.stdout
    );

    let copy = copy_to_disk(&store, &rows).await;
    proves_a_copy_on_disk(copy.path());
    a_changed_object_is_told(&store, &dataset, &output, &keys).await;
    what_cannot_be_read_is_no_difference(server, &dataset, &output);
}

async fn a_changed_object_is_told(store: &Store, dataset: &str, output: &str, keys: &[(String, String)]) {
    let results = store.read("results.jsonl").await.unwrap().unwrap();
    let mut lines: Vec<_> = results.split_inclusive(|byte| *byte == b'\n').collect();
    lines.remove(1500);
    let mut writer = store.overwrite("results.jsonl", 0);
    writer.write(&lines.concat()).await.unwrap();
    writer.finish().await.unwrap();
    let differs = verify(dataset, output, keys);
    assert_eq!(differs.code, Some(1), "{}", differs.stderr);
    // Of three rows, the last has failed.
    let row = "row 2250 (line 2251 of the data set, custom_id `row-2250`) is missing in results.jsonl";
    assert!(differs.stdout.contains(row), "{}", differs.stdout);
    let field = "manifest.json, field results.rows: 2000, but the files say 1999";
    assert!(differs.stdout.contains(field), "{}", differs.stdout);
}

fn what_cannot_be_read_is_no_difference(server: &SeaweedFs, dataset: &str, output: &str) {
    let wrong_key = verify(dataset, output, &environment(server, "wrong"));
    let hint = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment";
    let keys = environment(server, SECRET_KEY);
    let no_dataset = verify(&format!("s3://{BUCKET}/verify/other.jsonl"), output, &keys);
    let no_scheme = verify(dataset, "ftp://host/run", &keys);
    for (ended, message) in [
        (wrong_key, hint),
        (no_dataset, "verify/other.jsonl` does not exist"),
        (no_scheme, "or the path of what is on this machine"),
    ] {
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
        assert!(ended.stderr.contains(message), "{}", ended.stderr);
    }
}

fn proves_a_copy_on_disk(folder: &Path) {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let proven = verify(&path("rows.jsonl"), &path("out"), &[]);
    assert_eq!(proven.code, Some(0), "{}{}", proven.stdout, proven.stderr);
    std::fs::remove_file(folder.join("out/errors.jsonl")).unwrap();
    let differs = verify(&path("rows.jsonl"), &path("out"), &[]);
    assert_eq!(differs.code, Some(1), "{}", differs.stderr);
    assert!(
        differs.stdout.contains("errors.jsonl does not exist"),
        "{}",
        differs.stdout
    );
    assert!(
        differs.stdout.contains("and 991 more rows and lines"),
        "{}",
        differs.stdout
    );
}

fn open(server: &SeaweedFs, uri: &str) -> Store {
    let uri = StoreUri::parse_prefix(uri).unwrap();
    open_output(&uri, &server.credentials(Side::Output, SECRET_KEY), None).unwrap()
}

async fn write_dataset(store: &Store) -> String {
    let mut rows = String::new();
    for number in 0..ROWS {
        let padding = "x".repeat(PADDING);
        writeln!(
            rows,
            r#"{{"custom_id":"row-{number}","method":"POST","url":"/v1/completions","body":{{"prompt":"{padding}"}}}}"#
        )
        .unwrap();
    }
    store.create("rows.jsonl", rows.clone()).await.unwrap();
    rows
}

/// Claims the output and makes all rows durable.
async fn begin(store: &Store, rows: &str) -> Claim {
    let job = JobReference {
        namespace: "default".into(),
        name: "triangles".into(),
        uid: "1".into(),
    };
    let work = Work {
        dataset_sha256: Checksum::of(rows.as_bytes()),
        model: "base".into(),
        revision: None,
        quantization: None,
        adapters: Vec::new(),
    };
    let ours = Claim::new(job, "s3://bucket/rows.jsonl", ROWS, work);
    claim(store, &ours).await.unwrap();
    let writer = LedgerWriter::start(store.clone(), resume(store, 1).await.unwrap());
    for number in 0..ROWS {
        writer.record(finished_row(number));
    }
    writer.flush().await;
    ours
}

fn finished_row(number: u64) -> FinishedRow {
    let succeeded = number % 3 != 2;
    let (status, kind) = if succeeded {
        (200, Kind::Result)
    } else {
        (400, Kind::Error)
    };
    let usage = Usage {
        prompt_tokens: if succeeded { 7 } else { 0 },
        completion_tokens: if succeeded { 2 } else { 0 },
    };
    let (prompt, completion) = (usage.prompt_tokens, usage.completion_tokens);
    let text = "y".repeat(PADDING);
    let body = format!(r#"{{"text":"{text}","usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion}}}}}"#);
    let response = format!(r#"{{"status_code":{status},"request_id":"r","body":{body}}}"#);
    let line = format!(r#"{{"id":"b","custom_id":"row-{number}","response":{response},"error":null}}"#);
    FinishedRow {
        row: RowNumber(number),
        kind,
        usage,
        model: succeeded.then(|| "base".into()),
        line: line.into(),
    }
}

fn finished(claim: &Claim, rows: &str) -> Finished {
    Finished {
        identity: claim.identity(),
        job: claim.job().clone(),
        dataset: DatasetFacts {
            uri: "s3://bucket/rows.jsonl".into(),
            rows: ROWS,
            bytes: rows.len() as u64,
            sha256: Checksum::of(rows.as_bytes()),
        },
        invalid_rows: RowSet::default(),
        prices: None,
        started_at: "2026-11-24T08:00:00Z".into(),
        finished_at: "2026-11-24T08:05:00Z".into(),
        operator_version: "0.1.0".into(),
    }
}

async fn copy_to_disk(store: &Store, rows: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("out")).unwrap();
    std::fs::write(folder.path().join("rows.jsonl"), rows).unwrap();
    for key in ["results.jsonl", "errors.jsonl", "manifest.json"] {
        let bytes = store.read(key).await.unwrap().unwrap();
        std::fs::write(folder.path().join("out").join(key), bytes).unwrap();
    }
    folder
}
