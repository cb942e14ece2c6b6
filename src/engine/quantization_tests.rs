use super::*;

fn model(value: &str) -> BaseModel {
    value.parse().unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// An engine's arguments as one text, or the refusal's message.
fn translated(engine: Engine, value: &str) -> Result<String, String> {
    let value = Some(value);
    let arguments = match engine {
        Engine::VLLM => vllm(value),
        Engine::SGLang => sglang(value),
        Engine::LoRAX => lorax(value, 1),
        Engine::LlamaCpp => {
            llama_cpp(&model("Qwen/Qwen3-8B-GGUF"), value).map(|file| file.map(str::to_owned).into_iter().collect())
        }
        Engine::Custom => custom(value).map(|()| Vec::new()),
    };
    arguments
        .map(|arguments| arguments.join(" "))
        .map_err(|error| error.to_string())
}

#[test]
fn a_word_becomes_the_engine_s_own_arguments() {
    for (engine, word, arguments) in [
        (Engine::VLLM, "none", ""),
        (Engine::VLLM, "fp8", "--quantization fp8"),
        (Engine::VLLM, "compressed-tensors", "--quantization compressed-tensors"),
        (Engine::SGLang, "none", ""),
        (Engine::SGLang, "fp8", "--quantization fp8"),
        (
            Engine::SGLang,
            "bitsandbytes-nf4",
            "--quantization bitsandbytes --load-format bitsandbytes",
        ),
        (Engine::LoRAX, "none", ""),
        (Engine::LoRAX, "fp8", "--quantize fp8"),
        (Engine::LoRAX, "bitsandbytes-nf4", "--quantize bitsandbytes-nf4"),
        (Engine::LoRAX, "bitsandbytes-int8", "--quantize bitsandbytes"),
        (Engine::LoRAX, "exl2", "--quantize exl2"),
    ] {
        assert_eq!(translated(engine, word).as_deref(), Ok(arguments), "{engine} {word}");
    }
    for arguments in [vllm(None), sglang(None), lorax(None, 4)] {
        assert_eq!(arguments, Ok(Vec::new()));
    }
    assert_eq!(custom(None), Ok(()));
}

/// What each refusal begins with.
#[test]
fn what_an_engine_cannot_do_is_refused_by_name() {
    for (engine, word, message) in [
        (
            Engine::VLLM,
            "eetq",
            "engine VLLM does not take quantization \"eetq\" (taken by LoRAX): it takes none, fp8,",
        ),
        (
            Engine::VLLM,
            "auto-round",
            "engine VLLM does not take quantization \"auto-round\" (taken by SGLang): it takes none, fp8,",
        ),
        (
            Engine::VLLM,
            "FP8",
            "engine VLLM does not take quantization \"FP8\": it takes none, fp8,",
        ),
        (
            Engine::VLLM,
            "Q4_K_M",
            "engine VLLM does not take quantization \"Q4_K_M\": it takes none,",
        ),
        (
            Engine::VLLM,
            "bitsandbytes-nf4",
            "engine VLLM does not take quantization \"bitsandbytes-nf4\": vLLM 0.32 moved bitsandbytes out to a plugin; choose int8_per_channel_weight_only or",
        ),
        (
            Engine::SGLang,
            "hqq-4bit",
            "engine SGLang does not take quantization \"hqq-4bit\" (taken by LoRAX): it takes none, bitsandbytes-nf4, fp8,",
        ),
        (
            Engine::SGLang,
            "bitsandbytes-int8",
            "engine SGLang does not take quantization \"bitsandbytes-int8\" (taken by LoRAX): it takes",
        ),
        (
            Engine::SGLang,
            "bitsandbytes",
            "quantization \"bitsandbytes\" is 8 bits for LoRAX and 4 bits for SGLang: write bitsandbytes-int8",
        ),
        (
            Engine::LoRAX,
            "bitsandbytes",
            "quantization \"bitsandbytes\" is 8 bits for LoRAX and 4 bits for SGLang: write bitsandbytes-int8",
        ),
        (
            Engine::LoRAX,
            "mxfp8",
            "engine LoRAX does not take quantization \"mxfp8\" (taken by VLLM, SGLang): it takes none, bitsandbytes-int8, bitsandbytes-nf4,",
        ),
        (
            Engine::LoRAX,
            "",
            "engine LoRAX does not take quantization \"\": it takes none,",
        ),
        (
            Engine::LlamaCpp,
            "fp8",
            "engine LlamaCpp does not take quantization \"fp8\" (taken by VLLM, LoRAX, SGLang): it takes the type of a GGUF file",
        ),
        (
            Engine::Custom,
            "fp8",
            "engine Custom does not take quantization \"fp8\": leave it out,",
        ),
    ] {
        let refusal = translated(engine, word).expect_err(word);
        assert!(refusal.starts_with(message), "{refusal}");
    }
}

#[test]
fn another_vllm_is_asked_for_what_is_written() {
    for (word, expected) in [
        (None, &[][..]),
        (Some("none"), &[]),
        (Some("bitsandbytes"), &["--quantization", "bitsandbytes"]),
        (Some("bitsandbytes-nf4"), &["--quantization", "bitsandbytes"]),
        (Some("of-tomorrow"), &["--quantization", "of-tomorrow"]),
    ] {
        assert_eq!(other_vllm(word), expected, "{word:?}");
    }
}

#[test]
fn another_sglang_or_lorax_is_asked_for_what_is_not_known_here() {
    for (word, sglang, lorax) in [
        ("none", &[][..], &[][..]),
        ("awq", &["--quantization", "awq"], &["--quantize", "awq"]),
        (
            "of-tomorrow",
            &["--quantization", "of-tomorrow"],
            &["--quantize", "of-tomorrow"],
        ),
        (
            "bitsandbytes-int8",
            &["--quantization", "bitsandbytes-int8"],
            &["--quantize", "bitsandbytes"],
        ),
    ] {
        assert_eq!(other_sglang(Some(word)).expect(word), sglang, "{word}");
        assert_eq!(other_lorax(Some(word)).expect(word), lorax, "{word}");
    }
    for refused in [other_sglang(Some("bitsandbytes")), other_lorax(Some("bitsandbytes"))] {
        assert_eq!(refused, Err(QuantizationError::Ambiguous));
    }
}

#[test]
fn exl2_is_refused_on_several_devices() {
    let refusal = lorax(Some("exl2"), 2).expect_err("a refusal");
    assert_eq!(refusal, QuantizationError::Exl2OnSeveralDevices { devices: 2 });
    let message = refusal.to_string();
    assert!(
        message.contains("spec.server.resources or resourceProfile"),
        "{message}"
    );
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
