//! Which rows are finished, and which of them are durable: the decisions, without I/O.
//!
//! A row is *waiting* from its answer until its segment closes, *in an upload* until the store acknowledges
//! that segment, and then *durable*. Only durable rows are counted.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

use crate::openai::{RowNumber, RowSet};

use super::header::{Header, ModelRows, Tokens};
use super::record::{FinishedRow, Kind};
use super::segment_id::SegmentId;

/// A segment closes when its oldest row is this old. A finished row is promised to be durable within 5 s,
/// and the put must fit into what is left.
pub const SEGMENT_AGE: Duration = Duration::from_secs(3);
/// A segment closes when this many bytes are waiting: enough that a store's cost for each request does not
/// matter, few enough that one put takes well under a second, and that some in memory at once fit a small pod.
pub const SEGMENT_BYTES: usize = 2 << 20;
/// What a waiting row takes besides its line: its fields, and its place in queue and set.
const ROW_BYTES: usize = 128;

/// The rows that the store has acknowledged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durable {
    /// Rows that were answered.
    pub results: RowSet,
    /// Rows that failed.
    pub errors: RowSet,
    /// Tokens of both.
    pub usage: Tokens,
    /// What each model came to, by name.
    pub models: BTreeMap<String, ModelRows>,
}

impl Durable {
    /// Whether a row is durable.
    #[must_use]
    pub fn contains(&self, row: RowNumber) -> bool {
        self.results.contains(row) || self.errors.contains(row)
    }

    /// How many rows of a range are durable.
    #[must_use]
    pub fn rows_in(&self, rows: Range<u64>) -> u64 {
        self.results.len_in(rows.clone()) + self.errors.len_in(rows)
    }

    /// How many rows are durable.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.results.len() + self.errors.len()
    }

    /// Whether the rows of a segment are all new.
    pub(super) fn is_disjoint(&self, header: &Header) -> bool {
        [&header.results.bitmap, &header.errors.bitmap]
            .into_iter()
            .all(|rows| self.results.is_disjoint(rows) && self.errors.is_disjoint(rows))
    }

    /// Adds a segment whose rows are all new.
    pub(super) fn add(&mut self, header: &Header) {
        self.results.extend(&header.results.bitmap);
        self.errors.extend(&header.errors.bitmap);
        self.usage.add_all(header.usage);
        for model in &header.models {
            self.model(&model.name).add_all(model);
        }
    }

    /// Adds one row, unless it is there.
    pub(super) fn add_row(&mut self, row: &FinishedRow) {
        if self.contains(row.row) {
            return;
        }
        match row.kind {
            Kind::Result => self.results.insert(row.row),
            Kind::Error => self.errors.insert(row.row),
        };
        self.usage.add(row.usage);
        if let Some(name) = &row.model {
            self.model(name).add(row.kind, row.usage);
        }
    }

    fn model(&mut self, name: &str) -> &mut ModelRows {
        let model = self.models.entry(name.to_owned());
        model.or_insert_with(|| ModelRows::new(name))
    }
}

/// A segment that is due, before it is written down.
#[derive(Debug)]
pub(super) struct Due {
    pub id: SegmentId,
    pub rows: Vec<FinishedRow>,
}

/// All finished rows of a job, as one attempt of its feeder knows them.
#[derive(Debug)]
pub struct Ledger {
    attempt: u32,
    next_number: u32,
    durable: Durable,
    /// Durable, in an upload, or waiting.
    taken: RowSet,
    waiting: VecDeque<(Instant, FinishedRow)>,
    waiting_bytes: usize,
    /// Bytes of each segment on its way.
    uploading: BTreeMap<SegmentId, usize>,
    flushing: bool,
}

impl Ledger {
    /// A ledger that knows what earlier attempts made durable. `next_number` is the first segment number
    /// that this attempt has not used.
    #[must_use]
    pub fn new(attempt: u32, next_number: u32, durable: Durable) -> Self {
        let mut taken = durable.results.clone();
        taken.extend(&durable.errors);
        Self {
            attempt,
            next_number,
            durable,
            taken,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            uploading: BTreeMap::new(),
            flushing: false,
        }
    }

    /// Takes a finished row; false when the ledger has it already.
    pub fn record(&mut self, row: FinishedRow, now: Instant) -> bool {
        if !self.taken.insert(row.row) {
            return false;
        }
        self.waiting_bytes += bytes_of(&row);
        self.waiting.push_back((now, row));
        true
    }

    /// What the store has acknowledged.
    #[must_use]
    pub fn durable(&self) -> &Durable {
        &self.durable
    }

    /// The memory that rows take until they are durable, in bytes.
    #[must_use]
    pub fn bytes_in_memory(&self) -> usize {
        self.waiting_bytes + self.uploading.values().sum::<usize>()
    }

    /// Whether every row taken is durable.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.uploading.is_empty()
    }

    /// From now until all is settled, rows do not wait for company.
    pub(super) fn flush(&mut self) {
        self.flushing = !self.is_settled();
    }

    /// When the next segment is due: perhaps in the past, `None` without rows.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let (oldest, _) = self.waiting.front()?;
        if self.flushing || self.waiting_bytes >= SEGMENT_BYTES {
            return Some(*oldest);
        }
        Some(*oldest + SEGMENT_AGE)
    }

    /// Closes the next segment if it is due: the oldest rows, up to a segment's size.
    pub(super) fn close_due(&mut self, now: Instant) -> Option<Due> {
        if self.due_at()? > now {
            return None;
        }
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while bytes < SEGMENT_BYTES {
            let Some((_, row)) = self.waiting.pop_front() else {
                break;
            };
            bytes += bytes_of(&row);
            rows.push(row);
        }
        self.waiting_bytes -= bytes;
        let id = self.next_id();
        self.uploading.insert(id, bytes);
        Some(Due { id, rows })
    }

    /// Gives a segment another name, as its own is taken in the store.
    pub(super) fn rename(&mut self, id: SegmentId) -> SegmentId {
        let next = self.next_id();
        if let Some(bytes) = self.uploading.remove(&id) {
            self.uploading.insert(next, bytes);
        }
        next
    }

    /// The store has acknowledged a segment.
    pub(super) fn stored(&mut self, header: &Header) {
        self.uploading.remove(&header.id);
        self.durable.add(header);
        self.flushing &= !self.is_settled();
    }

    fn next_id(&mut self) -> SegmentId {
        let number = self.next_number;
        self.next_number += 1;
        SegmentId::new(self.attempt, number)
    }
}

