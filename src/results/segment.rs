//! A segment: finished rows as one immutable object, sorted by row number.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::checksum::Checksum;
use super::header::{Body, Damage, FirstLine, Header, ModelRows, RowsOfKind, Tokens};
use super::record::{self, FinishedRow, Kind};
use super::segment_id::SegmentId;

/// About what stands before a row's line, in bytes.
const COLUMNS: usize = 32;

/// Finished rows, ready to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    header: Header,
    body: Bytes,
}

impl Segment {
    /// Sorts rows by number and writes them down; of a number given twice, the first row is kept.
    #[must_use]
    pub fn new(id: SegmentId, mut rows: Vec<FinishedRow>) -> Self {
        rows.sort_by_key(|row| row.row);
        rows.dedup_by_key(|row| row.row);
        let mut contents = Contents::default();
        contents
            .body
            .reserve(rows.iter().map(|row| row.line.len() + COLUMNS).sum());
        // Each is dropped once it is written down, so that little is in memory twice.
        for row in rows {
            contents.add(&row);
        }
        contents.close(id)
    }

    /// The same rows under another name.
    #[must_use]
    pub fn renamed(mut self, id: SegmentId) -> Self {
        self.header.id = id;
        self
    }

    /// What it says of itself.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The object's bytes, in two pieces: the rows are not copied.
    ///
    /// # Errors
    ///
    /// When the header cannot be written as JSON, which no header of ours does.
    pub fn encode(&self) -> Result<[Bytes; 2], serde_json::Error> {
        Ok([self.header.encode()?.into(), self.body.clone()])
    }

    /// Reads a whole object, every checksum included.
    ///
    /// # Errors
    ///
    /// [`Damage`], whatever was changed.
    pub fn decode(object: &Bytes) -> Result<Self, Damage> {
        let header_at = FirstLine::read(object)?.header();
        let json = object.get(header_at.clone()).ok_or(Damage::FirstLine)?;
        let header = Header::decode(FirstLine::read(object)?, json)?;
        let body = object.slice(header_at.end..);
        let (found, expected) = (body.len() as u64, header.body.bytes);
        if found != expected {
            return Err(Damage::Size { found, expected });
        }
        if Checksum::of(&body) != header.body.sha256 {
            return Err(Damage::BodyChecksum);
        }
        Ok(Self { header, body })
    }

    /// Reads the rows back, ascending.
    ///
    /// # Errors
    ///
    /// [`Damage`] when the body is not what our own writer writes.
    pub fn rows(&self) -> Result<Vec<FinishedRow>, Damage> {
        let mut rest = self.body.clone();
        let mut rows = Vec::new();
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', &rest);
            let end = end.ok_or(Damage::Row)?;
            let record = record::read(&rest.split_to(end + 1))?;
            let model = match record.model {
                None => None,
                Some(index) => {
                    let model = self.header.models.get(index).ok_or(Damage::Row)?;
                    Some(Arc::from(model.name.as_str()))
                }
            };
            rows.push(FinishedRow {
                row: record.row,
                kind: record.kind,
                usage: record.usage,
                model,
                line: record.line.slice(..record.line.len() - 1),
            });
        }
        Ok(rows)
    }
}

/// A segment while it is written.
#[derive(Default)]
struct Contents {
    results: RowsOfKind,
    errors: RowsOfKind,
    usage: Tokens,
    models: Vec<ModelRows>,
    index_of_model: HashMap<Arc<str>, usize>,
    last_model: Option<(Arc<str>, usize)>,
    body: Vec<u8>,
}

impl Contents {
    fn add(&mut self, row: &FinishedRow) {
        let of_kind = match row.kind {
            Kind::Result => &mut self.results,
            Kind::Error => &mut self.errors,
        };
        of_kind.rows += 1;
        of_kind.bytes += row.line.len() as u64 + 1;
        of_kind.bitmap.insert(row.row);
        self.usage.add(row.usage);
        let model = row.model.as_ref().map(|name| self.count_model(name, row));
        record::write(&mut self.body, row, model);
    }

    fn count_model(&mut self, name: &Arc<str>, row: &FinishedRow) -> usize {
        let index = self.index_of(name);
        self.models[index].add(row.kind, row.usage);
        index
    }

    fn index_of(&mut self, name: &Arc<str>) -> usize {
        // Most rows are of the model of the row before.
        if let Some((last, index)) = &self.last_model
            && Arc::ptr_eq(last, name)
        {
            return *index;
        }
        let next = self.models.len();
        let index = *self.index_of_model.entry(Arc::clone(name)).or_insert(next);
        if index == next {
            self.models.push(ModelRows::new(&**name));
        }
        self.last_model = Some((Arc::clone(name), index));
        index
    }

