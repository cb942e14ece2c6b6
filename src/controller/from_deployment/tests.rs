use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::api::BatchInferenceJob;
use crate::controller::build::servers;
use crate::controller::settings::Settings;
use crate::controller::validate::validate;

/// Where people have their servers from, as the manifests' names begin.
const ORIGINS: [&str; 6] = [
    "plain docs of vLLM",
    "production-stack",
    "KubeAI",
    "LoRAX chart",
    "KServe",
    "llm-d",
];

/// A pod as it was found.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    source: String,
    pod: Value,
    taken: Option<Value>,
    /// The command and arguments of a job's server, where they are not the image's.
    starts: Option<String>,
    /// How the refusal begins, after the Deployment's name.
    refused: Option<String>,
}

fn manifests() -> Vec<Manifest> {
    let documents = serde_yaml::Deserializer::from_str(include_str!("manifests.yaml"));
    let manifests = documents.map(|document| Manifest::deserialize(document).expect("a manifest"));
    manifests.collect()
}

fn deployment_of(pod: &Value) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "found"},
        "spec": {"selector": {}, "template": {"spec": pod}},
    }))
    .expect("a Deployment")
}

fn take_pod(pod: &Value) -> Result<Taken, String> {
    take_for(pod, json!({}))
}

/// What a job takes that gives these fields itself.
fn take_for(pod: &Value, given: Value) -> Result<Taken, String> {
    let given = serde_json::from_value(given).expect("a server");
    take(&deployment_of(pod), &given, Catalog::built_in()).map_err(|error| error.to_string())
}

/// The pod of a server of a job that takes all from a Deployment with this pod.
fn server_pod(pod: &Value) -> PodSpec {
    server_pod_for(pod, json!({}))
}

/// The same of a job that gives these fields itself.
fn server_pod_for(pod: &Value, mut server: Value) -> PodSpec {
    server["from"] = json!({"deployment": {"name": "found"}});
    let job: BatchInferenceJob = serde_json::from_value(json!({
        "apiVersion": "batchinference.dev/v1alpha1",
        "kind": "BatchInferenceJob",
        "metadata": {"name": "triangles", "namespace": "geometry"},
        "spec": {
            "dataset": {"uri": "s3://b/rows.jsonl"},
            "server": server,
            "output": {"uri": "s3://b/out/"},
        },
    }))
    .expect("a job");
    let settings = Settings::new("operator:1");
    let filled = filled(&job, Some(&deployment_of(pod)), &settings).expect("filled");
    let validated = validate(&filled, &settings).expect("valid");
    let ours = validated.servers.as_ref().expect("servers");
    let deployment = servers::deployment(&validated, ours, 1, None);
    deployment.spec.template.spec.expect("a pod")
}

#[test]
fn manifests_are_of_every_origin_and_each_is_another() {
    let manifests = manifests();
    let names: BTreeSet<_> = manifests.iter().map(|manifest| manifest.name.as_str()).collect();
    assert_eq!(names.len(), manifests.len());
    assert!(names.len() >= 12, "{}", names.len());
    for origin in ORIGINS {
        assert!(names.iter().any(|name| name.starts_with(origin)), "{origin}");
    }
}

#[test]
fn what_is_found_in_the_wild_is_taken_or_refused_by_name() {
    let manifests = manifests();
    for Manifest {
        name,
        source,
        pod,
        taken,
        starts: _,
        refused,
    } in manifests
    {
        let found = take_pod(&pod);
        match (taken, refused) {
            (Some(wanted), None) => {
                let found = found.unwrap_or_else(|error| panic!("{name} ({source}): {error}"));
                let found = serde_json::to_value(found).expect("serialises");
                assert_eq!(found, wanted, "{name} ({source})");
            }
            (None, Some(wanted)) => {
                let error = found.expect_err(&name);
                assert!(error.contains(&wanted), "{name} ({source}): {error}");
            }
            _ => panic!("{name} has to be taken or refused"),
        }
    }
}

#[test]
fn what_is_taken_starts_as_a_server_of_a_job() {
    for manifest in manifests().into_iter().filter(|manifest| manifest.taken.is_some()) {
        let Manifest { name, pod, starts, .. } = manifest;
        let server = server_pod(&pod);
        let container = &server.containers[0];
        let words = [&container.command, &container.args].into_iter().flatten().flatten();
        let words: Vec<_> = words.map(String::as_str).collect();
        assert_eq!(Some(words.join(" ")), starts, "{name}");
        let mut paths = Vec::new();
        for mount in container.volume_mounts.iter().flatten() {
            assert!(!paths.contains(&&mount.mount_path), "{name}: {}", mount.mount_path);
            paths.push(&mount.mount_path);
            let mut volumes = server.volumes.iter().flatten();
            assert!(
                volumes.any(|volume| volume.name == mount.name),
                "{name}: {}",
                mount.mount_path
            );
        }
    }
}

