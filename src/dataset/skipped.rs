use serde::{Deserialize, Serialize};

use super::{InvalidRowReason, findings::DESCRIBED_ROWS};
use crate::openai::{CustomId, LineNumber, RowNumber, RowSet};

/// The rows of a data set that cannot be sent, and that its job goes on without (`invalidRows: Skip`).
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SkippedRows {
    /// All of them.
    pub rows: RowSet,
    /// Those that are good by themselves, but have the `custom_id` of an earlier row.
    pub repeated: RowSet,
    /// Those that are longer than a row may be. They are in no block, as no memory should have to hold them.
    pub too_long: Vec<TooLongRow>,
    /// The first ten in the file, in words.
    pub first: Vec<SkippedLine>,
}

impl SkippedRows {
    /// Whether they can be some of `rows` rows, and not all of them.
    pub(super) fn are_some_of(&self, rows: u64) -> bool {
        self.rows.len() < rows
            && self.rows.last().is_none_or(|last| last.0 < rows)
            && self.repeated.len_shared(&self.rows) == self.repeated.len()
            && self.too_long.iter().all(|row| self.rows.contains(row.row))
            && self.first.len() <= DESCRIBED_ROWS
    }
}

/// A row that is longer than a row may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TooLongRow {
    /// Its place among the rows.
    pub row: RowNumber,
    /// Its place in the file.
    pub line: LineNumber,
    /// In bytes.
    pub length: u64,
}

/// A row that cannot be sent, for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SkippedLine {
    /// Its place in the file.
    pub line: LineNumber,
    /// Why, and what to do about it.
    pub reason: String,
}

/// A row that cannot be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SkippedRow {
    /// Its place among the rows.
    pub number: RowNumber,
    /// Its place in the file.
    pub line: LineNumber,
    /// Its own name, where it has one.
    pub custom_id: Option<CustomId>,
    /// Why, and what to do about it.
    pub reason: InvalidRowReason,
}

impl From<TooLongRow> for SkippedRow {
    fn from(TooLongRow { row, line, length }: TooLongRow) -> Self {
        Self {
            number: row,
            line,
            custom_id: None,
            reason: InvalidRowReason::TooLong { length },
        }
    }
}
