use serde_json::{Value, json};

use super::*;
use crate::api::reason::Reason;

fn repository(files: &[&str], more: Value) -> Repository {
    let siblings: Vec<_> = files.iter().map(|file| json!({"rfilename": file})).collect();
    let mut answer = json!({"id": "org/model", "sha": "abc", "gated": "manual", "siblings": siblings});
    for (name, value) in more.as_object().expect("an object") {
        answer[name] = value.clone();
    }
    Repository::read(answer.to_string().as_bytes()).expect("a repository")
}

fn config(config: Value) -> Config {
    Config::read(config.to_string().as_bytes())
}

const CHECKPOINT: &[&str] = &["README.md", "config.json", "model-00001-of-00002.safetensors"];
const GGUF: &[&str] = &["README.md", "model-Q4_K_M.gguf"];
const BOTH: &[&str] = &["config.json", "model.safetensors", "model-Q4_K_M.GGUF"];
const PYTORCH: &[&str] = &["config.json", "pytorch_model.bin"];
const ADAPTER: &[&str] = &["adapter_config.json", "adapter_model.safetensors"];

#[test]
fn files_must_be_those_that_the_engine_loads() {
    let mismatch = Some(Reason::EngineModelMismatch);
    for (engine, files, expected) in [
        (Engine::VLLM, CHECKPOINT, None),
        (Engine::LoRAX, PYTORCH, None),
        (Engine::VLLM, GGUF, mismatch),
        (Engine::LoRAX, GGUF, mismatch),
        (Engine::SGLang, GGUF, mismatch),
        (Engine::SGLang, BOTH, None),
        (Engine::LlamaCpp, GGUF, None),
        (Engine::LlamaCpp, BOTH, None),
        (Engine::LlamaCpp, CHECKPOINT, mismatch),
        (Engine::VLLM, ADAPTER, mismatch),
        (Engine::LlamaCpp, ADAPTER, mismatch),
        (Engine::VLLM, &[], None),
        (Engine::LlamaCpp, &[], None),
    ] {
        let image = engine.default_image().expect("an image").to_string();
        let refused = repository(files, json!({})).refuse_files(engine, Version::of(engine, &image), "org/model");
        let reason = refused.err().map(|refused| refused.reason());
        assert_eq!(reason, expected, "{engine} {files:?}");
    }
    let older = Version::of(Engine::VLLM, "vllm/vllm-openai:v0.20.0");
    let refused = repository(GGUF, json!({})).refuse_files(Engine::VLLM, older, "org/model");
    assert_eq!(refused, Ok(()));
}

#[test]
fn a_file_that_only_the_allowed_get_is_the_one_that_is_loaded() {
    for (files, expected) in [
        (CHECKPOINT, Some("config.json")),
        (GGUF, Some("model-Q4_K_M.gguf")),
        (&["README.md", "model.safetensors"], Some("model.safetensors")),
        (&["README.md"], None),
    ] {
        assert_eq!(repository(files, json!({})).guarded_file(), expected);
    }
}

/// Figures of huggingface.js's own tests (`packages/hub/src/lib/parse-safetensors-metadata.spec.ts`).
#[test]
fn parameters_are_those_that_the_hub_has_counted() {
    let gpt_oss = json!({"quantization_config": {"quant_method": "mxfp4"}});
    let awq = json!({"quantization_config": {"quant_method": "awq", "bits": 4}});
    let nf4 = json!({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true}});
    for (counted, config_says, expected) in [
        (json!({"BF16": 8_190_735_360_u64}), json!({}), 8_190_735_360),
        (
            json!({"BF16": 1_804_459_584_u64, "U8": 19_110_297_600_u64}),
            gpt_oss,
            20_914_757_184,
        ),
        (json!({"I32": 100, "F16": 7}), awq, 107),
        (json!({"U8": 100, "F16": 7}), nf4, 107),
        (json!({"U8": u64::MAX, "F16": 7}), json!({}), u64::MAX),
    ] {
        let repository = repository(CHECKPOINT, json!({"safetensors": {"parameters": counted, "total": 1}}));
        assert_eq!(repository.parameters(&config(config_says), None), Some(expected));
        assert_eq!(repository.index_to_count(), None);
    }
    let gguf = repository(
        GGUF,
        json!({"gguf": {"total": 8_190_735_360_u64, "architecture": "qwen3"}}),
    );
    assert_eq!(gguf.parameters(&Config::default(), None), Some(8_190_735_360));
}

