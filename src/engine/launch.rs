//! How a server is started: everything about a container that the engine decides, and nothing that the cluster decides.

use serde::Serialize;

use super::adapters::{self, AdaptersError};
use super::quantization::QuantizationError;
use super::revision::takes_revision;
use super::spelling::Reader;
use super::{AcceptedNames, BaseModel, Devices, Engine, Location, Version, custom, llama_cpp, lorax, sglang, vllm};
use crate::api::adapters::AdaptersSpec;

/// The option that names the revision of a repository; its value follows as an argument of its own.
pub const REVISION: &str = "--revision";

/// What a job wants of its servers.
#[derive(Clone, Copy, Debug)]
pub struct LaunchInput<'a> {
    /// The engine.
    pub engine: Engine,
    /// The base model.
    pub model: &'a BaseModel,
    /// The names that mean the base model.
    pub names: &'a AcceptedNames,
    /// `spec.server.quantization`.
    pub quantization: Option<&'a str>,
    /// `spec.server.revision`.
    pub revision: Option<&'a str>,
    /// Whether its files come from `spec.server.modelCache`, which brings those of one commit.
    pub has_model_cache: bool,
    /// `spec.server.adapters`.
    pub adapters: Option<&'a AdaptersSpec>,
    /// The devices that one server is given.
    pub devices: Devices,
    /// The image's version.
    pub version: Version,
    /// `spec.server.args`, passed on as they are, last: where an engine takes an option twice, the last one counts.
    pub extra_args: &'a [String],
    /// The names of the variables that servers have beside the operator's own.
    pub env: &'a [&'a str],
    /// What a person's template says of the server's container.
    pub container: GivenContainer,
}

/// What `spec.server.podTemplate` says of the container `server`, as far as a launch depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenContainer {
    /// The port that takes rows: the one named `http`, else the first.
    pub port: Option<u16>,
    /// Whether it has a readiness probe that asks something.
    pub has_readiness_probe: bool,
    /// Whether it has arguments.
    pub has_args: bool,
}

impl LaunchInput<'_> {
    /// The revision's option, which vLLM (`vllm/engine/arg_utils.py`), LoRAX (`launcher/src/main.rs`) and SGLang
    /// (`sglang/srt/arg_groups/fields/model.py`) call the same; the tokenizer is taken from the same revision.
    pub(super) fn revision_args(&self) -> Vec<String> {
        let revision = self.revision.iter();
        revision
            .flat_map(|revision| [REVISION.to_owned(), (*revision).to_owned()])
            .collect()
    }

    /// Refuses a revision that nobody would heed.
    fn refuse_revision(&self) -> Result<(), LaunchError> {
        if self.revision.is_none() {
            return Ok(());
        }
        let is_given_by_cache = self.engine == Engine::LlamaCpp && self.has_model_cache;
        if !takes_revision(self.engine) && !is_given_by_cache {
            return Err(LaunchError::RevisionOnEngine { engine: self.engine });
        }
        match self.model.location() {
            Location::Repository(_) => Ok(()),
            Location::Path(path) | Location::Server(path) => Err(LaunchError::RevisionOfPath { path: path.clone() }),
        }
    }

    /// Refuses a model whose name says that it is GGUF, which the engine's own version does not load. SGLang loads a file by its path
    /// (`sglang/srt/server_args.py`, `_handle_load_format`).
    pub(super) fn refuse_gguf(&self) -> Result<(), LaunchError> {
        let location = self.model.location();
        let name = location.name().to_ascii_lowercase();
        let is_gguf = name.rsplit(['.', '-']).next() == Some("gguf");
        let is_loaded = self.engine == Engine::SGLang && matches!(location, Location::Path(_));
        if !is_gguf || is_loaded || !self.version.is_default() {
            return Ok(());
        }
        Err(LaunchError::Gguf {
            engine: self.engine,
            model: self.model.value().to_owned(),
        })
    }
}

/// Seconds that a server of a known engine has from SIGTERM to SIGKILL. Nothing is lost by killing one: rows at a server that ends are
/// taken back at once. So they are for the program to leave by itself, and one that does not holds its GPU no longer.
pub(super) const SHUTDOWN_SECONDS: u32 = 10;

/// How to start one server of an engine's default image, or of an image with the same entrypoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Launch {
    /// The container's command; none where the image's entrypoint is the server.
    pub command: Option<Vec<String>>,
    /// The container's arguments.
    pub args: Vec<String>,
    /// Environment variables and their values. The job's own `env` comes after them and wins.
    pub env: Vec<(String, String)>,
    /// Environment variables to fill from `hfTokenSecretRef`.
    pub token_env: &'static [&'static str],
    /// The port that it listens on, on all interfaces.
    pub port: u16,
    /// How to see that the model is loaded and the server works.
    pub readiness: Readiness,
    /// Answers GET with Prometheus metrics, where the engine has such a page.
    pub metrics_path: Option<&'static str>,
    /// Paths to mount as writable volumes.
    pub writable_paths: Vec<WritablePath>,
    /// The user that the image can run as; none where it must be root.
    pub run_as: Option<User>,
    /// Seconds from SIGTERM to SIGKILL (`terminationGracePeriodSeconds`).
    pub shutdown_seconds: u32,
    /// The `model` that rows of the base are sent with.
    pub served_name: String,
}

/// How to see whether a server is ready for rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Readiness {
    /// This path answers 200 to GET exactly then.
    Path(&'static str),
    /// The readiness probe in `spec.server.podTemplate` says so.
    PodTemplate,
}

