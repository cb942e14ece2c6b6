//! Why a server ended, from its last words: what kubelet keeps of its log, at most 2048 bytes (`pkg/kubelet/container/runtime.go` of
//! Kubernetes 1.34, `MaxContainerTerminationMessageLogLength`).
//!
//! Only what the program says in words of its own is recognised, and only what the same server would say again. A download that
//! failed is not: the next one may not.

use super::Engine;

/// The longest line that is told, in bytes.
const LINE_LIMIT: usize = 400;

/// What vLLM says when there is no such model, and also when the Hub does not answer.
pub const ALSO_OF_A_SILENT_HUB: &str = "Invalid repository ID or local directory specified";

/// What is wrong with what the server was told to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// The model needs a token that may read it.
    ModelAccessDenied,
    /// There is no such model.
    ModelNotFound,
    /// The model does not fit the GPU.
    OutOfGPUMemory,
    /// The engine or the GPU cannot quantize like that.
    QuantizationUnsupported,
    /// The engine does not know this kind of model.
    UnsupportedArchitecture,
    /// An adapter that the server has from its start on is not there, or not one of the model.
    AdapterNotLoaded,
    /// An argument is wrong.
    InvalidServerArguments,
}

/// Why a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastWords<'a> {
    /// The mistake, where it is one that is recognised.
    pub mistake: Option<Mistake>,
    /// The line that says it; of words that are not recognised the one that most likely does, and empty when there are none.
    pub line: &'a str,
}

