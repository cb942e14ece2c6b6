use super::*;
use crate::engine::vocabulary::VLLM;

/// The arguments of a vLLM that is told a word, among others.
fn told(word: Option<&str>, more: &[&str]) -> Vec<String> {
    let word = word.map(|word| ["--quantization", word]);
    let begin = [
        "org/model",
        "--host",
        "0.0.0.0",
        "--port",
        "8000",
        "--max-model-len",
        "auto",
    ];
    let args = begin.iter().chain(word.iter().flatten()).chain(more);
    args.map(|arg| (*arg).to_owned()).collect()
}

fn made_by(method: &str) -> Checkpoint<'_> {
    Checkpoint {
        method: Some(method),
        model_type: Some("qwen3"),
    }
}

#[test]
fn methods_that_vllm_does_not_know_are_refused_with_and_without_a_word() {
    for method in [
        "bitsandbytes",
        "gguf",
        "hqq",
        "exl2",
        "bitnet",
        "eetq",
        "quanto",
        "vptq",
        "aqlm",
        "spqr",
        "higgs",
        "HQQ",
    ] {
        for word in [None, Some("fp8"), Some("awq")] {
            assert_eq!(
                problem(Engine::VLLM, made_by(method), &told(word, &[])),
                Some(Problem::UnknownMethod),
                "{method} {word:?}"
            );
        }
    }
}

#[test]
fn a_word_must_fit_the_method_in_any_spelling_of_it() {
    for (method, word, fits) in [
        ("awq", "awq", true),
        ("awq", "awq_marlin", true),
        ("awq", "auto_awq", true),
        ("awq", "moe_wna16", true),
        ("awq", "gptq", false),
        ("awq", "fp8", false),
        ("AWQ", "gptq", false),
        ("gptq", "gptq", true),
        ("gptq", "gptq_marlin", true),
        ("gptq", "auto_gptq", true),
        ("gptq", "moe_wna16", true),
        ("gptq", "awq_marlin", false),
        ("fp8", "fp8", true),
        ("fp8", "deepseek_v4_fp8", true),
        ("fp8", "fp8_per_block", false),
        ("fp8", "compressed-tensors", false),
        ("compressed-tensors", "compressed-tensors", true),
        ("compressed_tensors", "compressed-tensors", true),
        ("compressed-tensors", "mxfp4", true),
        ("compressed-tensors", "fp8", false),
        ("compressed_tensors", "awq", false),
        // vLLM makes its own method of it, whatever it is told.
        ("auto-round", "awq", true),
        ("auto-round", "gptq", true),
        // Of these it is not certain.
        ("quark", "fp8", true),
        ("modelopt", "modelopt_fp4", true),
        ("mxfp4", "gpt_oss_mxfp4", true),
        ("of-tomorrow", "fp8", true),
    ] {
        let args = told(Some(word), &[]);
        let expected = (!fits).then_some(Problem::OtherWord(word));
        assert_eq!(
            problem(Engine::VLLM, made_by(method), &args),
            expected,
            "{method} {word}"
        );
    }
}

#[test]
fn a_checkpoint_that_says_nothing_takes_every_word() {
    for word in VLLM.iter().copied().map(Some).chain([None, Some("bitsandbytes")]) {
        let args = told(word, &[]);
        assert_eq!(problem(Engine::VLLM, Checkpoint::default(), &args), None, "{word:?}");
    }
}

#[test]
fn a_method_that_vllm_knows_needs_no_word() {
    for method in [
        "awq",
        "gptq",
        "fp8",
        "compressed-tensors",
        "auto-round",
        "mxfp4",
        "quark",
        "modelopt",
        "torchao",
    ] {
        assert_eq!(
            problem(Engine::VLLM, made_by(method), &told(None, &[])),
            None,
            "{method}"
        );
    }
}

#[test]
fn what_vllm_makes_of_a_method_by_itself_is_not_refused() {
    for (method, model_type, word) in [
        ("bitsandbytes", "qwen3", "humming"),
        ("awq", "qwen3", "humming"),
        ("fp8", "deepseek_v4", "awq"),
        ("fp8", "deepseek_v41_text", "fp8_per_block"),
    ] {
        let checkpoint = Checkpoint {
            method: Some(method),
            model_type: Some(model_type),
        };
        let args = told(Some(word), &[]);
        assert_eq!(
            problem(Engine::VLLM, checkpoint, &args),
            None,
            "{method} {model_type} {word}"
        );
    }
}

#[test]
fn a_vllm_that_reads_another_configuration_is_not_judged_by_this_one() {
    for more in [
        &["--hf-overrides", r#"{"quantization_config": null}"#][..],
        &["--hf_overrides={}"],
        &["--hf-overrides.quantization_config.quant_method", "awq"],
        &["--hf-config-path", "org/other"],
        &["--config-format=mistral"],
        &["--config", "/config/vllm.yaml"],
    ] {
        assert_eq!(
            problem(Engine::VLLM, made_by("hqq"), &told(None, more)),
            None,
            "{more:?}"
        );
    }
    let others = ["--max-num-seqs", "8", "--hf-token-file=x.y"];
    assert_eq!(
        problem(Engine::VLLM, made_by("hqq"), &told(None, &others)),
        Some(Problem::UnknownMethod)
    );
}

#[test]
fn other_engines_are_not_judged() {
    for engine in [Engine::LoRAX, Engine::SGLang, Engine::LlamaCpp, Engine::Custom] {
        for (method, word) in [("hqq", None), ("bitsandbytes", None), ("awq", Some("gptq"))] {
            assert_eq!(
                problem(engine, made_by(method), &told(word, &[])),
                None,
                "{engine} {method}"
            );
        }
    }
}
