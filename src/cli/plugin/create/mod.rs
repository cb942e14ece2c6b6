//! `create`: a job from flags or from a file; a data set of this machine is checked and uploaded first.
//!
//! [`create`] has the order of it, which asks the API server whether the job would be taken before anything is uploaded.
//! [`arguments`] says what can be typed, [`manifest`] makes the job of it (pure), [`file`] reads one, [`upload`] brings the data set
//! to its store.

mod arguments;
mod file;
mod manifest;
mod upload;

use std::process::ExitCode;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::arguments::{ClusterArguments, Format};
use super::cluster::Cluster;
use super::exit;
use super::findings::{Names, Runs};
use super::job::Job;
use super::jobs::{Jobs, Make};
use super::keys::keys;
use super::printed;
use super::standard_output;
use super::validate::{find, names_of};
use crate::storage::Side;

pub use arguments::CreateArguments;
use arguments::{DryRun, JobFlags};
use manifest::{Dataset, manifest};
use upload::{Existing, Target, upload};

/// Makes a job.
///
/// # Errors
///
/// [`file::FileError`], [`upload::UploadError`], [`super::refusal::Refusal`], or standard output cannot be written.
pub async fn create(cluster: &ClusterArguments, arguments: &CreateArguments) -> anyhow::Result<ExitCode> {
    let dataset = Dataset::of(&arguments.job)?;
    let new = match &arguments.file {
        Some(path) => file::read(path)?,
        None => manifest(arguments.name.as_deref(), &arguments.job, dataset.uri()),
    };
    if let Dataset::Local { file, .. } = &dataset {
        let findings = find(file, &names(&arguments.job)).await?;
        eprint!("{}", findings.report);
        let is_taken = match findings.runs {
            Runs::Every => true,
            Runs::Some => skips_bad_rows(&arguments.job),
            Runs::None => false,
        };
        if !is_taken {
            return Ok(ExitCode::from(exit::BAD));
        }
    }
    if arguments.dry_run == DryRun::Client {
        let format = arguments.output.or(Some(Format::Yaml));
        standard_output::write(&printed::one(&Job::new(new), format, Timestamp::now())?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let cluster = file::in_namespace_of(&new, cluster, Cluster::find(cluster).await?)?;
    make(&Jobs::new(cluster), &new, &dataset, arguments).await
}

async fn make(jobs: &Jobs, new: &Value, dataset: &Dataset, arguments: &CreateArguments) -> anyhow::Result<ExitCode> {
    let is_dry = arguments.dry_run == DryRun::Server;
    let (job, what) = match dataset {
        _ if is_dry => (jobs.create(new, Make::DryRun).await?, "created (server dry run)"),
        Dataset::Local { file, uri } => {
            jobs.create(new, Make::DryRun).await?;
            let target = Target::parse(file, uri)?;
            let secret = arguments.job.secret.as_deref();
            let credentials = keys(jobs, Side::Dataset, secret, target.uri()).await?;
            upload(file, &target, &credentials, existing(arguments)).await?;
            (jobs.create(new, Make::Really).await?, "created")
        }
        Dataset::Remote(_) => (jobs.create(new, Make::Really).await?, "created"),
    };
    standard_output::write(&printed::changed(&job, what, arguments.output, Timestamp::now())?)?;
    Ok(ExitCode::SUCCESS)
}

/// The catalog of the operator may have models that this program does not know: then no name is refused here.
fn names(flags: &JobFlags) -> Names {
    let model = flags.model.as_deref().unwrap_or_default();
    let names = names_of(flags.engine.unwrap_or_default(), model, &flags.served_model_names).unwrap_or(Names::Any);
    names.with_adapters(flags.adapters, flags.adapters_location.as_deref())
}

fn existing(arguments: &CreateArguments) -> Existing {
    if arguments.overwrite {
        Existing::Replace
    } else {
        Existing::Keep
    }
}

fn skips_bad_rows(flags: &JobFlags) -> bool {
    flags.invalid_rows.as_deref() == Some("Skip")
}
