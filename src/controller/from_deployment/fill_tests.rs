use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::{Value, json};

use super::*;
use crate::api::Engine;
use crate::controller::build::servers;
use crate::controller::settings::Settings;
use crate::controller::validate::validate;

fn job(server: Value) -> BatchInferenceJob {
    serde_json::from_value(json!({
        "apiVersion": "batchinference.dev/v1alpha1",
        "kind": "BatchInferenceJob",
        "metadata": {"name": "triangles", "namespace": "geometry"},
        "spec": {"dataset": {"uri": "s3://b/rows.jsonl"}, "server": server, "output": {"uri": "s3://b/out/"}},
    }))
    .expect("a job")
}

/// A LoRAX that runs already.
fn source() -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "lorax"},
        "spec": {"selector": {}, "template": {"spec": {
            "nodeSelector": {"gpu": "a100"},
            "containers": [{
                "name": "lorax",
                "image": "ghcr.io/predibase/lorax:0.11",
                "args": ["--model-id", "org/model", "--revision", "abc", "--quantize", "awq", "--max-input-length", "512"],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}],
                "resources": {"limits": {"nvidia.com/gpu": "2"}},
            }],
        }}},
    }))
    .expect("a Deployment")
}

fn server_of(server: Value) -> ServerSpec {
    let job = job(server);
    let settings = Settings::new("operator:1");
    let filled = filled(&job, Some(&source()), &settings).expect("filled").into_owned();
    filled.spec.server.expect("a server")
}

fn from(mut more: Value) -> Value {
    more["from"] = json!({"deployment": {"name": "lorax"}});
    more
}

/// A Deployment with this one container, on nodes of its own.
fn source_of(container: Value) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "lorax"},
        "spec": {"selector": {}, "template": {"spec": {
            "nodeSelector": {"gpu": "a100"},
            "runtimeClassName": "nvidia",
            "tolerations": [{"key": "spot", "operator": "Exists"}],
            "affinity": {
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["a100"]}]},
                ]}},
                "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]},
            },
            "containers": [container],
        }}},
    }))
    .expect("a Deployment")
}

/// The pod of a server of a job that gives these fields and takes the rest.
fn pod(source: &Deployment, given: Value, settings: &Settings) -> Result<PodSpec, Wait> {
    let filled = filled(&job(from(given)), Some(source), settings)?.into_owned();
    let validated = validate(&filled, settings)?;
    let ours = validated.servers.as_ref().expect("servers");
    let deployment = servers::deployment(&validated, ours, 1, None);
    Ok(deployment.spec.template.spec.expect("a pod"))
}

fn limit<'a>(container: &'a Container, name: &str) -> Option<&'a str> {
    let limits = container.resources.as_ref()?.limits.as_ref()?;
    Some(limits.get(name)?.0.as_str())
}

/// An installation with the profile `l4`.
fn with_profile(profile: Value) -> Settings {
    let mut settings = Settings::new("operator:1");
    let profile = serde_json::from_value(profile).expect("a profile");
    settings.resource_profiles.insert("l4".into(), profile);
    settings
}

