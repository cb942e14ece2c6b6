//! Outputs as a job leaves them, in one S3 for all tests.

use batch_inference_operator::openai::{RowNumber, RowSet, Usage};
use batch_inference_operator::results::{Checksum, FinishedRow, Kind, Manifest, OutputFile, Segment, SegmentId};
use batch_inference_operator::storage::{Side, Store, StoreUri, open_output};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::seaweedfs::{BUCKET, SECRET_KEY, SeaweedFs};

/// It ends with the process.
static S3: OnceCell<SeaweedFs> = OnceCell::const_new();

pub async fn s3() -> &'static SeaweedFs {
    S3.get_or_init(SeaweedFs::start).await
}

/// The keys of the S3, as a person has them in the environment, or a Secret holds them.
pub async fn keys() -> Vec<(String, String)> {
    let keys = s3().await.environment(Side::Output, SECRET_KEY).into_iter();
    keys.map(|(name, value)| (name.replace(Side::Output.env_prefix(), ""), value))
        .collect()
}

/// What the Secret of a namespace's default store holds, in a folder of the bucket.
pub async fn default_store(folder: &str) -> Vec<(String, String)> {
    let mut keys = keys().await;
    keys.push(("uri".to_owned(), uri(folder)));
    keys
}

/// The URI of a folder in the bucket.
pub fn uri(folder: &str) -> String {
    format!("s3://{BUCKET}/{folder}/")
}

/// A folder in the bucket.
pub async fn store(folder: &str) -> Store {
    let uri = StoreUri::parse_prefix(&uri(folder)).unwrap();
    open_output(&uri, &s3().await.credentials(Side::Output, SECRET_KEY), None).unwrap()
}

/// Lines of a finished job: every fourth has failed.
pub fn lines(rows: u64, filling: &str) -> Vec<(Kind, String)> {
    let line = |row: u64| {
        let kind = if row % 4 == 3 { Kind::Error } else { Kind::Result };
        (
            kind,
            format!(
                "{}\n",
                json!({"custom_id": row.to_string(), "response": filling, "error": null})
            ),
        )
    };
    (0..rows).map(line).collect()
}

/// The lines of one kind, or of both.
pub fn text(lines: &[(Kind, String)], kind: Option<Kind>) -> String {
    let wanted = lines.iter().filter(|(of, _)| kind.is_none_or(|kind| kind == *of));
    wanted.map(|(_, line)| line.as_str()).collect()
}

/// Leaves a finished output, with a manifest that fits.
pub async fn finish(store: &Store, lines: &[(Kind, String)]) {
    let results = text(lines, Some(Kind::Result));
    let errors = text(lines, Some(Kind::Error));
    let golden = include_bytes!("../../src/results/golden/manifest.json");
    let mut manifest = Manifest::parse(golden).unwrap();
    manifest.results = put(store, "results.jsonl", &results).await;
    manifest.errors = put(store, "errors.jsonl", &errors).await;
    let mut error_rows = RowSet::default();
    for (row, (kind, _)) in (0..).map(RowNumber).zip(lines) {
        if *kind == Kind::Error {
            error_rows.insert(row);
        }
    }
    manifest.proof.rows_in = lines.len() as u64;
    manifest.proof.errors = error_rows.len();
    manifest.proof.results = manifest.proof.rows_in - manifest.proof.errors;
    manifest.proof.error_rows = error_rows;
    store
        .create("manifest.json", serde_json::to_vec(&manifest).unwrap())
        .await
        .unwrap();
}

async fn put(store: &Store, key: &str, content: &str) -> OutputFile {
    store.create(key, content.to_owned()).await.unwrap();
    OutputFile {
        key: key.to_owned(),
        rows: content.lines().count() as u64,
        bytes: content.len() as u64,
        sha256: Checksum::of(content.as_bytes()),
    }
}

/// Leaves a segment with some rows of a job that runs.
pub async fn put_segment(store: &Store, lines: &[(Kind, String)], rows: &[usize]) {
    let rows = rows.iter().map(|row| FinishedRow {
        row: RowNumber(*row as u64),
        kind: lines[*row].0,
        usage: Usage {
            prompt_tokens: 1,
            completion_tokens: 1,
        },
        model: None,
        line: lines[*row].1.trim_end().to_owned().into(),
    });
    let segment = Segment::new(SegmentId::new(1, 0), rows.collect());
    let bytes = segment.encode().unwrap().concat();
    store.create(&SegmentId::new(1, 0).key(), bytes).await.unwrap();
}

/// The spec of a job that names neither data set nor output by a URI.
pub fn unnamed_spec() -> Value {
    json!({"dataset": {"name": "rows"}, "server": {"baseModel": "qwen3-8b"}})
}

/// The spec of a job with this output, and with a Secret that holds its keys.
pub fn spec(folder: &str) -> Value {
    json!({
        "dataset": {"uri": format!("s3://{BUCKET}/{folder}/rows.jsonl")},
        "server": {"baseModel": "qwen3-8b"},
        "output": {"uri": uri(folder), "credentialsSecretRef": {"name": "store-keys"}},
    })
}

/// The status of a job whose output is finished.
pub fn completed(folder: &str, rows: usize) -> Value {
    json!({
        "phase": "Completed",
        "progress": {"total": rows, "completed": rows, "failed": 0, "percent": 100},
        "results": {"manifestUri": format!("{}manifest.json", uri(folder))},
        "conditions": [{"type": "Complete", "status": "True", "reason": "SomeRowsFailed", "message": "with errors"}],
    })
}
