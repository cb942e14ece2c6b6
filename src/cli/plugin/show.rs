//! `get` and `list`.

use std::process::ExitCode;

use k8s_openapi::jiff::Timestamp;

use super::arguments::{Format, GetArguments, ListArguments};
use super::jobs::{Jobs, Scope};
use super::printed;
use super::standard_error::tell;
use super::standard_output;

/// Prints one job.
///
/// # Errors
///
/// [`super::refusal::Refusal`], or standard output cannot be written.
pub async fn get(jobs: &Jobs, arguments: &GetArguments) -> anyhow::Result<ExitCode> {
    let job = jobs.find(&arguments.job).await?;
    standard_output::write(&printed::one(&job, arguments.output, Timestamp::now())?)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints jobs. That there are none is said on standard error, as kubectl says it.
///
/// # Errors
///
/// As [`get`].
pub async fn list(jobs: &Jobs, arguments: &ListArguments) -> anyhow::Result<ExitCode> {
    let scope = if arguments.all_namespaces {
        Scope::All
    } else {
        Scope::Namespace
    };
    let found = jobs.list(scope, arguments.selector.as_deref()).await?;
    if found.is_empty() && arguments.output.is_none_or(Format::is_for_people) {
        explain_none(jobs, scope, arguments.selector.as_deref()).await?;
        return Ok(ExitCode::SUCCESS);
    }
    standard_output::write(&printed::many(&found, arguments.output, scope, Timestamp::now())?)?;
    Ok(ExitCode::SUCCESS)
}

async fn explain_none(jobs: &Jobs, scope: Scope, selector: Option<&str>) -> anyhow::Result<()> {
    let jobs_meant = selector.map_or("jobs", |_| "jobs with these labels");
    match scope {
        Scope::All => tell(format_args!("there are no {jobs_meant} in this cluster")),
        Scope::Namespace => {
            jobs.check_namespace().await?;
            tell(format_args!(
                "there are no {jobs_meant} in namespace `{}`; -A lists all namespaces",
                jobs.namespace()
            ));
        }
    }
    Ok(())
}