/// Volumes are merged by name: KServe calls one `model-cache`, too.
#[test]
fn a_volume_of_a_deployment_is_never_taken_for_one_of_the_operator() {
    let mut manifests = manifests().into_iter();
    let kserve = manifests.find(|manifest| manifest.name == "KServe's LLMInferenceService");
    let pod = kserve.expect("the manifest").pod;
    let cache = json!({"persistentVolumeClaim": {"claimName": "models"}});
    let server = server_pod_for(&pod, json!({"modelCache": cache}));
    let volumes = json!(server.volumes);
    let volumes = volumes.as_array().expect("volumes");
    let ours = "batch-inference-model-cache";
    for volume in [
        json!({"name": "model-cache", "emptyDir": {}}),
        json!({"name": ours, "persistentVolumeClaim": {"claimName": "models", "readOnly": true}}),
    ] {
        assert!(volumes.contains(&volume), "{volumes:?}");
    }
    let mounts = server.containers[0].volume_mounts.iter().flatten();
    let mounted: Vec<_> = mounts
        .filter(|mount| mount.name.ends_with("model-cache"))
        .map(|mount| (mount.name.as_str(), mount.mount_path.as_str()))
        .collect();
    assert_eq!(mounted, [(ours, "/model-cache"), ("model-cache", "/models")]);
    for volume in volumes {
        assert_eq!(volume.as_object().expect("a volume").len(), 2, "of one type: {volume}");
    }
}

/// Each is refused, and is not when the job gives the field that the refusal names.
#[test]
fn what_a_refusal_asks_for_mends_it() {
    let vllm = |more: Value| {
        let mut container = json!({"name": "a", "image": "vllm/vllm-openai:v1", "args": ["--model", "org/model"]});
        for (name, value) in more.as_object().expect("an object") {
            container[name] = value.clone();
        }
        json!({"containers": [container]})
    };
    let by_url =
        json!({"containers": [{"name": "a", "image": "llama.cpp:server", "args": ["-mu", "https://h/m.gguf"]}]});
    let mut filled_first = vllm(json!({
        "args": ["--model", "/mnt/models"], "volumeMounts": [{"name": "m", "mountPath": "/mnt/models"}],
    }));
    filled_first["volumes"] = json!([{"name": "m", "emptyDir": {}}]);
    filled_first["initContainers"] = json!([{"name": "first", "volumeMounts": [{"name": "m", "mountPath": "/m"}]}]);
    let model = json!({"baseModel": "org/other"});
    let token = json!({"hfTokenSecretRef": {"name": "hf", "key": "token"}});
    for (pod, words, field, given) in [
        (
            vllm(json!({"args": ["--max-num-seqs", "8"]})),
            "names no model",
            "spec.server.baseModel",
            &model,
        ),
        (by_url, "\"-mu\"", "spec.server.baseModel", &model),
        (filled_first, "fills the volume m", "spec.server.baseModel", &model),
        (
            vllm(json!({"env": [{"name": "HF_TOKEN", "value": "visible"}]})),
            "in the open",
            "spec.server.hfTokenSecretRef",
            &token,
        ),
        (
            vllm(json!({"args": ["--model", "org/model", "--hf-token=visible"]})),
            "the token in --hf-token in the open",
            "spec.server.hfTokenSecretRef",
            &token,
        ),
        (
            vllm(json!({"command": ["sh", "-c", "export HF_TOKEN=visible; vllm serve org/model"], "args": []})),
            "the token in HF_TOKEN in the open",
            "spec.server.hfTokenSecretRef",
            &token,
        ),
    ] {
        let error = take_pod(&pod).expect_err(words);
        assert!(error.contains(words) && error.contains(field), "{error}");
        assert!(!error.contains("visible"), "{error}");
        let found = take_for(&pod, given.clone()).unwrap_or_else(|error| panic!("{words}: {error}"));
        assert!(found.env.is_empty(), "{words}");
    }
    // A model that the servers would not have either.
    let given = json!({"baseModel": "/mnt/models/other"});
    let pod = json!({
        "initContainers": [{"name": "first", "volumeMounts": [{"name": "m", "mountPath": "/m"}]}],
        "containers": [{
            "name": "a", "image": "vllm/vllm-openai:v1", "args": ["--model", "/mnt/models"],
            "volumeMounts": [{"name": "m", "mountPath": "/mnt/models"}],
        }],
        "volumes": [{"name": "m", "emptyDir": {}}],
    });
    let error = take_for(&pod, given).expect_err("no such files");
    assert!(error.contains("fills the volume m"), "{error}");
}

