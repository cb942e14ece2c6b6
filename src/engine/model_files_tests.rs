use super::super::repository_file::Checksum;
use super::*;

fn files(paths: &[&str]) -> Vec<RepositoryFile> {
    let checksum = || Checksum::git_blob(&"0".repeat(40)).expect("a checksum");
    let file = |path: &&str| RepositoryFile::new(path, 10, checksum()).expect("a file");
    paths.iter().map(file).collect()
}

fn selected(engine: Engine, there: &[&str]) -> Vec<String> {
    let selection = select(engine, "org/model", &files(there), &Choice::default()).expect("a selection");
    let mut paths: Vec<_> = selection.files.iter().map(|file| file.path().to_owned()).collect();
    paths.sort();
    paths
}

/// As a repository of Llama 3 has them.
#[test]
fn weights_in_one_format_configuration_and_tokenizer_are_read_and_nothing_else() {
    let there = [
        ".gitattributes",
        "LICENSE",
        "README.md",
        "config.json",
        "generation_config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "onnx/model.onnx_data",
        "original/consolidated.00.pth",
        "original/tokenizer.model",
        "pytorch_model.bin",
        "tf_model.h5",
        "tokenizer.json",
        "training_args.bin",
        "figure.PNG",
    ];
    let want = [
        "LICENSE",
        "config.json",
        "generation_config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
    ];
    for engine in [Engine::VLLM, Engine::SGLang, Engine::LoRAX] {
        assert_eq!(selected(engine, &there), want, "{engine}");
    }
}

#[test]
fn older_formats_are_read_where_there_is_no_newer_one() {
    let pickled = ["config.json", "optimizer.bin", "pytorch_model.bin", "model.pt"];
    assert_eq!(selected(Engine::VLLM, &pickled), ["config.json", "pytorch_model.bin"]);
    assert_eq!(
        selected(Engine::VLLM, &["config.json", "model.pt"]),
        ["config.json", "model.pt"]
    );
}

#[test]
fn weights_that_lorax_would_convert_are_refused() {
    let pickled = files(&["config.json", "pytorch_model.bin"]);
    let refused = select(Engine::LoRAX, "org/model", &pickled, &Choice::default()).expect_err("a refusal");
    assert!(
        refused.to_string().contains("leave spec.server.modelCache out"),
        "{refused}"
    );
}

#[test]
fn a_repository_without_weights_is_refused() {
    for there in [
        &["config.json", "README.md"][..],
        &["config.json", "training_args.bin"],
        &["fp16/model.safetensors"],
    ] {
        let refused = select(Engine::VLLM, "org/model", &files(there), &Choice::default()).expect_err("a refusal");
        assert!(
            matches!(refused, ModelRefusal::NoWeights { .. }),
            "{there:?}: {refused}"
        );
    }
}

#[test]
fn weights_that_a_repository_has_twice_are_read_once_unless_the_engine_may_want_either() {
    let there = [
        "config.json",
        "consolidated.safetensors",
        "model.safetensors",
        "params.json",
    ];
    assert_eq!(selected(Engine::VLLM, &there), there);
    assert_eq!(
        selected(Engine::SGLang, &there),
        ["config.json", "model.safetensors", "params.json"]
    );
    let original = ["consolidated.safetensors", "params.json"];
    assert_eq!(selected(Engine::SGLang, &original), original);
}

#[test]
fn modules_of_sentence_transformers_are_read() {
    let there = [
        "1_Pooling/config.json",
        "2_Dense/model.safetensors",
        "config.json",
        "model.safetensors",
    ];
    assert_eq!(selected(Engine::VLLM, &there), there);
    assert_eq!(
        selected(Engine::VLLM, &["old/model.safetensors", "model.safetensors"]),
        ["model.safetensors"]
    );
}

#[test]
fn llama_server_has_one_model_of_many() {
    let there = files(&["README.md", "m-Q4_K_M.gguf", "m-Q8_0.gguf", "mmproj-F16.gguf"]);
    let choice = Choice {
        with_projector: true,
        ..Choice::default()
    };
    let selection = select(Engine::LlamaCpp, "org/m", &there, &choice).expect("a selection");
    assert_eq!(selection.gguf.as_deref(), Some("m-Q4_K_M.gguf"));
    assert_eq!(selection.projector.as_deref(), Some("mmproj-F16.gguf"));
    assert_eq!((selection.files.len(), selection.bytes()), (2, 20));
}
