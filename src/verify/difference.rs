//! One thing that is not as it should be.

use std::fmt;

use crate::openai::{LineNumber, RowNumber};
use crate::results::{INDEX, Kind, MANIFEST};

use super::row::{FilePlace, RowPlace, file_name};

/// One thing that is not as it should be, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Difference {
    /// A row is not in the file that it is due in.
    Missing {
        /// The row.
        row: RowPlace,
        /// Where it is due.
        file: Kind,
    },
    /// The line of another row stands where a row is due.
    Other {
        /// The row that is due.
        row: RowPlace,
        /// The line.
        at: FilePlace,
        /// Its [`Name::text`](super::row::Name).
        name: String,
    },
    /// Something that is no row stands where a row is due.
    NoRowFor {
        /// The row that is due.
        row: RowPlace,
        /// The line.
        at: FilePlace,
        /// What is wrong with it.
        reason: String,
    },
    /// A line too many that is no row.
    NoRow {
        /// The line.
        at: FilePlace,
        /// What is wrong with it.
        reason: String,
    },
    /// A line too many.
    Extra {
        /// The line.
        at: FilePlace,
        /// Its [`Name::text`](super::row::Name).
        name: String,
    },
    /// A row is there once more.
    Doubled {
        /// The row.
        row: RowPlace,
        /// Where it is due.
        first: FilePlace,
        /// The line too many.
        at: FilePlace,
    },
    /// A row is there, but not where it is due.
    Moved {
        /// The row.
        row: RowPlace,
        /// The file that it is due in.
        due: Kind,
        /// Where it is.
        at: FilePlace,
    },
    /// An error in the results, or an answer of success in the errors.
    WrongFile {
        /// The line.
        at: FilePlace,
        /// Its [`Name::text`](super::row::Name).
        name: String,
    },
    /// A line is not what the segments hold.
    Altered {
        /// The line.
        at: FilePlace,
        /// Its row.
        row: RowNumber,
        /// Its [`Name::text`](super::row::Name), by the segment.
        name: Option<String>,
    },
    /// A last line without its line break.
    CutOff {
        /// The line.
        at: FilePlace,
    },
    /// A file is not there.
    NoFile {
        /// Which.
        file: Kind,
    },
    /// A line of the data set is no row.
    DatasetLine {
        /// Its number.
        line: LineNumber,
        /// What is wrong with it.
        reason: String,
    },
    /// The data set could not be read to its end.
    DatasetCutOff {
        /// Where, and why.
        reason: String,
    },
    /// The data set is another one from here on, by the checksums of `index.json`.
    DatasetBlock {
        /// The first row of the first block that differs.
        row: RowNumber,
        /// Its line.
        line: LineNumber,
        /// How many rows the block has.
        rows: u64,
    },
    /// The manifest does not say what is true.
    Field {
        /// The field's path.
        name: String,
        /// What it says.
        said: String,
        /// What the files say.
        counted: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { row, file } => write!(f, "{row} is missing in {}", file_name(*file)),
            Self::Other { row, at, name } => write!(f, "{at} has {name}, where {row} is due"),
            Self::NoRowFor { row, at, reason } => write!(f, "{at} is not a row: {reason}; {row} is due there"),
            Self::NoRow { at, reason } => write!(f, "{at} is not a row: {reason}; nothing is due there"),
            Self::Extra { at, name } => write!(f, "{at} has {name}, which is not due there"),
            Self::Doubled { row, first, at } => write!(f, "{at} is {row} once more: {first} has it already"),
            Self::Moved { row, due, at } if *due == at.file => write!(f, "{at} is {row}, not in input order"),
            Self::Moved { row, due, at } => write!(f, "{at} is {row}, which is due in {}", file_name(*due)),
            Self::WrongFile { at, name } => {
                let what = match at.file {
                    Kind::Result => "not an answer of success",
                    Kind::Error => "an answer of success, and no error",
                };
                write!(f, "{at} ({name}) is {what}")
            }
            Self::Altered { at, row, name } => {
                let name = name.as_deref().unwrap_or("without a name");
                write!(
                    f,
                    "{at} (row {row}, {name}) was changed: the segments hold another line"
                )
            }
            Self::CutOff { at } => write!(f, "{at}, the last, has no line break at its end: the file is cut off"),
            Self::NoFile { file } => write!(f, "{} does not exist", file_name(*file)),
            Self::DatasetLine { line, reason } => write!(f, "line {line} of the data set is not a row: {reason}"),
            Self::DatasetCutOff { reason } => write!(f, "the data set is {reason}"),
            Self::DatasetBlock { row, line, rows } => write!(
                f,
                "the data set is not the one that was read; it first differs in the {rows} rows from row {row} (line \
                 {line}) on, by {INDEX}"
            ),
            Self::Field { name, said, counted } => {
                write!(f, "{MANIFEST}, field {name}: {said}, but the files say {counted}")
            }
        }
    }
}
