//! What can go wrong with an output.

use crate::openai::RowNumber;
use crate::storage::{self, StoreUri};

use super::MANIFEST;
use super::checksum::Checksum;
use super::header::Damage;

/// Why results could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] storage::Error),
    /// A segment was changed after it was written.
    #[error("segment `{uri}` is damaged: restore it, or delete it to have its rows run again")]
    Damaged {
        /// The segment.
        uri: StoreUri,
        /// What is wrong with it.
        source: Damage,
    },
    /// Rows are in no segment.
    #[error("{missing} of {rows} rows are in no segment, the first is row {}", first.0)]
    MissingRows {
        /// The lowest one, counted from 0.
        first: RowNumber,
        /// How many.
        missing: u64,
        /// The rows of the data set.
        rows: u64,
    },
    /// A segment is of another data set.
    #[error("a segment holds row {}, but the data set has {rows} rows", row.0)]
    UnknownRow {
        /// Counted from 0.
        row: RowNumber,
        /// The rows of the data set.
        rows: u64,
    },
    /// An object of ours that is none.
    #[error("`{uri}` is not what this version writes: move it away, or choose another output")]
    Unreadable {
        /// The object.
        uri: StoreUri,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Another job ended here.
    #[error("`{uri}` is of other work: its identity is {theirs}, this job's is {ours}")]
    OtherManifest {
        /// The manifest.
        uri: StoreUri,
        /// What it says.
        theirs: Checksum,
        /// What was expected.
        ours: Checksum,
    },
    /// A file of rows is gone or changed, and the segments that it was made from are too.
    #[error(
        "`{uri}` is not what {MANIFEST} says, and cannot be written again: {why}: put the file back, or choose another output"
    )]
    FileLost {
        /// The file.
        uri: StoreUri,
        /// What is wrong with the segments.
        why: String,
    },
    /// A value of ours could not be written as JSON.
    #[error("`{uri}` could not be written as JSON")]
    Json {
        /// The object to be.
        uri: StoreUri,
        /// Why.
        source: serde_json::Error,
    },
    /// The store says that an object exists, and then that it does not.
    #[error("`{uri}` was there and then was not: is something deleting objects of this output?")]
    Vanished {
        /// The object.
        uri: StoreUri,
    },
}
