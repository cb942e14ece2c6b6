//! Jobs without keys and without an address of a store: results in a ConfigMap, and the namespace's default store.

use batch_inference_operator::api::condition::ConditionType;
use serde_json::{Value, json};

use super::job::{FAKE_VLLM, Job};
use super::output::Output;
use super::proof;
use super::rows::chats;
use super::tenant::{Tenant, end_of};

/// What a person does with `examples/first.yaml`, on a fake vLLM.
#[tokio::test]
async fn the_first_example_is_applied_and_read_with_kubectl_alone() {
    let tenant = Tenant::without_keys("first").await;
    let job = first(&tenant);
    let rows = job.0["spec"]["dataset"]["inline"].as_str().expect("rows").to_owned();
    tenant.submit(&job).await;
    let ended = tenant.end("first").await;
    assert_eq!(end_of(&ended), "Complete: AllRowsSucceeded");
    let output = Output {
        results: key(&tenant, "first-results", "results.jsonl").await,
        errors: key(&tenant, "first-results", "errors.jsonl").await,
        manifest: serde_json::from_str(&key(&tenant, "first-results", "manifest.json").await).expect("a manifest"),
    };
    output.prove(&rows);
    assert_eq!(output.errors, "");
    let results = output.rows();
    let [row] = &results[..] else {
        panic!("another number of rows than one: {}", output.results);
    };
    let resolved = ended.status.and_then(|status| status.controller.resolved);
    assert_is_answered(row, &rows, &resolved.expect("what was resolved").served_model_name);

    // Results outlive their job.
    let deleted = tenant.kubectl(&["delete", "bij", "first", "--wait=true"]).await;
    deleted.expect("deleted");
    assert_eq!(key(&tenant, "first-results", "results.jsonl").await, output.results);
}

#[tokio::test]
async fn rows_of_a_config_map_come_back_in_another_and_one_that_is_taken_is_refused() {
    let tenant = Tenant::without_keys("config-maps").await;
    let rows = chats(5, &json!({}));
    let map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "rows"}, "data": {"rows.jsonl": rows}});
    tenant.apply(&map).await;
    let job = |name: &str, output: &str| {
        Job::new(&tenant, name)
            .set("/dataset", json!({"configMap": {"name": "rows", "key": "rows.jsonl"}}))
            .set("/output", json!({"configMap": {"name": output}}))
    };
    tenant.submit(&job("kept", "kept-results")).await;
    assert_eq!(end_of(&tenant.end("kept").await), "Complete: AllRowsSucceeded");
    let results = key(&tenant, "kept-results", "results.jsonl").await;
    let manifest = serde_json::from_str(&key(&tenant, "kept-results", "manifest.json").await).expect("a manifest");
    proof::check(&rows, &results, "", &manifest).expect("each row once");
    let maps = tenant.kubectl(&["get", "configmaps", "--output", "name"]).await;
    assert!(!maps.expect("names").contains("kept-results-segments"));

    tenant.submit(&job("taken", "rows")).await;
    assert_eq!(end_of(&tenant.end("taken").await), "Failed: OutputNotWritable");
    assert_eq!(key(&tenant, "rows", "rows.jsonl").await, rows);
}

#[tokio::test]
async fn a_job_with_a_name_only_waits_for_the_default_store_and_uses_it() {
    let tenant = Tenant::without_keys("default-store").await;
    let rows = chats(5, &json!({}));
    tenant.put("datasets/my_rows.jsonl", &rows).await;
    let job = Job::new(&tenant, "named")
        .set("/dataset", json!({"name": "my_rows"}))
        .set("/output", Value::Null);
    tenant.submit(&job).await;
    let waits = tenant
        .until_reason("named", ConditionType::Reconciling, "SecretMissing")
        .await;
    for part in ["batch-inference-store", "Its key `uri` says where the store is"] {
        assert!(waits.message.contains(part), "{}", waits.message);
    }
    assert!(!tenant.had_servers().await, "a job that waits has started servers");
    tenant.create_default_store().await;
    let ended = tenant.end("named").await;
    assert_eq!(end_of(&ended), "Complete: AllRowsSucceeded");
    let results = ended
        .status
        .and_then(|status| status.reported.results)
        .expect("results");
    assert_eq!(results.uri, tenant.uri("jobs/named/results.jsonl"));
}

/// The result of the example's row, field by field.
fn assert_is_answered(row: &Value, asked: &str, model: &str) {
    let asked: Value = serde_json::from_str(asked).expect("one row");
    let question = asked["body"]["messages"][0]["content"].as_str().expect("a question");
    assert_eq!((&row["custom_id"], &row["error"]), (&json!("1"), &Value::Null));
    assert!(row["id"].is_string(), "{row}");
    let response = &row["response"];
    assert_eq!(response["status_code"], 200);
    assert!(response["request_id"].is_string(), "{response}");
    let body = &response["body"];
    assert_eq!(
        (&body["object"], &body["model"]),
        (&json!("chat.completion"), &json!(model))
    );
    assert!(body["id"].is_string() && body["created"].is_u64(), "{body}");
    let choice = &body["choices"][0];
    assert_eq!(
        (&choice["index"], &choice["finish_reason"]),
        (&json!(0), &json!("stop"))
    );
    assert_eq!(choice["message"]["role"], "assistant");
    assert_eq!(choice["message"]["content"], format!("You said: {question}"));
    for tokens in ["prompt_tokens", "completion_tokens", "total_tokens"] {
        assert!(body["usage"][tokens].as_u64() > Some(0), "no {tokens} in {body}");
    }
}

/// The example with all that it says of its server, on an image that is there.
fn first(tenant: &Tenant) -> Job {
    let example: Value = serde_yaml::from_str(include_str!("../../examples/first.yaml")).expect("an example");
    let mut server = Job::new(tenant, "first").on_vllm().0["spec"]["server"].clone();
    assert_eq!(server["image"], FAKE_VLLM);
    let written = example["spec"]["server"].as_object().expect("fields").clone();
    server.as_object_mut().expect("fields").extend(written);
    assert_eq!(
        (&server["engine"], &server["baseModel"]),
        (&json!("VLLM"), &json!("qwen3-8b"))
    );
    Job(example).set("/server", server)
}

/// A key of a ConfigMap, as the example's words have it read.
async fn key(tenant: &Tenant, map: &str, key: &str) -> String {
    let path = format!("jsonpath={{.data.{}}}", key.replace('.', r"\."));
    let value = tenant.kubectl(&["get", "configmap", map, "--output", &path]).await;
    value.expect("a ConfigMap")
}
