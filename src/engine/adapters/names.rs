//! The names by which rows may call adapters, where each adapter is, and which of them an engine cannot have.

use super::fetched::{S3, below_fetched, place};
use crate::api::adapters::{AdapterSource, AdaptersSpec};
use crate::engine::Engine;
use crate::engine::model::is_repository;

/// The longest name, in bytes.
const LONGEST_NAME: usize = 512;

/// Why an engine cannot have a job's adapters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdaptersError {
    /// Not from there.
    #[error("engine {engine} takes no adapters from source {source_of}: {}", instead(*engine))]
    Source {
        /// The engine.
        engine: Engine,
        /// Where the job has them.
        source_of: AdapterSource,
    },
    /// A path that cannot be passed on.
    #[error("the adapter path {path:?} {problem}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A name of the base that would be read as one of an adapter.
    #[error(
        "engine SGLang tells adapters from the base by a colon, and the base is called {name:?}: write a baseModel without one"
    )]
    ServedName {
        /// The name.
        name: String,
    },
    /// A name that cannot be passed on.
    #[error("the adapter name {name:?} cannot begin with '-' or have a control character")]
    Name {
        /// The name.
        name: String,
    },
}

fn instead(engine: Engine) -> &'static str {
    match engine {
        Engine::VLLM | Engine::SGLang => "choose Hub, S3 or Local, or engine LoRAX",
        Engine::LoRAX => "choose another",
        Engine::LlamaCpp => "choose S3, or Local with a volume of spec.server.podTemplate, for GGUF files",
        Engine::Custom => "choose Local, and have the server load them itself",
    }
}

/// The names by which rows may call adapters, and where each is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterNames(AdaptersSpec);

impl AdapterNames {
    /// Those of a job.
    #[must_use]
    pub fn new(adapters: AdaptersSpec) -> Self {
        Self(adapters)
    }

    /// Where adapters come from.
    #[must_use]
    pub fn source(&self) -> AdapterSource {
        self.0.source
    }

    /// The largest rank that servers are to have room for, where the spec says so.
    #[must_use]
    pub fn max_rank(&self) -> Option<u32> {
        self.0.max_rank.and_then(|rank| u32::try_from(rank).ok())
    }

    /// Where the adapter of this name is: a repository, a path, or what the source calls it. None of a name that no adapter can have.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<String> {
        if name.is_empty() || name.len() > LONGEST_NAME || !is_plain(name) {
            return None;
        }
        if self.0.named.is_empty() {
            return self.located(name);
        }
        let named = self.0.named.iter().find(|named| named.name == name)?;
        self.located(named.path.as_deref().unwrap_or(name))
    }

    /// What rows may write, for a message.
    #[must_use]
    pub fn advice(&self) -> String {
        if !self.0.named.is_empty() {
            let names: Vec<_> = self.0.named.iter().map(|named| format!("`{}`", named.name)).collect();
            return format!("an adapter of spec.server.adapters.named ({})", names.join(", "));
        }
        let form = match self.0.source {
            AdapterSource::Hub => "the repository of an adapter (ORG/NAME)",
            AdapterSource::S3 => "an adapter below spec.server.adapters.location, or s3://BUCKET/PATH",
            AdapterSource::Local => "the path of an adapter below spec.server.adapters.location",
            AdapterSource::PBase => "an adapter at Predibase (REPOSITORY/VERSION)",
        };
        form.to_owned()
    }

    fn located(&self, path: &str) -> Option<String> {
        let below = || {
            let location = self.0.location.as_deref()?;
            has_plain_parts(path).then(|| format!("{}/{path}", location.trim_end_matches('/')))
        };
        match self.0.source {
            AdapterSource::Hub => is_repository(path).then(|| path.to_owned()),
            AdapterSource::PBase => (!path.contains("://")).then(|| path.to_owned()),
            AdapterSource::S3 if path.starts_with(S3) => self.absolute_in_s3(path),
            // Absolute ones are for whoever wrote the job: rows could name any file otherwise.
            AdapterSource::Local if path.starts_with('/') => self.is_named(path).then(|| path.to_owned()),
            AdapterSource::S3 | AdapterSource::Local => below(),
        }
    }

    /// Where the job says below what names stand, others are for whoever wrote it.
    fn absolute_in_s3(&self, address: &str) -> Option<String> {
        let is_allowed = self.0.location.is_none() || self.is_named(address);
        let is_whole = below_fetched(address).split('/').count() > 1;
        (is_allowed && is_whole && has_plain_parts(below_fetched(address))).then(|| address.to_owned())
    }

    fn is_named(&self, path: &str) -> bool {
        let mut named = self.0.named.iter();
        named.any(|named| named.path.as_deref().unwrap_or(&named.name) == path)
    }
}

