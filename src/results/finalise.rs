//! The end of a job: all segments become two files and a manifest.
//!
//! Several may be at it at once, and of their manifests the first decides. Whoever finds another's puts the files back that
//! it describes. So the last that anyone does to a file is to write what the manifest says, in whatever order they work.

use crate::api::prices::Prices;
use crate::openai::RowSet;
use crate::storage::{Put, Store};

use super::claim::{Identity, JobReference};
use super::compact::compact_all;
use super::ended::Ended;
use super::error::Error;
use super::files::Files;
use super::manifest::{self, Cost, DatasetFacts, Manifest, ModelUsage, Proof, read_manifest};
use super::merge_plan::MergePlan;
use super::stopped::{Stopped, read_stopped};
use super::stored_segment;
use super::{MANIFEST, restore};

/// Segments that are read as one without compacting them first. With more, each could be read in small pieces only.
const STREAMS: usize = 64;

/// What the manifest says that segments do not know.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What work it is.
    pub identity: Identity,
    /// Who did it.
    pub job: JobReference,
    /// What was read.
    pub dataset: DatasetFacts,
    /// Rows of it that were never sent, as they are no good requests.
    pub invalid_rows: RowSet,
    /// What tokens and devices cost, if that is known.
    pub prices: Option<Prices>,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339.
    pub finished_at: String,
    /// Of this program.
    pub operator_version: String,
}

/// Writes `results.jsonl`, `errors.jsonl` (both also when empty) and, create-only, `manifest.json`, each row of
/// the data set once and in input order. Every row must be in a segment: one that never ran is recorded as
/// an error row first. A decision to stop the job ([`super::stop`]) must stand before that, and is the outcome.
///
/// May be killed anywhere and run again. When there is a manifest, the end is decided and it is returned as
/// it is, with the files that it describes.
///
/// # Errors
///
/// [`Error`]; without a manifest, nothing is decided.
pub async fn finalise(store: &Store, finished: &Finished) -> Result<Manifest, Error> {
    if let Some(decided) = decided(store, finished).await? {
        return settle(store, decided).await;
    }
    match Merged::begin(store, finished).await {
        Ok(merged) => merged.complete(store, finished).await,
        // Perhaps another one has ended meanwhile, and removed what we were reading.
        Err(error) => match decided(store, finished).await? {
            Some(manifest) => settle(store, manifest).await,
            None => Err(error),
        },
    }
}

/// Both files, not visible yet, and whether the job was stopped.
struct Merged {
    files: Files,
    stopped: Option<Stopped>,
}

impl Merged {
    async fn begin(store: &Store, finished: &Finished) -> Result<Self, Error> {
        let stopped = read_stopped(store).await?;
        let merge = async || Files::merge(store, plan(store).await?, finished.dataset.rows).await;
        let files = stored_segment::while_compacted(merge).await?;
        Ok(Self { files, stopped })
    }

    async fn complete(self, store: &Store, finished: &Finished) -> Result<Manifest, Error> {
        // Whoever was slower should not touch the files that a manifest describes.
        match decided(store, finished).await {
            Ok(None) => {}
            Ok(Some(manifest)) => {
                self.files.abort().await;
                return settle(store, manifest).await;
            }
            Err(error) => {
                self.files.abort().await;
                return Err(error);
            }
        }
        let manifest = self.publish(finished).await?;
        create_manifest(store, finished, manifest).await
    }

    /// Makes both files visible and says what they are.
    async fn publish(self, finished: &Finished) -> Result<Manifest, Error> {
        let manifest = self.manifest(finished);
        self.files.publish().await?;
        Ok(manifest)
    }

    fn manifest(&self, finished: &Finished) -> Manifest {
        let Files {
            results,
            errors,
            counts,
            duplicates,
            used,
        } = &self.files;
        let (results, errors) = (results.described.clone(), errors.described.clone());
        let models = counts.models.values();
        Manifest {
            format: manifest::FORMAT.to_owned(),
            ended: Ended::of(self.stopped.clone(), results.rows, errors.rows),
            identity: finished.identity,
            job: finished.job.clone(),
            dataset: finished.dataset.clone(),
            usage: counts.usage.into(),
            cost: finished
                .prices
                .clone()
                .map(|prices| Cost::new(counts.usage.into(), prices)),
            models: models.map(ModelUsage::from).collect(),
            proof: Proof::new(
                results.rows,
                counts.error_rows.clone(),
                finished.invalid_rows.clone(),
                *duplicates,
            ),
            results,
            errors,
            segments: used.clone(),
            started_at: finished.started_at.clone(),
            finished_at: finished.finished_at.clone(),
            operator_version: finished.operator_version.clone(),
        }
    }
}

/// All segments; when too many overlap to be read as one, after they have been compacted.
async fn plan(store: &Store) -> Result<MergePlan, Error> {
    let pieces = stored_segment::visible(store).await?;
    let plan = MergePlan::read(store, &pieces).await?;
    if plan.depth() <= STREAMS {
        return Ok(plan);
    }
    drop(plan);
    compact_all(store, pieces).await?;
    let pieces = stored_segment::visible(store).await?;
    MergePlan::read(store, &pieces).await
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
    let decided = decided.ok_or_else(|| Error::Vanished { uri: uri() })?;
    if (&decided.results, &decided.errors) == (&manifest.results, &manifest.errors) {
        // The answer to our own try was lost, or the other one merged the same rows.
        return Ok(decided);
    }
    settle(store, decided).await
}

/// Ends with a manifest that was found. The files may be ours, of this try or one before, and made from other segments.
async fn settle(store: &Store, decided: Manifest) -> Result<Manifest, Error> {
    // Boxed, as it is seldom needed and would make every future that ends a job large.
    Box::pin(restore::verify(store, &decided)).await?;
    Ok(decided)
}

#[cfg(test)]
mod tests;
