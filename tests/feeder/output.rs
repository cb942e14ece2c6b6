//! What a job leaves in its output.

use std::collections::BTreeSet;

use batch_inference_operator::results::{ERRORS, MANIFEST, RESULTS, SEGMENTS, Segment};
use batch_inference_operator::storage::Store;
use serde_json::Value;

use crate::proof;

/// The files of a finished job.
pub struct Output {
    pub results: String,
    pub errors: String,
    pub manifest: Value,
}

impl Output {
    /// Reads them; each must be there.
    pub async fn read(store: &Store) -> Self {
        Self {
            results: read(store, RESULTS).await,
            errors: read(store, ERRORS).await,
            manifest: serde_json::from_str(&read(store, MANIFEST).await).unwrap(),
        }
    }

    /// Fails unless each row of the data set is in it exactly once.
    pub fn prove(&self, dataset: &str) {
        proof::check(dataset, &self.results, &self.errors, &self.manifest).unwrap();
    }

    /// The lines of the errors.
    pub fn error_rows(&self) -> Vec<Value> {
        let rows = self.errors.lines().map(|line| serde_json::from_str(line).unwrap());
        rows.collect()
    }
}

async fn read(store: &Store, key: &str) -> String {
    let bytes = store.read(key).await.unwrap();
    let bytes = bytes.unwrap_or_else(|| panic!("{key} is not there"));
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The rows that are in segments, by `custom_id`, but for those without; when the job has ended, those of its files, as segments are removed then.
pub async fn durable(store: &Store) -> BTreeSet<String> {
    if store.read(MANIFEST).await.unwrap().is_some() {
        let Output { results, errors, .. } = Output::read(store).await;
        return results.lines().chain(errors.lines()).filter_map(custom_id).collect();
    }
    let mut ids = BTreeSet::new();
    for segment in store.list(SEGMENTS).await.unwrap() {
        // One that was merged into another meanwhile is seen the next time.
        let Some(object) = store.read(&segment.key).await.unwrap() else {
            continue;
        };
        for row in Segment::decode(&object).unwrap().rows().unwrap() {
            ids.extend(custom_id(str::from_utf8(&row.line).unwrap()));
        }
    }
    ids
}

fn custom_id(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).unwrap();
    line["custom_id"].as_str().map(ToOwned::to_owned)
}
