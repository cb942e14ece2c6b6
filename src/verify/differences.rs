//! What was found so far: bounded, however much differs.

use crate::openai::LineNumber;
use crate::results::{Checksum, Kind};

use super::difference::Difference;
use super::row::{FilePlace, FoundLine, Row, RowPlace};

/// Rows and lines that are described one by one.
pub const DESCRIBED: usize = 10;

/// All that differs: the first ten rows and lines in full, the others as a number, and every field of the manifest.
#[derive(Clone, Default, Debug)]
pub struct Differences {
    described: Vec<Described>,
    more: u64,
    fields: Vec<Difference>,
}

#[derive(Clone, Debug)]
struct Described {
    difference: Difference,
    /// Of the row that is missing, or of the line that is too many: the same row may be both.
    open: Option<Open>,
}

#[derive(Clone, Debug)]
enum Open {
    Missing(Checksum, RowPlace, Kind),
    Extra(Checksum, FilePlace),
}

impl Differences {
    /// Whether all is as it should be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.described.is_empty() && self.fields.is_empty()
    }

    /// Whether rows or lines differ, and not only fields of the manifest.
    #[must_use]
    pub fn names_rows(&self) -> bool {
        !self.described.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        (self.described.len() + self.fields.len()) as u64 + self.more
    }

    /// Those that are described: rows and lines first.
    pub fn described(&self) -> impl Iterator<Item = &Difference> {
        self.described
            .iter()
            .map(|described| &described.difference)
            .chain(&self.fields)
    }

    /// Rows and lines that differ as well, and are not described.
    #[must_use]
    pub fn more(&self) -> u64 {
        self.more
    }

    /// Notes a row or line.
    pub fn note(&mut self, difference: Difference) {
        self.push(difference, None);
    }

    /// Notes a field of the manifest.
    pub fn field(&mut self, name: impl Into<String>, said: String, counted: String) {
        let name = name.into();
        self.fields.push(Difference::Field { name, said, counted });
    }

    /// Notes a row that is not where it is due; perhaps it stands elsewhere.
    pub fn missing(&mut self, row: &Row, file: Kind) {
        let Some(digest) = row.digest() else {
            return self.note(Difference::Missing { row: row.place(), file });
        };
        let extra = self.described.iter_mut().find_map(|described| match described.open {
            Some(Open::Extra(other, at)) if other == *digest => Some((described, at)),
            _ => None,
        });
        if let Some((described, at)) = extra {
            *described = moved(row.place(), file, at);
            return;
        }
        let difference = Difference::Missing { row: row.place(), file };
        self.push(difference, Some(Open::Missing(*digest, row.place(), file)));
    }

    /// Notes a line that is not due where it stands; perhaps its row is missing elsewhere.
    pub fn extra(&mut self, line: FoundLine, file: Kind) {
        let at = FilePlace { file, line: line.line };
        let name = match line.name {
            Ok(name) => name,
            Err(reason) => return self.note(Difference::NoRow { at, reason }),
        };
        let missing = self.described.iter_mut().find_map(|described| match &described.open {
            Some(Open::Missing(other, row, due)) if *other == name.digest => {
                let (row, due) = (row.clone(), *due);
                Some((described, row, due))
            }
            _ => None,
        });
        if let Some((described, row, due)) = missing {
            *described = moved(row, due, at);
            return;
        }
        let difference = Difference::Extra { at, name: name.text };
        self.push(difference, Some(Open::Extra(name.digest, at)));
    }

    /// Notes that `line` stands where `row` is due.
    pub fn other(&mut self, row: &Row, line: FoundLine, file: Kind) {
        let (row, at) = (row.place(), FilePlace { file, line: line.line });
        self.note(match line.name {
            Ok(name) => Difference::Other {
                row,
                at,
                name: name.text,
            },
            Err(reason) => Difference::NoRowFor { row, at, reason },
        });
    }

    /// Notes that `line` is `row` once more, which line `first` of the file is already.
    pub fn doubled(&mut self, row: &Row, first: LineNumber, line: LineNumber, file: Kind) {
        let place = |line| FilePlace { file, line };
        let (first, at) = (place(first), place(line));
        self.note(Difference::Doubled {
            row: row.place(),
            first,
            at,
        });
    }

    fn push(&mut self, difference: Difference, open: Option<Open>) {
        if self.described.len() == DESCRIBED {
            self.more += 1;
            return;
        }
        self.described.push(Described { difference, open });
    }
}

fn moved(row: RowPlace, due: Kind, at: FilePlace) -> Described {
    Described {
        difference: Difference::Moved { row, due, at },
        open: None,
    }
}
