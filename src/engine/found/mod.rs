//! How somebody else starts a server: the way back from a container's command, arguments and variables to what a job says of its own.
//!
//! [`words`] reads the command line, also through a shell and [`wrappers`]; [`program`] knows which engine it starts; [`options`] tells what a job has
//! fields for from what is passed on, and [`replaced`] what gives way to such fields. What cannot be read is refused, never guessed.

mod options;
mod program;
mod replaced;
mod script;
mod words;
mod wrappers;

use std::collections::BTreeMap;

use super::Engine;
pub use replaced::Part;

/// A container as it stands in a pod.
#[derive(Clone, Copy, Debug)]
pub struct FoundContainer<'a> {
    /// Its image.
    pub image: &'a str,
    /// Its command; empty where it is the image's.
    pub command: &'a [String],
    /// Its arguments.
    pub args: &'a [String],
    /// Its variables: the value, or none where it comes from a Secret or the like.
    pub env: &'a BTreeMap<String, Option<String>>,
}

/// What it comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundServer {
    /// The engine.
    pub engine: Engine,
    /// The program and what stands before its options; none where it is the image's.
    pub command: Option<Vec<String>>,
    /// The model: a repository or a path; else why it cannot be told.
    pub model: Result<String, FoundError>,
    /// The names that the server knows its model by.
    pub names: Vec<String>,
    /// The revision of its repository.
    pub revision: Option<String>,
    /// The quantization, in the words of a job.
    pub quantization: Option<String>,
    /// The option that names the file of the repository, with its value.
    pub file: Vec<String>,
    /// The other options.
    pub args: Vec<String>,
    /// Variables that the command line sets.
    pub env: Vec<(String, String)>,
    /// The option or the variable of the command line that has a token for the Hugging Face Hub in the open.
    pub open_token: Option<String>,
    /// Variables of the container that say what a job has fields for, or what the operator decides.
    pub not_passed_on: Vec<String>,
}

/// By these a server is given its token for the Hugging Face Hub (`huggingface_hub`, `constants.py`, and older names of it).
pub const TOKEN_VARIABLES: [&str; 3] = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN"];

/// What cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoundError {
    /// A shell runs a file of the image.
    #[error(
        "its command runs the script {script:?}, which cannot be read: write out what it starts, or give the fields of \
         spec.server in place of from"
    )]
    ScriptFile {
        /// The file.
        script: String,
    },
    /// Quotes without an end.
    #[error("its shell command has quotes that do not end: correct it")]
    Quotes,
    /// More than one command can be told.
    #[error(
        "its shell command has {word:?}, which is more than the start of a server: leave it out, or give the fields of \
         spec.server in place of from"
    )]
    Shell {
        /// What is more.
        word: String,
    },
    /// Something is done first, or afterwards.
    #[error(
        "its shell command runs {program:?} beside the server: put what it does into the image, or give the fields of \
         spec.server in place of from"
    )]
    OtherProgram {
        /// The program.
        program: String,
    },
    /// A variable without a value.
    #[error("its command uses the variable {name}, which its env does not set: set it there, or write out its value")]
    Variable {
        /// The variable.
        name: String,
    },
    /// No server that is known.
    #[error(
        "it starts {program:?} from the image {image:?}, which is none of vLLM, LoRAX, SGLang and llama-server: give the fields of \
         spec.server in place of from, with engine Custom for another server"
    )]
    Unknown {
        /// What is started; empty where the image says so.
        program: String,
        /// The image.
        image: String,
    },
    /// The model is neither an argument nor a variable.
    #[error("its command names no model: give spec.server.baseModel")]
    NoModel,
    /// An option that no job has.
    #[error("its command has {option:?}, which a job cannot have: give spec.server.baseModel")]
    Option {
        /// The option.
        option: String,
    },
}

/// Reads how a server is started.
///
/// # Errors
/// When something of it cannot be read, by name. That the model cannot be told is none: a job may name it itself.
pub fn read(container: &FoundContainer<'_>) -> Result<FoundServer, FoundError> {
    let line = words::command_line(container)?;
    let program = program::recognise(&line.words, container)?;
    let mut read = options::read(program.engine, program.options);
    let mut env = container.env.clone();
    env.extend(line.env.iter().map(|(name, value)| (name.clone(), Some(value.clone()))));
    let not_passed_on = options::read_env(program.engine, &env, &mut read);
    let open_token = read.open_token.take().or_else(|| open_token(&line.env));
    let passed_on = line.env.into_iter().filter(|(name, _)| !not_passed_on.contains(name));
    Ok(FoundServer {
        engine: program.engine,
        command: program.command.map(|command| [line.before, command].concat()),
        model: read.model(),
        names: read.names,
        revision: read.revision,
        quantization: read.quantization,
        file: read.file,
        args: read.args,
        env: passed_on.collect(),
        open_token,
        not_passed_on,
    })
}

fn open_token(env: &[(String, String)]) -> Option<String> {
    let is_open =
        |(name, value): &&(String, String)| TOKEN_VARIABLES.contains(&name.as_str()) && options::is_in_the_open(value);
    env.iter().find(is_open).map(|(name, _)| name.clone())
}

#[cfg(test)]
#[path = "../found_tests.rs"]
mod tests;
