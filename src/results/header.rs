//! What a segment says of itself, readable without its rows.
//!
//! A segment opens with one line of fixed length (format, length and checksum of the next line), then one
//! line of JSON, the header; the rows follow.

use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::openai::{RowSet, Usage};

use super::checksum::Checksum;
use super::record::Kind;
use super::segment_id::SegmentId;

const FORMAT: &str = "batchinference.dev/segment/v1";
/// Format, 8 digits, 64 digits, two spaces and the line break.
pub(super) const FIRST_LINE: usize = FORMAT.len() + 1 + 8 + 1 + 64 + 1;

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The segment's name.
    #[serde(flatten)]
    pub id: SegmentId,
    /// The rows that were answered.
    pub results: RowsOfKind,
    /// The rows that failed.
    pub errors: RowsOfKind,
    /// Tokens of all rows.
    pub usage: Tokens,
    /// The rows and tokens of each model.
    pub models: Vec<ModelRows>,
    /// The rows' bytes.
    pub body: Body,
}

/// The rows of one kind in a segment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RowsOfKind {
    /// How many.
    pub rows: u64,
    /// The bytes of their lines, with line breaks.
    pub bytes: u64,
    /// Their numbers.
    pub bitmap: RowSet,
}

/// Sums of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
}

impl Tokens {
    /// Both.
    #[must_use]
    pub fn total(self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }

    /// Adds one row's.
    pub fn add(&mut self, usage: Usage) {
        // A server may say anything; a wrong sum must not become a crash.
        self.prompt_tokens = self.prompt_tokens.saturating_add(usage.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(usage.completion_tokens);
    }

    pub(super) fn add_all(&mut self, other: Self) {
        self.add(Usage {
            prompt_tokens: other.prompt_tokens,
            completion_tokens: other.completion_tokens,
        });
    }
}

/// The rows and tokens of one model in a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRows {
    /// The model's or adapter's name.
    pub name: String,
    /// How many rows it answered.
    pub rows: u64,
    /// How many rows that name it failed; counted of adapters only.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u64,
    /// The tokens of those that it answered.
    #[serde(flatten)]
    pub usage: Tokens,
}

impl ModelRows {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            rows: 0,
            failed: 0,
            usage: Tokens::default(),
        }
    }

    /// Adds one row.
    pub(super) fn add(&mut self, kind: Kind, usage: Usage) {
        match kind {
            Kind::Result => {
                self.rows += 1;
                self.usage.add(usage);
            }
            Kind::Error => self.failed += 1,
        }
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        self.rows += other.rows;
        self.failed += other.failed;
        self.usage.add_all(other.usage);
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
pub(super) fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The bytes after the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// How many.
    pub bytes: u64,
    /// Of all of them.
    pub sha256: Checksum,
}

/// What is wrong with a segment.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// Not even the first line is right, or the format is a later version's.
    #[error("its first line is not that of a segment that this version reads")]
    FirstLine,
    /// The header's bytes have changed.
    #[error("its header does not match its checksum")]
    HeaderChecksum,
    /// The header is none.
    #[error("its header cannot be read")]
    Header(#[source] serde_json::Error),
    /// The object was renamed or copied over another.
    #[error("it holds segment {0}")]
    Name(SegmentId),
    /// Bytes are missing, or there are too many.
    #[error("it has {found} bytes, but its header tells {expected}")]
    Size {
        /// The object's, in bytes.
        found: u64,
        /// What the header tells, in bytes.
        expected: u64,
    },
    /// The body's bytes have changed.
    #[error("its rows do not match their checksum")]
    BodyChecksum,
    /// A line of the body is no row.
    #[error("it has a line that is not a row")]
    Row,
    /// The rows are not what the header tells.
    #[error("its rows are not those that its header tells, or not in order")]
    Rows,
}

impl Header {
    /// The first two lines.
    pub(super) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut json = serde_json::to_vec(self)?;
        json.push(b'\n');
        let checksum = Checksum::of(&json);
        let mut bytes = format!("{FORMAT} {:08} {checksum}\n", json.len()).into_bytes();
        bytes.append(&mut json);
        Ok(bytes)
    }

    /// Reads the header from a segment's first two lines.
    pub(super) fn decode(first: FirstLine, json: &[u8]) -> Result<Self, Damage> {
        if Checksum::of(json) != first.checksum {
            return Err(Damage::HeaderChecksum);
        }
        serde_json::from_slice(json).map_err(Damage::Header)
    }

    /// All rows in the segment.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.results.rows + self.errors.rows
    }
}

/// The line of fixed length that says where the header ends.
#[derive(Clone, Copy)]
pub(super) struct FirstLine {
    header: usize,
    checksum: Checksum,
}

impl FirstLine {
    pub fn read(segment: &[u8]) -> Result<Self, Damage> {
        let line = segment.get(..FIRST_LINE).ok_or(Damage::FirstLine)?;
        let text = std::str::from_utf8(line).map_err(|_| Damage::FirstLine)?;
        text.parse()
    }

    /// Where the header stands in the segment.
    pub fn header(self) -> Range<usize> {
        FIRST_LINE..FIRST_LINE + self.header
    }
}

impl FromStr for FirstLine {
    type Err = Damage;

    fn from_str(line: &str) -> Result<Self, Damage> {
        let parse = || {
            let line = line.strip_prefix(FORMAT)?.strip_prefix(' ')?;
            let (length, checksum) = line.strip_suffix('\n')?.split_once(' ')?;
            Some(Self {
                header: length.parse().ok()?,
                checksum: checksum.parse().ok()?,
            })
        };
        parse().ok_or(Damage::FirstLine)
    }
}
