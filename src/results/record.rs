//! One finished row, and how it stands in a segment.

use std::sync::Arc;

use bytes::Bytes;

use crate::openai::{RowNumber, Usage};

use super::header::Damage;

/// How a row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Answered: a line of `results.jsonl`.
    Result,
    /// Failed for good, or never run: a line of `errors.jsonl`.
    Error,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Error => "error",
        }
    }
}

/// A row with nothing left to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedRow {
    /// Its place in the data set.
    pub row: RowNumber,
    /// How it ended.
    pub kind: Kind,
    /// What it cost, as the server said.
    pub usage: Usage,
    /// The model or adapter that answered, or the adapter that would have, by the name that usage is summed under.
    pub model: Option<Arc<str>>,
    /// The line for the user: JSON without a line break.
    pub line: Bytes,
}

/// A row read from a segment; the model is an index into the segment's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub row: RowNumber,
    pub kind: Kind,
    pub usage: Usage,
    pub model: Option<usize>,
    /// With its line break.
    pub line: Bytes,
}

/// Appends a row to a segment's body: tab-separated, the JSON last, so that it may hold tabs.
pub(super) fn write(body: &mut Vec<u8>, row: &FinishedRow, model: Option<usize>) {
    let Usage {
        prompt_tokens,
        completion_tokens,
    } = row.usage;
    push_number(body, row.row.0);
    body.push(b'\t');
    body.extend_from_slice(row.kind.name().as_bytes());
    body.push(b'\t');
    push_number(body, prompt_tokens);
    body.push(b'\t');
    push_number(body, completion_tokens);
    body.push(b'\t');
    match model {
        Some(index) => push_number(body, index as u64),
        None => body.push(b'-'),
    }
    body.push(b'\t');
    push_line(body, &row.line);
    body.push(b'\n');
}

/// A raw line break can only stand between JSON tokens, where a space means the same. One that slipped through would make every
/// row of the segment unreadable.
fn push_line(body: &mut Vec<u8>, line: &[u8]) {
    let start = body.len();
    body.extend_from_slice(line);
    for at in memchr::memchr_iter(b'\n', line) {
        body[start + at] = b' ';
    }
}

/// Decimal digits, without the formatting machinery: it runs four times a row.
fn push_number(body: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        // Below 10.
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return body.extend_from_slice(&digits[first..]);
        }
    }
}

/// Reads one line of a body, given with its line break.
pub(super) fn read(line: &Bytes) -> Result<Record, Damage> {
    parse(line)
        .map(|(record, json)| Record {
            line: line.slice(json..),
            ..record
        })
        .ok_or(Damage::Row)
}

/// The record without its JSON, and where that begins.
fn parse(line: &[u8]) -> Option<(Record, usize)> {
    let mut rest = line;
    let mut column = || {
        let tab = rest.iter().position(|byte| *byte == b'\t')?;
        let column = std::str::from_utf8(&rest[..tab]).ok()?;
        rest = &rest[tab + 1..];
        Some(column)
    };
    let record = Record {
        row: RowNumber(column()?.parse().ok()?),
        kind: match column()? {
            "result" => Kind::Result,
            "error" => Kind::Error,
            _ => return None,
        },
        usage: Usage {
            prompt_tokens: column()?.parse().ok()?,
            completion_tokens: column()?.parse().ok()?,
        },
        model: match column()? {
            "-" => None,
            index => Some(index.parse().ok()?),
        },
        line: Bytes::new(),
    };
    Some((record, line.len() - rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: &'static str) -> Bytes {
        let row = FinishedRow {
            row: RowNumber(7),
            kind: Kind::Error,
            usage: Usage {
                prompt_tokens: 1,
                completion_tokens: 2,
            },
            model: None,
            line: Bytes::from_static(line.as_bytes()),
        };
        let mut body = Vec::new();
        write(&mut body, &row, Some(3));
        body.into()
    }

    #[test]
    fn a_row_reads_back_with_its_bytes() {
        let record = read(&written("{\t\"a\": 1.0 }")).unwrap();
        assert_eq!((record.row, record.kind), (RowNumber(7), Kind::Error));
        assert_eq!(record.usage.completion_tokens, 2);
        assert_eq!(record.model, Some(3));
        assert_eq!(record.line, "{\t\"a\": 1.0 }\n");
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 9, 10, 1_000_203, u64::MAX] {
            let mut body = Vec::new();
            push_number(&mut body, number);
            assert_eq!(String::from_utf8(body).unwrap(), number.to_string());
        }
    }

    #[test]
    fn a_line_break_becomes_a_space() {
        assert_eq!(read(&written("{\n}")).unwrap().line, "{ }\n");
    }

    #[test]
    fn torn_lines_are_refused() {
        for line in ["", "\n", "7\tresult\t1\t2\n", "7\tmaybe\t1\t2\t-\t{}\n"] {
            let line = Bytes::from_static(line.as_bytes());
            assert!(matches!(read(&line), Err(Damage::Row)));
        }
    }
}
