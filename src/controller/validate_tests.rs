use serde_json::{Value, json};

use super::*;
use crate::api::Engine;
use crate::controller::server_resources::is_device;

fn settings() -> Settings {
    Settings::new("batch-inference-operator:1")
}

fn job(server: &Value) -> BatchInferenceJob {
    serde_json::from_value(json!({
        "apiVersion": "batchinference.dev/v1alpha1",
        "kind": "BatchInferenceJob",
        "metadata": {"name": "triangles", "namespace": "geometry"},
        "spec": {
            "dataset": {"uri": "s3://my-bucket/rows.jsonl"},
            "server": server,
            "output": {"uri": "s3://my-bucket/triangles/"},
        },
    }))
    .expect("a job")
}

fn resolved(server: &Value) -> Resolved {
    validate(&job(server), &settings()).expect("valid").resolved
}

/// A server of engine Custom with this container.
fn custom(container: &Value) -> Value {
    json!({"engine": "Custom", "baseModel": "tgi", "podTemplate": {"spec": {"containers": [container]}}})
}

fn with(mut server: Value, field: &str, value: Value) -> Value {
    server[field] = value;
    server
}

fn container() -> Value {
    json!({
        "name": "server", "image": "tgi:1", "ports": [{"containerPort": 80}], "readinessProbe": {"tcpSocket": {"port": 80}},
    })
}

#[test]
fn what_an_engine_cannot_do_is_refused_with_field_and_reason() {
    let with_args = with(container(), "args", json!(["--x"]));
    let no_image = with(container(), "image", Value::Null);
    let no_ports = with(container(), "ports", json!([]));
    let no_probe = with(container(), "readinessProbe", json!({"periodSeconds": 1}));
    let token = json!({"name": "hugging-face", "key": "token"});
    for (server, reason, message) in [
        (
            json!({"engine": "LlamaCpp", "baseModel": "/models/model.gguf", "adapters": {}}),
            Reason::AdaptersUnsupported,
            "spec.server.adapters: engine LlamaCpp takes no adapters from source Hub: choose S3, or Local",
        ),
        (
            json!({"baseModel": "qwen3-8b", "adapters": {"named": [{"name": "sql"}]}}),
            Reason::AdaptersUnsupported,
            "spec.server.adapters: the adapter path \"sql\" is no repository: write ORG/NAME",
        ),
        (
            json!({"baseModel": "qwen3-8b", "adapters": {}, "args": ["--lora-modules", "a=b"]}),
            Reason::EngineFieldConflict,
            "spec.server.args or env has --lora-modules: write adapters in spec.server.adapters",
        ),
        (
            json!({"engine": "LoRAX", "baseModel": "llama-3-1-8b", "quantization": "mxfp8"}),
            Reason::QuantizationUnsupported,
            "spec.server.quantization: engine LoRAX does not take quantization \"mxfp8\"",
        ),
        (
            json!({"baseModel": "qwen3-8b", "args": ["--revision", "main"]}),
            Reason::EngineFieldConflict,
            "spec.server.args has \"--revision\": write it in spec.server.revision",
        ),
        (
            json!({"baseModel": "qwen3-8b", "args": ["--port", "1"]}),
            Reason::EngineFieldConflict,
            "spec.server.args has \"--port\": leave it out",
        ),
        (
            json!({"baseModel": "qwen3-8b", "args": ["--tensor-parallel-size", "2"]}),
            Reason::EngineFieldConflict,
            "spec.server.args has \"--tensor-parallel-size\": leave it out: the operator passes the number of devices",
        ),
        (
            json!({"baseModel": "qwen3-8b", "hfTokenSecretRef": token, "env": [{"name": "HF_TOKEN", "value": "x"}]}),
            Reason::EngineFieldConflict,
            "spec.server.env has HF_TOKEN: name the token's Secret",
        ),
        (
            json!({"baseModel": "qwen3-8b", "resources": {"limits": {"amd.com/gpu": 1}}}),
            Reason::SpecInvalid,
            "spec.server.image: the operator's image for engine VLLM, vllm/vllm-openai:v0.32.0, computes on NVIDIA devices",
        ),
        (
            json!({"engine": "Custom", "baseModel": "tgi", "image": "tgi:1"}),
            Reason::SpecInvalid,
            "spec.server.podTemplate: engine Custom needs the port",
        ),
        (
            custom(&no_ports),
            Reason::SpecInvalid,
            "spec.server.podTemplate: engine Custom needs the port",
        ),
        (
            custom(&no_probe),
            Reason::SpecInvalid,
            "spec.server.podTemplate: engine Custom needs to know when a server is ready",
        ),
        (
            custom(&no_image),
            Reason::SpecInvalid,
            "spec.server.image: engine Custom has no image of its own",
        ),
        (
            with(custom(&container()), "imageTag", json!("2")),
            Reason::SpecInvalid,
            "spec.server.imageTag: the container `server` of spec.server.podTemplate names a whole image",
        ),
        (
            with(custom(&with_args), "args", json!(["--y"])),
            Reason::EngineFieldConflict,
            "the container `server` of spec.server.podTemplate has args",
        ),
        (
            with(custom(&container()), "quantization", json!("fp8")),
            Reason::QuantizationUnsupported,
            "spec.server.quantization: engine Custom does not take quantization \"fp8\"",
        ),
    ] {
        assert_refused(&server, reason, message);
    }
}

