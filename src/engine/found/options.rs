//! Which options and variables say what a job has fields for, and which are passed on.

use std::collections::BTreeMap;

use super::FoundError;
use crate::engine::Engine;
use crate::engine::conflicts::{Subject, subject_of_option, subject_of_variable};
use crate::engine::spelling::option_name;
use crate::engine::vocabulary::{INT8, NF4};

/// What options say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub model: Option<String>,
    pub revision: Option<String>,
    pub names: Vec<String>,
    pub quantization: Option<String>,
    pub args: Vec<String>,
}

pub(super) fn read(engine: Engine, words: &[String]) -> Result<Options, FoundError> {
    let mut options = Options::default();
    let mut rest = words;
    // `vllm serve MODEL`.
    if engine == Engine::VLLM
        && let Some((model, after)) = rest.split_first()
        && !model.starts_with('-')
    {
        options.model = Some(model.clone());
        rest = after;
    }
    while let Some((word, after)) = rest.split_first() {
        let Some(subject) = subject_of_option(engine, word) else {
            options.args.push(word.clone());
            rest = after;
            continue;
        };
        let (values, after) = values(engine, subject, word, after);
        options.take(engine, subject, word, &values)?;
        rest = after;
    }
    Ok(options)
}

/// Takes what variables say that no option says, and tells which are not to be passed on: those, and what the operator decides.
pub(super) fn read_env(
    engine: Engine,
    env: &BTreeMap<String, Option<String>>,
    options: &mut Options,
) -> Result<Vec<String>, FoundError> {
    let mut not_passed_on = Vec::new();
    for (name, value) in env {
        let is_taken = |subject: &Subject| !matches!(subject, Subject::File | Subject::Devices);
        let Some(subject) = subject_of_variable(engine, name).filter(is_taken) else {
            continue;
        };
        not_passed_on.push(name.clone());
        let is_said = match subject {
            Subject::BaseModel => options.model.is_some(),
            Subject::Revision => options.revision.is_some(),
            Subject::Names => !options.names.is_empty(),
            Subject::Quantization => options.quantization.is_some(),
            _ => false,
        };
        if let Some(value) = value.as_ref().filter(|value| !is_said && !value.is_empty()) {
            options.take(engine, subject, name, std::slice::from_ref(value))?;
        }
    }
    Ok(not_passed_on)
}

/// The values of an option: attached to it, or the next words; of names, all that follow.
fn values<'a>(engine: Engine, subject: Subject, word: &str, after: &'a [String]) -> (Vec<String>, &'a [String]) {
    if let Some((_, value)) = word.split_once('=') {
        return (vec![value.to_owned()], after);
    }
    // `-p80`.
    let may_attach = engine != Engine::LlamaCpp && !word.starts_with("--");
    if let Some(value) = word.get(2..).filter(|value| may_attach && !value.is_empty()) {
        return (vec![value.to_owned()], after);
    }
    let takes_many = subject == Subject::Names && engine == Engine::VLLM;
    let following = after.iter().take_while(|word| !word.starts_with('-')).count();
    let (values, after) = after.split_at(if takes_many { following } else { following.min(1) });
    (values.to_vec(), after)
}

impl Options {
    fn take(&mut self, engine: Engine, subject: Subject, option: &str, values: &[String]) -> Result<(), FoundError> {
        let value = values.first().cloned().unwrap_or_default();
        match subject {
            Subject::BaseModel => self.take_model(engine, option, value)?,
            Subject::Revision => self.revision = Some(value),
            Subject::Names if engine == Engine::LlamaCpp => self.names.extend(value.split(',').map(ToOwned::to_owned)),
            Subject::Names => self.names.extend(values.iter().cloned()),
            Subject::Quantization => self.quantization = Some(in_words_of_jobs(engine, value)),
            Subject::File | Subject::Devices => self.args.extend([option_name(option).to_owned(), value]),
            Subject::Address | Subject::Token | Subject::ApiKey | Subject::Tls => {}
        }
        Ok(())
    }

    /// llama-server takes models in ways of which a job knows two: a file, and a repository with the type of a file.
    fn take_model(&mut self, engine: Engine, option: &str, value: String) -> Result<(), FoundError> {
        if engine != Engine::LlamaCpp {
            self.model = Some(value);
            return Ok(());
        }
        match option_name(option) {
            "-m" | "--model" | "LLAMA_ARG_MODEL" => self.model = self.model.take().or(Some(value)),
            "-hf" | "-hfr" | "--hf-repo" | "LLAMA_ARG_HF_REPO" => {
                // Given both, a file is only where the repository's is put.
                let (repository, file_type) = match value.split_once(':') {
                    Some((repository, file_type)) => (repository.to_owned(), Some(file_type.to_owned())),
                    None => (value, None),
                };
                self.model = Some(repository);
                self.quantization = file_type;
            }
            other => {
                return Err(FoundError::Option {
                    option: other.to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// Where engines use one word for different things, jobs have two.
fn in_words_of_jobs(engine: Engine, value: String) -> String {
    match (engine, value.as_str()) {
        (Engine::SGLang, "bitsandbytes") => NF4.to_owned(),
        (Engine::LoRAX, "bitsandbytes") => INT8.to_owned(),
        _ => value,
    }
}
