//! The one pass over data set, results and errors.

use bytes::Bytes;

use crate::dataset::{Compression, Line, LineTooLong, MAX_ROW_BYTES};
use crate::openai::{LineNumber, RequestRow, ResultLine, RowName, RowNumber, RowSet};
use crate::results::{Kind, Proof, Tokens};
use crate::storage::Error;

use super::alignment::{Alignment, Ended};
use super::difference::Difference;
use super::differences::Differences;
use super::lines::{Chunks, Lines, Sum};
use super::row::{FilePlace, FoundLine, Name, Row};

/// Above any line that a job writes: an answer of at most 64 MiB, a `custom_id` of at most 16 MiB, and the rest.
pub const LONGEST_LINE: usize = 96 << 20;

/// What the pass counted, whatever the manifest says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counted {
    /// Of the data set.
    pub dataset: FileCount,
    /// Of `results.jsonl`.
    pub results: FileCount,
    /// Of `errors.jsonl`.
    pub errors: FileCount,
    /// Lines of `errors.jsonl` whose row was no good request.
    pub invalid_rows: u64,
}

/// What one file came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileCount {
    /// Rows of the data set, or lines of an output file.
    pub rows: u64,
    /// Its bytes.
    pub sum: Sum,
    /// Tokens of its answers.
    pub usage: Tokens,
}

/// The three files.
pub struct Files {
    /// The data set.
    pub dataset: Chunks,
    /// How it is stored.
    pub compression: Compression,
    /// `results.jsonl`.
    pub results: Chunks,
    /// `errors.jsonl`.
    pub errors: Chunks,
}

/// Walks the three files side by side; `proof` says in which of the two each row is due, and which are no good requests.
///
/// # Errors
///
/// A file cannot be read.
pub async fn walk(files: Files, proof: &Proof, window: usize, differences: &mut Differences) -> Result<Counted, Error> {
    let mut dataset = DatasetFile::new(files.dataset, files.compression, &proof.invalid_rows);
    let mut results = OutputFile::new(files.results, Kind::Result, window);
    let mut errors = OutputFile::new(files.errors, Kind::Error, window);
    while let Some(row) = dataset.next(differences).await? {
        let file = if proof.error_rows.contains(row.number) {
            &mut errors
        } else {
            &mut results
        };
        file.alignment.expect(row);
        file.go_on(false, differences).await?;
    }
    results.go_on(true, differences).await?;
    errors.go_on(true, differences).await?;
    Ok(Counted {
        dataset: FileCount {
            rows: dataset.rows,
            sum: dataset.lines.sum(),
            usage: Tokens::default(),
        },
        invalid_rows: errors.invalid_rows,
        results: results.count(),
        errors: errors.count(),
    })
}

struct DatasetFile<'a> {
    lines: Lines,
    rows: u64,
    invalid_rows: &'a RowSet,
}

impl<'a> DatasetFile<'a> {
    fn new(chunks: Chunks, compression: Compression, invalid_rows: &'a RowSet) -> Self {
        Self {
            lines: Lines::new(chunks, compression, MAX_ROW_BYTES),
            rows: 0,
            invalid_rows,
        }
    }

    async fn next(&mut self, differences: &mut Differences) -> Result<Option<Row>, Error> {
        loop {
            let line = match self.lines.next().await? {
                None => {
                    if let Some(reason) = self.lines.undecodable().map(ToString::to_string) {
                        differences.note(Difference::DatasetCutOff { reason });
                    }
                    return Ok(None);
                }
                Some(Ok(line)) if line.is_blank() => continue,
                Some(line) => line,
            };
            let number = RowNumber(self.rows);
            self.rows += 1;
            let (line, name) = self.name(number, line);
            if let Err(reason) = &name {
                let reason = reason.clone();
                differences.note(Difference::DatasetLine { line, reason });
            }
            return Ok(Some(Row { number, line, name }));
        }
    }

    /// Of a row that is said to be no good request, no name is asked. That such a row repeats an id is not proven: it would take
    /// all ids in memory.
    fn name(&self, row: RowNumber, line: Result<Line, LineTooLong>) -> (LineNumber, Result<Name, String>) {
        let number = match &line {
            Ok(line) => line.number,
            Err(line) => line.number,
        };
        if self.invalid_rows.contains(row) {
            return (number, Ok(Name::of_invalid_line(number)));
        }
        let name = match line {
            Ok(line) => RequestRow::parse(&line.content()).map_err(|error| error.to_string()),
            Err(LineTooLong { length, .. }) => Err(format!("it has {length} bytes")),
        };
        (number, name.map(|row| Name::of_id(&row.custom_id)))
    }
}

struct OutputFile {
    kind: Kind,
    lines: Lines,
    ended: bool,
    rows: u64,
    invalid_rows: u64,
    usage: Tokens,
    alignment: Alignment,
}

impl OutputFile {
    fn new(chunks: Chunks, kind: Kind, window: usize) -> Self {
        Self {
            kind,
            lines: Lines::new(chunks, Compression::None, LONGEST_LINE),
            ended: false,
            rows: 0,
            invalid_rows: 0,
            usage: Tokens::default(),
            alignment: Alignment::new(kind, window),
        }
    }

    /// Compares as far as the rows told so far allow.
    async fn go_on(&mut self, all_rows_told: bool, differences: &mut Differences) -> Result<(), Error> {
        loop {
            let ended = Ended {
                rows: all_rows_told,
                lines: self.ended,
            };
            self.alignment.settle(ended, differences);
            if self.ended || !self.alignment.wants_line(all_rows_told) {
                return Ok(());
            }
            match self.lines.next().await? {
                Some(line) => self.line(line, differences),
                None => self.ended = true,
            }
        }
    }

    fn line(&mut self, line: Result<Line, LineTooLong>, differences: &mut Differences) {
        self.rows += 1;
        let line = match line {
            Ok(line) => line,
            Err(LineTooLong { number, length }) => {
                let name = Err(format!("it has {length} bytes"));
                return self.alignment.find(FoundLine { line: number, name });
            }
        };
        let at = FilePlace {
            file: self.kind,
            line: line.number,
        };
        let is_whole = line.raw.ends_with(b"\n");
        if !is_whole {
            differences.note(Difference::CutOff { at });
        }
        match ResultLine::parse(&without_line_break(&line.raw)) {
            Ok(row) => self.row(&row, at, differences),
            // That it is cut off was told, and is why it cannot be read.
            Err(_) if !is_whole => {}
            Err(error) => self.alignment.find(FoundLine {
                line: line.number,
                name: Err(error.to_string()),
            }),
        }
    }

    fn row(&mut self, row: &ResultLine, at: FilePlace, differences: &mut Differences) {
        self.usage.add(row.usage);
        self.invalid_rows += u64::from(matches!(row.name, RowName::InvalidLine(_)));
        let name = Name::from(&row.name);
        if row.succeeded != (self.kind == Kind::Result) {
            let name = name.text.clone();
            differences.note(Difference::WrongFile { at, name });
        }
        self.alignment.find(FoundLine {
            line: at.line,
            name: Ok(name),
        });
    }

    fn count(self) -> FileCount {
        FileCount {
            rows: self.rows,
            sum: self.lines.sum(),
            usage: self.usage,
        }
    }
}

/// The file is ours, so its lines end in a line feed alone and there is no byte order mark.
pub fn without_line_break(raw: &Bytes) -> Bytes {
    raw.slice_ref(raw.strip_suffix(b"\n").unwrap_or(raw))
}
