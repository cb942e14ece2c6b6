//! Why an engine is not started with a model, found out before any server runs.

use crate::api::reason::Reason;

use super::architecture::{Architecture, unsupported};
use super::checkpoint::{Checkpoint, Problem, normalized, problem};
use super::{Engine, Version};

/// Why a model is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelRefusal {
    /// Larger than whoever installed the operator allows.
    #[error(
        "the model {model} has {} parameters, and this operator runs models of up to {} (the chart's value maxBaseModelParameters): \
         choose a smaller model, or have the value raised", in_words(*parameters), in_words(*most)
    )]
    TooLarge {
        /// The model.
        model: String,
        /// How many parameters it has.
        parameters: u64,
        /// How many it may have.
        most: u64,
    },
    /// A kind of model that the engine does not know.
    #[error("engine {engine} does not load models of the kind {kind}, as {model} is one: choose another engine or another model{}", hint(*engine))]
    Architecture {
        /// The engine.
        engine: Engine,
        /// The model.
        model: String,
        /// `model_type`, or the name of a class, of its `config.json`.
        kind: String,
    },
    /// A checkpoint that is quantized in a way that the engine does not know.
    #[error(
        "engine {engine} does not load checkpoints that are quantized with {method}, as {model} is (quantization_config.quant_method in its \
         config.json): write the repository of the original weights in baseModel, with a spec.server.quantization that makes them smaller as \
         they are loaded, choose an engine that loads it, or an image of this one that does (spec.server.image)"
    )]
    UnknownMethod {
        /// The engine.
        engine: Engine,
        /// The model.
        model: String,
        /// `quant_method` of its `config.json`.
        method: String,
    },
    /// A checkpoint that is quantized otherwise than the job says.
    #[error(
        "spec.server.quantization is {word:?}, and {model} is quantized with {method} already (quantization_config.quant_method in its \
         config.json), which engine {engine} does not load as {word}: leave quantization out, or write {method}, or write the repository of \
         the original weights in baseModel"
    )]
    OtherWord {
        /// The engine.
        engine: Engine,
        /// The model.
        model: String,
        /// `quant_method` of its `config.json`.
        method: String,
        /// The word.
        word: String,
    },
    /// GGUF files for an engine that is not llama.cpp.
    #[error(
        "engine {engine} does not load GGUF files, and {model} has no others: choose engine LlamaCpp, or the repository of the original \
         weights"
    )]
    GgufOnly {
        /// The engine.
        engine: Engine,
        /// The model.
        model: String,
    },
    /// No GGUF file for llama.cpp.
    #[error(
        "engine LlamaCpp loads GGUF files, and {model} has none: write a repository that has (often ORG/NAME-GGUF), or choose engine VLLM"
    )]
    NoGguf {
        /// The model.
        model: String,
    },
    /// None of the GGUF files is the one that is asked for.
    #[error(
        "{model} has no GGUF file {wanted:?}: it has {}; write the type of one in spec.server.quantization, or its path as `-hff PATH` in \
         spec.server.args", there.join(", ")
    )]
    NoSuchGguf {
        /// The model.
        model: String,
        /// The file's name, or its type.
        wanted: String,
        /// Those that there are, of several parts the first.
        there: Vec<String>,
    },
    /// Files that LoRAX would write anew as safetensors, beside them.
    #[error(
        "engine LoRAX converts the weights of {model}, which are no safetensors, and cannot in a model cache: leave spec.server.modelCache \
         out, or choose engine VLLM"
    )]
    NotConverted {
        /// The model.
        model: String,
    },
    /// No file that the engines read weights from.
    #[error(
        "{model} has no file with weights where engines look for them (*.safetensors, *.bin, *.pt at the top of the repository): write the \
         repository of the model itself in baseModel, or leave spec.server.modelCache out"
    )]
    NoWeights {
        /// The model.
        model: String,
    },
    /// A LoRA adapter in the place of a model.
    #[error(
        "{model} is a LoRA adapter (it has adapter_config.json and no config.json): write the model that it was trained on in baseModel"
    )]
    Adapter {
        /// The repository.
        model: String,
    },
}

impl ModelRefusal {
    /// The reason by which the job ends.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::TooLarge { .. } => Reason::ModelTooLarge,
            Self::Architecture { .. } => Reason::UnsupportedArchitecture,
            Self::UnknownMethod { .. } | Self::OtherWord { .. } => Reason::QuantizationUnsupported,
            Self::GgufOnly { .. }
            | Self::NoGguf { .. }
            | Self::NoSuchGguf { .. }
            | Self::NotConverted { .. }
            | Self::NoWeights { .. }
            | Self::Adapter { .. } => Reason::EngineModelMismatch,
        }
    }
}

