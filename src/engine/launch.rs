//! How a server is started: everything about a container that the engine decides, and nothing that the cluster decides.

use serde::Serialize;

use super::quantization::QuantizationError;
use super::{AcceptedNames, BaseModel, Engine, llama_cpp, vllm};

/// What a job wants of its servers.
#[derive(Clone, Copy, Debug)]
pub struct LaunchInput<'a> {
    /// The base model.
    pub model: &'a BaseModel,
    /// The names that mean the base model.
    pub names: &'a AcceptedNames,
    /// `spec.server.quantization`.
    pub quantization: Option<&'a str>,
    /// `spec.server.args`, passed on as they are, last: where an engine takes an option twice, the last one counts.
    pub extra_args: &'a [String],
}

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
    /// Answers 200 to GET exactly when the model is loaded and the server works.
    pub health_path: &'static str,
    /// Answers GET with Prometheus metrics.
    pub metrics_path: &'static str,
    /// Paths to mount as writable volumes.
    pub writable_paths: Vec<WritablePath>,
    /// The user that the image can run as; none where it must be root.
    pub run_as: Option<User>,
    /// Seconds from SIGTERM to SIGKILL (`terminationGracePeriodSeconds`).
    pub shutdown_seconds: u32,
    /// The `model` that rows of the base are sent with.
    pub served_name: String,
}

/// A directory that the server writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WritablePath {
    /// Absolute path in the container.
    pub path: &'static str,
    /// What is written there.
    pub purpose: Purpose,
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
    /// A GGUF model for vLLM.
    #[error(
        "engine VLLM cannot load the GGUF model {model:?}: vLLM 0.32 moved GGUF out to a plugin; choose engine LlamaCpp, or the \
         repository of the original weights"
    )]
    GgufOnVllm {
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
}

/// Describes how to start a server.
///
/// # Errors
/// When the engine cannot load the model, or not with that quantization.
pub fn launch(engine: Engine, input: &LaunchInput<'_>) -> Result<Launch, LaunchError> {
    match engine {
        Engine::VLLM => vllm::launch(input),
        Engine::LlamaCpp => llama_cpp::launch(input),
    }
}

#[cfg(test)]
#[path = "launch_tests.rs"]
mod tests;
