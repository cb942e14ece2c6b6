//! The options and variables of each engine that say what a field of the spec says.

use super::Engine;
use super::conflicts::Subject;
use super::spelling::Reader;

/// Options, and variables in their place, that are about one thing.
pub(super) struct Options {
    pub(super) subject: Subject,
    pub(super) names: &'static [&'static str],
    pub(super) env: &'static [&'static str],
}

const fn options(subject: Subject, names: &'static [&'static str], env: &'static [&'static str]) -> Options {
    Options { subject, names, env }
}

/// vLLM 0.32.0 (`vllm/entrypoints/launchers/cli_args.py`, `vllm/engine/arg_utils.py`, `vllm/envs.py`).
const VLLM: &[Options] = &[
    options(Subject::BaseModel, &["--model"], &[]),
    options(Subject::Revision, &["--revision"], &[]),
    options(Subject::Names, &["--served-model-name"], &[]),
    options(Subject::Address, &["--host", "--port", "--uds"], &[]),
    options(Subject::Quantization, &["--quantization", "-q"], &[]),
    options(Subject::Devices, &["--tensor-parallel-size", "-tp"], &[]),
    options(Subject::Token, &["--hf-token"], &[]),
    options(Subject::ApiKey, &["--api-key"], &["VLLM_API_KEY"]),
    options(Subject::Tls, &["--ssl-keyfile", "--ssl-certfile"], &[]),
];

/// predibase/lorax (`launcher/src/main.rs`): every option has a variable of its name.
const LORAX: &[Options] = &[
    options(Subject::BaseModel, &["--model-id"], &["MODEL_ID"]),
    options(Subject::Revision, &["--revision"], &["REVISION"]),
    options(Subject::Address, &["--hostname", "--port", "-p"], &["HOSTNAME", "PORT"]),
    options(Subject::Quantization, &["--quantize"], &["QUANTIZE"]),
    options(Subject::Devices, &["--num-shard"], &["NUM_SHARD", "SHARDED"]),
];

/// sglang 0.5.23 (`sglang/srt/arg_groups/fields/model.py`, `serving.py`).
const SGLANG: &[Options] = &[
    options(Subject::BaseModel, &["--model-path", "--model"], &[]),
    options(Subject::Revision, &["--revision"], &[]),
    options(Subject::Names, &["--served-model-name"], &[]),
    options(Subject::Address, &["--host", "--port"], &[]),
    options(Subject::Quantization, &["--quantization"], &[]),
    options(Subject::Devices, &["--tp-size", "--tensor-parallel-size"], &[]),
    options(Subject::ApiKey, &["--api-key"], &[]),
    options(Subject::Tls, &["--ssl-keyfile", "--ssl-certfile"], &[]),
];

/// llama.cpp 0.7.0 (`llama-server --help`).
const LLAMA_CPP: &[Options] = &[
    options(
        Subject::BaseModel,
        &[
            "-m",
            "--model",
            "-mu",
            "--model-url",
            "-dr",
            "--docker-repo",
            "-hf",
            "-hfr",
            "--hf-repo",
            // A router starts the servers of several models.
            "--models-dir",
            "--models-preset",
            "--embd-gemma-default",
            "--fim-qwen-1.5b-default",
            "--fim-qwen-3b-default",
            "--fim-qwen-7b-default",
            "--fim-qwen-7b-spec",
            "--fim-qwen-14b-spec",
            "--fim-qwen-30b-default",
            "--gpt-oss-20b-default",
            "--gpt-oss-120b-default",
            "--vision-gemma-4b-default",
            "--vision-gemma-12b-default",
        ],
        &[
            "LLAMA_ARG_MODEL",
            "LLAMA_ARG_MODEL_URL",
            "LLAMA_ARG_DOCKER_REPO",
            "LLAMA_ARG_HF_REPO",
            "LLAMA_ARG_MODELS_DIR",
            "LLAMA_ARG_MODELS_PRESET",
        ],
    ),
    options(Subject::File, &["-hff", "--hf-file"], &[]),
    options(Subject::FileVariable, &[], &["LLAMA_ARG_HF_FILE"]),
    options(Subject::Names, &["-a", "--alias"], &["LLAMA_ARG_ALIAS"]),
    options(
        Subject::Address,
        &["--host", "--port", "--api-prefix"],
        &["LLAMA_ARG_HOST", "LLAMA_ARG_PORT", "LLAMA_ARG_API_PREFIX"],
    ),
    options(Subject::Token, &["-hft", "--hf-token"], &[]),
    options(
        Subject::ApiKey,
        &["--api-key", "--api-key-file"],
        &["LLAMA_API_KEY", "LLAMA_ARG_API_KEY_FILE"],
    ),
    options(
        Subject::Tls,
        &["--ssl-key-file", "--ssl-cert-file"],
        &["LLAMA_ARG_SSL_KEY_FILE", "LLAMA_ARG_SSL_CERT_FILE"],
    ),
];

/// What is known of an engine's options; nothing of a person's own image.
pub(super) fn options_of(engine: Engine) -> Option<(&'static [Options], Reader)> {
    let table = match engine {
        Engine::VLLM => VLLM,
        Engine::LoRAX => LORAX,
        Engine::SGLang => SGLANG,
        Engine::LlamaCpp => LLAMA_CPP,
        Engine::Custom => return None,
    };
    Some((table, Reader::of(engine)?))
}