#[test]
fn what_a_template_or_the_installation_adds_does_not_say_what_a_field_says() {
    let template = |container: Value| json!({"spec": {"containers": [with(container, "name", json!("server"))]}});
    let server = json!({"baseModel": "qwen3-8b"});
    let key = json!([{"name": "VLLM_API_KEY", "value": "x"}]);
    let token = json!([{"name": "HF_TOKEN", "value": "x"}]);
    let secret = json!({"name": "hugging-face", "key": "token"});
    let with_env = with(server.clone(), "podTemplate", template(json!({"env": key})));
    let with_token = with(server.clone(), "podTemplate", template(json!({"env": token})));
    assert!(validate(&job(&with_token), &settings()).is_ok());
    for (server, reason, message) in [
        (
            with(
                server.clone(),
                "podTemplate",
                template(json!({"args": ["--port", "1"]})),
            ),
            Reason::PodTemplateInvalid,
            "spec.server.podTemplate: the container `server` has args, which would replace all",
        ),
        (
            with_env,
            Reason::EngineFieldConflict,
            "the env of the container `server` of spec.server.podTemplate has VLLM_API_KEY: leave it out",
        ),
        (
            with(with_token, "hfTokenSecretRef", secret),
            Reason::EngineFieldConflict,
            "the env of the container `server` of spec.server.podTemplate has HF_TOKEN: name the token's Secret",
        ),
    ] {
        assert_refused(&server, reason, message);
    }
    let command = with(
        server.clone(),
        "podTemplate",
        template(json!({"command": ["vllm", "serve"]})),
    );
    assert!(validate(&job(&command), &settings()).is_ok());

    let mut job = job(&server);
    let resolved = validate(&job, &settings()).expect("valid").resolved;
    let mut settings = settings();
    let env = serde_json::from_value(key).expect("variables");
    let of_engine = EngineSettings {
        env,
        ..EngineSettings::default()
    };
    settings.engines.insert(Engine::VLLM, of_engine);
    let refusal = validate(&job, &settings).expect_err("a key");
    assert_eq!(refusal.reason, Reason::EngineFieldConflict);
    assert!(
        refusal.message.contains("the chart's value engines"),
        "{}",
        refusal.message
    );
    job.status.get_or_insert_default().controller.resolved = Some(resolved);
    assert!(validate(&job, &settings).is_ok(), "a job that was taken up");
}

