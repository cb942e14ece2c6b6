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
    model: Option<String>,
    /// An option that says where the model is in a way that no job has.
    strange: Option<String>,
    pub revision: Option<String>,
    pub names: Vec<String>,
    pub quantization: Option<String>,
    pub file: Vec<String>,
    /// The option that has a token in the open. Its value is kept nowhere.
    pub open_token: Option<String>,
    pub args: Vec<String>,
}

pub(super) fn read(engine: Engine, words: &[String]) -> Options {
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
        options.take(engine, subject, option_name(word), &values);
        rest = after;
    }
    options
}

/// Takes what variables say that no option says, and tells which are not to be passed on: those, and what the operator decides.
pub(super) fn read_env(engine: Engine, env: &BTreeMap<String, Option<String>>, options: &mut Options) -> Vec<String> {
    let mut not_passed_on = Vec::new();
    for (name, value) in env {
        let Some(subject) = subject_of_variable(engine, name) else {
            continue;
        };
        let option = match subject {
            Subject::Devices => option_of(name),
            _ => name.clone(),
        };
        let is_said = options.say(subject, &option);
        if value.is_none() && !is_said && decides_the_model(subject) {
            // What it says is not known here. It is refused by name where the job's own variables are.
            continue;
        }
        not_passed_on.push(name.clone());
        if let Some(value) = value.as_ref().filter(|value| !is_said && !value.is_empty()) {
            options.take(engine, subject, &option, std::slice::from_ref(value));
        }
    }
    not_passed_on
}

/// Whether servers without it would compute with another model than the Deployment's, or not at all.
fn decides_the_model(subject: Subject) -> bool {
    matches!(
        subject,
        Subject::Revision | Subject::Quantization | Subject::FileVariable | Subject::Devices
    )
}

/// The option that a variable of LoRAX stands for: clap derives one from the other (predibase/lorax, `launcher/src/main.rs`).
fn option_of(variable: &str) -> String {
    format!("--{}", variable.to_ascii_lowercase().replace('_', "-"))
}

/// The values of an option: attached to it, or the next words; of names, all that follow.
fn values<'a>(engine: Engine, subject: Subject, word: &str, after: &'a [String]) -> (Vec<String>, &'a [String]) {
    if let Some((_, value)) = word.split_once('=') {
        return (vec![value.to_owned()], after);
    }
    if let Some(value) = attached(engine, subject, word) {
        return (vec![value.to_owned()], after);
    }
    let takes_many = subject == Subject::Names && engine == Engine::VLLM;
    let following = after.iter().take_while(|word| !word.starts_with('-')).count();
    let (values, after) = after.split_at(if takes_many { following } else { following.min(1) });
    (values.to_vec(), after)
}

/// A value that is attached to an option of one letter: `-p80`. `-tp` is another option than `-t`.
fn attached(engine: Engine, subject: Subject, word: &str) -> Option<&str> {
    if engine == Engine::LlamaCpp || word.starts_with("--") {
        return None;
    }
    let (option, value) = word.split_at_checked(2).filter(|(_, value)| !value.is_empty())?;
    (subject_of_option(engine, option) == Some(subject)).then_some(value)
}

impl Options {
    /// The model, or why it cannot be told.
    pub(super) fn model(&self) -> Result<String, FoundError> {
        match (&self.strange, &self.model) {
            (Some(option), _) => Err(FoundError::Option { option: option.clone() }),
            (None, Some(model)) => Ok(model.clone()),
            (None, None) => Err(FoundError::NoModel),
        }
    }

    /// Whether options say something already.
    fn say(&self, subject: Subject, option: &str) -> bool {
        match subject {
            Subject::BaseModel => self.model.is_some(),
            Subject::Revision => self.revision.is_some(),
            Subject::Names => !self.names.is_empty(),
            Subject::Quantization => self.quantization.is_some(),
            Subject::File | Subject::FileVariable => !self.file.is_empty(),
            Subject::Devices => self.args.iter().any(|arg| option_name(arg) == option),
            Subject::Address | Subject::Token | Subject::ApiKey | Subject::Tls => false,
        }
    }

    fn take(&mut self, engine: Engine, subject: Subject, option: &str, values: &[String]) {
        let value = values.first().cloned().unwrap_or_default();
        match subject {
            Subject::BaseModel => self.take_model(engine, option, value),
            Subject::Revision => self.revision = Some(value),
            Subject::Names if engine == Engine::LlamaCpp => self.names.extend(value.split(',').map(ToOwned::to_owned)),
            Subject::Names => self.names.extend(values.iter().cloned()),
            Subject::Quantization => self.quantization = Some(in_words_of_jobs(engine, value)),
            // Only llama-server has it, also as a variable.
            Subject::File | Subject::FileVariable => self.file = vec!["--hf-file".to_owned(), value],
            Subject::Devices => self.args.extend([option.to_owned(), value]),
            Subject::Token if is_in_the_open(&value) => self.open_token = Some(option.to_owned()),
            Subject::Address | Subject::Token | Subject::ApiKey | Subject::Tls => {}
        }
    }

    /// llama-server takes models in ways of which a job knows two: a file, and a repository with the type of a file.
    fn take_model(&mut self, engine: Engine, option: &str, value: String) {
        if engine != Engine::LlamaCpp {
            self.model = Some(value);
            return;
        }
        match option {
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
            other => self.strange = Some(other.to_owned()),
        }
    }
}

/// Whether a value is written out, and not that of a variable whose own value is not known (`$(HF_TOKEN)`).
pub(super) fn is_in_the_open(value: &str) -> bool {
    !value.is_empty() && !value.starts_with("$(")
}

/// Where engines use one word for different things, jobs have two.
fn in_words_of_jobs(engine: Engine, value: String) -> String {
    match (engine, value.as_str()) {
        (Engine::SGLang, "bitsandbytes") => NF4.to_owned(),
        (Engine::LoRAX, "bitsandbytes") => INT8.to_owned(),
        _ => value,
    }
}
