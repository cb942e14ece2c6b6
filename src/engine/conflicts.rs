//! Arguments and variables of a person that say what a field of the spec says: refused, as one of the two would be lost without a word.
//!
//! Options are known in every spelling that the engine takes: `--port 8000`, `--port=8000`, `-p8000`, `--served_model_name`, and where
//! Python's argparse reads them (vLLM, SGLang) also `--served`. What an engine does not know is for it to refuse.

use super::Engine;
use super::conflict_options::{Options, options_of};
use super::devices::{self, Devices};
use super::quantization;
use super::spelling::{Reader, option_name};

/// What stands in `spec.server` beside the fields that an argument could fight.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// `spec.server.args`.
    pub args: &'a [String],
    /// Names of variables.
    pub env: &'a [&'a str],
    /// Where those variables stand.
    pub place: Place,
    /// Variables that are filled from `spec.server.hfTokenSecretRef`; empty where it is not given.
    pub token_env: &'a [&'a str],
    /// `spec.server.quantization`.
    pub quantization: Option<&'a str>,
    /// The devices of one server.
    pub devices: Devices,
}

/// Where variables of a server stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `spec.server.env`.
    Env,
    /// The container `server` of `spec.server.podTemplate`.
    PodTemplate,
    /// The chart's value `engines.NAME.env`.
    Installation,
}

impl Place {
    /// What messages call it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Env => "spec.server.env",
            Self::PodTemplate => "the env of the container `server` of spec.server.podTemplate",
            Self::Installation => {
                "the env of the engine in the chart's value engines (ask whoever installed the operator)"
            }
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.words())
    }
}

/// An argument or a variable that fights a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// An argument.
    #[error("spec.server.args has {argument:?}: {subject}")]
    Argument {
        /// As it was written, without a value after `=`.
        argument: String,
        /// What it is about.
        subject: Subject,
    },
    /// A variable.
    #[error("{place} has {variable}: {subject}")]
    Variable {
        /// Where it stands.
        place: Place,
        /// Its name.
        variable: String,
        /// What it is about.
        subject: Subject,
    },
    /// An argument or a variable beside which the engine does not quantize as it is told to.
    #[error("{place} has {written}: leave it out, or spec.server.quantization, which says how weights are loaded")]
    BesideQuantization {
        /// Where it stands.
        place: &'static str,
        /// Its name.
        written: &'static str,
    },
    /// An argument that is no option and the value of none.
    #[error(
        "spec.server.args has {argument:?}, which is no option and the value of none: the model is spec.server.baseModel, and the operator \
         starts the server; write further options only"
    )]
    Positional {
        /// As it was written.
        argument: String,
    },
}

/// What an option is about; in words, what to do instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Which model.
    BaseModel,
    /// Which revision of its repository.
    Revision,
    /// What it is called.
    Names,
    /// Where the server listens.
    Address,
    /// How weights are quantized.
    Quantization,
    /// Which file of a repository.
    File,
    /// The same as a variable. Arguments go before it, of which the operator has some, and a model cache chooses its file by arguments alone.
    FileVariable,
    /// Over how many devices it is spread.
    Devices,
    /// The token for the Hugging Face Hub.
    Token,
    /// A key that requests must have.
    ApiKey,
    /// HTTPS.
    Tls,
}

impl std::fmt::Display for Subject {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::BaseModel => "write the model in spec.server.baseModel",
            Self::Revision => "write it in spec.server.revision, so that all servers have the same",
            Self::Names => "write names of the model in spec.server.baseModel and spec.server.servedModelNames",
            Self::Address => "leave it out: the operator chooses where servers listen, and rows are sent there",
            Self::Quantization => "write it in spec.server.quantization",
            Self::File => "leave it out, or spec.server.quantization, which chooses the file too",
            Self::FileVariable => "write the file as `-hff FILE` in spec.server.args, or its type in spec.server.quantization",
            Self::Devices => {
                "leave it out: the operator passes the number of devices that one server has, which spec.server.resources or \
                 resourceProfile says"
            }
            Self::Token => "name the token's Secret in spec.server.hfTokenSecretRef, and nowhere else",
            Self::ApiKey => "leave it out: rows are sent without a key, and only the job's own feeder can connect",
            Self::Tls => "leave it out: rows are sent over plain HTTP, and only the job's own feeder can connect",
        })
    }
}

