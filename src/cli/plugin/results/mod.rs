//! `results`: the rows of a job, fetched from its store.
//!
//! [`results`] decides what is fetched: a finished output as one file ([`combined`]) or as the two that it has ([`split`]), or what
//! is finished so far ([`partial`]). [`open`] finds the store and its keys; [`stored_file`] reads a file on from any place, with the
//! checksum of all of it; [`part_file`] is the file of this machine until it is whole.

mod combined;
mod error;
mod open;
mod part_file;
mod partial;
mod rows_sink;
mod split;
mod stored_file;

use std::process::ExitCode;

use super::arguments::{ClusterArguments, ResultsArguments};
use super::cluster::Cluster;
use super::job::Job;
use super::jobs::Jobs;
use super::standard_error::tell;
use crate::results::{Manifest, read_manifest};
use crate::storage::Store;
use error::FetchError;
use open::Way;
use rows_sink::RowsSink;

/// Fetches rows. What was fetched is summed up on standard error.
///
/// # Errors
///
/// [`FetchError`], [`super::refusal::Refusal`], or this machine's disk.
pub async fn results(cluster: &ClusterArguments, arguments: &ResultsArguments) -> anyhow::Result<ExitCode> {
    let (opened, job) = match &arguments.job {
        Some(name) => {
            let jobs = Jobs::new(Cluster::find(cluster).await?);
            let job = jobs.find(name).await?;
            (open::of_job(&jobs, &job, way(arguments)).await?, Some(job))
        }
        None => (open::named(arguments.from.as_deref().unwrap_or_default())?, None),
    };
    // A pod should not stay behind.
    let told = tokio::select! {
        told = told(&opened.store, job.as_ref(), arguments) => told,
        () = opened.interruption.came() => Err(FetchError::Interrupted.into()),
    };
    opened.close().await;
    tell(told?);
    Ok(ExitCode::SUCCESS)
}

fn way(arguments: &ResultsArguments) -> Way {
    if arguments.via_cluster {
        Way::Cluster
    } else {
        Way::Shortest
    }
}

/// Fetches what there is, and sums it up.
async fn told(store: &Store, job: Option<&Job>, arguments: &ResultsArguments) -> anyhow::Result<String> {
    match finished(store, job).await? {
        Some(manifest) => fetch(store, &manifest, arguments).await,
        None if arguments.partial => so_far(store, job, arguments).await,
        None => Err(FetchError::not_finished(job, store).into()),
    }
}

/// The manifest of a job that has results. Without a job, whatever is in the output.
///
/// An output may hold the work of another job: then this one has ended without results of its own.
async fn finished(store: &Store, job: Option<&Job>) -> anyhow::Result<Option<Manifest>> {
    if job.is_some_and(|job| job.value("/status/results").is_none()) {
        return Ok(None);
    }
    Ok(read_manifest(store).await?)
}

async fn fetch(store: &Store, manifest: &Manifest, arguments: &ResultsArguments) -> anyhow::Result<String> {
    let proof = &manifest.proof;
    match &arguments.output {
        Some(folder) if arguments.split => split::fetch(store, manifest, folder).await?,
        _ => combined::fetch(store, manifest, RowsSink::at(arguments.output.as_deref())?).await?,
    }
    Ok(format!(
        "{} rows: {} results and {} errors",
        proof.rows_in, proof.results, proof.errors
    ))
}

async fn so_far(store: &Store, job: Option<&Job>, arguments: &ResultsArguments) -> anyhow::Result<String> {
    if job.is_some_and(|job| job.value("/status/progress").is_none()) {
        return Err(FetchError::not_finished(job, store).into());
    }
    let rows = partial::fetch(store, job, RowsSink::at(arguments.output.as_deref())?).await?;
    let total = job.and_then(|job| job.number("/status/progress/total"));
    let of_all = total.map_or_else(String::new, |total| format!(" of {total}"));
    Ok(format!(
        "{rows}{of_all} rows so far: the job has not written its results"
    ))
}