#[test]
fn a_profile_s_nodes_devices_and_image_take_the_place_of_the_deployment_s() {
    let source = source_of(json!({
        "name": "vllm", "image": "vllm/vllm-openai:v0.30.0", "args": ["--model", "org/model"],
        "resources": {"limits": {"nvidia.com/gpu": 8, "memory": "500Gi"}, "requests": {"cpu": 64}},
    }));
    let on = |image: Value| {
        with_profile(json!({
            "resources": {"limits": {"amd.com/gpu": 1}, "requests": {"cpu": 3}},
            "nodeSelector": {"node": "mi300"},
            "image": image,
        }))
    };
    let (settings, with_image) = (on(json!({})), on(json!({"VLLM": "registry.example/vllm-rocm:1"})));
    let given = |more: Value| {
        let mut given = json!({"resourceProfile": "l4:2"});
        given
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        given
    };
    for (settings, given, image) in [
        (&settings, given(json!({})), "vllm/vllm-openai:v0.30.0"),
        (
            &settings,
            given(json!({"imageTag": "v0.31.0"})),
            "vllm/vllm-openai:v0.31.0",
        ),
        (&with_image, given(json!({})), "registry.example/vllm-rocm:1"),
        (
            &with_image,
            given(json!({"imageTag": "2"})),
            "registry.example/vllm-rocm:2",
        ),
        (&with_image, given(json!({"image": "own:1"})), "own:1"),
    ] {
        let pod = pod(&source, given.clone(), settings).unwrap_or_else(|wait| panic!("{given}: {wait:?}"));
        let container = &pod.containers[0];
        assert_eq!(container.image.as_deref(), Some(image), "{given}");
        assert_eq!(limit(container, "amd.com/gpu"), Some("2"), "{given}");
        assert_eq!(limit(container, "nvidia.com/gpu"), None, "{given}");
        assert_ne!(limit(container, "memory"), Some("500Gi"), "{given}");
        let requests = container
            .resources
            .as_ref()
            .and_then(|resources| resources.requests.as_ref());
        assert_eq!(requests.expect("requests")["cpu"].0, "6", "{given}");
        assert_eq!(json!(pod.node_selector), json!({"node": "mi300"}), "{given}");
        assert_eq!(pod.runtime_class_name, None, "{given}");
        let affinity = pod.affinity.expect("an affinity");
        assert!(
            affinity.node_affinity.is_none() && affinity.pod_anti_affinity.is_some(),
            "{given}"
        );
        // They keep servers away from no node.
        let mut tolerations = pod.tolerations.iter().flatten();
        assert!(
            tolerations.any(|toleration| toleration.key.as_deref() == Some("spot")),
            "{given}"
        );
    }
    let unknown = pod(&source, json!({"resourceProfile": "h100"}), &settings).expect_err("no profile");
    assert_eq!(unknown.reason, Reason::ResourceProfileUnknown);
    let without = pod(&source, json!({}), &with_image).expect("a pod");
    assert_eq!(json!(without.node_selector), json!({"gpu": "a100"}));
    assert_eq!(limit(&without.containers[0], "nvidia.com/gpu"), Some("8"));
}

