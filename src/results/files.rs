//! The two files of rows: all rows of some segments, each once and in input order.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::openai::{RowNumber, RowSet};
use crate::storage::Store;

use super::error::Error;
use super::header::{ModelRows, Tokens};
use super::manifest::SegmentUsed;
use super::merge::{Merge, MergedRow};
use super::merge_plan::MergePlan;
use super::record::Kind;
use super::rows_file::{RowsFile, WrittenFile};
use super::{ERRORS, RESULTS};

/// Both files written to their last byte, but not visible yet; and what they hold.
pub(super) struct Files {
    pub results: WrittenFile,
    pub errors: WrittenFile,
    pub counts: Counts,
    /// Copies of rows that were left out.
    pub duplicates: u64,
    /// What they were made from.
    pub used: Vec<SegmentUsed>,
}

/// What was met on the way.
#[derive(Default)]
pub(super) struct Counts {
    pub error_rows: RowSet,
    pub usage: Tokens,
    pub models: BTreeMap<Arc<str>, ModelRows>,
}

impl Files {
    /// Merges segments that together must hold every row of a data set of that many.
    pub async fn merge(store: &Store, plan: MergePlan, rows: u64) -> Result<Self, Error> {
        check_complete(&plan.rows, rows)?;
        let used = plan.used();
        let mut writing = Writing {
            results: RowsFile::new(store, RESULTS, plan.results_bytes),
            errors: RowsFile::new(store, ERRORS, plan.errors_bytes),
            counts: Counts::default(),
        };
        let mut merge = Merge::new(store.clone(), plan);
        if let Err(error) = writing.write_rows(&mut merge, rows).await {
            writing.results.abort().await;
            writing.errors.abort().await;
            return Err(error);
        }
        writing.finish(merge.duplicates(), used).await
    }

    /// Leaves what is in the store as it is.
    pub async fn abort(self) {
        self.results.abort().await;
        self.errors.abort().await;
    }

    /// Makes both files visible, in place of any that are there.
    pub async fn publish(self) -> Result<(), Error> {
        if let Err(error) = self.results.publish().await {
            self.errors.abort().await;
            return Err(error);
        }
        self.errors.publish().await
    }
}

struct Writing {
    results: RowsFile,
    errors: RowsFile,
    counts: Counts,
}

impl Writing {
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
        let (record, counts) = (&merged.record, &mut self.counts);
        counts.usage.add(record.usage);
        if let Some(model) = &merged.model {
            let counted = counts.models.entry(Arc::clone(model));
            let counted = counted.or_insert_with(|| ModelRows::new(&**model));
            counted.add(record.kind, record.usage);
        }
        match record.kind {
            Kind::Result => self.results.write(&record.line).await,
            Kind::Error => {
                counts.error_rows.insert(record.row);
                self.errors.write(&record.line).await
            }
        }
    }

    async fn finish(self, duplicates: u64, used: Vec<SegmentUsed>) -> Result<Files, Error> {
        let results = match self.results.finish().await {
            Ok(results) => results,
            Err(error) => {
                self.errors.abort().await;
                return Err(error);
            }
        };
        let errors = match self.errors.finish().await {
            Ok(errors) => errors,
            Err(error) => {
                results.abort().await;
                return Err(error);
            }
        };
        Ok(Files {
            results,
            errors,
            counts: self.counts,
            duplicates,
            used,
        })
    }
}

/// Compares the headers' rows with the data set before anything is written.
fn check_complete(all: &RowSet, rows: u64) -> Result<(), Error> {
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
