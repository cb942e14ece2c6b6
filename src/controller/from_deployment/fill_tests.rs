use serde_json::{Value, json};

use super::*;
use crate::api::Engine;
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
    let filled = filled(&job, Some(&source())).expect("filled").into_owned();
    filled.spec.server.expect("a server")
}

fn from(mut more: Value) -> Value {
    more["from"] = json!({"deployment": {"name": "lorax"}});
    more
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
        let job = filled(&job(from(server)), Some(&source)).expect("filled").into_owned();
        let server = job.spec.server.as_ref().expect("a server");
        assert_eq!(server.args.contains(&"/data".to_owned()), is_taken);
        assert_eq!(server.env.iter().any(|variable| variable.name == "HF_HOME"), is_taken);
        validate(&job, &settings).expect("a valid job");
    }
}

#[test]
fn a_deployment_that_is_not_there_is_waited_for_and_one_that_cannot_be_read_is_refused() {
    let job = job(from(json!({})));
    let wait = filled(&job, None).expect_err("a wait");
    assert_eq!(wait.reason, Reason::DeploymentMissing);
    assert_eq!(wait.message, "deployment \"lorax\" of spec.server.from not found");
    let mut other = source();
    other.spec.template.spec.as_mut().expect("a pod").containers[0].image = Some("nginx:1".into());
    let refusal = filled(&job, Some(&other)).expect_err("a refusal");
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
    let taken_up = filled(&job, Some(&source())).expect("filled").into_owned();
    let resolved = validate(&taken_up, &settings).expect("valid").resolved;
    job.status.get_or_insert_default().controller.resolved = Some(resolved);
    // As the API server gives it back.
    let job: BatchInferenceJob =
        serde_json::from_value(serde_json::to_value(&job).expect("serialises")).expect("a job");
    assert_eq!(source_to_read(&job), None);
    assert_eq!(filled(&job, None).expect("filled").spec.server, taken_up.spec.server);
}

#[test]
fn a_job_that_takes_nothing_is_as_it_is() {
    let job = job(json!({"baseModel": "qwen3-8b"}));
    assert_eq!(source_to_read(&job), None);
    assert_eq!(filled(&job, None).expect("filled").into_owned(), job);
}