#[test]
fn a_model_that_no_server_could_run_is_refused_with_field_and_reason() {
    for (server, reason, message) in [
        (
            json!({"engine": "SGLang", "baseModel": "Qwen/Qwen3-8B-GGUF"}),
            Reason::EngineModelMismatch,
            "spec.server.baseModel: engine SGLang does not load the GGUF model",
        ),
        (
            json!({"engine": "SGLang", "baseModel": "tgi"}),
            Reason::ModelNotFound,
            "spec.server.baseModel: baseModel \"tgi\" is not in the catalog",
        ),
        (
            json!({"baseModel": "qwen3_8b"}),
            Reason::ModelNotFound,
            "spec.server.baseModel: baseModel \"qwen3_8b\" is not in the catalog (close names: qwen3-8b, ",
        ),
        (
            json!({"baseModel": "org/a/b"}),
            Reason::SpecInvalid,
            "spec.server.baseModel: baseModel \"org/a/b\" is not a Hugging Face repository",
        ),
        (
            json!({"baseModel": "qwen3-32b"}),
            Reason::ModelTooLarge,
            "spec.server.baseModel: the model qwen3-32b has 32.7 billion parameters, and this operator runs models of up to 16.0 billion",
        ),
        (
            json!({"engine": "LoRAX", "baseModel": "qwen3-8b"}),
            Reason::UnsupportedArchitecture,
            "spec.server.baseModel: engine LoRAX does not load models of the kind qwen3, as qwen3-8b is one",
        ),
        (
            json!({"engine": "LlamaCpp", "baseModel": "qwen2-5-7b"}),
            Reason::EngineModelMismatch,
            "spec.server.baseModel: engine LlamaCpp cannot load \"qwen2-5-7b\"",
        ),
        (
            json!({"baseModel": "/models/qwen", "revision": "main"}),
            Reason::SpecInvalid,
            "spec.server.revision: revision is one of a repository, and baseModel is the path \"/models/qwen\"",
        ),
        (
            json!({"engine": "LlamaCpp", "baseModel": "qwen3-8b", "revision": "main"}),
            Reason::SpecInvalid,
            "spec.server.revision: engine LlamaCpp takes no revision",
        ),
    ] {
        assert_refused(&server, reason, message);
    }
}

fn assert_refused(server: &Value, reason: Reason, message: &str) {
    let refusal = validate(&job(server), &settings()).expect_err(message);
    assert_eq!(refusal.reason, reason, "{server}");
    assert!(refusal.message.starts_with(message), "{}", refusal.message);
}

#[test]
fn hf_token_may_be_in_env_where_no_secret_is_named() {
    let server = json!({"baseModel": "qwen3-8b", "env": [{"name": "HF_TOKEN", "value": "x"}]});
    assert!(validate(&job(&server), &settings()).is_ok());
}

#[test]
fn the_image_is_the_template_s_else_the_job_s_else_the_installation_s() {
    let no_image = custom(&with(container(), "image", Value::Null));
    for (server, image) in [
        (custom(&container()), "tgi:1"),
        (with(no_image.clone(), "image", json!("tgi:2")), "tgi:2"),
        (with(custom(&container()), "image", json!("tgi:2")), "tgi:1"),
        (
            json!({"engine": "LoRAX", "baseModel": "phi-2", "imageTag": "a7394ba"}),
            "ghcr.io/predibase/lorax:a7394ba",
        ),
    ] {
        assert_eq!(resolved(&server).image, image, "{server}");
    }
    let mut settings = settings();
    let engine = EngineSettings {
        image: Some("registry.example/tgi:3".into()),
        ..EngineSettings::default()
    };
    settings.engines.insert(Engine::Custom, engine);
    for (server, image) in [
        (no_image.clone(), "registry.example/tgi:3"),
        (with(no_image, "imageTag", json!("4")), "registry.example/tgi:4"),
    ] {
        let resolved = validate(&job(&server), &settings).expect("valid").resolved;
        assert_eq!(resolved.image, image);
    }
}

