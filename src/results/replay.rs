//! The rows of a finished output once more, from the segments that its manifest names.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::openai::RowNumber;
use crate::storage::Store;

use super::error::Error;
use super::manifest::SegmentUsed;
use super::merge::Merge;
use super::merge_plan::{MergePlan, Source};
use super::record::Kind;
use super::stored_segment;

/// Reads what the two files were made from, in the order in which they were written.
pub struct Replay(Merge);

/// A row as the files should have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayedRow {
    /// Its place in the data set.
    pub row: RowNumber,
    /// The file that it is in.
    pub kind: Kind,
    /// Its line, with the line break.
    pub line: Bytes,
}

impl Replay {
    /// Begins with the first row; `None` when some of the segments are not there any more, or not as they were.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store fails or a segment is damaged.
    pub async fn open(store: &Store, used: &[SegmentUsed]) -> Result<Option<Self>, Error> {
        let checksums: BTreeMap<_, _> = used
            .iter()
            .map(|segment| (segment.key.as_str(), segment.sha256))
            .collect();
        let pieces = stored_segment::used(store, used).await?;
        let plan = MergePlan::read(store, &pieces).await?;
        let as_it_was = |source: &Source| checksums.get(source.id.key().as_str()) == Some(&source.sha256);
        let is_whole = plan.sources.len() == checksums.len() && plan.sources.iter().all(as_it_was);
        Ok(is_whole.then(|| Self(Merge::new(store.clone(), plan))))
    }

    /// Begins with the first row of those that are durable so far, whatever the job's end will be.
    ///
    /// Segments may be merged into others while they are read: then a row is [`crate::storage::Error::NotFound`], and to be read from the
    /// start again.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store fails or a segment is damaged.
    pub async fn so_far(store: &Store) -> Result<Self, Error> {
        let plan = stored_segment::while_compacted(async || {
            let pieces = stored_segment::visible(store).await?;
            MergePlan::read(store, &pieces).await
        });
        Ok(Self(Merge::new(store.clone(), plan.await?)))
    }

    /// The next row.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store fails or a segment is damaged.
    pub async fn next(&mut self) -> Result<Option<ReplayedRow>, Error> {
        let merged = self.0.next().await?;
        Ok(merged.map(|merged| ReplayedRow {
            row: merged.record.row,
            kind: merged.record.kind,
            line: merged.record.line,
        }))
    }
}
