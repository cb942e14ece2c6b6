use super::*;

/// A named case: what a job says of its servers.
struct Case {
    engine: Engine,
    model: &'static str,
    served_model_names: &'static [&'static str],
    quantization: Option<&'static str>,
    args: &'static [&'static str],
}

impl Case {
    fn new(engine: Engine, model: &'static str) -> Self {
        Self {
            engine,
            model,
            served_model_names: &[],
            quantization: None,
            args: &[],
        }
    }

    fn launch(&self) -> Result<Launch, LaunchError> {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        let model: BaseModel = self.model.parse().expect("a model");
        let names = AcceptedNames::new(&model, &owned(self.served_model_names)).expect("names");
        launch(
            self.engine,
            &LaunchInput {
                model: &model,
                names: &names,
                quantization: self.quantization,
                extra_args: &owned(self.args),
            },
        )
    }
}

#[test]
fn vllm_with_a_catalog_name() {
    insta::assert_yaml_snapshot!(Case::new(Engine::VLLM, "qwen3-8b").launch().expect("a launch"));
}

#[test]
fn vllm_with_everything() {
    let case = Case {
        served_model_names: &["gpt-4o-mini", "my-model"],
        quantization: Some("fp8"),
        args: &["--tensor-parallel-size", "2"],
        ..Case::new(Engine::VLLM, "meta-llama/Llama-3.1-8B-Instruct")
    };
    insta::assert_yaml_snapshot!(case.launch().expect("a launch"));
}

#[test]
fn vllm_with_a_path() {
    insta::assert_yaml_snapshot!(Case::new(Engine::VLLM, "/models/qwen").launch().expect("a launch"));
}

#[test]
fn llama_cpp_with_a_file() {
    insta::assert_yaml_snapshot!(
        Case::new(Engine::LlamaCpp, "/models/model.gguf")
            .launch()
            .expect("a launch")
    );
}

#[test]
fn llama_cpp_with_everything() {
    let case = Case {
        served_model_names: &["gpt-4o-mini"],
        quantization: Some("Q8_0"),
        args: &["-c", "8192"],
        ..Case::new(Engine::LlamaCpp, "Qwen/Qwen3-8B-GGUF")
    };
    insta::assert_yaml_snapshot!(case.launch().expect("a launch"));
}

#[test]
fn llama_cpp_chooses_the_file_of_a_repository_when_no_quantization_is_said() {
    let launch = Case::new(Engine::LlamaCpp, "Qwen/Qwen3-8B-GGUF")
        .launch()
        .expect("a launch");
    assert_eq!(launch.args[..2], ["-hf", "Qwen/Qwen3-8B-GGUF"]);
}

#[test]
fn a_gguf_model_is_refused_for_vllm() {
    for model in ["Qwen/Qwen3-8B-GGUF", "/models/model.gguf"] {
        let error = Case::new(Engine::VLLM, model).launch().expect_err("a refusal");
        assert_eq!(error, LaunchError::GgufOnVllm { model: model.into() });
    }
}

#[test]
fn a_catalog_name_is_refused_for_llama_cpp() {
    let error = Case::new(Engine::LlamaCpp, "qwen3-8b").launch().expect_err("a refusal");
    assert_eq!(
        error.to_string(),
        "engine LlamaCpp cannot load \"qwen3-8b\": it stands for Qwen/Qwen3-8B, which has no GGUF files; write a repository \
         that has (often ORG/NAME-GGUF), the path of a .gguf file, or choose engine VLLM"
    );
}

#[test]
fn a_quantization_that_the_engine_does_not_take_is_refused() {
    let case = Case {
        quantization: Some("bitsandbytes-nf4"),
        ..Case::new(Engine::VLLM, "qwen3-8b")
    };
    assert!(matches!(case.launch(), Err(LaunchError::Quantization(_))));
}
