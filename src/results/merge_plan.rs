//! What a merge must know of its segments: not their bitmaps, which are large in sum.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use futures::TryStreamExt;

use crate::openai::{RowNumber, RowSet};
use crate::storage::Store;

use super::checksum::Checksum;
use super::compaction::Piece;
use super::error::Error;
use super::manifest::SegmentUsed;
use super::segment_id::SegmentId;
use super::stored_segment::{self, StoredSegment};

/// Segments to be merged, and what they hold together.
pub(super) struct MergePlan {
    pub sources: Vec<Source>,
    /// All rows.
    pub rows: RowSet,
    /// Bytes of answered rows' lines, copies included.
    pub results_bytes: u64,
    /// Bytes of failed rows' lines, copies included.
    pub errors_bytes: u64,
}

/// One segment that has rows.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub id: SegmentId,
    pub first: RowNumber,
    pub last: RowNumber,
    pub body: Range<u64>,
    pub sha256: Checksum,
    pub results: u64,
    pub errors: u64,
    pub models: Vec<Arc<str>>,
}

impl MergePlan {
    /// Reads the headers.
    pub async fn read(store: &Store, pieces: &[Piece]) -> Result<Self, Error> {
        let mut plan = Self {
            sources: Vec::with_capacity(pieces.len()),
            rows: RowSet::default(),
            results_bytes: 0,
            errors_bytes: 0,
        };
        let mut names = HashSet::new();
        let mut segments = stored_segment::headers(store, pieces);
        while let Some(segment) = segments.try_next().await? {
            plan.add(&segment, &mut names);
        }
        Ok(plan)
    }

    fn add(&mut self, segment: &StoredSegment, names: &mut HashSet<Arc<str>>) {
        let header = &segment.header;
        let of_kinds = [&header.results.bitmap, &header.errors.bitmap];
        let firsts = of_kinds.iter().filter_map(|rows| rows.first());
        let lasts = of_kinds.iter().filter_map(|rows| rows.last());
        let (Some(first), Some(last)) = (firsts.min(), lasts.max()) else {
            return;
        };
        for rows in of_kinds {
            self.rows.extend(rows);
        }
        self.results_bytes += header.results.bytes;
        self.errors_bytes += header.errors.bytes;
        let models = header.models.iter().map(|model| shared(names, &model.name));
        self.sources.push(Source {
            id: header.id,
            first,
            last,
            body: segment.body.clone(),
            sha256: header.body.sha256,
            results: header.results.rows,
            errors: header.errors.rows,
            models: models.collect(),
        });
    }

    /// How many segments are open at once where the most overlap.
    pub fn depth(&self) -> usize {
        let mut ranges: Vec<_> = self.sources.iter().map(|source| (source.first, source.last)).collect();
        ranges.sort_unstable();
        let (mut open, mut depth) = (BinaryHeap::new(), 0);
        for (first, last) in ranges {
            while open.peek().is_some_and(|Reverse(end)| *end < first) {
                open.pop();
            }
            open.push(Reverse(last));
            depth = depth.max(open.len());
        }
        depth
    }

    /// As a manifest lists them.
    pub fn used(&self) -> Vec<SegmentUsed> {
        let sources = self.sources.iter();
        sources
            .map(|source| SegmentUsed::new(source.id, source.results + source.errors, source.sha256))
            .collect()
    }
}

fn shared(names: &mut HashSet<Arc<str>>, name: &str) -> Arc<str> {
    if let Some(known) = names.get(name) {
        return Arc::clone(known);
    }
    let name: Arc<str> = name.into();
    names.insert(Arc::clone(&name));
    name
}

#[cfg(test)]
mod tests {
    use super::super::segment::Segment;
    use super::super::testing::{id, put_segment, row};
    use super::*;

    #[tokio::test]
    async fn the_depth_is_where_the_most_overlap() {
        let store = Store::in_memory();
        for (number, rows) in [(0, [0, 2]), (1, [1, 3]), (2, [3, 9]), (3, [4, 5])] {
            let rows = rows.map(|number| row(number, "x")).into();
            put_segment(&store, &Segment::new(id(1, number), rows)).await;
        }
        let pieces = stored_segment::visible(&store).await.unwrap();
        let plan = MergePlan::read(&store, &pieces).await.unwrap();
        assert_eq!(plan.depth(), 2);
        assert_eq!((plan.rows.len(), plan.used().len()), (7, 4));
    }
}
