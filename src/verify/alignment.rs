//! Which line of a file is which row: a comparison of two sequences in bounded memory.
//!
//! As long as all is well, a line is compared with the row that is due and both are let go. Where they differ, some
//! thousands of both are looked at for the nearest place from which they agree again; so one line that is missing or too
//! many is told as one difference and not as one for each line after it.

use std::collections::{HashMap, VecDeque};

use crate::openai::LineNumber;
use crate::results::{Checksum, Kind};

use super::differences::Differences;
use super::row::{FoundLine, Row};

/// Rows, and lines, that are looked at for a place from which they agree again. At most some hundred bytes each.
pub const WINDOW: usize = 4096;

/// The last rows that were in their places, for naming one that comes again.
const REMEMBERED: usize = 64;

/// The rows that are due in one file, and the lines of that file.
#[derive(Debug)]
pub struct Alignment {
    file: Kind,
    window: usize,
    due: VecDeque<Row>,
    found: VecDeque<FoundLine>,
    matched: VecDeque<(Row, LineNumber)>,
}

/// What will not grow any more.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// All rows were told.
    pub rows: bool,
    /// All lines were told.
    pub lines: bool,
}

impl Alignment {
    /// Compares rows and lines of a file. `window` bounds how far apart they may be for one to be found again.
    pub fn new(file: Kind, window: usize) -> Self {
        Self {
            file,
            window,
            due: VecDeque::new(),
            found: VecDeque::new(),
            matched: VecDeque::new(),
        }
    }

    /// The next row that is due in the file.
    pub fn expect(&mut self, row: Row) {
        self.due.push_back(row);
    }

    /// The next line of the file.
    pub fn find(&mut self, line: FoundLine) {
        self.found.push_back(line);
    }

    /// Whether another line is needed to go on. After [`settle`](Self::settle), what is left at the front differs.
    pub fn wants_line(&self, all_rows_told: bool) -> bool {
        match (self.due.is_empty(), self.found.is_empty()) {
            (false, true) => true,
            (true, true) => all_rows_told,
            (true, false) => false,
            (false, false) => self.found.len() < self.window,
        }
    }

    /// Compares as far as can be said by now.
    pub fn settle(&mut self, ended: Ended, differences: &mut Differences) {
        loop {
            self.let_equal_ones_go();
            let enough_rows = ended.rows || self.due.len() >= self.window;
            let enough_lines = ended.lines || self.found.len() >= self.window;
            match (self.due.is_empty(), self.found.is_empty()) {
                (false, true) if ended.lines => self.pass(self.due.len(), 0, differences),
                (true, false) if ended.rows => self.pass(0, self.found.len(), differences),
                (false, false) if enough_rows && enough_lines => {
                    let (rows, lines) = self.nearest_agreement();
                    self.pass(rows, lines, differences);
                }
                _ => return,
            }
        }
    }

    fn let_equal_ones_go(&mut self) {
        while let (Some(row), Some(line)) = (self.due.front(), self.found.front()) {
            if row.digest().is_none() || row.digest() != line.digest() {
                return;
            }
            if let (Some(row), Some(line)) = (self.due.pop_front(), self.found.pop_front()) {
                if self.matched.len() == REMEMBERED {
                    self.matched.pop_front();
                }
                self.matched.push_back((row, line.line));
            }
        }
    }

    /// How many rows and lines to pass so that the next ones agree, with the fewest passed; all of them if none do.
    fn nearest_agreement(&self) -> (usize, usize) {
        let mut first: HashMap<&Checksum, usize> = HashMap::with_capacity(self.found.len());
        for (place, line) in self.found.iter().enumerate() {
            if let Some(digest) = line.digest() {
                first.entry(digest).or_insert(place);
            }
        }
        let agreements = self.due.iter().enumerate().filter_map(|(rows, row)| {
            let lines = first.get(row.digest()?)?;
            Some((rows, *lines))
        });
        let nearest = agreements.min_by_key(|(rows, lines)| rows + lines);
        nearest.unwrap_or((self.due.len(), self.found.len()))
    }

    /// Tells the differences of the first `rows` and `lines`: side by side while there are both, then what is left.
    fn pass(&mut self, rows: usize, lines: usize, differences: &mut Differences) {
        let mut due = self.due.drain(..rows);
        let mut found = self.found.drain(..lines);
        for _ in 0..rows.min(lines) {
            if let (Some(row), Some(line)) = (due.next(), found.next()) {
                // That the data set's line is no row was told when it was read.
                if row.name.is_ok() {
                    differences.other(&row, line, self.file);
                }
            }
        }
        due.for_each(|row| differences.missing(&row, self.file));
        for line in found {
            let earlier = self.matched.iter().find(|(row, _)| row.digest() == line.digest());
            match earlier.filter(|_| line.name.is_ok()) {
                Some((row, first)) => differences.doubled(row, *first, line.line, self.file),
                None => differences.extra(line, self.file),
            }
        }
    }
}

#[cfg(test)]
#[path = "alignment_tests.rs"]
mod tests;