#[test]
fn a_device_is_added_where_an_engine_needs_one_and_none_is_named() {
    let gpu = |count: &str| json!({"limits": {"nvidia.com/gpu": count}});
    let amd = json!({"name": "server", "image": "rocm:1", "resources": {"limits": {"amd.com/gpu": 1}}});
    let amd = json!({"spec": {"containers": [amd]}});
    for (server, devices) in [
        (json!({"baseModel": "qwen3-8b"}), json!({"nvidia.com/gpu": "1"})),
        (
            json!({"engine": "LoRAX", "baseModel": "phi-2"}),
            json!({"nvidia.com/gpu": "1"}),
        ),
        (
            json!({"engine": "SGLang", "baseModel": "qwen3-8b"}),
            json!({"nvidia.com/gpu": "1"}),
        ),
        (json!({"engine": "LlamaCpp", "baseModel": "/m.gguf"}), json!({})),
        (custom(&container()), json!({})),
        (
            custom(&with(container(), "resources", gpu("2"))),
            json!({"nvidia.com/gpu": "2"}),
        ),
        (
            json!({"baseModel": "qwen3-8b", "resources": gpu("4")}),
            json!({"nvidia.com/gpu": "4"}),
        ),
        (
            json!({"baseModel": "qwen3-8b", "resources": gpu("0")}),
            json!({"nvidia.com/gpu": "0"}),
        ),
        (
            json!({"baseModel": "qwen3-8b", "podTemplate": amd}),
            json!({"amd.com/gpu": "1"}),
        ),
    ] {
        let mut limits = resolved(&server).resources.limits;
        limits.retain(|name, _| is_device(name));
        assert_eq!(serde_json::to_value(limits).expect("serialises"), devices, "{server}");
    }
}

fn with_profile(profile: &Value) -> Settings {
    let mut settings = settings();
    let profile = serde_json::from_value(profile.clone()).expect("a profile");
    settings.resource_profiles.insert("l4".into(), profile);
    settings
}

#[test]
fn a_profile_s_image_is_its_engine_s_in_place_of_the_installation_s() {
    let settings = with_profile(&json!({"image": {"VLLM": "registry.example/vllm-rocm:1"}}));
    let server = json!({"baseModel": "qwen3-8b", "resourceProfile": "l4"});
    for (server, image) in [
        (server.clone(), "registry.example/vllm-rocm:1"),
        (
            with(server.clone(), "imageTag", json!("2")),
            "registry.example/vllm-rocm:2",
        ),
        (with(server.clone(), "image", json!("mine:3")), "mine:3"),
        (
            with(with(server, "engine", json!("SGLang")), "imageTag", json!("4")),
            "lmsysorg/sglang:4",
        ),
    ] {
        let resolved = validate(&job(&server), &settings).expect("valid").resolved;
        assert_eq!(resolved.image, image, "{server}");
    }
}

#[test]
fn a_profile_that_is_not_there_is_refused() {
    let server = json!({"baseModel": "qwen3-8b", "resourceProfile": "h100:2"});
    let refusal = validate(&job(&server), &with_profile(&json!({}))).expect_err("no such profile");
    assert_eq!(refusal.reason, Reason::ResourceProfileUnknown);
    assert!(refusal.message.ends_with("there are l4"), "{}", refusal.message);
}

