//! The words of `spec.server.quantization`, by engine.
//!
//! Where engines use one word for different things, there are two ([`INT8`]). Words for checkpoints (`awq`, `gptq`, ...) need a
//! checkpoint that was made so.

/// As the checkpoint is, said aloud: Predibase's word for it.
pub(super) const NONE: &str = "none";
/// 4 bits, made when the checkpoint is loaded.
pub(super) const NF4: &str = "bitsandbytes-nf4";
/// 8 bits, made when the checkpoint is loaded. LoRAX calls it `bitsandbytes`, which for SGLang is [`NF4`].
pub(super) const INT8: &str = "bitsandbytes-int8";

/// Values of vLLM's `--quantization`: first those that an ordinary bf16 checkpoint takes when it is loaded, then those that
/// name how a checkpoint was made (vLLM 0.32.0, `vllm/model_executor/layers/quantization/__init__.py`). Left out: `online`,
/// which needs a configuration of its own, and the deprecated `fbgemm_fp8` and `fp_quant`.
pub(super) const VLLM: &[&str] = &[
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

/// Values of SGLang's `--quantization` in the same order (sglang 0.5.23, `sglang/srt/arg_groups/choices.py`). Left out: `bitsandbytes`, for which
/// the vocabulary says [`NF4`], `gguf`, and those for NPUs and Apple's.
pub(super) const SGLANG: &[&str] = &[
    "fp8",
    "mxfp8",
    "nvfp4_online",
    "quark_mxfp4",
    "awq",
    "awq_marlin",
    "gptq",
    "gptq_marlin",
    "compressed-tensors",
    "modelopt",
    "modelopt_fp8",
    "modelopt_fp4",
    "modelopt_mixed",
    "quark",
    "quark_int4fp8_moe",
    "moe_wna16",
    "mxfp4",
    "petit_nvfp4",
    "w8a8_int8",
    "w8a8_fp8",
    "w4afp8",
    "auto-round",
    "auto-round-int8",
    "humming",
];

/// Values of LoRAX's `--quantize` in the same order (predibase/lorax, `launcher/src/main.rs`, `enum Quantization`, the names as clap derives
/// them). Left out: `bitsandbytes`, for which the vocabulary says [`INT8`].
pub(super) const LORAX: &[&str] = &[
    NF4,
    "bitsandbytes-fp4",
    "eetq",
    "fp8",
    "hqq-4bit",
    "hqq-3bit",
    "hqq-2bit",
    "fp8-kv",
    "awq",
    "gptq",
    EXL2,
];
/// Its kernels know one device (predibase/lorax, `launcher/src/main.rs`).
pub(super) const EXL2: &str = "exl2";

/// Names of GGUF file types (llama.cpp 0.7.0, `llama-quantize --help`), from the smallest files to the largest. Repositories also
/// prefix them with `UD-` and end them with `_XL`, see `quantization.rs`.
pub(super) const GGUF: &[&str] = &[
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
