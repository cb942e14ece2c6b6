use std::fmt;

use super::{MAX_ROW_BYTES, Sha256Digest};
use crate::openai::{LineNumber, RowError};

/// Rows and models that the message quotes; the fields have more.
const QUOTED: usize = 3;

/// A data set that cannot be run, with everything that is wrong with it. Its text is for the data set's owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Rows, good and bad.
    pub rows: u64,
    /// The size of the file.
    pub bytes: u64,
    /// What the store said about the object.
    pub version: String,
    /// Of the whole file.
    pub sha256: Sha256Digest,
    /// How many rows are invalid.
    pub invalid_rows: u64,
    /// The first of them in the file: ten, or as many as were asked for.
    pub first_invalid_rows: Vec<InvalidRow>,
    /// How many rows name a model that nothing serves.
    pub unknown_model_rows: u64,
    /// Up to twenty such names, the most frequent first.
    pub unknown_models: Vec<UnknownModel>,
    /// What to write as `body.model`.
    pub(super) model_advice: String,
}

/// A row that cannot be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvalidRow {
    /// Where it is in the file.
    pub line: LineNumber,
    /// Why, and what to do about it.
    pub reason: InvalidRowReason,
}

/// Why a row cannot be sent.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidRowReason {
    /// The line is not a request row.
    #[error(transparent)]
    Malformed(#[from] RowError),
    /// The line is longer than a row may be.
    #[error("the row has {length} bytes; at most {MAX_ROW_BYTES} are possible")]
    TooLong {
        /// In bytes.
        length: u64,
    },
    /// Another row has the same `custom_id`.
    #[error("custom_id `{custom_id}` stands already in line {first}; give each row its own")]
    DuplicateCustomId {
        /// The id, shortened.
        custom_id: String,
        /// The first line that has it.
        first: LineNumber,
    },
    /// The same, where the other line is not known any more.
    #[error("custom_id `{custom_id}` stands already in an earlier line; give each row its own")]
    RepeatedCustomId {
        /// The id, shortened.
        custom_id: String,
    },
}

/// A name in `body.model` that nothing serves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownModel {
    /// The name, shortened.
    pub name: String,
    /// How many rows name it.
    pub rows: u64,
    /// The first line that does.
    pub first_line: LineNumber,
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows == 0 {
            return formatter.write_str("the data set has no rows");
        }
        let parts: Vec<_> = [self.invalid_rows_text(), self.unknown_models_text()]
            .into_iter()
            .flatten()
            .collect();
        formatter.write_str(&parts.join("; "))
    }
}

impl Refusal {
    /// What to write as `body.model`.
    #[must_use]
    pub fn model_advice(&self) -> &str {
        &self.model_advice
    }

    fn invalid_rows_text(&self) -> Option<String> {
        if self.invalid_rows == 0 {
            return None;
        }
        let be = if self.invalid_rows == 1 { "is" } else { "are" };
        let quoted: Vec<_> = self
            .first_invalid_rows
            .iter()
            .take(QUOTED)
            .map(ToString::to_string)
            .collect();
        let more = and_more(self.invalid_rows, quoted.len());
        Some(format!(
            "{} of {} rows {be} invalid: {}{more}",
            self.invalid_rows,
            self.rows,
            quoted.join("; ")
        ))
    }

    fn unknown_models_text(&self) -> Option<String> {
        if self.unknown_models.is_empty() {
            return None;
        }
        let names = self.unknown_models.iter().take(QUOTED);
        let quoted: Vec<_> = names.map(ToString::to_string).collect();
        let counted: u64 = self.unknown_models.iter().take(QUOTED).map(|model| model.rows).sum();
        let more = match self.unknown_model_rows - counted {
            0 => String::new(),
            rows => format!(", other names in {rows} more"),
        };
        Some(format!(
            "nothing here serves {}{more}; {}",
            quoted.join(", "),
            self.model_advice
        ))
    }
}

fn and_more(total: u64, quoted: usize) -> String {
    match total - quoted as u64 {
        0 => String::new(),
        more => format!("; and {more} more"),
    }
}

impl fmt::Display for InvalidRow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.reason)
    }
}

impl fmt::Display for UnknownModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = if self.rows == 1 { "row" } else { "rows" };
        write!(
            formatter,
            "the model `{}` of {} {rows} (first in line {})",
            self.name, self.rows, self.first_line
        )
    }
}
