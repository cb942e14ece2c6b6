//! `create`: a job from flags or from a file; a data set of this machine is checked and uploaded first.
//!
//! [`create`] has the order of it, which asks the API server whether the job would be taken before anything is uploaded.
//! [`arguments`] says what can be typed, [`dataset`] where the rows are by that, [`manifest`] makes the job of it (both pure), [`file`]
//! reads one, [`upload`] brings the data set to its store.

mod arguments;
mod dataset;
mod file;
mod manifest;
mod upload;

use std::process::ExitCode;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::arguments::{ClusterArguments, Format, engine};
use super::cluster::Cluster;
use super::exit;
use super::findings::{Names, Runs};
use super::job::Job;
use super::jobs::{Jobs, Make};
use super::printed;
use super::standard_error::tell_with;
use super::standard_output;
use super::validate::{find, names_by_catalog};

pub use arguments::CreateArguments;
use arguments::DryRun;
use dataset::{Dataset, Rows};
use manifest::manifest;
use upload::{Existing, Upload, upload};

/// Makes a job.
///
/// # Errors
///
/// [`file::FileError`], [`upload::UploadError`], [`super::refusal::Refusal`], or standard output cannot be written.
pub async fn create(cluster: &ClusterArguments, arguments: &CreateArguments) -> anyhow::Result<ExitCode> {
    let dataset = Dataset::of(&arguments.rows)?;
    if let Dataset::Local { file, to } = &dataset {
        upload::check(file, to)?;
    }
    let new = match &arguments.file {
        Some(path) => file::with_rows(file::read(path)?, dataset.rows(), path)?,
        None => manifest(arguments.name.as_deref(), &arguments.job, dataset.rows())?,
    };
    let new = file::in_namespace(new, cluster.namespace())?;
    if let Dataset::Local { file, .. } = &dataset {
        let findings = find(file, &names(&new)).await?;
        tell_with(|out| findings.write(out));
        let is_taken = match findings.runs() {
            Runs::Every => true,
            Runs::Some => text(&new, "/spec/dataset/invalidRows") == Some("Skip"),
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
    let cluster = file::in_namespace_of(&new, Cluster::find(cluster).await?);
    make(&Jobs::new(cluster), &new, &dataset, arguments).await
}

async fn make(jobs: &Jobs, new: &Value, dataset: &Dataset, arguments: &CreateArguments) -> anyhow::Result<ExitCode> {
    let is_dry = arguments.dry_run == DryRun::Server;
    let (job, what) = match dataset {
        _ if is_dry => (jobs.create(new, Make::DryRun).await?, "created (server dry run)"),
        Dataset::Local { file, to } => {
            jobs.create(new, Make::DryRun).await?;
            upload(jobs, &wanted(file, to, new, arguments)).await?;
            (jobs.create(new, Make::Really).await?, "created")
        }
        Dataset::There(_) | Dataset::InJob => (jobs.create(new, Make::Really).await?, "created"),
    };
    standard_output::write(&printed::changed(&job, what, arguments.output, Timestamp::now())?)?;
    Ok(ExitCode::SUCCESS)
}

fn wanted<'a>(file: &'a str, to: &'a Rows, new: &'a Value, arguments: &'a CreateArguments) -> Upload<'a> {
    Upload {
        file,
        to,
        secret: text(new, "/spec/dataset/credentialsSecretRef/name"),
        service_account: text(new, "/spec/feeder/serviceAccountName"),
        feeder: new.pointer("/spec/feeder/podTemplate"),
        existing: if arguments.overwrite {
            Existing::Replace
        } else {
            Existing::Keep
        },
        is_through_cluster: arguments.via_cluster,
        image: arguments.pod_image.as_deref(),
    }
}

/// The catalog of the operator may have models that this program does not know, or others for its short names, and a Deployment may serve any,
/// also beside a model that is named: then no name is refused here.
fn names(new: &Value) -> Names {
    if new.pointer("/spec/server/from").is_some_and(|from| !from.is_null()) {
        return Names::Any;
    }
    let served = new.pointer("/spec/server/servedModelNames").and_then(Value::as_array);
    let served = served.into_iter().flatten().filter_map(Value::as_str);
    let served: Vec<_> = served.map(str::to_owned).collect();
    let engine = text(new, "/spec/server/engine").and_then(|name| engine(name).ok());
    let engine = engine.unwrap_or_default();
    let model = text(new, "/spec/server/baseModel").unwrap_or_default();
    let names = names_by_catalog(engine, model, &served).unwrap_or(Names::Any);
    let adapters = new.pointer("/spec/server/adapters").cloned();
    // Adapters that cannot be read are for the API server to refuse.
    names.with_adapters(adapters.and_then(|adapters| serde_json::from_value(adapters).ok()))
}

fn text<'a>(new: &'a Value, pointer: &str) -> Option<&'a str> {
    new.pointer(pointer)?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_rows_are_checked_where_the_job_says_its_model() {
        let names = |server: Value| names(&json!({"spec": {"server": server}}));
        let is_known = |server: Value| matches!(names(server), Names::Known(_));
        assert!(is_known(
            json!({"baseModel": "Qwen/Qwen3-8B", "engine": "SGLang", "servedModelNames": ["x"]})
        ));
        assert!(is_known(json!({"baseModel": "qwen3-8b", "engine": "Custom"})));
        let is_by_catalog = |server: Value| matches!(names(server), Names::ByCatalog(_));
        assert!(is_by_catalog(json!({"baseModel": "qwen3-8b", "adapters": {}})));
        assert!(!is_known(json!({"baseModel": "a-model-of-the-charts-values"})));
        let from = json!({"deployment": {"name": "x"}});
        assert!(!is_known(json!({"from": from})));
        assert!(!is_known(json!({"from": from, "baseModel": "qwen3-8b"})));
    }
}
