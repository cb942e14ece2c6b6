use kube::core::CustomResourceExt;

use super::*;
use crate::api::output::OutputPlace;
use serde_json::json;

fn job(yaml: &str) -> BatchInferenceJob {
    let spec = serde_yaml::from_str(yaml).expect("a spec");
    BatchInferenceJob::new("example", spec)
}

fn smallest() -> BatchInferenceJob {
    job("{dataset: {uri: 's3://bucket/rows.jsonl'}, server: {baseModel: qwen3-8b}, output: {uri: 's3://bucket/out/'}}")
}

#[test]
fn the_smallest_job_is_accepted() {
    smallest().validate_cel().expect("no rule is against it");
    let server = smallest().spec.server.expect("servers");
    assert_eq!(server.engine, super::super::Engine::VLLM);
}

#[test]
fn a_name_is_a_whole_data_set_and_no_output_is_the_default_store() {
    let job = job("{dataset: {name: my_inference_dataset}, server: {baseModel: qwen3-8b}}");
    job.validate_cel().expect("no rule is against it");
    assert_eq!(job.spec.output.place(), OutputPlace::DefaultStore);
    let secrets = (job.spec.dataset.secret(), job.spec.output.secret());
    assert_eq!(secrets, (Some("batch-inference-store"), Some("batch-inference-store")));
}

#[test]
fn an_output_is_a_uri_or_a_config_map_and_keys_go_with_a_store_only() {
    let with = |output: &str| {
        job(&format!(
            "{{dataset: {{inline: x}}, server: {{baseModel: m}}, output: {output}}}"
        ))
    };
    let in_config_map = with("{configMap: {name: out}}");
    in_config_map.validate_cel().expect("no rule is against it");
    assert_eq!(in_config_map.spec.output.secret(), None);
    for (output, message) in [
        (
            "{uri: 's3://b/o/', configMap: {name: out}}",
            "give uri or configMap, not both",
        ),
        (
            "{configMap: {name: out}, credentialsSecretRef: {name: keys}}",
            "credentialsSecretRef goes with the uri of a store",
        ),
        (
            "{credentialsSecretRef: {name: keys}}",
            "credentialsSecretRef goes with the uri of a store",
        ),
    ] {
        let error = with(output).validate_cel().expect_err(output).to_string();
        assert!(error.contains(message), "{output}: {error}");
    }
    let named = job("{dataset: {name: a, credentialsSecretRef: {name: keys}}, server: {baseModel: m}}");
    let error = named
        .validate_cel()
        .expect_err("keys for the default store")
        .to_string();
    assert!(
        error.contains("credentialsSecretRef goes with the uri of a store"),
        "{error}"
    );
}

#[test]
fn exactly_one_source_is_required() {
    for dataset in [
        "{}",
        "{inline: x, name: rows}",
        "{uri: 's3://b/k', inline: x}",
        "{inline: x, configMap: {name: a, key: b}}",
    ] {
        let refused = job(&format!(
            "{{dataset: {dataset}, server: {{baseModel: m}}, output: {{uri: 's3://b/o/'}}}}"
        ));
        let error = refused.validate_cel().expect_err(dataset).to_string();
        assert!(error.contains("exactly one of uri, configMap, inline, name"), "{error}");
    }
}

#[test]
fn exactly_one_of_server_and_endpoint_is_required() {
    let with = |who: &str| {
        job(&format!(
            "{{dataset: {{inline: x}}, {who} output: {{uri: 's3://b/o/'}}}}"
        ))
    };
    let (server, endpoint) = ("server: {baseModel: m},", "endpoint: {url: 'https://h/v1', model: m},");
    for refused in [String::new(), format!("{server} {endpoint}")] {
        let error = with(&refused).validate_cel().expect_err(&refused).to_string();
        assert!(error.contains("exactly one of server, endpoint"), "{error}");
    }
    let (provisioned, at_endpoint) = (with(server), with(endpoint));
    at_endpoint.validate_cel().expect("an endpoint alone is accepted");
    let gpu_budget = with(&format!("{endpoint} budget: {{maxGPUCost: '1'}},"));
    let error = gpu_budget.validate_cel().expect_err("no GPU").to_string();
    assert!(error.contains("budget.maxGPUCost goes with server"), "{error}");
    for (old, new) in [(&provisioned, &at_endpoint), (&at_endpoint, &provisioned)] {
        let error = new.validate_cel_update(old).expect_err("a change").to_string();
        assert!(error.contains("endpoint cannot be changed"), "{error}");
    }
}