#[test]
fn where_the_hub_has_not_counted_the_index_and_the_type_say_it() {
    let files = [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model.safetensors.index.json",
    ];
    let repository = repository(&files, json!({}));
    assert_eq!(repository.index_to_count(), Some("model.safetensors.index.json"));
    let index = WeightsIndex::read(br#"{"metadata": {"total_size": 1600}, "weight_map": {"a": "b"}}"#);
    for (config_says, expected) in [
        (json!({"torch_dtype": "bfloat16"}), Some(800)),
        (json!({"dtype": "float32"}), Some(400)),
        (json!({"text_config": {"dtype": "bfloat16"}}), Some(800)),
        (json!({"text_config": {"torch_dtype": "float32"}}), Some(400)),
        (json!({"torch_dtype": "float8_e4m3fn"}), None),
        (json!({}), None),
        (
            json!({"torch_dtype": "float16", "quantization_config": {"quant_method": "awq", "bits": 4}}),
            None,
        ),
    ] {
        let parameters = repository.parameters(&config(config_says.clone()), index.as_ref());
        assert_eq!(parameters, expected, "{config_says}");
    }
    let bfloat16 = config(json!({"torch_dtype": "bfloat16"}));
    for (metadata, of_no_type, of_two_bytes) in [
        (json!({"total_size": 1600.5}), None, Some(800)),
        (json!({"total_size": 16_060_522_496.0}), None, Some(8_030_261_248)),
        (json!({"total_size": "1600"}), None, None),
        (
            json!({"total_parameters": 790, "total_size": 1600}),
            Some(790),
            Some(790),
        ),
        (json!({}), None, None),
    ] {
        let index = json!({"metadata": metadata, "weight_map": {}}).to_string();
        let index = WeightsIndex::read(index.as_bytes()).expect("an index");
        let of = |config: &Config| repository.parameters(config, Some(&index));
        assert_eq!(
            (of(&Config::default()), of(&bfloat16)),
            (of_no_type, of_two_bytes),
            "{metadata}"
        );
    }
    let without = WeightsIndex::read(b"[]");
    assert_eq!(
        repository.parameters(&config(json!({"torch_dtype": "float16"})), without.as_ref()),
        None
    );
}

#[test]
fn a_config_that_is_none_says_nothing() {
    let config = Config::read(b"<html>");
    assert!(config.architecture().model_type.is_none() && config.architecture().classes.is_empty());
    let written = json!({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "torch_dtype": "bfloat16"});
    let config = Config::read(written.to_string().as_bytes());
    assert_eq!(config.architecture().model_type, Some("qwen3"));
    assert_eq!(config.architecture().classes, ["Qwen3ForCausalLM"]);
    assert!(Repository::read(b"<html>").is_err());
}

#[test]
fn the_method_of_a_checkpoint_is_read_wherever_it_stands() {
    for (says, method) in [
        (
            json!({"quantization_config": {"quant_method": "awq", "bits": 4}}),
            Some("awq"),
        ),
        (
            json!({"compression_config": {"quant_method": "compressed-tensors"}}),
            Some("compressed-tensors"),
        ),
        (
            json!({"quantization_config": null, "text_config": {"quantization_config": {"quant_method": "fp8"}}}),
            Some("fp8"),
        ),
        (
            json!({"quantization_config": {"quant_method": "gptq"}, "text_config": {"quantization_config": {"quant_method": "fp8"}}}),
            Some("gptq"),
        ),
        (
            json!({"quantization_config": {"producer": {"name": "modelopt"}, "quant_method": "fp8"}}),
            None,
        ),
        (
            json!({"quantization_config": {"quantization": {"quant_algo": "NVFP4"}, "quant_method": "fp8"}}),
            None,
        ),
        (json!({"quantization_config": {"load_in_4bit": true}}), None),
        (json!({"quantization_config": "awq"}), None),
        (json!({"quantization_config": {"quant_method": 4}}), None),
        (json!({}), None),
    ] {
        let mut written = says.clone();
        written["model_type"] = json!("qwen3");
        let config = config(written);
        assert_eq!(config.checkpoint().method, method, "{says}");
        // Nothing in there hides what else is said.
        assert_eq!(config.architecture().model_type, Some("qwen3"), "{says}");
    }
}
