//! Jobs without keys and without an address of a store: results in a ConfigMap, and the namespace's default store.

use batch_inference_operator::api::condition::ConditionType;
use serde_json::{Value, json};

use super::job::{FAKE_SERVER, Job};
use super::output::Output;
use super::proof;
use super::rows::chats;
use super::tenant::{Tenant, end_of};

/// What a person does with `examples/first.yaml`, on the fake server.
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
    let row = &output.rows()[0];
    assert_eq!((&row["custom_id"], &row["error"]), (&json!("1"), &Value::Null));
    assert_eq!(row["response"]["status_code"], 200);
    let body = &row["response"]["body"];
    for field in ["created", "model", "object", "usage"] {
        assert!(!body[field].is_null(), "no {field} in {body}");
    }
    assert!(body["choices"][0]["message"]["content"].is_string(), "{body}");
    assert!(body["choices"][0]["finish_reason"].is_string(), "{body}");

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

/// The example, on the fake server.
fn first(tenant: &Tenant) -> Job {
    let example = serde_yaml::from_str(include_str!("../../examples/first.yaml")).expect("an example");
    let server = Job::new(tenant, "first").0["spec"]["server"].clone();
    assert_eq!(server["image"], FAKE_SERVER);
    Job(example).set("/server", server)
}

/// A key of a ConfigMap, as the example's words have it read.
async fn key(tenant: &Tenant, map: &str, key: &str) -> String {
    let path = format!("jsonpath={{.data.{}}}", key.replace('.', r"\."));
    let value = tenant.kubectl(&["get", "configmap", map, "--output", &path]).await;
    value.expect("a ConfigMap")
}
