//! Whether an engine loads a checkpoint that is quantized already, as far as that is certain: what is not refused here may still be refused by
//! the server.

use super::Engine;
use super::spelling::Reader;

/// What a model's `config.json` says of how its weights are quantized.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checkpoint<'a> {
    /// `quantization_config.quant_method`; none where nothing says it.
    pub method: Option<&'a str>,
    /// `model_type`.
    pub model_type: Option<&'a str>,
}

/// Why an engine does not load a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem<'a> {
    /// It does not know the method.
    UnknownMethod,
    /// Servers are told this word of `spec.server.quantization`, which is another quantization.
    OtherWord(&'a str),
}

/// Methods that no class of vLLM is for: of these, `bitsandbytes` and `gguf` are in plugins by now, and the others it once had or never
/// ("Unknown quantization method"; vLLM 0.32.0, `vllm/model_executor/layers/quantization/__init__.py`, `QuantizationMethods`).
const NOT_VLLM: &[&str] = &[
    "aqlm",
    "bitnet",
    "bitsandbytes",
    "eetq",
    "exl2",
    "gguf",
    "higgs",
    "hqq",
    "quanto",
    "spqr",
    "vptq",
];

/// Methods, and the words that vLLM may take for a checkpoint of each; it refuses every other (vLLM 0.32.0, `vllm/config/model.py`,
/// `_verify_quantization`, and `override_quantization_method` of the classes that it asks). `moe_wna16` is taken for some number of bits,
/// and `mxfp4` for one layout of compressed tensors.
const WORDS_OF_VLLM: &[(&str, &[&str])] = &[
    ("awq", &["awq", "auto_awq", "awq_marlin", "moe_wna16"]),
    ("gptq", &["gptq", "auto_gptq", "gptq_marlin", "moe_wna16"]),
    ("fp8", &["fp8", DEEPSEEK]),
    ("compressed-tensors", &["compressed-tensors", "mxfp4"]),
];
/// Of models of this type, vLLM makes this of fp8, whatever it is told (`vllm/models/deepseek_v4/quant_config.py`).
const DEEPSEEK_MODEL: &str = "deepseek_v4";
const DEEPSEEK: &str = "deepseek_v4_fp8";
/// The word by which vLLM reads checkpoints of any method (`humming.py`, `override_quantization_method`).
const ANY_METHOD: &str = "humming";

/// Options of vLLM by which it reads another configuration than the repository's `config.json`, or reads it otherwise
/// (`vllm/engine/arg_utils.py`).
const OTHER_CONFIG: [&str; 4] = ["--config", "--config-format", "--hf-config-path", "--hf-overrides"];

/// Why the engine's default version ([`super::Version::is_default`]) is certain not to load a checkpoint; none when it may load it. `args` are
/// those of its servers.
#[must_use]
pub fn problem<'a>(engine: Engine, checkpoint: Checkpoint<'_>, args: &'a [String]) -> Option<Problem<'a>> {
    match engine {
        Engine::VLLM => of_vllm(checkpoint, args),
        // LoRAX converts some methods into others (`server/lorax_server/utils/weights.py`), and what SGLang refuses is not certain; GGUF files
        // say to llama.cpp themselves how they are quantized.
        Engine::LoRAX | Engine::SGLang | Engine::LlamaCpp | Engine::Custom => None,
    }
}

/// A method as vLLM compares it, and as people write it in `spec.server.quantization` (`vllm/transformers_utils/model_arch_config_convertor.py`).
#[must_use]
pub(super) fn normalized(method: &str) -> String {
    method
        .to_lowercase()
        .replace("compressed_tensors", "compressed-tensors")
}

fn of_vllm<'a>(checkpoint: Checkpoint<'_>, args: &'a [String]) -> Option<Problem<'a>> {
    let method = normalized(checkpoint.method?);
    let method = method.as_str();
    let word = Reader::of(Engine::VLLM)?.value(args, &["--quantization"]);
    if word == Some(ANY_METHOD) || reads_other_config(args) {
        return None;
    }
    if NOT_VLLM.contains(&method) {
        return Some(Problem::UnknownMethod);
    }
    let is_deepseek = |kind: &str| kind.starts_with(DEEPSEEK_MODEL);
    if method == "fp8" && checkpoint.model_type.is_some_and(is_deepseek) {
        return None;
    }
    let (_, words) = WORDS_OF_VLLM.iter().find(|(of, _)| *of == method)?;
    word.filter(|word| !words.contains(word)).map(Problem::OtherWord)
}

fn reads_other_config(args: &[String]) -> bool {
    // A part of a value that is JSON may be given by an option of its own: `--hf-overrides.quantization_config`.
    let names = args.iter().map(|arg| arg.split(['.', '=']).next().unwrap_or(arg));
    let names: Vec<String> = names.map(str::to_owned).collect();
    Reader::of(Engine::VLLM).is_some_and(|reader| reader.has(&names, &OTHER_CONFIG))
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
