//! Reads many sorted segments as one: each row once, ascending.
//!
//! A segment is opened shortly before its first row is next and closed after its last, and all that are open share a bounded
//! memory. So it follows neither how many segments there are, nor how many overlap at one place.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use crate::openai::RowNumber;
use crate::storage::Store;

use super::error::Error;
use super::merge_plan::{MergePlan, Source};
use super::record::Record;
use super::segment_reader::SegmentReader;

/// For what is read ahead of all open segments together.
const READ_BYTES: u64 = 8 << 20;
/// Read from one segment at a time: more would not be faster, and less would make a store's latency count.
const CHUNK_BYTES: std::ops::RangeInclusive<u64> = (4 << 10)..=(512 << 10);
/// Segments whose first bytes are asked for before they are needed.
const OPEN_AHEAD: usize = 4;

/// A merge of all segments.
pub(super) struct Merge {
    store: Store,
    chunk_bytes: u64,
    /// The one whose first row is lowest is last.
    unopened: Vec<Source>,
    /// The next ones, lowest first; on their way.
    opening: VecDeque<SegmentReader>,
    opened: BinaryHeap<Standing>,
    last: Option<RowNumber>,
    duplicates: u64,
}

/// A row of the merge.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MergedRow {
    pub record: Record,
    /// The model's name.
    pub model: Option<Arc<str>>,
}

impl Merge {
    /// Begins to merge. Needs a tokio runtime.
    pub fn new(store: Store, plan: MergePlan) -> Self {
        // Of each, one chunk is taken apart while the next is on its way.
        let streams = (plan.depth() + OPEN_AHEAD) as u64 * 2;
        let chunk_bytes = (READ_BYTES / streams).clamp(*CHUNK_BYTES.start(), *CHUNK_BYTES.end());
        Self::with_chunks(store, plan, chunk_bytes)
    }

    fn with_chunks(store: Store, plan: MergePlan, chunk_bytes: u64) -> Self {
        let mut unopened = plan.sources;
        unopened.sort_by_key(|source| Reverse((source.first, source.id)));
        Self {
            store,
            chunk_bytes,
            unopened,
            opening: VecDeque::new(),
            opened: BinaryHeap::new(),
            last: None,
            duplicates: 0,
        }
    }

    /// The next row that was not there yet, from the lowest segment that has it.
    pub async fn next(&mut self) -> Result<Option<MergedRow>, Error> {
        loop {
            self.open_what_is_next().await?;
            let Some(Standing { record, mut reader }) = self.opened.pop() else {
                return Ok(None);
            };
            let model = record.model.and_then(|index| reader.model(index));
            if let Some(record) = reader.next().await? {
                self.opened.push(Standing { record, reader });
            }
            if self.last.replace(record.row) != Some(record.row) {
                return Ok(Some(MergedRow { record, model }));
            }
            self.duplicates += 1;
        }
    }

    /// Rows that were left out so far, because a lower segment had them.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    async fn open_what_is_next(&mut self) -> Result<(), Error> {
        loop {
            while self.opening.len() < OPEN_AHEAD {
                let Some(source) = self.unopened.pop() else { break };
                let reader = SegmentReader::open(source, &self.store, self.chunk_bytes);
                self.opening.push_back(reader);
            }
            let lowest = self.opened.peek().map(|standing| standing.record.row);
            let is_due = |reader: &mut SegmentReader| lowest.is_none_or(|lowest| lowest >= reader.first());
            let Some(mut reader) = self.opening.pop_front_if(is_due) else {
                return Ok(());
            };
            let record = reader.first_row().await?;
            let reader = Box::new(reader);
            self.opened.push(Standing { record, reader });
        }
    }
}

/// An open segment and the row at which it stands. Small, as a heap moves them about.
struct Standing {
    record: Record,
    reader: Box<SegmentReader>,
}

/// The heap gives its greatest first: that is the lowest row, of the lowest segment.
impl Ord for Standing {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |standing: &Self| (standing.record.row, standing.reader.id());
        key(other).cmp(&key(self))
    }
}

impl PartialOrd for Standing {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Standing {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Standing {}

#[cfg(test)]
mod tests {
    use super::super::segment::Segment;
    use super::super::stored_segment;
    use super::super::testing::{error_row, id, put_segment, row};
    use super::*;

    async fn store_of(segments: &[Segment]) -> Store {
        let store = Store::in_memory();
        for segment in segments {
            put_segment(&store, segment).await;
        }
        store
    }

    async fn merge(store: &Store, chunk_bytes: u64) -> Result<Vec<String>, Error> {
        let pieces = stored_segment::visible(store).await.unwrap();
        let plan = MergePlan::read(store, &pieces).await.unwrap();
        let mut merge = Merge::with_chunks(store.clone(), plan, chunk_bytes);
        let mut lines = Vec::new();
        while let Some(merged) = merge.next().await? {
            let line = String::from_utf8(merged.record.line.to_vec()).unwrap();
            lines.push(line);
        }
        Ok(lines)
    }

    #[tokio::test]
    async fn rows_come_in_order_whatever_the_size_of_a_chunk() {
        let rows = |numbers: &[u64]| numbers.iter().map(|n| row(*n, "x")).collect();
        let store = store_of(&[
            Segment::new(id(1, 0), rows(&[0, 3, 4])),
            Segment::new(id(1, 1), rows(&[1, 5])),
            Segment::new(id(2, 0), rows(&[2])),
        ])
        .await;
        for chunk_bytes in [1, 7, 100, 1 << 20] {
            let lines = merge(&store, chunk_bytes).await.unwrap();
            let want: Vec<_> = (0..6).map(|n| format!("{{\"row\":{n},\"text\":\"x\"}}\n")).collect();
            assert_eq!(lines, want);
        }
    }

    #[tokio::test]
    async fn of_a_row_in_several_segments_the_lowest_wins() {
        let store = store_of(&[
            Segment::new(id(2, 0), vec![row(0, "second attempt"), row(1, "second")]),
            Segment::new(id(1, 1), vec![error_row(1, "first attempt, second segment")]),
            Segment::new(id(1, 0), vec![row(1, "first attempt, first segment")]),
        ])
        .await;
        let lines = merge(&store, 64).await.unwrap();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains("second attempt"));
        assert!(lines[1].contains("first attempt, first segment"));
    }

    #[tokio::test]
    async fn changed_rows_are_noticed_and_named() {
        let segment = Segment::new(id(1, 0), vec![row(0, "right"), row(1, "right")]);
        let right = String::from_utf8(segment.encode().unwrap().concat()).unwrap();
        for (change, to) in [("right", "wrong"), ("1\tresult", "0\tresult")] {
            let store = Store::in_memory();
            let wrong = right.replace(change, to);
            store.create(&id(1, 0).key(), wrong).await.unwrap();
            let error = merge(&store, 64).await.unwrap_err().to_string();
            assert!(error.contains("a000001-00000000.seg` is damaged"), "{error}");
        }
    }
}
