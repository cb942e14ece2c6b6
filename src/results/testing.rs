//! Short rows and a store that fails, for the tests of this folder.

use bytes::Bytes;
use futures::TryStreamExt;

use crate::api::amount::Amount;
use crate::api::prices::Prices;
use crate::openai::{RowNumber, RowSet, Usage};
use crate::storage::{Put, Store};

use super::checksum::Checksum;
use super::claim::{Identity, JobReference, Work};
use super::error::Error;
use super::finalise::Finished;
use super::manifest::DatasetFacts;
use super::record::{FinishedRow, Kind};
use super::segment::Segment;
use super::segment_id::SegmentId;
use super::stored_segment::{self, StoredSegment};

pub(super) use failing_store::{FailingStore, Faults};

#[path = "testing/failing_store.rs"]
mod failing_store;

pub(super) fn id(attempt: u32, number: u32) -> SegmentId {
    SegmentId::new(attempt, number)
}

/// An answered row; `text` tells one answer from another.
pub(super) fn row(number: u64, text: &str) -> FinishedRow {
    FinishedRow {
        row: RowNumber(number),
        kind: Kind::Result,
        usage: Usage {
            prompt_tokens: 10,
            completion_tokens: 1,
        },
        model: Some("base".into()),
        line: Bytes::from(format!(r#"{{"row":{number},"text":"{text}"}}"#)),
    }
}

/// A failed row.
pub(super) fn error_row(number: u64, text: &str) -> FinishedRow {
    FinishedRow {
        kind: Kind::Error,
        model: None,
        usage: Usage {
            prompt_tokens: 0,
            completion_tokens: 0,
        },
        ..row(number, text)
    }
}

/// The end of a job with that many rows.
pub(super) fn finished(rows: u64) -> Finished {
    let work = Work {
        dataset_sha256: Checksum::of(b"rows"),
        model: "base".into(),
        revision: None,
        quantization: None,
        adapters: Vec::new(),
    };
    Finished {
        identity: Identity::of(&work),
        job: JobReference {
            namespace: "default".into(),
            name: "triangles".into(),
            uid: "8a2ce03c-5a54-4a2a-8f0b-0e7a5b8c1e11".into(),
        },
        dataset: DatasetFacts {
            uri: "s3://bucket/rows.jsonl".into(),
            rows,
            bytes: 1234,
            sha256: work.dataset_sha256,
        },
        invalid_rows: RowSet::default(),
        prices: Some(prices()),
        started_at: "2026-11-24T08:00:00Z".into(),
        finished_at: "2026-11-24T08:05:00Z".into(),
        operator_version: "0.1.0".into(),
    }
}

fn prices() -> Prices {
    Prices {
        per_gpu_hour: [("nvidia.com/gpu".to_owned(), Amount::ONE)].into(),
        ..Prices::default()
    }
}

pub(super) async fn put_segment(store: &Store, segment: &Segment) {
    let key = segment.header().id.key();
    let payload = segment.encode().unwrap().concat();
    assert_eq!(store.create(&key, payload).await.unwrap(), Put::Created);
}

/// All segments that hold rows.
pub(super) async fn stored(store: &Store) -> Result<Vec<StoredSegment>, Error> {
    let pieces = stored_segment::visible(store).await?;
    stored_segment::headers(store, &pieces).try_collect().await
}

pub(super) async fn text(store: &Store, key: &str) -> String {
    let bytes = store.read(key).await.unwrap().unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Puts another text in the place of an object.
pub(super) async fn replace(store: &Store, key: &str, text: &str) {
    let mut writer = store.overwrite(key, 0);
    writer.write(text.as_bytes()).await.unwrap();
    writer.finish().await.unwrap();
}