#[test]
fn what_says_something_of_the_model_is_not_taken_for_another_one() {
    let llama = json!({"containers": [{
        "name": "a", "image": "llama.cpp:server", "args": ["-hf", "org/model-GGUF:Q4_0", "--hf-file", "m.gguf", "-c", "9"],
    }]});
    let vllm = json!({"containers": [{
        "name": "a", "image": "vllm/vllm-openai:v1", "args": ["--model", "org/model", "--revision", "abc", "-q", "awq"],
    }]});
    let qwen = json!({"containers": [{
        "name": "a", "image": "vllm/vllm-openai:v1",
        "args": ["--model", "Qwen/Qwen3-8B", "--revision", "abc", "--quantization", "fp8"],
    }]});
    let qwen_gguf = json!({"containers": [{
        "name": "a", "image": "llama.cpp:server", "args": ["-hf", "Qwen/Qwen3-8B-GGUF:Q4_0"],
    }]});
    let none: &[&str] = &[];
    for (pod, given, revision, quantization, args) in [
        (&vllm, json!({}), Some("abc"), Some("awq"), none),
        (&vllm, json!({"baseModel": "org/model"}), Some("abc"), Some("awq"), none),
        (&vllm, json!({"baseModel": "org/other"}), None, None, none),
        (&qwen, json!({"baseModel": "qwen3-8b"}), Some("abc"), Some("fp8"), none),
        (&qwen, json!({"baseModel": "qwen3-14b"}), None, None, none),
        (&qwen_gguf, json!({"baseModel": "qwen3-8b"}), None, Some("Q4_0"), none),
        (
            &llama,
            json!({}),
            None,
            Some("Q4_0"),
            &["-c", "9", "--hf-file", "m.gguf"],
        ),
        (
            &llama,
            json!({"baseModel": "org/model-GGUF", "quantization": "Q8_0"}),
            None,
            Some("Q4_0"),
            &["-c", "9"],
        ),
        (&llama, json!({"baseModel": "org/other-GGUF"}), None, None, &["-c", "9"]),
    ] {
        let taken = take_for(pod, given.clone()).expect("taken");
        assert_eq!(
            (taken.revision.as_deref(), taken.quantization.as_deref()),
            (revision, quantization),
            "{given}"
        );
        assert_eq!(taken.args, args, "{given}");
    }
}

fn pod_of(containers: Value) -> Value {
    json!({"containers": containers})
}

#[test]
fn a_pod_of_which_no_one_container_is_the_server_is_refused() {
    let vllm = |name: &str| json!({"name": name, "image": "vllm/vllm-openai:v1", "args": ["--model", "org/model"]});
    let other = json!({"name": "other", "image": "nginx:1"});
    for (containers, words) in [
        (
            json!([vllm("a"), vllm("b")]),
            "containers a and b are both model servers",
        ),
        (json!([other, other]), "none of its containers is a model server"),
        (
            json!([other]),
            "container other: it starts \"\" from the image \"nginx:1\"",
        ),
        (
            json!([{"name": "a", "image": "vllm/vllm-openai:v1", "args": ["--max-num-seqs", "8"]}, other]),
            "container a: its command names no model",
        ),
    ] {
        let error = take_pod(&pod_of(containers)).expect_err(words);
        assert!(error.starts_with("Deployment found: "), "{error}");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_token_of_a_secret_may_be_an_argument() {
    for (image, option) in [("vllm/vllm-openai:v1", "--hf-token"), ("llama.cpp:server", "-hft")] {
        let container = json!({
            "name": "a", "image": image, "args": ["--model", "org/model", option, "$(HF_TOKEN)"],
            "env": [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}],
        });
        let taken = take_pod(&pod_of(json!([container]))).unwrap_or_else(|error| panic!("{image}: {error}"));
        let secret = taken.hf_token_secret_ref.expect("a Secret");
        assert_eq!((secret.name.as_str(), secret.key.as_str()), ("hf", "token"), "{image}");
    }
}

#[test]
fn a_variable_that_the_shell_sets_takes_the_place_of_the_container_s() {
    let container = json!({
        "name": "a", "image": "vllm/vllm-openai:v1",
        "command": ["sh", "-c", "export VLLM_LOGGING_LEVEL=DEBUG && exec vllm serve org/model"],
        "env": [{"name": "VLLM_LOGGING_LEVEL", "value": "INFO"}, {"name": "A", "value": "b"}],
    });
    let taken = take_pod(&pod_of(json!([container]))).expect("taken");
    let env: Vec<_> = taken
        .env
        .iter()
        .map(|variable| (variable.name.as_str(), variable.value.as_deref()))
        .collect();
    assert_eq!(env, [("A", Some("b")), ("VLLM_LOGGING_LEVEL", Some("DEBUG"))]);
}
