//! `validate`: a data set, checked on this machine by the code that checks it in a job.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::arguments::ValidateArguments;
use super::exit;
use super::findings::{Findings, Names, Runs};
use super::keys::environment_with_login;
use super::standard_error::tell;
use super::standard_output;
use crate::api::Engine;
use crate::api::adapters::AdaptersSpec;
use crate::dataset::{InspectError, Scratch, Source, inspect_describing};
use crate::engine::{AcceptedNames, BaseModel, Catalog, ModelError};
use crate::storage::open_named_dataset;

/// Refused rows that are told one by one, at most: a file may have no others, and each takes memory until all are known.
const DESCRIBED: usize = 1_000_000;

/// Checks a data set, and prints what is wrong with it.
///
/// # Errors
///
/// The data set cannot be read, or the model is none.
pub async fn validate(arguments: &ValidateArguments) -> anyhow::Result<ExitCode> {
    let names = names(arguments)?;
    let findings = find(&arguments.file, &names).await?;
    standard_output::write_with(|out| findings.write(out))?;
    Ok(match findings.runs() {
        Runs::Every => ExitCode::SUCCESS,
        Runs::Some | Runs::None => ExitCode::from(exit::BAD),
    })
}

fn names(arguments: &ValidateArguments) -> anyhow::Result<Names> {
    let Some(model) = &arguments.model else {
        return Ok(Names::Any);
    };
    let names = names_by_catalog(arguments.engine, model, &arguments.served_model_names)?;
    if matches!(names, Names::Any) {
        tell(format_args!(
            "warning: the catalog of this program has no model {model:?}, and that of the operator may have it: no name is refused"
        ));
    }
    Ok(names.with_adapters(adapters(arguments)))
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

/// The same, as far as this program can know: the operator's catalog may have another model by a short name, and models that this one has not.
///
/// # Errors
///
/// No operator's catalog could make a model of it, or no server could serve it by one of these names.
pub fn names_by_catalog(engine: Engine, model: &str, served: &[String]) -> anyhow::Result<Names> {
    match names_of(engine, model, served) {
        Ok(names) if is_short_name(engine, model) => Ok(names.by_catalog()),
        Err(error) if is_not_in_catalog(&error) => Ok(Names::Any),
        known => known,
    }
}

fn is_not_in_catalog(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<ModelError>(),
        Some(ModelError::NotInCatalog { .. })
    )
}

fn is_short_name(engine: Engine, model: &str) -> bool {
    engine != Engine::Custom && Catalog::built_in().entry(model).is_some()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_operator_s_catalog_decides_is_not_decided_here() {
        let names = |engine, model| names_by_catalog(engine, model, &[]);
        assert!(matches!(names(Engine::VLLM, "qwen3-8b"), Ok(Names::ByCatalog(_))));
        assert!(matches!(
            names(Engine::VLLM, "a-model-of-the-charts-values"),
            Ok(Names::Any)
        ));
        assert!(matches!(names(Engine::VLLM, "Qwen/Qwen3-8B"), Ok(Names::Known(_))));
        assert!(matches!(names(Engine::Custom, "qwen3-8b"), Ok(Names::Known(_))));
        assert!(names(Engine::VLLM, "org/model/x").is_err());
    }
}
