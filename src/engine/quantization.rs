//! `spec.server.quantization`: which values each engine takes.

use super::{BaseModel, Engine, Location};

/// Values of vLLM's `--quantization`: first those that an ordinary bf16 checkpoint takes when it is loaded, then those that
/// name how a checkpoint was made (vLLM 0.32.0, `vllm/model_executor/layers/quantization/__init__.py`). Left out: `online`,
/// which needs a configuration of its own, and the deprecated `fbgemm_fp8` and `fp_quant`.
const VLLM: &[&str] = &[
    "fp8",
    "fp8_per_tensor",
    "fp8_per_block",
    "fp8_per_channel",
    "int8_per_channel_weight_only",
    "nvfp4_per_token",
    "mxfp8",
    "awq",
    "auto_awq",
    "awq_marlin",
    "gptq",
    "auto_gptq",
    "gptq_marlin",
    "compressed-tensors",
    "modelopt",
    "modelopt_fp4",
    "modelopt_mxfp8",
    "modelopt_mixed",
    "quark",
    "moe_wna16",
    "torchao",
    "inc",
    "mxfp4",
    "gpt_oss_mxfp4",
    "deepseek_v4_fp8",
    "humming",
    "experts_int8",
];

/// Names of GGUF file types (llama.cpp 0.7.0, `llama-quantize --help`), from the smallest files to the largest. Repositories also
/// prefix them with `UD-` and end them with `_XL`, see [`is_gguf_file_type`].
const GGUF: &[&str] = &[
    "TQ1_0",
    "IQ1_S",
    "IQ1_M",
    "Q1_0",
    "TQ2_0",
    "IQ2_XXS",
    "IQ2_XS",
    "IQ2_S",
    "IQ2_M",
    "Q2_0",
    "Q2_K",
    "Q2_K_S",
    "Q2_K_L",
    "IQ3_XXS",
    "IQ3_XS",
    "IQ3_S",
    "IQ3_M",
    "Q3_K",
    "Q3_K_S",
    "Q3_K_M",
    "Q3_K_L",
    "MXFP4",
    "MXFP4_MOE",
    "IQ4_XS",
    "IQ4_NL",
    "Q4_0",
    "Q4_1",
    "Q4_K",
    "Q4_K_S",
    "Q4_K_M",
    "Q4_K_L",
    "Q5_0",
    "Q5_1",
    "Q5_K",
    "Q5_K_S",
    "Q5_K_M",
    "Q5_K_L",
    "Q6_K",
    "Q6_K_L",
    "Q8_0",
    "F16",
    "BF16",
    "F32",
];

/// Why a quantization is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantizationError {
    /// The engine does not take the value.
    #[error("engine {engine} does not take quantization {value:?}: it takes {}", list(*engine))]
    Unsupported {
        /// The engine.
        engine: Engine,
        /// What was written.
        value: String,
    },
    /// vLLM took it once.
    #[error(
        "engine VLLM does not take quantization {value:?}: vLLM 0.32 moved bitsandbytes out to a plugin; choose \
         int8_per_channel_weight_only or nvfp4_per_token for weights of a similar size, fp8, or a checkpoint made with awq or gptq"
    )]
    BitsAndBytes {
        /// What was written.
        value: String,
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
}

fn list(engine: Engine) -> String {
    match engine {
        Engine::VLLM => format!("none, {}", VLLM.join(", ")),
        Engine::LlamaCpp => format!("the type of a GGUF file in the repository, one of {}", GGUF.join(", ")),
    }
}

/// The value of vLLM's `--quantization`; none when the checkpoint is to be taken as it is.
///
/// # Errors
/// When vLLM does not take the value.
pub fn vllm(value: Option<&str>) -> Result<Option<&str>, QuantizationError> {
    match value {
        None | Some("none") => Ok(None),
        Some(known) if VLLM.contains(&known) => Ok(Some(known)),
        Some(other) if other.starts_with("bitsandbytes") => Err(QuantizationError::BitsAndBytes {
            value: other.to_owned(),
        }),
        Some(other) => Err(QuantizationError::Unsupported {
            engine: Engine::VLLM,
            value: other.to_owned(),
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
        return Err(QuantizationError::Unsupported {
            engine: Engine::LlamaCpp,
            value: value.to_owned(),
        });
    }
    Ok(Some(value))
}

/// Whether a repository's file may be called so: a known type in any case, or one in the naming of Unsloth's repositories
/// (`UD-Q4_K_XL`).
fn is_gguf_file_type(value: &str) -> bool {
    let upper = value.to_ascii_uppercase();
    let plain = upper.strip_prefix("UD-").unwrap_or(&upper);
    let base = plain.strip_suffix("_XL").unwrap_or(plain);
    GGUF.contains(&base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(value: &str) -> BaseModel {
        value.parse().unwrap_or_else(|error| panic!("{value}: {error}"))
    }

    #[test]
    fn vllm_takes_its_own_words_and_none() {
        for (value, flag) in [
            (None, None),
            (Some("none"), None),
            (Some("fp8"), Some("fp8")),
            (Some("awq"), Some("awq")),
            (Some("compressed-tensors"), Some("compressed-tensors")),
        ] {
            assert_eq!(vllm(value), Ok(flag));
        }
    }

    #[test]
    fn what_vllm_does_not_take_is_refused_with_the_list() {
        for value in ["eetq", "hqq-4bit", "exl2", "gguf", "FP8", "Q4_K_M", ""] {
            let message = vllm(Some(value)).expect_err("a refusal").to_string();
            assert!(
                message.starts_with(&format!(
                    "engine VLLM does not take quantization {value:?}: it takes none, fp8,"
                )),
                "{message}"
            );
        }
    }

    #[test]
    fn bitsandbytes_on_vllm_is_refused_with_what_to_choose_instead() {
        for value in ["bitsandbytes", "bitsandbytes-nf4"] {
            let message = vllm(Some(value)).expect_err("a refusal").to_string();
            assert!(message.contains("int8_per_channel_weight_only"), "{message}");
            assert!(message.contains("plugin"), "{message}");
        }
    }

    #[test]
    fn llama_cpp_takes_the_types_of_gguf_files() {
        let repository = model("Qwen/Qwen3-8B-GGUF");
        for value in ["Q4_K_M", "q4_k_m", "UD-Q4_K_XL", "IQ2_XXS", "BF16"] {
            assert_eq!(llama_cpp(&repository, Some(value)), Ok(Some(value)));
        }
        assert_eq!(llama_cpp(&repository, None), Ok(None));
        for value in ["fp8", "bitsandbytes-nf4", "none", "Q4_K_M:x", "UD-", "_XL", ""] {
            let message = llama_cpp(&repository, Some(value)).expect_err("a refusal").to_string();
            assert!(message.contains("Q4_K_M, "), "{message}");
        }
    }

    #[test]
    fn a_file_is_as_it_is() {
        let file = model("/models/model.gguf");
        assert_eq!(llama_cpp(&file, None), Ok(None));
        assert_eq!(
            llama_cpp(&file, Some("Q4_K_M")),
            Err(QuantizationError::FileIsAsItIs {
                value: "Q4_K_M".into(),
                path: "/models/model.gguf".into()
            })
        );
    }
}