fn bytes_of(row: &FinishedRow) -> usize {
    row.line.len() + ROW_BYTES
}

#[cfg(test)]
mod tests {
    use super::super::segment::Segment;
    use super::super::testing::{error_row, id, row};
    use super::*;

    fn large_row(number: u64, bytes: usize) -> FinishedRow {
        row(number, &"x".repeat(bytes))
    }

    fn close(ledger: &mut Ledger, now: Instant) -> Option<Segment> {
        let due = ledger.close_due(now)?;
        Some(Segment::new(due.id, due.rows))
    }

    #[test]
    fn a_segment_is_due_when_its_oldest_row_is_old_enough() {
        let start = Instant::now();
        let mut ledger = Ledger::new(1, 0, Durable::default());
        assert_eq!(ledger.due_at(), None);
        ledger.record(row(5, "a"), start);
        ledger.record(row(4, "b"), start + SEGMENT_AGE / 2);
        assert_eq!(ledger.due_at(), Some(start + SEGMENT_AGE));
        assert!(close(&mut ledger, start + SEGMENT_AGE / 2).is_none());
        let segment = close(&mut ledger, start + SEGMENT_AGE).unwrap();
        assert_eq!(segment.header().id, id(1, 0));
        assert_eq!(segment.header().rows(), 2);
        assert_eq!(ledger.due_at(), None);
    }

    #[test]
    fn a_segment_is_due_when_it_is_large_and_does_not_grow_beyond() {
        let now = Instant::now();
        let mut ledger = Ledger::new(1, 0, Durable::default());
        for number in 0..40 {
            ledger.record(large_row(number, SEGMENT_BYTES / 16), now);
        }
        let rows = |segment: Option<Segment>| segment.map(|s| s.header().rows());
        assert_eq!(rows(close(&mut ledger, now)), Some(16));
        assert_eq!(rows(close(&mut ledger, now)), Some(16));
        assert_eq!(rows(close(&mut ledger, now)), None);
        assert_eq!(rows(close(&mut ledger, now + SEGMENT_AGE)), Some(8));
    }

    #[test]
    fn rows_count_once_the_store_has_acknowledged_them() {
        let now = Instant::now();
        let mut ledger = Ledger::new(1, 0, Durable::default());
        ledger.record(row(0, "a"), now);
        ledger.record(error_row(1, "b"), now);
        assert!(ledger.bytes_in_memory() > 0);
        let segment = close(&mut ledger, now + SEGMENT_AGE).unwrap();
        assert_eq!(ledger.durable().rows(), 0);
        assert!(ledger.bytes_in_memory() > 0 && !ledger.is_settled());
        ledger.stored(segment.header());
        assert_eq!(ledger.durable().results.len(), 1);
        assert_eq!(ledger.durable().errors.len(), 1);
        assert_eq!(ledger.durable().usage.prompt_tokens, 10);
        assert!(ledger.bytes_in_memory() == 0 && ledger.is_settled());
    }

    #[test]
    fn a_row_is_taken_once_wherever_it_stands() {
        let now = Instant::now();
        let earlier = Durable {
            results: RowSet::from_iter([RowNumber(0)]),
            errors: RowSet::from_iter([RowNumber(9)]),
            ..Durable::default()
        };
        let mut ledger = Ledger::new(2, 0, earlier);
        assert!(!ledger.record(row(0, "durable"), now));
        assert!(!ledger.record(row(9, "durable"), now));
        assert!(ledger.record(row(1, "new"), now));
        assert!(!ledger.record(row(1, "waiting"), now));
        let segment = close(&mut ledger, now + SEGMENT_AGE).unwrap();
        assert!(!ledger.record(row(1, "in an upload"), now));
        ledger.stored(segment.header());
        assert!(!ledger.record(row(1, "durable"), now));
        assert_eq!(ledger.durable().rows(), 3);
    }

    #[test]
    fn a_flush_lasts_until_all_is_settled() {
        let now = Instant::now();
        let mut ledger = Ledger::new(1, 0, Durable::default());
        ledger.record(row(0, "a"), now);
        ledger.flush();
        let first = close(&mut ledger, now).unwrap();
        ledger.record(row(1, "b"), now);
        let second = close(&mut ledger, now).unwrap();
        ledger.stored(second.header());
        ledger.stored(first.header());
        ledger.record(row(2, "c"), now);
        assert!(close(&mut ledger, now).is_none());
    }

    #[test]
    fn a_renamed_segment_stays_one_upload() {
        let now = Instant::now();
        let mut ledger = Ledger::new(1, 7, Durable::default());
        ledger.record(row(0, "a"), now);
        let segment = close(&mut ledger, now + SEGMENT_AGE).unwrap();
        assert_eq!(segment.header().id, id(1, 7));
        let segment = segment.renamed(ledger.rename(id(1, 7)));
        assert_eq!(segment.header().id, id(1, 8));
        ledger.stored(segment.header());
        assert!(ledger.is_settled());
    }
}
