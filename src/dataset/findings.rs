use std::collections::BTreeMap;

use super::{InvalidRow, InvalidRowReason, SkippedLine, UnknownModel};
use crate::openai::{LineNumber, shortened};

/// Invalid rows that a job describes one by one.
pub(super) const DESCRIBED_ROWS: usize = 10;

/// Unknown models that are named: a file could have another one in each row.
const NAMED_MODELS: usize = 20;

/// What is wrong with a data set, as far as it was read. Bounded, however much that is.
#[derive(Debug)]
pub(super) struct Findings {
    /// Invalid rows that are described one by one, at most.
    described: usize,
    pub(super) invalid_rows: u64,
    first_invalid_rows: BTreeMap<LineNumber, InvalidRowReason>,
    pub(super) unknown_model_rows: u64,
    unknown_models: BTreeMap<String, (u64, LineNumber)>,
}

impl Findings {
    /// Nothing yet; of the invalid rows to come, the first `described` are described.
    pub(super) fn describing(described: usize) -> Self {
        Self {
            described,
            invalid_rows: 0,
            first_invalid_rows: BTreeMap::new(),
            unknown_model_rows: 0,
            unknown_models: BTreeMap::new(),
        }
    }

    /// Counts an invalid row; rows may come in any order.
    pub(super) fn invalid_row(&mut self, line: LineNumber, reason: InvalidRowReason) {
        self.invalid_rows += 1;
        self.first_invalid_rows.insert(line, reason);
        if self.first_invalid_rows.len() > self.described {
            self.first_invalid_rows.pop_last();
        }
    }

    /// Invalid rows that are described, at most.
    pub(super) fn described(&self) -> usize {
        self.described
    }

    /// Counts invalid rows that are not described.
    pub(super) fn more_invalid_rows(&mut self, rows: u64) {
        self.invalid_rows += rows;
    }

    pub(super) fn unknown_model(&mut self, line: LineNumber, name: &str) {
        self.unknown_model_rows += 1;
        let name = shortened(name);
        if let Some((rows, _)) = self.unknown_models.get_mut(&name) {
            *rows += 1;
        } else if self.unknown_models.len() < NAMED_MODELS {
            self.unknown_models.insert(name, (1, line));
        }
    }

    /// Those that are described: they may take much memory, and are not copied.
    pub(super) fn into_first_invalid_rows(self) -> Vec<InvalidRow> {
        let rows = self.first_invalid_rows.into_iter();
        rows.map(|(line, reason)| InvalidRow { line, reason }).collect()
    }

    /// The first invalid rows, as they stay known.
    pub(super) fn in_words(&self) -> Vec<SkippedLine> {
        let rows = self.first_invalid_rows.iter().take(DESCRIBED_ROWS);
        rows.map(|(line, reason)| SkippedLine {
            line: *line,
            reason: reason.to_string(),
        })
        .collect()
    }

    /// The named models, the most frequent first.
    pub(super) fn unknown_models(&self) -> Vec<UnknownModel> {
        let model = |(name, (rows, first_line)): (&String, &(u64, LineNumber))| UnknownModel {
            name: name.clone(),
            rows: *rows,
            first_line: *first_line,
        };
        let mut models: Vec<_> = self.unknown_models.iter().map(model).collect();
        models.sort_by_key(|model| (std::cmp::Reverse(model.rows), model.first_line));
        models
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ten_rows_are_described_and_all_are_counted() {
        let mut findings = Findings::describing(DESCRIBED_ROWS);
        for line in (1..=30).step_by(2).chain((2..=30).step_by(2)) {
            findings.invalid_row(LineNumber(line), InvalidRowReason::TooLong { length: line });
        }
        findings.more_invalid_rows(5);
        assert_eq!(findings.invalid_rows, 35);
        let lines: Vec<_> = findings
            .into_first_invalid_rows()
            .iter()
            .map(|row| row.line.0)
            .collect();
        assert_eq!(lines, (1..=10).collect::<Vec<_>>());
    }

    #[test]
    fn unknown_models_are_sorted_by_rows_and_bounded() {
        let mut findings = Findings::describing(DESCRIBED_ROWS);
        for line in 1..=100 {
            findings.unknown_model(LineNumber(line), &format!("model-{line}"));
        }
        findings.unknown_model(LineNumber(101), "model-3");
        assert_eq!(findings.unknown_model_rows, 101);
        let models = findings.unknown_models();
        assert_eq!(models.len(), NAMED_MODELS);
        let expected = UnknownModel {
            name: "model-3".to_owned(),
            rows: 2,
            first_line: LineNumber(3),
        };
        assert_eq!((&models[0], models[1].first_line), (&expected, LineNumber(1)));
    }
}