/// Refuses a model that is larger than it may be.
///
/// # Errors
/// [`ModelRefusal::TooLarge`].
pub fn refuse_size(model: &str, parameters: u64, most: u64) -> Result<(), ModelRefusal> {
    if parameters <= most {
        return Ok(());
    }
    Err(ModelRefusal::TooLarge {
        model: model.to_owned(),
        parameters,
        most,
    })
}

/// Refuses a kind of model that the engine's version is certain not to load.
///
/// # Errors
/// [`ModelRefusal::Architecture`].
pub fn refuse_architecture(
    engine: Engine,
    image: &str,
    model: &str,
    architecture: Architecture<'_>,
) -> Result<(), ModelRefusal> {
    match unsupported(engine, architecture).filter(|_| Version::of(engine, image).is_default()) {
        Some(kind) => Err(ModelRefusal::Architecture {
            engine,
            model: model.to_owned(),
            kind: kind.to_owned(),
        }),
        None => Ok(()),
    }
}

/// Refuses a checkpoint whose quantization the engine's version is certain not to load, or not as its servers' arguments say.
///
/// # Errors
/// [`ModelRefusal::UnknownMethod`], [`ModelRefusal::OtherWord`].
pub fn refuse_checkpoint(
    engine: Engine,
    image: &str,
    model: &str,
    checkpoint: Checkpoint<'_>,
    args: &[String],
) -> Result<(), ModelRefusal> {
    let problem = problem(engine, checkpoint, args).filter(|_| Version::of(engine, image).is_default());
    let Some(problem) = problem else {
        return Ok(());
    };
    let model = model.to_owned();
    let method = normalized(checkpoint.method.unwrap_or_default());
    Err(match problem {
        Problem::UnknownMethod => ModelRefusal::UnknownMethod { engine, model, method },
        Problem::OtherWord(word) => ModelRefusal::OtherWord {
            engine,
            model,
            method,
            word: word.to_owned(),
        },
    })
}

/// What else may help.
fn hint(engine: Engine) -> &'static str {
    match engine {
        Engine::LoRAX => "; VLLM and SGLang load most",
        _ => ", or a version of it that does (spec.server.imageTag)",
    }
}

/// `32.8 billion`, rounded down.
fn in_words(parameters: u64) -> String {
    let tenths = parameters / 100_000_000;
    if tenths == 0 {
        return parameters.to_string();
    }
    format!("{}.{} billion", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_may_have_as_many_parameters_as_the_setting_says() {
        assert_eq!(refuse_size("m", 16_000_000_000, 16_000_000_000), Ok(()));
        let refused = refuse_size("Qwen/Qwen3-32B", 32_762_123_264, 16_000_000_000).expect_err("a refusal");
        assert_eq!(refused.reason(), Reason::ModelTooLarge);
        assert!(
            refused.to_string().starts_with(
                "the model Qwen/Qwen3-32B has 32.7 billion parameters, and this operator runs models of up to 16.0 billion (the chart's \
                 value maxBaseModelParameters)"
            ),
            "{refused}"
        );
    }

    #[test]
    fn a_checkpoint_is_refused_of_the_operator_s_own_image_alone_and_by_name() {
        let args = ["--quantization", "gptq"].map(str::to_owned);
        let refused = |image: &str, method, args: &[String]| {
            let checkpoint = Checkpoint {
                method: Some(method),
                model_type: None,
            };
            let refused = refuse_checkpoint(Engine::VLLM, image, "org/model", checkpoint, args).err();
            refused.map(|refused| (refused.reason(), refused.to_string()))
        };
        let own = Engine::VLLM.default_image().expect("an image").to_string();
        for (method, args, words) in [
            (
                "hqq",
                &[][..],
                "engine VLLM does not load checkpoints that are quantized with hqq, as org/model is (quantization_config.quant_method in \
                 its config.json): write the repository of the original weights",
            ),
            (
                "AWQ",
                &args[..],
                "spec.server.quantization is \"gptq\", and org/model is quantized with awq already (quantization_config.quant_method in its \
                 config.json), which engine VLLM does not load as gptq: leave quantization out, or write awq",
            ),
        ] {
            let (reason, said) = refused(&own, method, args).expect("a refusal");
            assert_eq!(reason, Reason::QuantizationUnsupported);
            assert!(said.starts_with(words), "{said}");
            for other in ["vllm/vllm-openai:v0.11.0", "vllm/vllm-openai:v0.33.0", "own/vllm:bnb"] {
                assert_eq!(refused(other, method, args), None, "{other} {method}");
            }
        }
    }

    #[test]
    fn small_numbers_are_written_out() {
        for (parameters, words) in [(99_999_999, "99999999"), (134_515_008, "0.1 billion")] {
            assert_eq!(in_words(parameters), words);
        }
    }
}