/// Words, all of which stand in one line, and what such a line says. A mistake that leads to others comes before them.
type Signs = &'static [(Mistake, &'static [&'static str])];

/// Read in vLLM 0.32.0, huggingface_hub (`utils/_http.py`, `utils/_validators.py` at ee0a451), transformers 5.24.0 (`utils/hub.py`),
/// and in issues where the words are PyTorch's.
const VLLM: Signs = &[
    (Mistake::ModelAccessDenied, &["Cannot access gated repo for url"]),
    (Mistake::ModelAccessDenied, &["You are trying to access a gated repo"]),
    (
        Mistake::ModelAccessDenied,
        &["is a gated repository. Make sure to request access"],
    ),
    (
        Mistake::ModelAccessDenied,
        &["Invalid credentials in Authorization header"],
    ),
    (Mistake::ModelAccessDenied, &["403 Forbidden: "]),
    (
        Mistake::ModelNotFound,
        &["is not a local folder and is not a valid model identifier"],
    ),
    (Mistake::ModelNotFound, &["Repository Not Found for url"]),
    (Mistake::ModelNotFound, &["Revision Not Found for url"]),
    (Mistake::ModelNotFound, &["is not a valid git identifier"]),
    (Mistake::ModelNotFound, &["does not appear to have a file named"]),
    (Mistake::ModelNotFound, &["Repo id must be in the form"]),
    (Mistake::OutOfGPUMemory, &["CUDA out of memory"]),
    (Mistake::OutOfGPUMemory, &["HIP out of memory"]),
    (Mistake::OutOfGPUMemory, &["CUDA error: out of memory"]),
    // A server that starts well also says how much is free.
    (
        Mistake::OutOfGPUMemory,
        &["Free memory on device", "on startup is less than"],
    ),
    (Mistake::OutOfGPUMemory, &["No available memory for the cache blocks"]),
    (
        Mistake::OutOfGPUMemory,
        &["To serve at least one request with the model", "KV cache is needed"],
    ),
    (Mistake::QuantizationUnsupported, &["Unknown quantization method: "]),
    (
        Mistake::QuantizationUnsupported,
        &["Quantization method specified in the model config"],
    ),
    (
        Mistake::QuantizationUnsupported,
        &["quantization is currently not supported in"],
    ),
    (
        Mistake::QuantizationUnsupported,
        &["is not supported for the current GPU"],
    ),
    (
        Mistake::UnsupportedArchitecture,
        &["are not supported for now. Supported architectures"],
    ),
    (
        Mistake::UnsupportedArchitecture,
        &["Model architecture", "is not supported anymore"],
    ),
    (
        Mistake::UnsupportedArchitecture,
        &["Model architecture", "is not supported in-tree anymore"],
    ),
    (
        Mistake::UnsupportedArchitecture,
        &["Transformers does not recognize this architecture"],
    ),
    (Mistake::UnsupportedArchitecture, &["Should have a `model_type` key"]),
    (Mistake::InvalidServerArguments, &["vllm", ": error: "]),
    (Mistake::InvalidServerArguments, &["api_server.py: error: "]),
    (
        Mistake::InvalidServerArguments,
        &["`--trust-remote-code` flag in the CLI"],
    ),
    (
        Mistake::InvalidServerArguments,
        &["is larger than the number of available GPUs"],
    ),
    (Mistake::ModelNotFound, &[ALSO_OF_A_SILENT_HUB]),
    // Pydantic's form of every other mistake in what was asked for.
    (Mistake::InvalidServerArguments, &["Value error, "]),
];

/// What LoRAX and SGLang say in words of their own: predibase/lorax (`server/lorax_server/models/__init__.py`) and clap, which reads its
/// arguments; Python's argparse, which reads SGLang's (sglang 0.5.23, `sglang/srt/server_args.py`).
const OTHERS_IN_PYTHON: Signs = &[
    (Mistake::UnsupportedArchitecture, &["Unsupported model type "]),
    (Mistake::InvalidServerArguments, &["error: unexpected argument '"]),
    (Mistake::InvalidServerArguments, &["error: invalid value '"]),
    (Mistake::InvalidServerArguments, &["error: the argument '"]),
    (Mistake::InvalidServerArguments, &["sglang serve: error: "]),
    (Mistake::InvalidServerArguments, &["launch_server.py: error: "]),
];

/// Runs of llama-server 0.7.0 (build 11669); those about GPUs are from issues and from `ggml-cuda.cu`.
const LLAMA_CPP: Signs = &[
    (Mistake::ModelAccessDenied, &["error: GET failed (401)"]),
    (Mistake::ModelAccessDenied, &["error: GET failed (403)"]),
    (Mistake::ModelNotFound, &["error: GET failed (404)"]),
    (Mistake::OutOfGPUMemory, &["cudaMalloc failed: out of memory"]),
    (Mistake::OutOfGPUMemory, &["CUDA error: out of memory"]),
    (Mistake::OutOfGPUMemory, &["unable to allocate CUDA"]),
    (Mistake::OutOfGPUMemory, &["unable to allocate ROCm"]),
    (Mistake::OutOfGPUMemory, &["ErrorOutOfDeviceMemory"]),
    // `common/common.cpp`, of which the first names the file; builds before 2026 have the second. The third is `src/llama-adapter.cpp`.
    (Mistake::AdapterNotLoaded, &["failed to load lora adapter '"]),
    (Mistake::AdapterNotLoaded, &["failed to apply lora adapter '"]),
    (Mistake::AdapterNotLoaded, &["failed to apply lora adapter: "]),
    (Mistake::UnsupportedArchitecture, &["unknown model architecture: "]),
    (Mistake::QuantizationUnsupported, &["has invalid ggml type"]),
    (
        Mistake::ModelNotFound,
        &["failed to open GGUF file", "No such file or directory"],
    ),
    (Mistake::ModelNotFound, &["no GGUF files found in repository"]),
    (Mistake::ModelNotFound, &["file '", "not found in repository"]),
    (Mistake::InvalidServerArguments, &["error: invalid argument: "]),
    (Mistake::InvalidServerArguments, &["error while handling argument "]),
    (
        Mistake::InvalidServerArguments,
        &["error while handling environment variable "],
    ),
];

/// Why a server of this engine ended.
#[must_use]
pub fn last_words(engine: Engine, words: &str) -> LastWords<'_> {
    let signs: &[Signs] = match engine {
        Engine::VLLM => &[VLLM],
        // They download and load with the same libraries as vLLM.
        Engine::LoRAX | Engine::SGLang => &[VLLM, OTHERS_IN_PYTHON],
        Engine::LlamaCpp => &[LLAMA_CPP],
        Engine::Custom => &[],
    };
    let recognised = signs.iter().copied().flatten().find_map(|(mistake, parts)| {
        let line = lines(words).find(|line| parts.iter().all(|part| line.contains(part)))?;
        Some((*mistake, line))
    });
    match recognised {
        Some((mistake, line)) => LastWords {
            mistake: Some(mistake),
            line: shortened(line),
        },
        None => LastWords {
            mistake: None,
            line: telling_line(words),
        },
    }
}

/// The line that most likely says why a program ended, of whatever program: llama-server's first error about the model, else the last
/// line with an error, as a Python traceback ends with it, else the last one.
#[must_use]
pub fn telling_line(words: &str) -> &str {
    let about_model = lines(words).find(|line| line.contains("error loading model: "));
    let has_error = |line: &&str| line.contains("Error: ") || line.contains("error: ");
    let line = about_model
        .or_else(|| lines(words).filter(has_error).last())
        .or_else(|| lines(words).last());
    shortened(line.unwrap_or_default())
}

fn lines(words: &str) -> impl Iterator<Item = &str> {
    words.lines().map(without_process).filter(|line| !line.is_empty())
}

/// vLLM puts the process before each line: `(APIServer pid=1) `.
fn without_process(line: &str) -> &str {
    let line = line.trim();
    let rest = line.strip_prefix('(').and_then(|rest| rest.split_once(" pid="));
    rest.and_then(|(_, rest)| rest.split_once(')'))
        .map_or(line, |(_, rest)| rest.trim())
}

fn shortened(line: &str) -> &str {
    &line[..line.floor_char_boundary(LINE_LIMIT)]
}

#[cfg(test)]
#[path = "last_words_tests.rs"]
mod tests;
