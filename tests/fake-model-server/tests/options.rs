//! The arguments that it takes and refuses, as the real servers do.

use batch_inference_operator::engine::adapters::{FoundAdapters, options};
use batch_inference_operator::engine::{
    AcceptedNames, BaseModel, Devices, Engine, GivenContainer, Launch, LaunchInput, Version, launch,
};

use crate::fake_model_server::flags::Arity;
use crate::fake_model_server::{Flags, Program, Settings};

fn own_version(engine: Engine) -> Version {
    let image = engine.default_image().expect("an image");
    Version::of(engine, &image.to_string())
}

fn described(engine: Engine, model: &str, quantization: Option<&str>) -> Launch {
    let model: BaseModel = model.parse().expect("a model");
    let names = AcceptedNames::new(&model, &["other-name".to_owned()]).expect("names");
    let input = LaunchInput {
        has_model_cache: false,
        engine,
        model: &model,
        names: &names,
        quantization,
        revision: model
            .repository()
            .filter(|_| engine != Engine::LlamaCpp)
            .map(|_| "main"),
        adapters: None,
        devices: Devices::Counted(1),
        version: own_version(engine),
        extra_args: &[],
        env: &[],
        container: GivenContainer::default(),
    };
    launch(&input).expect("a launch")
}

#[test]
fn every_launch_is_accepted_and_listens_where_it_says() {
    for (engine, program, model, quantization) in [
        (Engine::VLLM, Program::Vllm, "qwen3-8b", Some("fp8")),
        (Engine::VLLM, Program::Vllm, "/models/qwen", None),
        (Engine::LoRAX, Program::Lorax, "llama-3-1-8b", Some("bitsandbytes-int8")),
        (Engine::LoRAX, Program::Lorax, "/models/llama", None),
        (Engine::SGLang, Program::Sglang, "qwen3-8b", Some("bitsandbytes-nf4")),
        (Engine::SGLang, Program::Sglang, "/models/qwen", None),
        (
            Engine::LlamaCpp,
            Program::LlamaServer,
            "Qwen/Qwen3-8B-GGUF",
            Some("Q4_K_M"),
        ),
        (Engine::LlamaCpp, Program::LlamaServer, "/models/model.gguf", None),
    ] {
        let launch = described(engine, model, quantization);
        let settings = Settings::read(&launch.args, |_| None).unwrap_or_else(|refusal| panic!("{}", refusal.message));
        assert_eq!(settings.program, program);
        assert_eq!(settings.address, ([0, 0, 0, 0], launch.port).into());
        assert_eq!(settings.names[0], launch.served_name);
        assert!(settings.metrics);
    }
}

#[test]
fn every_option_for_adapters_is_accepted() {
    let paths = ["/a/x.gguf", "/a/y.gguf"].map(str::to_owned);
    for (engine, model, has_lora, files) in [
        (Engine::VLLM, "qwen3-8b", true, &[][..]),
        (Engine::LoRAX, "llama-3-1-8b", false, &[]),
        (Engine::SGLang, "qwen3-8b", true, &[]),
        (Engine::LlamaCpp, "/models/model.gguf", false, paths.as_slice()),
    ] {
        let found = FoundAdapters {
            version: own_version(engine),
            count: 2,
            max_rank: Some(16),
            paths: paths.to_vec(),
            devices: Devices::Counted(1),
        };
        let args = [described(engine, model, None).args, options(engine, &found)].concat();
        let settings = Settings::read(&args, |_| None).unwrap_or_else(|refusal| panic!("{}", refusal.message));
        assert_eq!((settings.has_lora, settings.lora_files.as_slice()), (has_lora, files));
    }
}

#[test]
fn an_option_that_the_real_server_does_not_have_is_refused_in_its_words() {
    for (args, message, exit_code) in [
        (
            &["org/model", "--ctx-size", "1"][..],
            "vllm serve: error: unrecognized arguments: --ctx-size",
            2,
        ),
        (
            &["org/model", "org/other"],
            "vllm serve: error: unrecognized arguments: org/other",
            2,
        ),
        (
            &["org/model", "--port"],
            "vllm serve: error: argument --port: expected one argument",
            2,
        ),
        (
            &["--model-id", "x", "--max-model-len", "1"],
            "error: unexpected argument '--max-model-len' found",
            2,
        ),
        (
            &["--model-id", "x", "--served_model_name", "1"],
            "error: unexpected argument '--served_model_name' found",
            2,
        ),
        (
            &["--model-id", "x", "--num-shard", "1", "--num-shard=2"],
            "error: the argument '--num-shard' cannot be used multiple times",
            2,
        ),
        (
            &["--model-id"],
            "error: a value is required for '--model-id' but none was supplied",
            2,
        ),
        (
            &["--model-path", "x", "--max-model-len", "1"],
            "sglang serve: error: unrecognized arguments: --max-model-len",
            2,
        ),
        (
            &["--model-path", "x", "--served_model_name=y"],
            "sglang serve: error: unrecognized arguments: --served_model_name=y",
            2,
        ),
        (
            &["-m", "x", "--max-model-len", "1"],
            "error: invalid argument: --max-model-len",
            1,
        ),
        (&["-m", "x", "--port=1"], "error: invalid argument: --port=1", 1),
        (
            &["-m"],
            "error while handling argument \"-m\": expected value for argument",
            1,
        ),
    ] {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let refusal = Settings::read(&args, |_| None).expect_err("a refusal");
        assert_eq!((refusal.message.as_str(), refusal.exit_code), (message, exit_code));
    }
}

#[test]
fn the_options_of_llama_server_are_read_from_its_help() {
    let flags = Flags::llama_server();
    for (name, arity) in [
        ("-m", Arity::One),
        ("--model", Arity::One),
        ("-hf", Arity::One),
        ("--spec-type", Arity::One),
        ("--override-tensor", Arity::One),
        ("--metrics", Arity::None),
        ("--no-webui", Arity::None),
        ("--usage", Arity::None),
        ("-nkvo", Arity::None),
    ] {
        assert_eq!(flags.arity(name), Some(arity), "{name}");
    }
    assert!(flags.names().all(|name| name.starts_with('-') && !name.ends_with(',')));
}