#[test]
fn a_driver_s_devices_are_taken_unless_the_job_names_its_own() {
    let mut source = source_of(json!({
        "name": "vllm", "image": "vllm/vllm-openai:v0.30.0", "args": ["--model", "org/model"],
        "resources": {"claims": [{"name": "gpu"}]},
    }));
    let claims = json!([{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]);
    let claims = serde_json::from_value(claims).expect("claims");
    source.spec.template.spec.as_mut().expect("a pod").resource_claims = Some(claims);
    let settings = with_profile(json!({"resources": {"limits": {"nvidia.com/gpu": 1}}}));
    let device = json!({"limits": {"nvidia.com/gpu": 1}});
    for (given, gpus) in [
        (json!({}), None),
        (json!({"resources": {"requests": {"memory": "64Gi"}}}), None),
        (json!({"resources": device}), Some("1")),
        (json!({"resourceProfile": "l4"}), Some("1")),
        (
            json!({"podTemplate": {"spec": {"containers": [{"name": "server", "resources": device}]}}}),
            Some("1"),
        ),
    ] {
        let pod = pod(&source, given.clone(), &settings).unwrap_or_else(|wait| panic!("{given}: {wait:?}"));
        let container = &pod.containers[0];
        let claims = container
            .resources
            .as_ref()
            .and_then(|resources| resources.claims.as_ref());
        assert_eq!(claims.is_none(), gpus.is_some(), "{given}");
        assert_eq!(pod.resource_claims.is_none(), gpus.is_some(), "{given}");
        assert_eq!(limit(container, "nvidia.com/gpu"), gpus, "{given}");
    }
}

fn words(container: &Container) -> String {
    let words = [&container.command, &container.args].into_iter().flatten().flatten();
    words.map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn variables_of(container: &Container) -> Vec<&str> {
    let env = container.env.iter().flatten();
    env.map(|variable| variable.name.as_str()).collect()
}

#[test]
fn how_a_deployment_spreads_its_model_is_not_taken_by_a_job_with_other_devices() {
    let settings = with_profile(json!({"resources": {"limits": {"nvidia.com/gpu": 1}}}));
    let (vllm, lorax) = ("vllm/vllm-openai:v0.30.0", "ghcr.io/predibase/lorax:0.12");
    let one = json!({"resources": {"limits": {"nvidia.com/gpu": 1}}});
    let four = json!({"resources": {"limits": {"nvidia.com/gpu": 4}}});
    let memory = json!({"resources": {"requests": {"memory": "64Gi"}}});
    let profile = json!({"resourceProfile": "l4"});
    let by_template =
        json!({"podTemplate": {"spec": {"containers": [{"name": "server", "resources": one["resources"]}]}}});
    let tensor = "--tensor-parallel-size 2";
    for (image, args, given, option, gpus) in [
        (vllm, &["--model", "m/m", "-tp", "2"][..], json!({}), Some("-tp 2"), "2"),
        (
            vllm,
            &["--model", "m/m", "--tensor-parallel-size=2"],
            one.clone(),
            None,
            "1",
        ),
        (vllm, &["--model", "m/m", "-tp", "2"], memory, None, "1"),
        (vllm, &["--model", "m/m", "-tp", "2"], profile.clone(), None, "1"),
        (
            vllm,
            &["--model", "m/m", "-tp", "2"],
            json!({"resourceProfile": "l4:2"}),
            Some(tensor),
            "2",
        ),
        (vllm, &["--model", "m/m", "-tp", "2"], by_template, None, "1"),
        (
            vllm,
            &["--model", "m/m", "-tp", "1", "-pp", "2"],
            four,
            Some("--tensor-parallel-size 4"),
            "4",
        ),
        (lorax, &["--model-id", "m/m"], one, Some("--num-shard 1"), "1"),
        (
            lorax,
            &["--model-id", "m/m", "--num-shard", "2"],
            profile,
            Some("--num-shard 1"),
            "1",
        ),
    ] {
        let source = source_of(json!({
            "name": "server", "image": image, "args": args,
            "env": [{"name": "NUM_SHARD", "value": "2"}, {"name": "A", "value": "1"}],
            "resources": {"limits": {"nvidia.com/gpu": 2}},
        }));
        let pod = pod(&source, given.clone(), &settings).unwrap_or_else(|wait| panic!("{args:?} {given}: {wait:?}"));
        let container = &pod.containers[0];
        assert_eq!(limit(container, "nvidia.com/gpu"), Some(gpus), "{args:?} {given}");
        let words = words(container);
        let said = ["-tp ", "--tensor-parallel-size", "-pp ", "--num-shard"];
        let count: usize = said.iter().map(|option| words.matches(option).count()).sum();
        assert_eq!(count, usize::from(option.is_some()), "{given}: {words}");
        assert!(words.contains(option.unwrap_or_default()), "{given}: {words}");
        let variables = variables_of(container);
        assert!(variables.contains(&"A"), "{variables:?}");
        assert_eq!(variables.contains(&"NUM_SHARD"), image == vllm, "{variables:?}");
    }
}

/// They come after the operator's, and of an option given twice the last counts.
#[test]
fn a_deployment_s_room_for_adapters_gives_way_to_what_a_job_with_adapters_needs() {
    let settings = Settings::new("operator:1");
    let vllm: &[&str] = &[
        "--model",
        "m/m",
        "--max-loras=1",
        "--max_lora_rank",
        "8",
        "--max-cpu-loras",
        "1",
        "-asc",
        "4",
        "--max-num-seqs",
        "8",
    ];
    let sglang: &[&str] = &[
        "python3",
        "-m",
        "sglang.launch_server",
        "--model-path",
        "m/m",
        "--max-loras-per-batch",
        "1",
        "--max-loaded-loras",
        "1",
        "--max-lora-rank",
        "8",
        "--lora-target-modules",
        "q_proj",
        "k_proj",
        "--max-num-seqs",
        "8",
    ];
    let lorax: &[&str] = &["--model-id", "m/m", "--max-active-adapters", "1", "--max-num-seqs", "8"];
    let limits = ["lora", "-asc", "q_proj", "--max-active-adapters"];
    for (image, args) in [
        ("vllm/vllm-openai:v0.30.0", vllm),
        ("lmsysorg/sglang:v0.5.20", sglang),
        ("ghcr.io/predibase/lorax:0.12", lorax),
    ] {
        let source = source_of(json!({
            "name": "server", "image": image, "args": args, "env": [{"name": "MAX_ACTIVE_ADAPTERS", "value": "1"}],
        }));
        for (given, is_taken) in [(json!({}), true), (json!({"adapters": {"source": "Hub"}}), false)] {
            let pod = pod(&source, given.clone(), &settings).unwrap_or_else(|wait| panic!("{image} {given}: {wait:?}"));
            let words = words(&pod.containers[0]);
            assert_eq!(limits.iter().any(|limit| words.contains(limit)), is_taken, "{words}");
            assert!(words.ends_with("--max-num-seqs 8"), "{words}");
            let has_variable = variables_of(&pod.containers[0]).contains(&"MAX_ACTIVE_ADAPTERS");
            assert_eq!(has_variable, is_taken || !image.contains("lorax"), "{image} {given}");
        }
    }
}

#[test]
fn a_deployment_s_adapters_are_not_taken_by_a_job_that_names_its_own() {
    let settings = Settings::new("operator:1");
    let own = json!({"adapters": {"source": "Hub"}});
    for (image, args, variable) in [
        (
            "vllm/vllm-openai:v0.30.0",
            &[
                "--model",
                "m/m",
                "--lora-modules",
                "a=org/a",
                "b=org/b",
                "--max-num-seqs",
                "8",
            ][..],
            "A",
        ),
        (
            "ghcr.io/predibase/lorax:0.12",
            &["--model-id", "m/m", "--adapter-id", "org/a", "--max-num-seqs", "8"],
            "ADAPTER_ID",
        ),
    ] {
        let source = source_of(json!({
            "name": "server", "image": image, "args": args, "env": [{"name": variable, "value": "org/a"}],
        }));
        for (given, is_taken) in [(json!({}), true), (own.clone(), false)] {
            let pod = pod(&source, given.clone(), &settings).unwrap_or_else(|wait| panic!("{image} {given}: {wait:?}"));
            let container = &pod.containers[0];
            let words = words(container);
            assert_eq!(words.contains("org/a"), is_taken, "{words}");
            assert!(words.ends_with("--max-num-seqs 8"), "{words}");
            let has_variable = variables_of(container).contains(&variable);
            assert_eq!(has_variable, is_taken || variable == "A", "{image} {given}");
        }
    }
}

#[test]
fn how_a_deployment_quantizes_gives_way_to_the_job_s_quantization() {
    let settings = Settings::new("operator:1");
    let (vllm, lorax) = ("vllm/vllm-openai:v0.30.0", "ghcr.io/predibase/lorax:0.12");
    let loads = &["--model", "m/m", "--load-format", "bitsandbytes", "--seed", "1"][..];
    let fp8 = json!({"quantization": "fp8"});
    for (image, args, given, is_taken) in [
        (vllm, loads, json!({}), true),
        (vllm, loads, fp8.clone(), false),
        (vllm, loads, json!({"quantization": "none"}), false),
        (vllm, loads, json!({"baseModel": "other/other"}), false),
        (
            vllm,
            &["--model", "m/m", "--load-format=safetensors", "--seed", "1"],
            fp8.clone(),
            true,
        ),
        (
            lorax,
            &["--model-id", "m/m", "--dtype", "float16", "--seed", "1"],
            fp8,
            false,
        ),
        (
            lorax,
            &["--model-id", "m/m", "--dtype", "float16", "--seed", "1"],
            json!({"quantization": "none"}),
            true,
        ),
    ] {
        let env = json!([{"name": "DTYPE", "value": "float16"}]);
        let source = source_of(json!({"name": "server", "image": image, "args": args, "env": env}));
        let pod = pod(&source, given.clone(), &settings).unwrap_or_else(|wait| panic!("{args:?} {given}: {wait:?}"));
        let container = &pod.containers[0];
        let words = words(container);
        let says = words.contains("--load-format") || words.contains("--dtype");
        assert_eq!(says, is_taken, "{given}: {words}");
        assert!(words.ends_with("--seed 1"), "{given}: {words}");
        let has_variable = variables_of(container).contains(&"DTYPE");
        assert_eq!(has_variable, is_taken || image == vllm, "{args:?} {given}");
    }
    let sglang = source_of(json!({
        "name": "server", "image": "lmsysorg/sglang:v0.5.3", "command": ["python3", "-m", "sglang.launch_server"],
        "args": ["--model-path", "m/m", "--quantization", "bitsandbytes", "--load-format", "bitsandbytes"],
    }));
    for (given, count) in [(json!({}), 1), (json!({"quantization": "fp8"}), 0)] {
        let pod = pod(&sglang, given.clone(), &settings).expect("a pod");
        let words = words(&pod.containers[0]);
        assert_eq!(words.matches("--load-format").count(), count, "{given}: {words}");
    }
}

#[test]
fn a_server_that_another_program_starts_is_started_by_it() {
    let settings = Settings::new("operator:1");
    for (args, begins, variable) in [
        (
            &["tini", "--", "vllm", "serve", "m/m"][..],
            "tini -- vllm serve m/m ",
            None,
        ),
        (
            &["opentelemetry-instrument", "vllm", "serve", "m/m"],
            "opentelemetry-instrument vllm serve m/m ",
            None,
        ),
        (
            &["/usr/bin/env", "B=c", "vllm", "serve", "m/m"],
            "vllm serve m/m ",
            Some("c"),
        ),
    ] {
        let source = source_of(json!({
            "name": "vllm", "image": "vllm/vllm-openai:v0.30.0", "args": args, "env": [{"name": "A", "value": "1"}],
        }));
        let pod = pod(&source, json!({}), &settings).unwrap_or_else(|wait| panic!("{args:?}: {wait:?}"));
        let container = &pod.containers[0];
        assert!(words(container).starts_with(begins), "{args:?}: {}", words(container));
        let mut env = container.env.iter().flatten();
        let value = env.find(|variable| variable.name == "B");
        assert_eq!(
            value.and_then(|variable| variable.value.as_deref()),
            variable,
            "{args:?}"
        );
    }
}

#[test]
fn a_refusal_of_what_a_deployment_says_names_it() {
    let source = source_of(json!({
        "name": "vllm", "image": "vllm/vllm-openai:v0.30.0", "args": ["--model", "m/m", "-tp", "2"],
        "resources": {"limits": {"nvidia.com/gpu": 4}},
    }));
    let refusal = pod(&source, json!({}), &Settings::new("operator:1")).expect_err("a refusal");
    assert_eq!(refusal.reason, Reason::EngineFieldConflict);
    assert!(
        refusal.message.starts_with("spec.server.args has \"-tp\""),
        "{}",
        refusal.message
    );
    assert!(
        refusal
            .message
            .ends_with("is from the deployment \"lorax\" of spec.server.from"),
        "{}",
        refusal.message
    );
}

/// What a ConfigMap says is not known; without it servers would load another model than the Deployment's.
#[test]
fn a_variable_of_a_config_map_that_says_what_a_field_says_is_refused_unless_the_field_is_given() {
    let settings = Settings::new("operator:1");
    for (variable, given) in [
        ("QUANTIZE", json!({"quantization": "eetq"})),
        ("REVISION", json!({"revision": "v1"})),
    ] {
        let from = json!({"configMapKeyRef": {"name": "lorax", "key": "value"}});
        let source = source_of(json!({
            "name": "lorax", "image": "ghcr.io/predibase/lorax:main", "args": ["--model-id", "org/model"],
            "env": [{"name": variable, "valueFrom": from}],
        }));
        let refusal = pod(&source, json!({}), &settings).expect_err(variable);
        assert_eq!(refusal.reason, Reason::EngineFieldConflict);
        assert!(
            refusal
                .message
                .starts_with(&format!("spec.server.env has {variable}: ")),
            "{}",
            refusal.message
        );
        let pod = pod(&source, given, &settings).unwrap_or_else(|wait| panic!("{variable}: {wait:?}"));
        let mut env = pod.containers[0].env.iter().flatten();
        assert!(env.all(|other| other.name != variable), "{variable}");
    }
}

#[test]
fn what_is_not_given_is_taken() {
    let server = server_of(from(json!({})));
    assert_eq!(
        (server.engine, server.base_model.as_str()),
        (Engine::LoRAX, "org/model")
    );
    assert_eq!(server.image.as_deref(), Some("ghcr.io/predibase/lorax:0.11"));
    assert_eq!(server.quantization.as_deref(), Some("awq"));
    assert_eq!(server.args, ["--max-input-length", "512"]);
    let template = server.pod_template.expect("a template").0;
    assert_eq!(template["spec"]["nodeSelector"], json!({"gpu": "a100"}));
}

#[test]
fn what_is_given_goes_before_what_the_deployment_says() {
    let server = server_of(from(json!({
        "baseModel": "other/model",
        "imageTag": "0.12.1",
        "quantization": "fp8",
        "args": ["--max-input-length", "9"],
        "env": [{"name": "B", "value": "2"}],
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "podTemplate": {"spec": {"runtimeClassName": "nvidia"}},
    })));
    assert_eq!((server.base_model.as_str(), server.revision), ("other/model", None));
    assert_eq!(
        (server.image.as_deref(), server.image_tag),
        (Some("ghcr.io/predibase/lorax:0.12.1"), None)
    );
    assert_eq!(server.quantization.as_deref(), Some("fp8"));
    assert_eq!(server.args, ["--max-input-length", "9"]);
    let env: Vec<_> = server
        .env
        .iter()
        .map(|variable| (variable.name.as_str(), variable.value.as_deref()))
        .collect();
    assert_eq!(env, [("A", Some("1")), ("B", Some("2"))]);
    assert_eq!(server.resources.expect("resources").limits["nvidia.com/gpu"].0, "1");
    let template = server.pod_template.expect("a template").0;
    assert_eq!(template["spec"]["nodeSelector"], json!({"gpu": "a100"}));
    assert_eq!(template["spec"]["runtimeClassName"], "nvidia");
}

#[test]
fn where_the_deployment_keeps_models_is_not_taken_by_a_job_with_a_model_cache() {
    let mut source = source();
    let container = &mut source.spec.template.spec.as_mut().expect("a pod").containers[0];
    let more = ["--huggingface-hub-cache", "/data"].map(str::to_owned);
    container.args.get_or_insert_default().extend(more);
    container.env.get_or_insert_default().push(EnvVar {
        name: "HF_HOME".into(),
        value: Some("/data".into()),
        value_from: None,
    });
    let settings = Settings::new("operator:1");
    let cache = json!({"persistentVolumeClaim": {"claimName": "models"}});
    for (server, is_taken) in [(json!({}), true), (json!({"modelCache": cache}), false)] {
        let job = filled(&job(from(server)), Some(&source), &settings)
            .expect("filled")
            .into_owned();
        let server = job.spec.server.as_ref().expect("a server");
        assert_eq!(server.args.contains(&"/data".to_owned()), is_taken);
        assert_eq!(server.env.iter().any(|variable| variable.name == "HF_HOME"), is_taken);
        validate(&job, &settings).expect("a valid job");
    }
}

#[test]
fn a_deployment_that_is_not_there_is_waited_for_and_one_that_cannot_be_read_is_refused() {
    let settings = Settings::new("operator:1");
    let job = job(from(json!({})));
    let wait = filled(&job, None, &settings).expect_err("a wait");
    assert_eq!(wait.reason, Reason::DeploymentMissing);
    assert_eq!(wait.message, "deployment \"lorax\" of spec.server.from not found");
    let mut other = source();
    other.spec.template.spec.as_mut().expect("a pod").containers[0].image = Some("nginx:1".into());
    let refusal = filled(&job, Some(&other), &settings).expect_err("a refusal");
    assert_eq!(refusal.reason, Reason::SpecInvalid);
    assert!(
        refusal
            .message
            .starts_with("spec.server.from: Deployment lorax: container lorax"),
        "{}",
        refusal.message
    );
}

#[test]
fn what_was_taken_stays_though_the_deployment_changes_or_goes() {
    let settings = Settings::new("operator:1");
    let mut job = job(from(json!({})));
    assert!(source_to_read(&job).is_some());
    let taken_up = filled(&job, Some(&source()), &settings).expect("filled").into_owned();
    let resolved = validate(&taken_up, &settings).expect("valid").resolved;
    job.status.get_or_insert_default().controller.resolved = Some(resolved);
    // As the API server gives it back.
    let job: BatchInferenceJob =
        serde_json::from_value(serde_json::to_value(&job).expect("serialises")).expect("a job");
    assert_eq!(source_to_read(&job), None);
    assert_eq!(
        filled(&job, None, &settings).expect("filled").spec.server,
        taken_up.spec.server
    );
}

#[test]
fn a_job_that_takes_nothing_is_as_it_is() {
    let job = job(json!({"baseModel": "qwen3-8b"}));
    assert_eq!(source_to_read(&job), None);
    let settings = Settings::new("operator:1");
    assert_eq!(filled(&job, None, &settings).expect("filled").into_owned(), job);
}