    fn close(self, id: SegmentId) -> Segment {
        let body = Body {
            bytes: self.body.len() as u64,
            sha256: Checksum::of(&self.body),
        };
        let header = Header {
            id,
            results: self.results,
            errors: self.errors,
            usage: self.usage,
            models: self.models,
            body,
        };
        Segment {
            header,
            body: self.body.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{id, row};
    use super::*;
    use crate::openai::{RowNumber, Usage};

    /// The file that `docs/reference/output.md` shows. It must stay readable as long as the format's
    /// name stays; a change of bytes needs a new version in the name, not a new golden file.
    const GOLDEN: &[u8] = include_bytes!("golden/a000002-00000007.seg");

    fn golden() -> Segment {
        let rows = vec![
            FinishedRow {
                row: RowNumber(70_000),
                kind: Kind::Result,
                usage: Usage {
                    prompt_tokens: 9,
                    completion_tokens: 4,
                },
                model: Some("smollm2-135m".into()),
                line: Bytes::from_static(
                    br#"{"id":"batch_req_70000","custom_id":"row-70000","response":{"status_code":200,"request_id":"r1","body":{"n": 1.0}},"error":null}"#,
                ),
            },
            FinishedRow {
                row: RowNumber(3),
                kind: Kind::Error,
                usage: Usage {
                    prompt_tokens: 0,
                    completion_tokens: 0,
                },
                model: None,
                line: Bytes::from_static(
                    br#"{"id":"batch_req_3","custom_id":"row-3","response":null,"error":{"code":"batch_failed","message":"never ran"}}"#,
                ),
            },
        ];
        Segment::new(id(2, 7), rows)
    }

    fn encoded(segment: &Segment) -> Bytes {
        segment.encode().unwrap().concat().into()
    }

    #[test]
    fn the_golden_file_is_written_byte_for_byte() {
        let written = encoded(&golden());
        assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(GOLDEN));
    }

    #[test]
    fn the_golden_file_is_read() {
        let segment = Segment::decode(&Bytes::from_static(GOLDEN)).unwrap();
        assert_eq!(segment, golden());
        let rows = segment.rows().unwrap();
        assert_eq!(rows[0].row, RowNumber(3));
        assert_eq!(rows[1].model.as_deref(), Some("smollm2-135m"));
        assert!(rows[1].line.ends_with(br#"{"n": 1.0}},"error":null}"#));
    }

    #[test]
    fn failed_rows_of_an_adapter_are_counted_apart_and_without_tokens() {
        let failed = FinishedRow {
            kind: Kind::Error,
            model: Some("sql".into()),
            ..row(1, "failed")
        };
        let answered = FinishedRow {
            model: Some("sql".into()),
            ..row(0, "answered")
        };
        let segment = Segment::new(id(1, 0), vec![answered, failed.clone()]);
        let expected = ModelRows {
            name: "sql".into(),
            rows: 1,
            failed: 1,
            usage: Tokens {
                prompt_tokens: 10,
                completion_tokens: 1,
            },
        };
        assert_eq!(segment.header().models, [expected]);
        let read = Segment::decode(&encoded(&segment)).unwrap();
        assert_eq!(read.rows().unwrap()[1], failed);
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        for at in 0..GOLDEN.len() {
            let mut changed = GOLDEN.to_vec();
            changed[at] ^= 1;
            assert!(Segment::decode(&changed.into()).is_err(), "byte {at}");
        }
    }

    #[test]
    fn every_torn_segment_is_noticed() {
        for end in 0..GOLDEN.len() {
            let torn = Bytes::from_static(&GOLDEN[..end]);
            assert!(Segment::decode(&torn).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn of_a_row_given_twice_the_first_is_kept() {
        let segment = Segment::new(id(1, 0), vec![row(5, "first"), row(4, "x"), row(5, "second")]);
        let rows = segment.rows().unwrap();
        assert_eq!(rows.len(), 2);
        assert!(rows[1].line.ends_with(br#""first"}"#));
        assert_eq!(segment.header().rows(), 2);
    }

    #[test]
    fn a_new_name_changes_the_header_only() {
        let segment = golden();
        let renamed = segment.clone().renamed(id(2, 8));
        assert_eq!(renamed.header().id, id(2, 8));
        assert_eq!(renamed.rows().unwrap(), segment.rows().unwrap());
        assert!(Segment::decode(&encoded(&renamed)).is_ok());
    }
}
