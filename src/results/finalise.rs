//! The end of a job: all segments become two files and a manifest.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::openai::RowNumber;
use crate::storage::{ObjectWriter, Put, Store};

use super::checksum::Hasher;
use super::claim::{Identity, JobReference};
use super::error::Error;
use super::header::{RowsOfKind, Tokens};
use super::manifest::{
    self, DatasetFacts, Manifest, ModelUsage, Outcome, OutputFile, Proof, SegmentUsed, read_manifest,
};
use super::merge::{Merge, MergedRow};
use super::record::Kind;
use super::row_set::RowSet;
use super::stored_segment::{self, StoredSegment};
use super::{ERRORS, MANIFEST, RESULTS};

/// Read from each open segment at a time: large enough for a store's latency not to count, small enough for
/// a hundred segments that overlap.
pub(super) const CHUNK_BYTES: u64 = 256 << 10;

/// What the manifest says that segments do not know.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What work it is.
    pub identity: Identity,
    /// Who did it.
    pub job: JobReference,
    /// What was read.
    pub dataset: DatasetFacts,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339.
    pub finished_at: String,
    /// Of this program.
    pub operator_version: String,
}

/// Writes `results.jsonl`, `errors.jsonl` (both also when empty) and, create-only, `manifest.json`, each row of
/// the data set once and in input order. Every row must be in a segment: one that never ran is recorded as
/// an error row first.
///
/// May be killed anywhere and run again. When there is a manifest, the end is decided and it is returned as
/// it is.
///
/// # Errors
///
/// [`Error`]; without a manifest, nothing is decided.
pub async fn finalise(store: &Store, finished: &Finished) -> Result<Manifest, Error> {
    if let Some(decided) = decided(store, finished).await? {
        return Ok(decided);
    }
    let merged = Merged::begin(store, finished).await?;
    merged.complete(store, finished).await
}

/// Both files written to their last byte, but not visible yet.
struct Merged {
    files: Files,
    segments: Vec<StoredSegment>,
    duplicates: u64,
}

impl Merged {
    async fn begin(store: &Store, finished: &Finished) -> Result<Self, Error> {
        let rows = finished.dataset.rows;
        let segments = stored_segment::list(store).await?;
        check_complete(&segments, rows)?;
        let mut files = Files::new(store, &segments);
        let mut merge = Merge::new(store.clone(), &segments, CHUNK_BYTES);
        if let Err(error) = write_rows(&mut merge, &mut files, rows).await {
            files.abort().await;
            return Err(error);
        }
        Ok(Self {
            files,
            segments,
            duplicates: merge.duplicates(),
        })
    }

    async fn complete(self, store: &Store, finished: &Finished) -> Result<Manifest, Error> {
        // Whoever was slower must not touch the files that a manifest describes.
        match decided(store, finished).await {
            Ok(None) => {}
            Ok(Some(manifest)) => {
                self.files.abort().await;
                return Ok(manifest);
            }
            Err(error) => {
                self.files.abort().await;
                return Err(error);
            }
        }
        let files = self.files;
        let manifest = files.finish(&self.segments, self.duplicates, finished);
        create_manifest(store, finished, manifest.await?).await
    }
}

async fn decided(store: &Store, finished: &Finished) -> Result<Option<Manifest>, Error> {
    let Some(manifest) = read_manifest(store).await? else {
        return Ok(None);
    };
    if manifest.identity != finished.identity {
        return Err(Error::OtherManifest {
            uri: store.uri_of(MANIFEST),
            theirs: manifest.identity.checksum(),
            ours: finished.identity.checksum(),
        });
    }
    Ok(Some(manifest))
}

async fn create_manifest(store: &Store, finished: &Finished, manifest: Manifest) -> Result<Manifest, Error> {
    let uri = || store.uri_of(MANIFEST);
    let mut json = serde_json::to_vec_pretty(&manifest).map_err(|source| Error::Json { uri: uri(), source })?;
    json.push(b'\n');
    if store.create(MANIFEST, json).await? == Put::Created {
        return Ok(manifest);
    }
    let decided = decided(store, finished).await?;
    decided.ok_or_else(|| Error::Vanished { uri: uri() })
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

/// Writes each row to its file. The rows met are counted, not believed: this is what the proof stands on.
async fn write_rows(merge: &mut Merge, files: &mut Files, rows: u64) -> Result<(), Error> {
    let mut next = 0;
    while let Some(merged) = merge.next().await? {
        let row = merged.record.row;
        if row.0 >= rows {
            return Err(Error::UnknownRow { row, rows });
        }
        if row.0 != next {
            return Err(missing(next, rows));
        }
        files.write(&merged).await?;
        next += 1;
    }
    if next != rows {
        return Err(missing(next, rows));
    }
    Ok(())
}

fn missing(next: u64, rows: u64) -> Error {
    Error::MissingRows {
        first: RowNumber(next),
        missing: rows - next,
        rows,
    }
}

/// The two files while they are written, and what they hold so far.
struct Files {
    results: File,
    errors: File,
    error_rows: RowSet,
    usage: Tokens,
    models: BTreeMap<Arc<str>, (u64, Tokens)>,
}

impl Files {
    fn new(store: &Store, segments: &[StoredSegment]) -> Self {
        let expected =
            |kind: fn(&StoredSegment) -> &RowsOfKind| segments.iter().map(|segment| kind(segment).bytes).sum();
        let results = expected(|segment| &segment.header.results);
        let errors = expected(|segment| &segment.header.errors);
        Self {
            results: File::new(store.overwrite(RESULTS, results)),
            errors: File::new(store.overwrite(ERRORS, errors)),
            error_rows: RowSet::default(),
            usage: Tokens::default(),
            models: BTreeMap::new(),
        }
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

    async fn abort(self) {
        self.results.writer.abort().await;
        self.errors.writer.abort().await;
    }

    /// Makes both files visible and says what they are.
    async fn finish(self, segments: &[StoredSegment], duplicates: u64, finished: &Finished) -> Result<Manifest, Error> {
        let results = self.results.finish(RESULTS).await?;
        let errors = self.errors.finish(ERRORS).await?;
        let models = self.models.into_iter();
        let segments = segments
            .iter()
            .map(|StoredSegment { header, .. }| SegmentUsed::new(header.id, header.rows(), header.body.sha256));
        Ok(Manifest {
            format: manifest::FORMAT.to_owned(),
            outcome: Outcome::of(results.rows, errors.rows),
            identity: finished.identity,
            job: finished.job.clone(),
            dataset: finished.dataset.clone(),
            usage: self.usage.into(),
            models: models
                .map(|(name, (rows, usage))| ModelUsage {
                    name: name.to_string(),
                    rows,
                    usage: usage.into(),
                })
                .collect(),
            proof: Proof::new(results.rows, self.error_rows, duplicates),
            results,
            errors,
            segments: segments.collect(),
            started_at: finished.started_at.clone(),
            finished_at: finished.finished_at.clone(),
            operator_version: finished.operator_version.clone(),
        })
    }
}

/// One file while it is written.
struct File {
    writer: ObjectWriter,
    hasher: Hasher,
    rows: u64,
    bytes: u64,
}

impl File {
    fn new(writer: ObjectWriter) -> Self {
        Self {
            writer,
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

    async fn finish(self, key: &str) -> Result<OutputFile, Error> {
        self.writer.finish().await?;
        Ok(OutputFile {
            key: key.to_owned(),
            rows: self.rows,
            bytes: self.bytes,
            sha256: self.hasher.finish(),
        })
    }
}

#[cfg(test)]
mod tests;
