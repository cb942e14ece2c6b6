//! `spec.server.quantization`: one vocabulary for all engines, and what each word is in an engine's own arguments.
//!
//! A word means the same wherever it is taken (`vocabulary.rs` lists them); what an engine cannot do is refused by name.

use super::vocabulary::{EXL2, GGUF, INT8, LORAX, NF4, NONE, SGLANG, VLLM};
use super::{BaseModel, Engine, Location};

/// Why a quantization is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantizationError {
    /// The engine does not take the value.
    #[error("engine {engine} does not take quantization {value:?}{}: it takes {}", takers(value), list(*engine))]
    Unsupported {
        /// The engine.
        engine: Engine,
        /// What was written.
        value: String,
    },
    /// vLLM took it once.
    #[error(
        "engine VLLM does not take quantization {value:?}: vLLM 0.32 moved bitsandbytes out to a plugin; choose \
         int8_per_channel_weight_only or nvfp4_per_token for weights of a similar size, fp8, a checkpoint made with awq or gptq, or \
         engine LoRAX or SGLang"
    )]
    BitsAndBytes {
        /// What was written.
        value: String,
    },
    /// Engines mean different things by the word.
    #[error(
        "quantization \"bitsandbytes\" is 8 bits for LoRAX and 4 bits for SGLang: write {INT8} (LoRAX) or {NF4} (LoRAX, SGLang)"
    )]
    Ambiguous,
    /// `exl2` with several devices.
    #[error(
        "quantization \"exl2\" works with one device, and a server has {devices} by spec.server.resources or resourceProfile: name one, or use awq or gptq"
    )]
    Exl2OnSeveralDevices {
        /// How many.
        devices: u32,
    },
    /// A GGUF file has one quantization, its own.
    #[error(
        "quantization {value:?} cannot be applied to the file {path:?}: a GGUF file is quantized when it is made; \
         leave quantization out, or name another file in baseModel"
    )]
    FileIsAsItIs {
        /// What was written.
        value: String,
        /// The file.
        path: String,
    },
    /// Nobody but the person knows how to say it to the server.
    #[error(
        "engine Custom does not take quantization {value:?}: leave it out, and say it in the command or arguments of the container \
         `server` in spec.server.podTemplate"
    )]
    OnCustom {
        /// What was written.
        value: String,
    },
}

/// The other engines that take a word.
fn takers(value: &str) -> String {
    let takers: Vec<_> = Engine::ALL
        .iter()
        .filter(|engine| words(**engine).any(|word| word == value))
        .map(ToString::to_string)
        .collect();
    if takers.is_empty() {
        return String::new();
    }
    format!(" (taken by {})", takers.join(", "))
}

/// Every word that stands for something other than a GGUF file.
pub fn words(engine: Engine) -> impl Iterator<Item = &'static str> {
    let (own, more): (&[_], &[_]) = match engine {
        Engine::VLLM => (VLLM, &[NONE]),
        Engine::LoRAX => (LORAX, &[NONE, INT8]),
        Engine::SGLang => (SGLANG, &[NONE, NF4]),
        Engine::LlamaCpp | Engine::Custom => (&[], &[]),
    };
    more.iter().chain(own).copied()
}

fn list(engine: Engine) -> String {
    if engine == Engine::LlamaCpp {
        return format!("the type of a GGUF file in the repository, one of {}", GGUF.join(", "));
    }
    words(engine).collect::<Vec<_>>().join(", ")
}

fn unsupported(engine: Engine, value: &str) -> QuantizationError {
    QuantizationError::Unsupported {
        engine,
        value: value.to_owned(),
    }
}

fn arguments<const N: usize>(arguments: [&str; N]) -> Vec<String> {
    arguments.map(str::to_owned).into()
}

/// The arguments of a vLLM of another version for a word. Which words it takes is not known here, so that it has to say itself what it does not.
#[must_use]
pub fn other_vllm(value: Option<&str>) -> Vec<String> {
    match value {
        None | Some(NONE) => Vec::new(),
        // Versions before 0.32 make nf4 of an ordinary checkpoint by this word (`vllm/engine/arg_utils.py`, which sets the loader as well).
        Some(NF4) => arguments(["--quantization", "bitsandbytes"]),
        Some(word) => arguments(["--quantization", word]),
    }
}

/// vLLM's arguments for a word; none when the checkpoint is to be taken as it is.
///
/// # Errors
/// When vLLM does not take the word.
pub fn vllm(value: Option<&str>) -> Result<Vec<String>, QuantizationError> {
    match value {
        None | Some(NONE) => Ok(Vec::new()),
        Some(known) if VLLM.contains(&known) => Ok(arguments(["--quantization", known])),
        Some(other) if other.starts_with("bitsandbytes") => Err(QuantizationError::BitsAndBytes {
            value: other.to_owned(),
        }),
        Some(other) => Err(unsupported(Engine::VLLM, other)),
    }
}