#[test]
fn a_server_has_a_model_or_is_taken_from_a_deployment_with_its_engine() {
    let with = |server: &str| {
        job(&format!(
            "{{dataset: {{inline: x}}, server: {server}, output: {{uri: 's3://b/o/'}}}}"
        ))
    };
    for accepted in [
        "{from: {deployment: {name: d}}}",
        "{from: {deployment: {name: d}}, baseModel: m}",
    ] {
        with(accepted).validate_cel().expect(accepted);
    }
    for (refused, words) in [
        ("{replicas: 1}", "give baseModel, or from"),
        ("{from: {deployment: {name: d}}, engine: SGLang}", "leave engine out"),
    ] {
        let error = with(refused).validate_cel().expect_err(refused).to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn adapters_have_what_their_source_needs_and_nothing_else() {
    let with = |adapters: &str| {
        job(&format!(
            "{{dataset: {{inline: x}}, server: {{baseModel: m, adapters: {adapters}}}, output: {{uri: 's3://b/o/'}}}}"
        ))
    };
    for accepted in [
        "{}",
        "{source: Local, location: /adapters}",
        "{source: Local, named: [{name: a, path: /adapters/a}]}",
        "{source: S3, location: 's3://b/p', credentialsSecretRef: {name: keys}}",
        "{source: S3}",
        "{source: PBase, credentialsSecretRef: {name: keys}}",
    ] {
        with(accepted).validate_cel().expect(accepted);
    }
    for (refused, words) in [
        ("{source: PBase}", "source PBase needs credentialsSecretRef"),
        ("{credentialsSecretRef: {name: keys}}", "goes with source S3 or PBase"),
        ("{source: Local}", "source Local needs location"),
        (
            "{source: Local, location: adapters}",
            "an absolute directory for source Local",
        ),
        ("{source: S3, location: /adapters}", "s3://BUCKET/PREFIX for source S3"),
        ("{location: /adapters}", "goes with no other source"),
    ] {
        let error = with(refused).validate_cel().expect_err(refused).to_string();
        assert!(error.contains(words), "{refused}: {error}");
    }
}

#[test]
fn a_claim_takes_no_credentials() {
    let with = |uri: &str| {
        let output = format!("{{uri: '{uri}', credentialsSecretRef: {{name: keys}}}}");
        job(&format!(
            "{{dataset: {{inline: x}}, server: {{baseModel: m}}, output: {output}}}"
        ))
    };
    for uri in ["s3://b/o/", "gs://b/o/", "az://c/o/"] {
        with(uri).validate_cel().expect("a bucket takes them");
    }
    let error = with("pvc://c/o/")
        .validate_cel()
        .expect_err("a claim does not")
        .to_string();
    assert!(
        error.contains("credentialsSecretRef goes with the uri of a store"),
        "{error}"
    );
}

#[test]
fn image_and_image_tag_exclude_each_other() {
    let refused =
        job("{dataset: {inline: x}, server: {baseModel: m, image: a, imageTag: b}, output: {uri: 's3://b/o/'}}");
    assert!(
        refused
            .validate_cel()
            .expect_err("both")
            .to_string()
            .contains("image or imageTag, not both")
    );
}

/// Each optional field, added, changed and removed: every one is refused, by its own name.
#[test]
fn the_spec_is_immutable_field_by_field() {
    let changes = [
        (
            "server",
            "from",
            json!({"deployment": {"name": "a"}}),
            json!({"deployment": {"name": "b"}}),
        ),
        ("server", "servedModelNames", json!(["a"]), json!(["b"])),
        ("server", "revision", json!("main"), json!("v1")),
        ("server", "image", json!("a"), json!("b")),
        ("server", "imageTag", json!("a"), json!("b")),
        (
            "server",
            "hfTokenSecretRef",
            json!({"name": "a", "key": "k"}),
            json!({"name": "b", "key": "k"}),
        ),
        ("server", "quantization", json!("fp8"), json!("awq")),
        ("server", "adapters", json!({}), json!({"maxRank": 8})),
        ("server", "args", json!(["a"]), json!(["b"])),
        ("server", "env", json!([{"name": "A"}]), json!([{"name": "B"}])),
        (
            "server",
            "resources",
            json!({"limits": {"cpu": "1"}}),
            json!({"limits": {"cpu": "2"}}),
        ),
        ("server", "resourceProfile", json!("l4"), json!("l4:2")),
        (
            "server",
            "podTemplate",
            json!({"spec": {"a": 1}}),
            json!({"spec": {"a": 2}}),
        ),
        (
            "output",
            "credentialsSecretRef",
            json!({"name": "a"}),
            json!({"name": "b"}),
        ),
        ("output", "ifExists", json!("Fail"), json!("Resume")),
        (
            "dataset",
            "credentialsSecretRef",
            json!({"name": "a"}),
            json!({"name": "b"}),
        ),
        ("budget", "maxTokenCost", json!("1"), json!("2")),
        ("budget", "maxGPUCost", json!("1"), json!("2")),
        ("feeder", "serviceAccountName", json!("a"), json!("b")),
    ];
    for (part, field, one, other) in changes {
        let with = |value: &serde_json::Value| {
            let mut object = serde_json::to_value(smallest()).expect("serialises");
            if object["spec"][part].is_null() {
                object["spec"][part] = json!({});
            }
            object["spec"][part][field] = value.clone();
            serde_json::from_value::<BatchInferenceJob>(object).expect("a job")
        };
        let steps = vec![
            (smallest(), with(&one)),
            (with(&one), with(&other)),
            (with(&one), smallest()),
        ];
        for (old, new) in steps {
            let error = new.validate_cel_update(&old).expect_err(field).to_string();
            assert!(error.contains("cannot be changed"), "{part}.{field}: {error}");
        }
        with(&one)
            .validate_cel_update(&with(&one))
            .expect("the same is no change");
    }
}

#[test]
fn replicas_can_be_changed_and_the_model_cannot() {
    let mut scaled = smallest();
    scaled.spec.server.as_mut().expect("servers").replicas = Some(4);
    scaled.validate_cel_update(&smallest()).expect("scaling is allowed");
    let mut other = smallest();
    other.spec.server.as_mut().expect("servers").base_model = "qwen3-14b".into();
    let error = other
        .validate_cel_update(&smallest())
        .expect_err("another model")
        .to_string();
    assert!(error.contains("baseModel cannot be changed"), "{error}");
}

/// Every field has a sentence for `kubectl explain`, no integer has a format that the API server warns about, and every print
/// column points at a field.
#[test]
fn the_definition_is_complete() {
    let crd = serde_json::to_value(BatchInferenceJob::crd()).expect("serialises");
    let version = &crd["spec"]["versions"][0];
    let root = &version["schema"]["openAPIV3Schema"];
    assert_described(root, "");
    assert!(!crd.to_string().contains("\"format\":\"uint"));
    let env = &root["properties"]["spec"]["properties"]["server"]["properties"]["env"];
    assert_eq!(
        (&env["x-kubernetes-list-type"], &env["x-kubernetes-list-map-keys"]),
        (&"map".into(), &json!(["name"])),
        "a doubled name is refused"
    );
    for column in version["additionalPrinterColumns"].as_array().expect("columns") {
        let path = column["jsonPath"].as_str().expect("a path");
        if path.starts_with(".metadata") {
            continue;
        }
        let mut schema = root;
        for part in path.trim_start_matches('.').split('.') {
            schema = &schema["properties"][part];
        }
        assert!(
            schema.is_object(),
            "column {} points at {path}, which does not exist",
            column["name"]
        );
    }
}

fn assert_described(schema: &serde_json::Value, path: &str) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    for (name, property) in properties {
        let path = format!("{path}.{name}");
        let ours = !matches!(path.as_str(), ".apiVersion" | ".kind" | ".metadata");
        assert!(
            !ours || property["description"].is_string(),
            "{path} has no description"
        );
        assert_described(property, &path);
        assert_described(&property["items"], &path);
    }
}

#[test]
fn shutdown_cannot_be_taken_back() {
    let with = |shutdown: &str| {
        let mut job = smallest();
        job.spec.shutdown = serde_json::from_value(json!(shutdown)).ok();
        job
    };
    for (before, after, is_allowed) in [
        ("", "Stop", true),
        ("Stop", "Terminate", true),
        ("Stop", "Stop", true),
        ("Stop", "", false),
        ("Terminate", "Stop", false),
        ("Terminate", "", false),
    ] {
        let changed = with(after).validate_cel_update(&with(before));
        assert_eq!(changed.is_ok(), is_allowed, "{before} to {after}: {changed:?}");
    }
}

#[test]
fn what_a_running_job_may_be_told_can_be_changed() {
    let mut changed = smallest();
    changed.spec.suspend = Some(true);
    changed.spec.active_deadline_seconds = Some(60);
    changed.spec.ttl_seconds_after_finished = Some(0);
    changed.validate_cel_update(&smallest()).expect("may appear");
    smallest().validate_cel_update(&changed).expect("may go");
}
