//! Reads many sorted segments as one: each row once, ascending.
//!
//! A segment is opened when its first row is next and closed after its last, so memory follows how many
//! segments overlap at one place, not how many there are.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::openai::{RowNumber, Usage};
use crate::storage::Store;

use super::checksum::{Checksum, Hasher};
use super::error::Error;
use super::header::{Damage, SegmentId};
use super::record::{self, Kind, Record};
use super::stored_segment::StoredSegment;

/// A merge of all segments.
pub(super) struct Merge {
    store: Store,
    chunk_bytes: u64,
    /// The one whose first row is lowest is last.
    unopened: Vec<Source>,
    opened: BinaryHeap<Reader>,
    last: Option<RowNumber>,
    duplicates: u64,
}

/// A row of the merge.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Merged {
    pub record: Record,
    /// The model's name.
    pub model: Option<Arc<str>>,
}

/// What a merge needs to know of a segment: not its bitmaps, which are large in sum.
struct Source {
    id: SegmentId,
    first: RowNumber,
    body: Range<u64>,
    sha256: Checksum,
    results: u64,
    errors: u64,
    models: Vec<Arc<str>>,
}

impl Source {
    /// `None` for a segment without rows.
    fn new(segment: &StoredSegment) -> Option<Self> {
        let header = &segment.header;
        let firsts = [header.results.bitmap.first(), header.errors.bitmap.first()];
        let models = header.models.iter();
        Some(Self {
            id: header.id,
            first: firsts.into_iter().flatten().min()?,
            body: segment.body.clone(),
            sha256: header.body.sha256,
            results: header.results.rows,
            errors: header.errors.rows,
            models: models.map(|model| model.name.as_str().into()).collect(),
        })
    }
}

impl Merge {
    /// Begins to merge; `chunk_bytes` are read from each open segment at a time.
    pub fn new(store: Store, segments: &[StoredSegment], chunk_bytes: u64) -> Self {
        let mut unopened: Vec<_> = segments.iter().filter_map(Source::new).collect();
        unopened.sort_by_key(|source| std::cmp::Reverse((source.first, source.id)));
        Self {
            store,
            chunk_bytes,
            unopened,
            opened: BinaryHeap::new(),
            last: None,
            duplicates: 0,
        }
    }

    /// The next row that was not there yet, from the lowest segment that has it.
    pub async fn next(&mut self) -> Result<Option<Merged>, Error> {
        loop {
            self.open_what_is_next().await?;
            let Some(mut reader) = self.opened.pop() else {
                return Ok(None);
            };
            let merged = Merged {
                model: reader.model(),
                record: reader.record.clone(),
            };
            if reader.advance(&self.store, self.chunk_bytes).await? {
                self.opened.push(reader);
            }
            if self.last.replace(merged.record.row) != Some(merged.record.row) {
                return Ok(Some(merged));
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
            let Some(source) = self.unopened.last() else {
                return Ok(());
            };
            let lowest = self.opened.peek().map(|reader| reader.record.row);
            if lowest.is_some_and(|lowest| lowest < source.first) {
                return Ok(());
            }
            let Some(source) = self.unopened.pop() else {
                return Ok(());
            };
            let reader = Reader::open(source, &self.store, self.chunk_bytes).await?;
            self.opened.push(reader);
        }
    }
}

/// One open segment, standing at a row.
struct Reader {
    source: Source,
    record: Record,
    position: u64,
    /// Read and not yet taken apart; up to `searched` there is no line break.
    buffer: BytesMut,
    searched: usize,
    hasher: Hasher,
    results: u64,
    errors: u64,
}

impl Reader {
    async fn open(source: Source, store: &Store, chunk_bytes: u64) -> Result<Self, Error> {
        let mut reader = Self {
            record: Record {
                row: source.first,
                kind: Kind::Result,
                usage: Usage {
                    prompt_tokens: 0,
                    completion_tokens: 0,
                },
                model: None,
                line: Bytes::new(),
            },
            position: source.body.start,
            buffer: BytesMut::new(),
            searched: 0,
            hasher: Hasher::default(),
            results: 0,
            errors: 0,
            source,
        };
        let first = reader.source.first;
        let begun = reader.advance(store, chunk_bytes).await?;
        if !begun || reader.record.row != first {
            return Err(reader.damaged(store, Damage::Rows));
        }
        Ok(reader)
    }

    fn model(&self) -> Option<Arc<str>> {
        self.source.models.get(self.record.model?).cloned()
    }

    /// Goes to the next row; false after the last, when every checksum was right.
    async fn advance(&mut self, store: &Store, chunk_bytes: u64) -> Result<bool, Error> {
        let Some(line) = self.next_line(store, chunk_bytes).await? else {
            return self.finish().map_err(|damage| self.damaged(store, damage));
        };
        self.take(&line.freeze())
            .map_err(|damage| self.damaged(store, damage))?;
        Ok(true)
    }

    fn take(&mut self, line: &Bytes) -> Result<(), Damage> {
        self.hasher.update(line);
        let record = record::read(line)?;
        let is_first = self.results + self.errors == 0;
        if !is_first && record.row <= self.record.row {
            return Err(Damage::Rows);
        }
        if record.model.is_some_and(|m| m >= self.source.models.len()) {
            return Err(Damage::Row);
        }
        match record.kind {
            Kind::Result => self.results += 1,
            Kind::Error => self.errors += 1,
        }
        self.record = record;
        Ok(())
    }

    fn finish(&mut self) -> Result<bool, Damage> {
        if std::mem::take(&mut self.hasher).finish() != self.source.sha256 {
            return Err(Damage::BodyChecksum);
        }
        if (self.results, self.errors) != (self.source.results, self.source.errors) {
            return Err(Damage::Rows);
        }
        Ok(false)
    }

    /// The next line with its line break, reading on as needed; `None` at the end.
    async fn next_line(&mut self, store: &Store, chunk_bytes: u64) -> Result<Option<BytesMut>, Error> {
        loop {
            let unsearched = &self.buffer[self.searched..];
            if let Some(at) = unsearched.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.searched + at + 1);
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.position == self.source.body.end {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                return Err(self.damaged(store, Damage::Row));
            }
            let end = self.source.body.end.min(self.position + chunk_bytes);
            let key = self.source.id.key();
            let chunk = store.read_range(&key, self.position..end).await?;
            if chunk.is_empty() {
                return Err(self.damaged(store, Damage::BodyChecksum));
            }
            self.position += chunk.len() as u64;
            self.buffer.extend_from_slice(&chunk);
        }
    }

    fn damaged(&self, store: &Store, source: Damage) -> Error {
        Error::Damaged {
            uri: store.uri_of(&self.source.id.key()),
            source,
        }
    }
}

/// The heap gives its greatest first: that is the lowest row, of the lowest segment.
impl Ord for Reader {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |reader: &Self| (reader.record.row, reader.source.id);
        key(other).cmp(&key(self))
    }
}

impl PartialOrd for Reader {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Reader {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Reader {}

#[cfg(test)]
mod tests {
    use super::super::segment::Segment;
    use super::super::stored_segment;
    use super::super::testing::{error_row, id, put_segment, row};
    use super::*;

    async fn stored(segments: &[Segment]) -> Store {
        let store = Store::in_memory();
        for segment in segments {
            put_segment(&store, segment).await;
        }
        store
    }

    async fn merge(store: &Store, chunk_bytes: u64) -> Result<Vec<String>, Error> {
        let segments = stored_segment::list(store).await.unwrap();
        let mut merge = Merge::new(store.clone(), &segments, chunk_bytes);
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
        let store = stored(&[
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
        let store = stored(&[
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