/// SGLang's arguments for a word; none when the checkpoint is to be taken as it is.
///
/// # Errors
/// When SGLang does not take the word.
pub fn sglang(value: Option<&str>) -> Result<Vec<String>, QuantizationError> {
    match value {
        None | Some(NONE) => Ok(Vec::new()),
        // Its `bitsandbytes` loader makes nf4 of an ordinary checkpoint (`sglang/srt/model_loader/loader.py`, `quantize_4bit`).
        Some(NF4) => Ok(arguments([
            "--quantization",
            "bitsandbytes",
            "--load-format",
            "bitsandbytes",
        ])),
        Some(known) if SGLANG.contains(&known) => Ok(arguments(["--quantization", known])),
        Some("bitsandbytes") => Err(QuantizationError::Ambiguous),
        Some(other) => Err(unsupported(Engine::SGLang, other)),
    }
}

/// LoRAX's arguments for a word; none when the checkpoint is to be taken as it is.
///
/// # Errors
/// When LoRAX does not take the word, or not with so many devices.
pub fn lorax(value: Option<&str>, devices: u32) -> Result<Vec<String>, QuantizationError> {
    match value {
        None | Some(NONE) => Ok(Vec::new()),
        Some(INT8) => Ok(arguments(["--quantize", "bitsandbytes"])),
        Some(EXL2) if devices > 1 => Err(QuantizationError::Exl2OnSeveralDevices { devices }),
        Some(known) if LORAX.contains(&known) => Ok(arguments(["--quantize", known])),
        Some("bitsandbytes") => Err(QuantizationError::Ambiguous),
        Some(other) => Err(unsupported(Engine::LoRAX, other)),
    }
}

/// The arguments of an SGLang of another version for a word; one that is not known here is passed on.
///
/// # Errors
/// When the word means different things to different engines.
pub fn other_sglang(value: Option<&str>) -> Result<Vec<String>, QuantizationError> {
    match sglang(value) {
        Err(QuantizationError::Unsupported { value, .. }) => Ok(arguments(["--quantization", &value])),
        known => known,
    }
}

/// The arguments of a LoRAX of another version for a word; one that is not known here is passed on.
///
/// # Errors
/// When the word means different things to different engines.
pub fn other_lorax(value: Option<&str>) -> Result<Vec<String>, QuantizationError> {
    // On how many devices it works is for that version to say.
    match lorax(value, 1) {
        Err(QuantizationError::Unsupported { value, .. }) => Ok(arguments(["--quantize", &value])),
        known => known,
    }
}

/// The option, and the variable in its place, beside which an engine does not quantize as the word says.
pub(super) fn excluded(engine: Engine, value: &str) -> Option<(&'static str, Option<&'static str>)> {
    match (engine, value) {
        // The last one counts, and another loader makes no nf4.
        (Engine::SGLang, NF4) => Some(("--load-format", None)),
        (Engine::LoRAX, NONE) => None,
        // It takes one of the two (predibase/lorax, `server/lorax_server/cli.py`).
        (Engine::LoRAX, _) => Some(("--dtype", Some("DTYPE"))),
        _ => None,
    }
}

/// Refuses every word: engine Custom is told by its person.
pub(super) fn custom(value: Option<&str>) -> Result<(), QuantizationError> {
    match value {
        None => Ok(()),
        Some(value) => Err(QuantizationError::OnCustom {
            value: value.to_owned(),
        }),
    }
}

/// The `:quant` that selects a file of a repository for `llama-server -hf`; none when llama-server is to choose: `Q4_K_M`, or
/// the first file where there is no such (llama.cpp 0.7.0, `llama-server --help`).
///
/// # Errors
/// When the value is no GGUF file type, or the model is a file already.
pub fn llama_cpp<'a>(model: &BaseModel, value: Option<&'a str>) -> Result<Option<&'a str>, QuantizationError> {
    let Some(value) = value else {
        return Ok(None);
    };
    if let Location::Path(path) = model.location() {
        return Err(QuantizationError::FileIsAsItIs {
            value: value.to_owned(),
            path: path.clone(),
        });
    }
    if !is_gguf_file_type(value) {
        return Err(unsupported(Engine::LlamaCpp, value));
    }
    Ok(Some(value))
}

/// Whether a repository's file may be called so: a known type in any case, or one in the naming of Unsloth's repositories
/// (`UD-Q4_K_XL`).
pub(super) fn is_gguf_file_type(value: &str) -> bool {
    let upper = value.to_ascii_uppercase();
    let plain = upper.strip_prefix("UD-").unwrap_or(&upper);
    let base = plain.strip_suffix("_XL").unwrap_or(plain);
    GGUF.contains(&base)
}

#[cfg(test)]
#[path = "quantization_tests.rs"]
mod tests;