/// What an option of an engine is about, if a field of a job decides it or the operator does.
pub(super) fn subject_of_option(engine: Engine, written: &str) -> Option<Subject> {
    let (table, reader) = options_of(engine)?;
    let mut known = table.iter();
    let options = known.find(|options| options.names.iter().any(|name| reader.is_spelling(written, name)))?;
    Some(options.subject)
}

/// The same of a variable.
pub(super) fn subject_of_variable(engine: Engine, name: &str) -> Option<Subject> {
    let (table, _) = options_of(engine)?;
    let options = table.iter().find(|options| options.env.contains(&name))?;
    Some(options.subject)
}

/// The first argument or variable of a person that fights a field; none where the person's own image is told by its person.
#[must_use]
pub fn conflict(engine: Engine, given: &Given<'_>) -> Option<Conflict> {
    let Some((table, reader)) = options_of(engine) else {
        return variable(&[], given);
    };
    positional(reader, given)
        .or_else(|| beside_quantization(engine, reader, given))
        .or_else(|| argument(engine, table, reader, given))
        .or_else(|| variable(table, given))
}

/// At the front, or behind an option whose value is attached. Behind others it can be a value.
fn positional(reader: Reader, given: &Given<'_>) -> Option<Conflict> {
    let is_option = |argument: &String| argument.starts_with('-');
    let is_whole = |argument: &String| reader != Reader::LlamaCpp && is_option(argument) && argument.contains('=');
    let first = given.args.first().filter(|argument| !is_option(argument));
    let argument = first.or_else(|| {
        let mut pairs = given.args.windows(2);
        let pair = pairs.find(|pair| is_whole(&pair[0]) && !is_option(&pair[1]))?;
        Some(&pair[1])
    })?;
    Some(Conflict::Positional {
        argument: argument.clone(),
    })
}

fn beside_quantization(engine: Engine, reader: Reader, given: &Given<'_>) -> Option<Conflict> {
    let (option, variable) = quantization::excluded(engine, given.quantization?)?;
    if reader.has(given.args, &[option]) {
        return Some(Conflict::BesideQuantization {
            place: "spec.server.args",
            written: option,
        });
    }
    Some(Conflict::BesideQuantization {
        place: given.place.words(),
        written: variable.filter(|variable| given.env.contains(variable))?,
    })
}

fn argument(engine: Engine, table: &[Options], reader: Reader, given: &Given<'_>) -> Option<Conflict> {
    // That a number of devices is the wrong one is seen in all arguments together.
    let disagrees = devices::disagrees(engine, given.args, given.devices);
    let fights = |options: &&Options| match options.subject {
        Subject::Devices => disagrees,
        subject => fights(subject, given),
    };
    given.args.iter().find_map(|written| {
        let mut fighting = table.iter().filter(fights);
        let options = fighting.find(|options| options.names.iter().any(|name| reader.is_spelling(written, name)))?;
        Some(Conflict::Argument {
            argument: option_name(written).to_owned(),
            subject: options.subject,
        })
    })
}

fn variable(table: &[Options], given: &Given<'_>) -> Option<Conflict> {
    given.env.iter().find_map(|name| {
        let mut fighting = table.iter().filter(|options| fights(options.subject, given));
        let subject = if given.token_env.contains(name) {
            Subject::Token
        } else {
            fighting.find(|options| options.env.contains(name))?.subject
        };
        Some(Conflict::Variable {
            place: given.place,
            variable: (*name).to_owned(),
            subject,
        })
    })
}

/// Which file of a repository is loaded, and over how many devices, is a person's to say where no field does.
fn fights(subject: Subject, given: &Given<'_>) -> bool {
    match subject {
        Subject::File => given.quantization.is_some(),
        Subject::Devices => matches!(given.devices, Devices::Counted(1..)),
        _ => true,
    }
}

#[cfg(test)]
#[path = "conflicts_tests.rs"]
mod tests;
