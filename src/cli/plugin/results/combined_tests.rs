use std::path::Path;

use super::*;
use crate::openai::RowSet;
use crate::results::{Checksum, OutputFile};

const WHOLE: &str = "result 0\nerror 1\nresult 2\nresult 3\nerror 4\n";

fn described(key: &str, content: &str) -> OutputFile {
    OutputFile {
        key: key.to_owned(),
        rows: content.lines().count() as u64,
        bytes: content.len() as u64,
        sha256: Checksum::of(content.as_bytes()),
    }
}

/// An output of five rows, the second and the last of which have failed.
pub async fn finished() -> (Store, Manifest) {
    let store = Store::in_memory();
    let (results, errors) = ("result 0\nresult 2\nresult 3\n", "error 1\nerror 4\n");
    store.create("results.jsonl", results).await.unwrap();
    store.create("errors.jsonl", errors).await.unwrap();
    let golden = include_bytes!("../../../results/golden/manifest.json");
    let mut manifest = Manifest::parse(golden).unwrap();
    manifest.results = described("results.jsonl", results);
    manifest.errors = described("errors.jsonl", errors);
    let mut error_rows = RowSet::default();
    for row in [1, 4] {
        error_rows.insert(RowNumber(row));
    }
    manifest.proof.rows_in = 5;
    manifest.proof.error_rows = error_rows;
    (store, manifest)
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

async fn fetch_behind(left: &str, store: &Store, manifest: &Manifest) -> Result<String, FetchError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    std::fs::write(folder.path().join("rows.jsonl.part"), left).unwrap();
    fetch(store, manifest, RowsSink::at(Some(&path)).unwrap()).await?;
    Ok(read(&path))
}

#[tokio::test]
async fn rows_are_in_input_order_wherever_an_earlier_fetch_broke_off() {
    let (store, manifest) = finished().await;
    for bytes in 0..=WHOLE.len() {
        let fetched = fetch_behind(&WHOLE[..bytes], &store, &manifest).await.unwrap();
        assert_eq!(fetched, WHOLE, "{bytes}");
    }
}

#[tokio::test]
async fn rows_of_other_work_are_fetched_again() {
    let (store, manifest) = finished().await;
    for left in [
        "other 0\n",
        "result 0\nerror 1\nother 2\n",
        &format!("{WHOLE}another\n"),
    ] {
        let fetched = fetch_behind(left, &store, &manifest).await.unwrap();
        assert_eq!(fetched, WHOLE, "{left}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_as_the_manifest_says_is_refused() {
    let (store, mut manifest) = finished().await;
    manifest.errors.sha256 = Checksum::of(b"another");
    for left in ["", "result 0\n"] {
        let error = fetch_behind(left, &store, &manifest).await.unwrap_err();
        assert!(
            error.to_string().contains("errors.jsonl` is not as the manifest says"),
            "{error}"
        );
    }
}