/// Whether a path leads nowhere but down.
fn has_plain_parts(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Whether a name can be passed on: no option, nothing that is not shown.
fn is_plain(name: &str) -> bool {
    !name.starts_with('-') && !name.contains(char::is_control)
}

/// Refuses adapters that the engine cannot have, as far as the job alone says. Rows of the base are sent with `served_name`.
///
/// # Errors
/// [`AdaptersError`].
pub fn refuse(engine: Engine, served_name: &str, adapters: &AdaptersSpec) -> Result<(), AdaptersError> {
    let source = adapters.source;
    let is_taken = match engine {
        Engine::VLLM | Engine::SGLang => source != AdapterSource::PBase,
        Engine::LoRAX => true,
        Engine::LlamaCpp => matches!(source, AdapterSource::Local | AdapterSource::S3),
        Engine::Custom => source == AdapterSource::Local,
    };
    if !is_taken {
        return Err(AdaptersError::Source {
            engine,
            source_of: source,
        });
    }
    if engine == Engine::SGLang && served_name.contains(':') {
        let name = served_name.to_owned();
        return Err(AdaptersError::ServedName { name });
    }
    let names = AdapterNames::new(adapters.clone());
    for named in &adapters.named {
        if !is_plain(&named.name) {
            let name = named.name.clone();
            return Err(AdaptersError::Name { name });
        }
        let path = names.path(&named.name).ok_or_else(|| AdaptersError::Path {
            path: named.path.clone().unwrap_or_else(|| named.name.clone()),
            problem: problem(source),
        })?;
        refuse_path(engine, &place(engine, source, &path))?;
    }
    Ok(())
}

fn problem(source: AdapterSource) -> &'static str {
    match source {
        AdapterSource::Hub => "is no repository: write ORG/NAME",
        AdapterSource::S3 => "is no place in S3: write s3://BUCKET/PATH, or give spec.server.adapters.location",
        AdapterSource::Local => {
            "is no path: write an absolute one, or give spec.server.adapters.location and write one without '.' and '..' below it"
        }
        AdapterSource::PBase => "is no adapter at Predibase: write REPOSITORY/VERSION",
    }
}

/// Refuses a path that the engine would read as something else.
///
/// # Errors
/// [`AdaptersError::Path`].
pub fn refuse_path(engine: Engine, path: &str) -> Result<(), AdaptersError> {
    let problem = match engine {
        // Paths of `--lora-scaled` are between commas, each with a colon and its scale (llama.cpp 0.7.0, `llama-server --help`); Kubernetes
        // replaces `$(NAME)` in arguments.
        Engine::LlamaCpp if path.contains([',', ':', '$']) => "has a comma, a colon or a '$': rename the file",
        // Shorter ones are refused as ambiguous (predibase/lorax, `server/lorax_server/utils/sources/local.py`).
        Engine::LoRAX if path.len() < 5 => "has fewer than five characters: give it a longer name",
        _ => return Ok(()),
    };
    Err(AdaptersError::Path {
        path: path.to_owned(),
        problem,
    })
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