#[test]
fn a_job_that_was_taken_up_keeps_what_its_profile_said() {
    let profile = json!({
        "resources": {"limits": {"nvidia.com/gpu": 2}},
        "nodeSelector": {"gpu": "l4"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "runtimeClassName": "nvidia",
    });
    let mut job = job(&json!({"engine": "LoRAX", "baseModel": "phi-2", "resourceProfile": "l4"}));
    let first = validate(&job, &with_profile(&profile)).expect("valid");
    let kept = first.resolved.resource_profile.clone().expect("a profile");
    assert_eq!(
        (kept.name.as_str(), kept.runtime_class_name.as_deref()),
        ("l4", Some("nvidia"))
    );
    assert_eq!((kept.node_selector["gpu"].as_str(), kept.tolerations.len()), ("l4", 1));
    job.status.get_or_insert_default().controller.resolved = Some(first.resolved.clone());
    for settings in [
        settings(),
        with_profile(&json!({"resources": {"limits": {"nvidia.com/gpu": 8}}})),
    ] {
        let later = validate(&job, &settings).expect("valid");
        let launch = |job: &ValidatedJob| job.servers.as_ref().expect("servers").launch.clone();
        assert_eq!(launch(&later), launch(&first));
        assert_eq!(later.resolved, first.resolved);
    }
}

#[test]
fn arguments_follow_from_the_devices_of_one_server() {
    let gpu = |count: &str| json!({"limits": {"nvidia.com/gpu": count}, "requests": {"nvidia.com/gpu": count}});
    let claim = json!({"spec": {"containers": [{"name": "server", "resources": {"claims": [{"name": "gpu"}]}}]}});
    for (server, arguments) in [
        (
            json!({"engine": "LoRAX", "baseModel": "phi-2"}),
            &["--num-shard", "1"][..],
        ),
        (
            json!({"engine": "LoRAX", "baseModel": "phi-2", "resources": gpu("2")}),
            &["--num-shard", "2"],
        ),
        (
            json!({"engine": "LlamaCpp", "baseModel": "/m.gguf", "resources": gpu("1")}),
            &["--n-gpu-layers", "all"],
        ),
        (
            json!({"engine": "LlamaCpp", "baseModel": "/m.gguf", "podTemplate": claim}),
            &["--n-gpu-layers", "all"],
        ),
        (
            json!({"baseModel": "qwen3-8b", "resources": gpu("4")}),
            &["--tensor-parallel-size", "4"],
        ),
        (
            json!({"engine": "SGLang", "baseModel": "qwen3-8b", "resources": gpu("2")}),
            &["--tp-size", "2"],
        ),
    ] {
        let args = resolved(&server).args;
        assert!(args.windows(2).any(|pair| pair == arguments), "{args:?}");
    }
    let args = resolved(&json!({"engine": "LlamaCpp", "baseModel": "/m.gguf"})).args;
    assert!(!args.iter().any(|arg| arg == "--n-gpu-layers"), "{args:?}");
}

#[test]
fn only_an_image_of_this_or_a_later_version_is_given_what_came_late() {
    let with_image = |engine: &str, image: &str| {
        let mut settings = settings();
        let image = Some(image.to_owned());
        let engine = serde_json::from_value(json!(engine)).expect("an engine");
        let of_engine = EngineSettings {
            image,
            ..EngineSettings::default()
        };
        settings.engines.insert(engine, of_engine);
        settings
    };
    let vllm = json!({"baseModel": "qwen3-8b"});
    let llama = json!({"engine": "LlamaCpp", "baseModel": "/m.gguf", "resources": {"limits": {"nvidia.com/gpu": 1}}});
    let profile = with_profile(&json!({"image": {"VLLM": "registry.example/vllm:v0.11.0"}}));
    for (server, settings, late, is_late) in [
        (vllm.clone(), settings(), "--max-model-len", true),
        (
            with(vllm.clone(), "imageTag", json!("v0.33.0")),
            settings(),
            "--max-model-len",
            true,
        ),
        (
            with(vllm.clone(), "imageTag", json!("v0.11.0")),
            settings(),
            "--max-model-len",
            false,
        ),
        (
            with(vllm.clone(), "image", json!("own/vllm:mine")),
            settings(),
            "--max-model-len",
            false,
        ),
        (
            with(vllm.clone(), "resourceProfile", json!("l4")),
            profile,
            "--max-model-len",
            false,
        ),
        (
            vllm,
            with_image("VLLM", "registry.example/vllm:v0.11.0"),
            "--max-model-len",
            false,
        ),
        (llama.clone(), settings(), "--n-gpu-layers", true),
        (
            with(llama, "imageTag", json!("server-cuda-b4000")),
            settings(),
            "--n-gpu-layers",
            false,
        ),
    ] {
        let validated = validate(&job(&server), &settings).expect("valid");
        let args = &validated.resolved.args;
        assert_eq!(args.iter().any(|arg| arg == late), is_late, "{server} {args:?}");
        let run_as = validated.servers.expect("servers").launch.run_as;
        assert_eq!(
            run_as.is_some(),
            is_late || validated.resolved.engine == Engine::LlamaCpp,
            "{server}"
        );
    }
}

#[test]
fn a_vllm_of_another_version_may_take_words_that_the_operator_s_does_not() {
    let server = json!({"baseModel": "qwen3-8b", "quantization": "bitsandbytes"});
    assert_refused(
        &server,
        Reason::QuantizationUnsupported,
        "spec.server.quantization: engine VLLM",
    );
    for tag in ["v0.8.5", "v0.40.0", "nightly"] {
        let args = resolved(&with(server.clone(), "imageTag", json!(tag))).args;
        let expected = ["--quantization", "bitsandbytes"];
        assert!(args.windows(2).any(|pair| pair == expected), "{tag} {args:?}");
    }
}

#[test]
fn an_image_of_the_job_s_own_may_load_what_the_operator_s_does_not() {
    let server = json!({"engine": "LoRAX", "baseModel": "qwen3-8b", "image": "own/lorax:next"});
    assert!(validate(&job(&server), &settings()).is_ok());
}

#[test]
fn the_installation_adds_models_and_says_how_large_one_may_be() {
    let mut settings = settings();
    let entries = json!({"our-model": {"repository": "org/our-model", "parameters": 40_000_000_000_u64}});
    let entries = serde_json::from_value(entries).expect("entries");
    let catalog = settings.models.catalog.clone().with(entries);
    settings.models.catalog = catalog.expect("a catalog");
    let server = json!({"baseModel": "our-model"});
    let refusal = validate(&job(&server), &settings).expect_err("too large");
    assert_eq!(refusal.reason, Reason::ModelTooLarge);
    settings.models.max_parameters = 40_000_000_000;
    let validated = validate(&job(&server), &settings).expect("valid");
    assert_eq!(
        (validated.resolved.model.as_str(), validated.max_parameters),
        ("org/our-model", 40_000_000_000)
    );
}

#[test]
fn a_job_that_was_taken_up_keeps_its_model_whatever_the_installation_says_since() {
    let entry = |more: Value| {
        let mut entry = json!({"repository": "org/our-model", "parameters": 7_000_000_000_u64});
        entry
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().cloned().unwrap_or_default());
        let entries = serde_json::from_value(json!({"our-model": entry})).expect("entries");
        let mut settings = settings();
        settings.models.catalog = settings.models.catalog.with(entries).expect("a catalog");
        settings
    };
    let mut job = job(&json!({"engine": "LoRAX", "baseModel": "our-model"}));
    let first = validate(&job, &entry(json!({}))).expect("valid");
    job.status.get_or_insert_default().controller.resolved = Some(first.resolved.clone());
    let without_name = settings();
    let mut with_less = entry(json!({}));
    with_less.models.max_parameters = 1_000_000_000;
    let of_another_kind = entry(json!({"architecture": "qwen3"}));
    let elsewhere = entry(json!({"repository": "org/another"}));
    for settings in [without_name, with_less, of_another_kind, elsewhere] {
        let later = validate(&job, &settings).expect("valid");
        assert_eq!(later.resolved, first.resolved);
    }
}

#[test]
fn servers_are_told_the_commit_once_the_feeder_has_said_it() {
    let mut job = job(&json!({"baseModel": "qwen3-8b", "revision": "main"}));
    let revision = |job: &BatchInferenceJob| {
        let resolved = validate(job, &settings()).expect("valid").resolved;
        let at = resolved
            .args
            .iter()
            .position(|arg| arg == "--revision")
            .expect("the option");
        assert_eq!(Some(&resolved.args[at + 1]), resolved.revision.as_ref());
        (resolved.revision.clone().expect("a revision"), resolved)
    };
    let (given, resolved) = revision(&job);
    assert_eq!(given, "main");
    let status = job.status.get_or_insert_default();
    status.controller.resolved = Some(resolved);
    status.reported.model = serde_json::from_value(json!({"revision": "b968826"})).ok();
    assert_eq!(revision(&job).0, "b968826");
}
