use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::api::BatchInferenceJob;
use crate::api::wait::Wait;
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
    /// How the refusal begins, after the Deployment's name.
    refused: Option<String>,
}

fn manifests() -> Vec<Manifest> {
    let documents = serde_yaml::Deserializer::from_str(include_str!("manifests.yaml"));
    let manifests = documents.map(|document| Manifest::deserialize(document).expect("a manifest"));
    manifests.collect()
}

fn deployment(pod: &Value) -> Deployment {
    let deployment = json!({
        "metadata": {"name": "found"},
        "spec": {"selector": {}, "template": {"spec": pod}},
    });
    serde_json::from_value(deployment).expect("a Deployment")
}

fn take_pod(pod: &Value) -> Result<Taken, String> {
    take(&deployment(pod)).map_err(|error| error.to_string())
}

/// Whether a job that says nothing else of its server can run.
fn accept(pod: &Value) -> Result<(), Wait> {
    let job: BatchInferenceJob = serde_json::from_value(json!({
        "apiVersion": "batchinference.dev/v1alpha1",
        "kind": "BatchInferenceJob",
        "metadata": {"name": "triangles", "namespace": "geometry"},
        "spec": {
            "dataset": {"uri": "s3://b/rows.jsonl"},
            "server": {"from": {"deployment": {"name": "found"}}},
            "output": {"uri": "s3://b/out/"},
        },
    }))
    .expect("a job");
    let filled = filled(&job, Some(&deployment(pod)))?;
    validate(&filled, &Settings::new("operator:1")).map(|_| ())
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
        refused,
    } in manifests
    {
        let found = take_pod(&pod);
        match (taken, refused) {
            (Some(wanted), None) => {
                let found = found.unwrap_or_else(|error| panic!("{name} ({source}): {error}"));
                let found = serde_json::to_value(found).expect("serialises");
                assert_eq!(found, wanted, "{name} ({source})");
                accept(&pod).unwrap_or_else(|refusal| panic!("{name} ({source}): {}", refusal.message));
            }
            (None, Some(wanted)) => {
                let error = found.expect_err(&name);
                assert!(error.contains(&wanted), "{name} ({source}): {error}");
            }
            _ => panic!("{name} has to be taken or refused"),
        }
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
