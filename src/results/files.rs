//! The two files of rows while they are written: all rows of some segments, each once and in input order.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::openai::RowNumber;
use crate::storage::{ObjectWriter, Store};

use super::checksum::Hasher;
use super::error::Error;
use super::header::{RowsOfKind, Tokens};
use super::manifest::OutputFile;
use super::merge::{Merge, MergedRow};
use super::record::Kind;
use super::row_set::RowSet;
use super::stored_segment::StoredSegment;
use super::{ERRORS, RESULTS};

/// Read from each open segment at a time: large enough for a store's latency not to count, small enough for
/// a hundred segments that overlap.
pub(super) const CHUNK_BYTES: u64 = 256 << 10;

/// Both files written to their last byte, but not visible yet; and what they hold.
pub(super) struct Files {
    pub results: File,
    pub errors: File,
    pub error_rows: RowSet,
    pub usage: Tokens,
    pub models: BTreeMap<Arc<str>, (u64, Tokens)>,
    /// Copies of rows that were left out.
    pub duplicates: u64,
}

impl Files {
    /// Merges segments that together must hold every row of a data set of that many.
    pub async fn merge(store: &Store, segments: &[StoredSegment], rows: u64) -> Result<Self, Error> {
        check_complete(segments, rows)?;
        let mut files = Self::new(store, segments);
        let mut merge = Merge::new(store.clone(), segments, CHUNK_BYTES);
        if let Err(error) = files.write_rows(&mut merge, rows).await {
            files.abort().await;
            return Err(error);
        }
        files.duplicates = merge.duplicates();
        Ok(files)
    }

    fn new(store: &Store, segments: &[StoredSegment]) -> Self {
        let expected =
            |kind: fn(&StoredSegment) -> &RowsOfKind| segments.iter().map(|segment| kind(segment).bytes).sum();
        let results = expected(|segment| &segment.header.results);
        let errors = expected(|segment| &segment.header.errors);
        Self {
            results: File::new(store, RESULTS, results),
            errors: File::new(store, ERRORS, errors),
            error_rows: RowSet::default(),
            usage: Tokens::default(),
            models: BTreeMap::new(),
            duplicates: 0,
        }
    }

    /// Writes each row to its file. The rows met are counted, not believed: this is what the proof stands on.
    async fn write_rows(&mut self, merge: &mut Merge, rows: u64) -> Result<(), Error> {
        let mut next = 0;
        while let Some(merged) = merge.next().await? {
            let row = merged.record.row;
            if row.0 >= rows {
                return Err(Error::UnknownRow { row, rows });
            }
            if row.0 != next {
                return Err(missing(next, rows));
            }
            self.write(&merged).await?;
            next += 1;
        }
        if next != rows {
            return Err(missing(next, rows));
        }
        Ok(())
    }

    async fn write(&mut self, merged: &MergedRow) -> Result<(), Error> {
        let record = &merged.record;
        self.usage.add(record.usage);
        if let Some(model) = &merged.model {
            let (rows, usage) = self.models.entry(Arc::clone(model)).or_default();
            *rows += 1;
            usage.add(record.usage);
        }
        match record.kind {
            Kind::Result => self.results.write(&record.line).await,
            Kind::Error => {
                self.error_rows.insert(record.row);
                self.errors.write(&record.line).await
            }
        }
    }

    /// Leaves what is in the store as it is.
    pub async fn abort(self) {
        self.results.writer.abort().await;
        self.errors.writer.abort().await;
    }

    /// Makes both files visible, in place of any that are there.
    pub async fn publish(self) -> Result<(), Error> {
        self.results.writer.finish().await?;
        self.errors.writer.finish().await?;
        Ok(())
    }
}

/// One file while it is written.
pub(super) struct File {
    key: &'static str,
    writer: ObjectWriter,
    hasher: Hasher,
    rows: u64,
    bytes: u64,
}

impl File {
    fn new(store: &Store, key: &'static str, expected: u64) -> Self {
        Self {
            key,
            writer: store.overwrite(key, expected),
            hasher: Hasher::default(),
            rows: 0,
            bytes: 0,
        }
    }

    async fn write(&mut self, line: &[u8]) -> Result<(), Error> {
        self.hasher.update(line);
        self.rows += 1;
        self.bytes += line.len() as u64;
        Ok(self.writer.write(line).await?)
    }

    /// As a manifest describes it.
    pub fn described(&self) -> OutputFile {
        OutputFile {
            key: self.key.to_owned(),
            rows: self.rows,
            bytes: self.bytes,
            sha256: self.hasher.clone().finish(),
        }
    }
}

/// Compares the headers' rows with the data set before anything is written.
fn check_complete(segments: &[StoredSegment], rows: u64) -> Result<(), Error> {
    let mut all = RowSet::default();
    for StoredSegment { header, .. } in segments {
        all.extend(&header.results.bitmap);
        all.extend(&header.errors.bitmap);
    }
    match all.last() {
        Some(row) if row.0 >= rows => return Err(Error::UnknownRow { row, rows }),
        _ => {}
    }
    match all.first_missing(rows) {
        None => Ok(()),
        Some(first) => Err(Error::MissingRows {
            first,
            missing: rows - all.len(),
            rows,
        }),
    }
}

fn missing(next: u64, rows: u64) -> Error {
    Error::MissingRows {
        first: RowNumber(next),
        missing: rows - next,
        rows,
    }
}
