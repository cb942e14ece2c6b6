//! `validate`: a data set, checked on this machine by the code that checks it in a job.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::arguments::ValidateArguments;
use super::exit;
use super::findings::{Findings, Names, Runs};
use super::keys::environment_with_login;
use super::standard_output;
use crate::api::Engine;
use crate::api::adapters::AdaptersSpec;
use crate::dataset::{InspectError, Scratch, Source, inspect_describing};
use crate::engine::{AcceptedNames, BaseModel, Catalog};
use crate::storage::open_named_dataset;

/// Refused rows that are told one by one, at most: a file may have no others, and each takes memory until all are known.
const DESCRIBED: usize = 1_000_000;

/// Checks a data set, and prints what is wrong with it.
///
/// # Errors
///
/// The data set cannot be read, or the model is none.
pub async fn validate(arguments: &ValidateArguments) -> anyhow::Result<ExitCode> {
    let names = match &arguments.model {
        None => Names::Any,
        Some(model) => {
            names_of(arguments.engine, model, &arguments.served_model_names)?.with_adapters(adapters(arguments))
        }
    };
    let findings = find(&arguments.file, &names).await?;
    standard_output::write_with(|out| findings.write(out))?;
    Ok(match findings.runs() {
        Runs::Every => ExitCode::SUCCESS,
        Runs::Some | Runs::None => ExitCode::from(exit::BAD),
    })
}

fn adapters(arguments: &ValidateArguments) -> Option<AdaptersSpec> {
    Some(AdaptersSpec {
        source: arguments.adapters?,
        location: arguments.adapters_location.clone(),
        ..AdaptersSpec::default()
    })
}

/// The names by which rows may call a model.
///
/// # Errors
///
/// No server could be told to load it, or to serve it by one of these names.
pub fn names_of(engine: Engine, model: &str, served: &[String]) -> anyhow::Result<Names> {
    let accepted = AcceptedNames::new(&BaseModel::read(Catalog::built_in(), engine, model)?, served)?;
    Ok(Names::known(accepted.as_slice()))
}

/// Reads a whole data set.
///
/// # Errors
///
/// It cannot be read.
pub async fn find(file: &str, names: &Names) -> anyhow::Result<Findings> {
    find_describing(DESCRIBED, file, names).await
}

/// The same, where no more than so many refused rows are told one by one.
pub(super) async fn find_describing(described: usize, file: &str, names: &Names) -> anyhow::Result<Findings> {
    let scratch = tempfile::tempdir()?;
    let source = open(file, scratch.path())?;
    match inspect_describing(described, &source, &names.models(), &Scratch::new(scratch.path())).await {
        Ok(inspection) => Ok(Findings::of(file, inspection, names)),
        Err(InspectError::Refused(refusal)) => Ok(Findings::of_refusal(file, refusal, names)),
        Err(error) => Err(error.into()),
    }
}

fn open(file: &str, scratch: &Path) -> anyhow::Result<Source> {
    let opened = open_named_dataset(file, environment_with_login(), scratch)?;
    let hints = opened.hints();
    Ok(Source::new(Arc::clone(&opened.store), opened.path, file, hints))
}
