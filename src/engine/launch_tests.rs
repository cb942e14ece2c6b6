use super::*;
use crate::engine::vocabulary::GGUF;
use crate::engine::{Catalog, quantization};

/// What servers of an engine run from when a job names no image.
fn default_image(engine: Engine) -> String {
    let image = engine.default_image();
    image.map(|image| image.to_string()).unwrap_or_default()
}

/// A named case: what a job says of its servers.
struct Case {
    engine: Engine,
    model: &'static str,
    served_model_names: &'static [&'static str],
    quantization: Option<&'static str>,
    revision: Option<&'static str>,
    has_model_cache: bool,
    adapters: Option<AdaptersSpec>,
    devices: Devices,
    version: Version,
    args: &'static [&'static str],
    env: &'static [&'static str],
    container: GivenContainer,
}

impl Case {
    fn new(engine: Engine, model: &'static str) -> Self {
        Self {
            engine,
            model,
            served_model_names: &[],
            quantization: None,
            revision: None,
            has_model_cache: false,
            adapters: None,
            devices: Devices::Counted(u32::from(matches!(
                engine,
                Engine::VLLM | Engine::LoRAX | Engine::SGLang
            ))),
            version: Version::of(engine, &default_image(engine)),
            args: &[],
            env: &[],
            container: GivenContainer::default(),
        }
    }