/// A directory that the server writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WritablePath {
    /// Absolute path in the container.
    pub path: &'static str,
    /// What is written there.
    pub purpose: Purpose,
}

impl WritablePath {
    /// Where every program puts its temporary files.
    pub(super) const TEMPORARY: Self = Self {
        path: "/tmp",
        purpose: Purpose::Temporary,
    };

    /// Where an engine keeps what it has downloaded and compiled.
    pub(super) fn weights_cache(path: &'static str) -> Self {
        Self {
            path,
            purpose: Purpose::WeightsCache,
        }
    }

    /// Where Linux programs share memory.
    pub(super) fn shared_memory(size_mebibytes: u32) -> Self {
        Self {
            path: "/dev/shm",
            purpose: Purpose::SharedMemory { size_mebibytes },
        }
    }
}

/// What a writable directory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Purpose {
    /// Downloaded weights and compiled kernels: as large as the model, and worth keeping.
    WeightsCache,
    /// Memory shared by the server's processes: a volume of medium `Memory`.
    SharedMemory {
        /// The volume's size limit, in MiB.
        size_mebibytes: u32,
    },
    /// Temporary files.
    Temporary,
}

/// A numeric user and group other than root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    /// `runAsUser`.
    pub user: i64,
    /// `runAsGroup`.
    pub group: i64,
}

/// Why no server can be started for a job, whatever the cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// The quantization does not fit the engine or the model.
    #[error(transparent)]
    Quantization(#[from] QuantizationError),
    /// The engine cannot have the adapters.
    #[error(transparent)]
    Adapters(#[from] AdaptersError),
    /// A GGUF model for an engine that is not llama.cpp.
    #[error(
        "engine {engine} does not load the GGUF model {model:?}: choose engine LlamaCpp, or the repository of the original weights"
    )]
    Gguf {
        /// The engine.
        engine: Engine,
        /// The base model.
        model: String,
    },
    /// A model of the catalog for llama.cpp.
    #[error(
        "engine LlamaCpp cannot load {model:?}: it stands for {repository}, which has no GGUF files; write a repository that has \
         (often ORG/NAME-GGUF), the path of a .gguf file, or choose engine VLLM"
    )]
    CatalogOnLlamaCpp {
        /// The base model as written.
        model: String,
        /// Its repository.
        repository: String,
    },
    /// The engine cannot be told.
    #[error(
        "engine {engine} takes no revision: leave it out, and {}",
        match engine {
            Engine::Custom => "say it in the command or arguments of the container `server` in spec.server.podTemplate",
            _ => "put the file of that revision into a volume and write its path in baseModel, or name a spec.server.modelCache",
        }
    )]
    RevisionOnEngine {
        /// The engine.
        engine: Engine,
    },
    /// A path has no revisions.
    #[error("revision is one of a repository, and baseModel is the path {path:?}: leave revision out")]
    RevisionOfPath {
        /// The path.
        path: String,
    },
    /// Nothing says where a server of engine Custom listens.
    #[error(
        "engine Custom needs the port that takes rows: give the container `server` of spec.server.podTemplate `ports` with a \
         containerPort (of several, the one named `http`, else the first)"
    )]
    CustomWithoutPort,
    /// Nothing says when a server of engine Custom is ready.
    #[error(
        "engine Custom needs to know when a server is ready: give the container `server` of spec.server.podTemplate a \
         readinessProbe, such as `httpGet: {{path: /health, port: http}}`"
    )]
    CustomWithoutReadiness,
    /// Arguments in two places, of which Kubernetes would take one.
    #[error(
        "the container `server` of spec.server.podTemplate has args, which replace those of spec.server.args: write all of them in one \
         of the two"
    )]
    CustomArgsTwice,
}

/// Describes how to start a server. What it is told of the adapters that rows name, which is known later, is [`adapters::options`] and
/// [`adapters::env`].
///
/// # Errors
/// When the engine cannot load the model, or not with that quantization; of engine Custom, when the template does not say enough.
pub fn launch(input: &LaunchInput<'_>) -> Result<Launch, LaunchError> {
    input.refuse_revision()?;
    let launch = match input.engine {
        Engine::VLLM => vllm::launch(input),
        Engine::LoRAX => lorax::launch(input),
        Engine::SGLang => sglang::launch(input),
        Engine::LlamaCpp => llama_cpp::launch(input),
        Engine::Custom => custom::launch(input),
    }?;
    if let Some(wanted) = input.adapters {
        adapters::refuse(input.engine, &launch.served_name, wanted)?;
    }
    Ok(launch)
}

/// Where the servers of an engine keep the weights that they download; none where only the person knows.
#[must_use]
pub fn weights_cache(engine: Engine) -> Option<&'static str> {
    Some(match engine {
        Engine::VLLM => vllm::CACHE,
        Engine::LoRAX => lorax::CACHE,
        Engine::SGLang => sglang::CACHE,
        Engine::LlamaCpp => llama_cpp::CACHE,
        Engine::Custom => return None,
    })
}

/// Where a person's arguments say that the weights are to be kept; none where they do not.
#[must_use]
pub fn download_directory(engine: Engine, args: &[String]) -> Option<&str> {
    let option = match engine {
        // `vllm/engine/arg_utils.py`; `sglang/srt/arg_groups/fields/model.py`.
        Engine::VLLM | Engine::SGLang => "--download-dir",
        // `launcher/src/main.rs`.
        Engine::LoRAX => "--huggingface-hub-cache",
        Engine::LlamaCpp | Engine::Custom => return None,
    };
    Reader::of(engine)?.value(args, &[option])
}

#[cfg(test)]
#[path = "launch_tests.rs"]
mod tests;
