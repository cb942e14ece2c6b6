//! Short rows and a store that fails, for the tests of this folder.

use bytes::Bytes;

use crate::openai::{RowNumber, Usage};
use crate::storage::{Put, Store};

use super::header::SegmentId;
use super::record::{FinishedRow, Kind};
use super::segment::Segment;

pub(super) use failing_store::FailingStore;

#[path = "testing/failing_store.rs"]
mod failing_store;

pub(super) fn id(attempt: u32, number: u32) -> SegmentId {
    SegmentId { attempt, number }
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

pub(super) async fn put_segment(store: &Store, segment: &Segment) {
    let key = segment.header().id.key();
    let payload = segment.encode().unwrap().concat();
    assert_eq!(store.create(&key, payload).await.unwrap(), Put::Created);
}

pub(super) async fn text(store: &Store, key: &str) -> String {
    let bytes = store.read(key).await.unwrap().unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}
