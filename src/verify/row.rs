//! What the walk keeps of a row or a line, and how messages call it.

use std::fmt;

use crate::openai::{CustomId, LineNumber, RowName, RowNumber, shortened};
use crate::results::{Checksum, ERRORS, Kind, RESULTS};

/// A row's name in little memory: a checksum to compare it by, and as much text as a message shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    /// Of the whole name.
    pub digest: Checksum,
    /// For people, such as "custom_id `a`".
    pub text: String,
}

impl Name {
    /// Keeps what is needed of an id.
    pub fn of_id(id: &CustomId) -> Self {
        Self {
            digest: Checksum::of(id.as_str().as_bytes()),
            text: format!("custom_id `{}`", shortened(id.as_str())),
        }
    }

    /// Names a row by its line, as it is no good request.
    pub fn of_invalid_line(line: LineNumber) -> Self {
        // An id is UTF-8, where this byte cannot stand: no id has this checksum.
        let bytes = [&b"\xff"[..], &line.0.to_be_bytes()].concat();
        Self {
            digest: Checksum::of(&bytes),
            text: format!("error.line {line}"),
        }
    }
}

impl From<&RowName> for Name {
    fn from(name: &RowName) -> Self {
        match name {
            RowName::CustomId(id) => Self::of_id(id),
            RowName::InvalidLine(line) => Self::of_invalid_line(*line),
        }
    }
}

/// A row of the data set; in place of its name, why it has none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its place among the rows.
    pub number: RowNumber,
    /// Its place in the file.
    pub line: LineNumber,
    /// Its `custom_id`.
    pub name: Result<Name, String>,
}

impl Row {
    /// As messages call it.
    pub fn place(&self) -> RowPlace {
        RowPlace {
            number: self.number,
            line: self.line,
            name: self.name.as_ref().ok().map(|name| name.text.clone()),
        }
    }

    pub(super) fn digest(&self) -> Option<&Checksum> {
        self.name.as_ref().ok().map(|name| &name.digest)
    }
}

/// A line of an output file; in place of its name, why it is no row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundLine {
    /// Its place in the file.
    pub line: LineNumber,
    /// Its `custom_id`.
    pub name: Result<Name, String>,
}

impl FoundLine {
    pub(super) fn digest(&self) -> Option<&Checksum> {
        self.name.as_ref().ok().map(|name| &name.digest)
    }
}

/// A row of the data set, for messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowPlace {
    /// Counted from 0.
    pub number: RowNumber,
    /// Counted from 1.
    pub line: LineNumber,
    /// Its [`Name::text`]; `None` when the line has none.
    pub name: Option<String>,
}

impl fmt::Display for RowPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {} (line {} of the data set", self.number, self.line)?;
        if let Some(name) = &self.name {
            write!(f, ", {name}")?;
        }
        f.write_str(")")
    }
}

/// A line of an output file, for messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FilePlace {
    /// Which of the two files.
    pub file: Kind,
    /// Counted from 1.
    pub line: LineNumber,
}

impl fmt::Display for FilePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of {}", self.line, file_name(self.file))
    }
}

/// The file that rows of a kind are in.
pub fn file_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Result => RESULTS,
        Kind::Error => ERRORS,
    }
}