    fn launch(&self) -> Result<Launch, LaunchError> {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        let model = BaseModel::read(Catalog::built_in(), self.engine, self.model).expect("a model");
        let names = AcceptedNames::new(&model, &owned(self.served_model_names)).expect("names");
        launch(&LaunchInput {
            engine: self.engine,
            model: &model,
            names: &names,
            quantization: self.quantization,
            revision: self.revision,
            has_model_cache: self.has_model_cache,
            adapters: self.adapters.as_ref(),
            devices: self.devices,
            version: self.version,
            extra_args: &owned(self.args),
            env: self.env,
            container: self.container,
        })
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
        devices: Devices::Counted(2),
        args: &["--max-num-seqs", "64"],
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
fn llama_cpp_with_a_device_has_all_layers_on_it() {
    for (devices, expected) in [
        (Devices::Counted(0), None),
        (Devices::Counted(1), Some("all")),
        (Devices::Counted(2), Some("all")),
        (Devices::Claimed, Some("all")),
    ] {
        let case = Case {
            devices,
            ..Case::new(Engine::LlamaCpp, "/models/model.gguf")
        };
        assert_eq!(
            value_of(&case.launch().expect("a launch").args, "--n-gpu-layers"),
            expected
        );
    }
}

fn value_of<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    let at = args.iter().position(|arg| arg == name)?;
    args.get(at + 1).map(String::as_str)
}

#[test]
fn lorax_with_a_catalog_name() {
    insta::assert_yaml_snapshot!(
        Case::new(Engine::LoRAX, "llama-3-1-8b-instruct")
            .launch()
            .expect("a launch")
    );
}

#[test]
fn lorax_with_everything() {
    let case = Case {
        served_model_names: &["gpt-4o-mini"],
        quantization: Some("bitsandbytes-nf4"),
        devices: Devices::Counted(2),
        args: &["--max-total-tokens", "8192"],
        ..Case::new(Engine::LoRAX, "meta-llama/Llama-3.1-8B-Instruct")
    };
    insta::assert_yaml_snapshot!(case.launch().expect("a launch"));
}

/// LoRAX refuses an option that is given twice; the others leave one device unsaid.
#[test]
fn a_model_is_spread_over_all_devices_of_a_server_unless_a_person_says_how() {
    const TWO: Devices = Devices::Counted(2);
    for (engine, devices, args, option, value) in [
        (Engine::LoRAX, TWO, &[][..], "--num-shard", Some("2")),
        (Engine::LoRAX, Devices::Counted(1), &[], "--num-shard", Some("1")),
        (Engine::LoRAX, Devices::Counted(0), &[], "--num-shard", None),
        (Engine::LoRAX, Devices::Claimed, &[], "--num-shard", None),
        (Engine::LoRAX, TWO, &["--num-shard", "1"], "--num-shard", Some("1")),
        (Engine::LoRAX, TWO, &["--num-shard=1"], "--num-shard", None),
        (Engine::LoRAX, TWO, &["--sharded", "false"], "--num-shard", None),
        (Engine::VLLM, TWO, &[], "--tensor-parallel-size", Some("2")),
        (Engine::VLLM, Devices::Counted(1), &[], "--tensor-parallel-size", None),
        (Engine::VLLM, Devices::Claimed, &[], "--tensor-parallel-size", None),
        (Engine::VLLM, TWO, &["-tp", "2"], "--tensor-parallel-size", None),
        (Engine::VLLM, TWO, &["-pp", "2"], "--tensor-parallel-size", None),
        (Engine::SGLang, TWO, &[], "--tp-size", Some("2")),
        (Engine::SGLang, Devices::Counted(1), &[], "--tp-size", None),
        (Engine::SGLang, TWO, &["--dp-size", "2"], "--tp-size", None),
    ] {
        let case = Case {
            devices,
            args,
            ..Case::new(engine, "org/model")
        };
        let launch = case.launch().expect("a launch");
        assert_eq!(value_of(&launch.args, option), value, "{engine} {:?}", launch.args);
    }
}

#[test]
fn shared_memory_grows_with_the_devices() {
    for (engine, devices, expected) in [
        (Engine::VLLM, Devices::Counted(1), 2048),
        (Engine::VLLM, Devices::Counted(4), 8192),
        (Engine::VLLM, Devices::Claimed, 2048),
        (Engine::LoRAX, Devices::Counted(2), 2048),
        (Engine::SGLang, Devices::Counted(2), 32 * 1024),
    ] {
        let case = Case {
            devices,
            ..Case::new(engine, "org/model")
        };
        let launch = case.launch().expect("a launch");
        let size = launch
            .writable_paths
            .iter()
            .find_map(|writable| match writable.purpose {
                Purpose::SharedMemory { size_mebibytes } => Some(size_mebibytes),
                Purpose::WeightsCache | Purpose::Temporary => None,
            });
        assert_eq!(size, Some(expected), "{engine} with {devices:?}");
    }
}

/// A case whose servers run from this image, and have a device.
fn with_image(engine: Engine, model: &'static str, image: &str) -> Case {
    Case {
        devices: Devices::Counted(1),
        version: Version::of(engine, image),
        ..Case::new(engine, model)
    }
}

#[test]
fn an_image_is_given_the_options_that_its_release_has() {
    const LENGTH: &str = "--max-model-len";
    const QUIET: &str = "--disable-access-log-for-endpoints";
    const LAYERS: &str = "--n-gpu-layers";
    for (engine, model, image, given) in [
        (Engine::VLLM, "org/model", "vllm-openai:v0.32.0", &[LENGTH, QUIET][..]),
        (Engine::VLLM, "org/model", "vllm-openai:v0.33.0", &[LENGTH, QUIET]),
        (Engine::VLLM, "org/model", "vllm-openai:v0.16.0", &[LENGTH, QUIET]),
        (Engine::VLLM, "org/model", "vllm-openai:v0.16.0rc1", &[LENGTH]),
        (Engine::VLLM, "org/model", "vllm-openai:v0.15.1", &[LENGTH]),
        (Engine::VLLM, "org/model", "vllm-openai:v0.14.0", &[LENGTH]),
        (Engine::VLLM, "org/model", "vllm-openai:v0.13.0", &[]),
        (Engine::VLLM, "org/model", "vllm-openai:nightly", &[]),
        (Engine::LlamaCpp, "/m.gguf", "llama.cpp:server-cuda-b11382", &[LAYERS]),
        (Engine::LlamaCpp, "/m.gguf", "llama.cpp:server-cuda-b8672", &[LAYERS]),
        (Engine::LlamaCpp, "/m.gguf", "llama.cpp:server-cuda-b4000", &[]),
        (Engine::LlamaCpp, "/m.gguf", "llama.cpp:server-cuda", &[]),
    ] {
        let args = with_image(engine, model, image).launch().expect("a launch").args;
        let late = [LENGTH, QUIET, LAYERS].into_iter();
        let told: Vec<_> = late.filter(|late| args.iter().any(|arg| arg == late)).collect();
        assert_eq!(told, given, "{image}");
    }
}

#[test]
fn llama_server_is_not_told_how_many_layers_where_a_variable_says_so() {
    for (env, is_told) in [(&[][..], true), (&["LLAMA_ARG_N_GPU_LAYERS"], false)] {
        let case = Case {
            devices: Devices::Counted(1),
            env,
            ..Case::new(Engine::LlamaCpp, "/models/model.gguf")
        };
        let args = case.launch().expect("a launch").args;
        assert_eq!(args.iter().any(|arg| arg == "--n-gpu-layers"), is_told, "{env:?}");
    }
}

#[test]
fn an_image_runs_as_the_user_that_its_release_knows() {
    for (image, is_known) in [
        ("vllm-openai:v0.32.0", true),
        ("vllm-openai:v0.22.0", true),
        ("vllm-openai:v0.21.0", false),
        ("vllm-openai:nightly", false),
    ] {
        let launch = with_image(Engine::VLLM, "org/model", image).launch().expect("a launch");
        assert_eq!(launch.run_as.is_some(), is_known, "{image}");
    }
}

#[test]
fn only_vllm_of_the_operator_s_own_version_is_certain_not_to_take_a_quantization() {
    for (image, is_refused) in [
        ("registry.example/vllm-openai:v0.32.0", true),
        ("vllm-openai:v0.31.0", false),
        ("vllm-openai:v0.33.0", false),
        ("own/vllm:v0.32.0", false),
    ] {
        let case = Case {
            quantization: Some("bitsandbytes-nf4"),
            ..with_image(Engine::VLLM, "org/model", image)
        };
        assert_eq!(case.launch().is_err(), is_refused, "{image}");
    }
}

#[test]
fn sglang_with_a_catalog_name() {
    insta::assert_yaml_snapshot!(Case::new(Engine::SGLang, "qwen3-8b").launch().expect("a launch"));
}

#[test]
fn sglang_with_everything() {
    let case = Case {
        served_model_names: &["gpt-4o-mini"],
        quantization: Some("bitsandbytes-nf4"),
        devices: Devices::Counted(4),
        args: &["--context-length", "8192"],
        ..Case::new(Engine::SGLang, "Qwen/Qwen3-14B")
    };
    insta::assert_yaml_snapshot!(case.launch().expect("a launch"));
}

const TOLD: GivenContainer = GivenContainer {
    port: Some(9000),
    has_readiness_probe: true,
    has_args: false,
};

#[test]
fn custom_with_a_container() {
    let case = Case {
        served_model_names: &["gpt-4o-mini"],
        args: &["--fast"],
        container: TOLD,
        ..Case::new(Engine::Custom, "meta/llama-3.1-8b-instruct")
    };
    insta::assert_yaml_snapshot!(case.launch().expect("a launch"));
}

#[test]
fn custom_without_what_others_have_is_refused() {
    let no_port = GivenContainer { port: None, ..TOLD };
    let no_probe = GivenContainer {
        has_readiness_probe: false,
        ..TOLD
    };
    let args_twice = GivenContainer { has_args: true, ..TOLD };
    for (container, error) in [
        (GivenContainer::default(), LaunchError::CustomWithoutPort),
        (no_port, LaunchError::CustomWithoutPort),
        (no_probe, LaunchError::CustomWithoutReadiness),
        (args_twice, LaunchError::CustomArgsTwice),
    ] {
        let case = Case {
            args: &["--fast"],
            container,
            ..Case::new(Engine::Custom, "tgi")
        };
        assert_eq!(case.launch().expect_err("a refusal"), error);
    }
}

/// A model that each engine loads.
const MODELS: [(Engine, &str); 5] = [
    (Engine::VLLM, "org/model"),
    (Engine::LoRAX, "org/model"),
    (Engine::SGLang, "org/model"),
    (Engine::LlamaCpp, "org/model-GGUF"),
    (Engine::Custom, "model"),
];

fn quantized(engine: Engine, model: &'static str, quantization: Option<&'static str>) -> Case {
    Case {
        quantization,
        container: TOLD,
        ..Case::new(engine, model)
    }
}

/// Each engine with each word of the vocabulary but for types of GGUF files: its arguments, or why it is refused.
#[test]
fn every_engine_with_every_quantization() {
    let mut words: Vec<_> = Engine::ALL
        .iter()
        .flat_map(|engine| quantization::words(*engine))
        .collect();
    words.extend(["bitsandbytes", "Q4_K_M", "unknown"]);
    words.sort_unstable();
    words.dedup();
    assert_eq!(MODELS.map(|(engine, _)| engine), Engine::ALL);
    let mut lines = Vec::new();
    for (engine, model) in MODELS {
        let unset = quantized(engine, model, None).launch().expect("a launch");
        for word in [None].into_iter().chain(words.iter().copied().map(Some)) {
            let told = match quantized(engine, model, word).launch() {
                Ok(launch) => {
                    let args = launch.args.join(" ");
                    let rest = Launch {
                        args: unset.args.clone(),
                        ..launch
                    };
                    assert_eq!(rest, unset, "{word:?} decides more than arguments");
                    args
                }
                // The lists of what is taken would be most of the text.
                Err(error) => format!("refused: {}", error.to_string().split(": ").next().unwrap_or_default()),
            };
            lines.push(format!("{engine} {}: {told}", word.unwrap_or("unset")));
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn an_image_of_another_version_is_asked_for_words_that_are_not_known() {
    for (engine, words) in [
        (Engine::VLLM, ["--quantization", "of-tomorrow"]),
        (Engine::SGLang, ["--quantization", "of-tomorrow"]),
        (Engine::LoRAX, ["--quantize", "of-tomorrow"]),
    ] {
        let own = quantized(engine, "org/model", Some("of-tomorrow"));
        assert!(own.launch().is_err(), "{engine}");
        let other = Case {
            version: Version::of(engine, "own/server:1"),
            ..own
        };
        let args = other.launch().expect("a launch").args;
        assert!(args.windows(2).any(|pair| pair == words), "{engine} {args:?}");
    }
}

#[test]
fn every_type_of_a_gguf_file_is_for_llama_cpp_only() {
    for word in GGUF {
        for (engine, model) in MODELS {
            match quantized(engine, model, Some(*word)).launch() {
                Ok(launch) => {
                    assert_eq!(engine, Engine::LlamaCpp, "{word}");
                    assert_eq!(launch.args[..2], ["-hf".to_owned(), format!("{model}:{word}")]);
                }
                Err(error) => {
                    assert_ne!(engine, Engine::LlamaCpp, "{word}: {error}");
                    assert!(
                        matches!(error, LaunchError::Quantization(_)),
                        "{engine} {word}: {error}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_gguf_model_is_for_llama_cpp_only() {
    const REPOSITORY: &str = "Qwen/Qwen3-8B-GGUF";
    const FILE: &str = "/models/model.gguf";
    for (engine, model) in [
        (Engine::VLLM, REPOSITORY),
        (Engine::VLLM, FILE),
        (Engine::LoRAX, REPOSITORY),
        (Engine::LoRAX, FILE),
        (Engine::SGLang, REPOSITORY),
    ] {
        let error = Case::new(engine, model).launch().expect_err("a refusal");
        let named = model.to_owned();
        assert_eq!(error, LaunchError::Gguf { engine, model: named });
        let other = Case {
            version: Version::of(engine, "own/server:1"),
            ..Case::new(engine, model)
        };
        assert!(other.launch().is_ok(), "another {engine} says itself what it loads");
    }
    assert!(Case::new(Engine::SGLang, FILE).launch().is_ok());
}

#[test]
fn a_catalog_name_is_loaded_by_llama_cpp_from_its_gguf_repository() {
    let file = "Phi-3-mini-4k-instruct-q4.gguf";
    let phi = "microsoft/Phi-3-mini-4k-instruct-gguf";
    for (model, quantization, args) in [
        ("qwen3-8b", None, &["-hf", "Qwen/Qwen3-8B-GGUF"][..]),
        ("qwen3-8b", Some("Q8_0"), &["-hf", "Qwen/Qwen3-8B-GGUF:Q8_0"]),
        ("phi-3-mini-4k-instruct", None, &["-hf", phi, "-hff", file]),
        (
            "phi-3-mini-4k-instruct",
            Some("F16"),
            &["-hf", "microsoft/Phi-3-mini-4k-instruct-gguf:F16"],
        ),
    ] {
        let case = Case {
            quantization,
            ..Case::new(Engine::LlamaCpp, model)
        };
        let launch = case.launch().expect("a launch");
        assert_eq!(launch.args[..args.len()], *args);
        assert_eq!(launch.args[args.len()..args.len() + 2], ["-a", model]);
    }
}

#[test]
fn a_catalog_name_without_gguf_files_is_refused_for_llama_cpp() {
    let error = Case::new(Engine::LlamaCpp, "qwen2-5-7b")
        .launch()
        .expect_err("a refusal");
    assert_eq!(
        error.to_string(),
        "engine LlamaCpp cannot load \"qwen2-5-7b\": it stands for Qwen/Qwen2.5-7B, which has no GGUF files; write a repository \
         that has (often ORG/NAME-GGUF), the path of a .gguf file, or choose engine VLLM"
    );
}

#[test]
fn a_revision_is_the_engine_s_own_option_once() {
    for (engine, model) in [
        (Engine::VLLM, "qwen3-8b"),
        (Engine::LoRAX, "phi-2"),
        (Engine::SGLang, "org/model"),
    ] {
        let case = Case {
            revision: Some("refs/pr/1"),
            ..Case::new(engine, model)
        };
        let args = case.launch().expect("a launch").args;
        assert_eq!(value_of(&args, "--revision"), Some("refs/pr/1"), "{engine}");
        assert_eq!(args.iter().filter(|arg| *arg == REVISION).count(), 1);
    }
}

#[test]
fn a_revision_that_nobody_would_heed_is_refused() {
    let on_engine = |engine| LaunchError::RevisionOnEngine { engine };
    let path = "/models/qwen".to_owned();
    for (engine, model, error) in [
        (Engine::LlamaCpp, "Qwen/Qwen3-8B-GGUF", on_engine(Engine::LlamaCpp)),
        (Engine::LlamaCpp, "/models/model.gguf", on_engine(Engine::LlamaCpp)),
        (Engine::Custom, "tgi", on_engine(Engine::Custom)),
        (Engine::VLLM, "/models/qwen", LaunchError::RevisionOfPath { path }),
    ] {
        let case = Case {
            revision: Some("main"),
            container: TOLD,
            ..Case::new(engine, model)
        };
        assert_eq!(case.launch().expect_err("a refusal"), error);
    }
    let words = on_engine(Engine::LlamaCpp).to_string();
    assert!(
        words.ends_with("put the file of that revision into a volume and write its path in baseModel, or name a spec.server.modelCache"),
        "{words}"
    );
}

#[test]
fn what_brings_the_file_to_a_claim_heeds_the_revision_of_llama_server() {
    let launch = |model: &'static str, has_model_cache: bool, revision: Option<&'static str>| {
        let case = Case {
            revision,
            has_model_cache,
            ..Case::new(Engine::LlamaCpp, model)
        };
        case.launch()
    };
    let model = "Qwen/Qwen3-8B-GGUF";
    assert_eq!(launch(model, true, Some("v1")), launch(model, true, None));
    assert!(launch(model, true, Some("v1")).is_ok());
    let of_path = launch("/models/model.gguf", true, Some("v1")).expect_err("a refusal");
    assert!(matches!(of_path, LaunchError::RevisionOfPath { .. }), "{of_path}");
}

#[test]
fn what_a_server_is_told_of_adapters_is_known_later() {
    let hub = AdaptersSpec::default();
    for engine in [Engine::VLLM, Engine::LoRAX, Engine::SGLang] {
        let without = Case::new(engine, "org/model");
        let with = Case {
            adapters: Some(hub.clone()),
            ..Case::new(engine, "org/model")
        };
        let (without, with) = (without.launch().expect("a launch"), with.launch().expect("a launch"));
        assert_eq!((with.args, with.env), (without.args, without.env), "{engine}");
    }
    let case = Case {
        adapters: Some(hub),
        ..Case::new(Engine::LlamaCpp, "/models/model.gguf")
    };
    assert!(matches!(case.launch(), Err(LaunchError::Adapters(_))));
}

#[test]
fn a_quantization_that_the_engine_does_not_take_is_refused() {
    let case = Case {
        quantization: Some("bitsandbytes-nf4"),
        ..Case::new(Engine::VLLM, "qwen3-8b")
    };
    assert!(matches!(case.launch(), Err(LaunchError::Quantization(_))));
}
