//! A whole output, proven or not.

use futures::{StreamExt, stream};

use crate::dataset::Compression;
use crate::results::{
    Checksum, Error, Identity, JOB, Kind, Manifest, STOPPED, Stopped, Usage, read_claim, read_manifest, read_stopped,
};
use crate::storage::{self, Store};

use super::alignment::WINDOW;
use super::difference::Difference;
use super::differences::Differences;
use super::facts;
use super::lines::{Chunks, stream_object};
use super::locate::{altered_lines, changed_block};
use super::row::file_name;
use super::unfinished::Unfinished;
use super::walk::{Counted, Files, walk};

/// What came of it.
#[derive(Debug)]
pub enum Verdict {
    /// Every row is there once and in order, and the manifest is true.
    Proven(Proven),
    /// Something differs.
    Differs(Differences),
    /// There is no manifest.
    Unfinished(Unfinished),
}

/// What was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Rows of the data set.
    pub rows: u64,
    /// Of them in the results.
    pub results: u64,
    /// Of them in the errors.
    pub errors: u64,
    /// Of the errors, those that were no good requests, and never sent.
    pub invalid_rows: u64,
    /// Tokens of all rows.
    pub usage: Usage,
    /// Of the data set.
    pub dataset_sha256: Checksum,
    /// Of `results.jsonl`.
    pub results_sha256: Checksum,
    /// Of `errors.jsonl`.
    pub errors_sha256: Checksum,
}

/// Compares the output with the data set, which is the object `key` in `dataset`.
///
/// # Errors
///
/// A store fails or refuses, the data set is not there, or the manifest cannot be read.
pub async fn verify(dataset: &Store, key: &str, output: &Store) -> Result<Verdict, Error> {
    let Some(manifest) = read_manifest(output).await? else {
        return Ok(Verdict::Unfinished(Unfinished::read(output).await?));
    };
    let mut differences = Differences::default();
    let files = Files {
        dataset: read_dataset(dataset, key).await?,
        compression: Compression::of_name(key),
        results: output_file(output, Kind::Result, &mut differences).await?,
        errors: output_file(output, Kind::Error, &mut differences).await?,
    };
    let counted = walk(files, &manifest.proof, WINDOW, &mut differences).await?;
    facts::check(&manifest, &counted, &mut differences);
    identity(output, &manifest, &mut differences).await?;
    stopped(output, &manifest, &mut differences).await?;
    if let Err(error) = locate(dataset, key, output, &manifest, &counted, &mut differences).await {
        // What differs is known by now; only where is not.
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the place of a difference cannot be found"
        );
    }
    if !differences.is_empty() {
        return Ok(Verdict::Differs(differences));
    }
    Ok(Verdict::Proven(Proven {
        rows: counted.dataset.rows,
        results: counted.results.rows,
        errors: counted.errors.rows,
        invalid_rows: counted.invalid_rows,
        usage: manifest.usage,
        dataset_sha256: counted.dataset.sum.sha256,
        results_sha256: counted.results.sum.sha256,
        errors_sha256: counted.errors.sum.sha256,
    }))
}

async fn read_dataset(store: &Store, key: &str) -> Result<Chunks, Error> {
    if let Some(chunks) = stream_object(store, key).await? {
        return Ok(chunks);
    }
    // A read says in the store's own words that nothing is there.
    Err(store
        .read_range(key, 0..1)
        .await
        .err()
        .map_or_else(|| Error::Vanished { uri: store.uri_of(key) }, Error::from))
}

/// A file that is not there is a difference, and then as if it were empty.
async fn output_file(store: &Store, file: Kind, differences: &mut Differences) -> Result<Chunks, storage::Error> {
    let chunks = stream_object(store, file_name(file)).await?;
    Ok(chunks.unwrap_or_else(|| {
        differences.note(Difference::NoFile { file });
        stream::empty().boxed()
    }))
}

/// What `job.json` says, where it is still there.
async fn identity(output: &Store, manifest: &Manifest, differences: &mut Differences) -> Result<(), Error> {
    let claim = match read_claim(output).await {
        Ok(Some(claim)) => claim,
        Ok(None) => return Ok(()),
        Err(Error::Unreadable { source, .. }) => {
            let reason = format!("nothing, as {JOB} is not what this version writes ({source})");
            differences.field("identity", manifest.identity.to_string(), reason);
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let work = claim.work();
    let identity = Identity::of(work);
    if manifest.identity != identity {
        differences.field("identity", manifest.identity.to_string(), identity.to_string());
    }
    if manifest.dataset.sha256 != work.dataset_sha256 {
        let name = "dataset.sha256 (by job.json)";
        differences.field(
            name,
            manifest.dataset.sha256.to_string(),
            work.dataset_sha256.to_string(),
        );
    }
    Ok(())
}

/// What `stopped.json` says, where it is still there. A manifest that does not know of it was there first.
async fn stopped(output: &Store, manifest: &Manifest, differences: &mut Differences) -> Result<(), Error> {
    let Some(said) = manifest.ended.stopped() else {
        return Ok(());
    };
    let decided = match read_stopped(output).await {
        Ok(Some(decided)) => describe(&decided),
        Ok(None) => return Ok(()),
        Err(Error::Unreadable { source, .. }) => {
            format!("nothing, as {STOPPED} is not what this version writes ({source})")
        }
        Err(error) => return Err(error),
    };
    if describe(said) != decided {
        differences.field("stopped (by stopped.json)", describe(said), decided);
    }
    Ok(())
}

fn describe(Stopped { reason, message, at }: &Stopped) -> String {
    format!("{reason:?} at {at}, {message}")
}

/// A wrong checksum alone does not say where to look.
async fn locate(
    dataset: &Store,
    key: &str,
    output: &Store,
    manifest: &Manifest,
    counted: &Counted,
    differences: &mut Differences,
) -> Result<(), Error> {
    let names_rows = differences.names_rows();
    if counted.dataset.sum.sha256 != manifest.dataset.sha256 {
        changed_block(dataset, key, output, manifest, differences).await?;
    }
    let is_as_written =
        counted.results.sum.sha256 == manifest.results.sha256 && counted.errors.sum.sha256 == manifest.errors.sha256;
    if !is_as_written && !names_rows {
        altered_lines(output, manifest, differences).await?;
    }
    Ok(())
}
