//! A job that takes its server from a Deployment: it runs on servers as that has them, waits for it by name, and says what it cannot take.

use batch_inference_operator::api::condition::ConditionType;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::job::{FAKE_SERVER, Job, MODEL};
use super::rows::{chats, twenty_and_one_held};
use super::tenant::{Tenant, end_of};

#[tokio::test]
async fn a_job_waits_for_the_deployment_of_its_server_and_says_why_it_takes_nothing_from_it() {
    let tenant = Tenant::start("from-deployment").await;
    tenant.put("rows.jsonl", &chats(2, &json!({}))).await;
    let job = Job::new(&tenant, "job").set("/server", json!({"from": {"deployment": {"name": "later"}}}));
    tenant.submit(&job).await;
    let waits = tenant
        .until_reason("job", ConditionType::Reconciling, "DeploymentMissing")
        .await;
    assert!(waits.message.contains("deployment \"later\""), "{}", waits.message);
    assert!(waits.message.contains("goes on by itself"), "{}", waits.message);
    let jobs = tenant
        .kubectl(&["get", "jobs", "--output", "name"])
        .await
        .expect("a list");
    assert_eq!(jobs, "", "a job that waits has started a feeder");

    tenant.apply(&deployment_of_something_else()).await;
    let ended = tenant.end("job").await;
    let end = end_of(&ended);
    assert_eq!(end, "Failed: SpecInvalid");
    let told = tenant
        .kubectl(&["describe", "bij", "job"])
        .await
        .expect("a description");
    let refusal = format!("Deployment later: container other: it starts \"\" from the image \"{FAKE_SERVER}\"");
    assert!(told.contains(&refusal), "{told}");
    assert!(!tenant.had_servers().await, "servers were started");
}

#[tokio::test]
async fn a_job_runs_on_servers_as_the_deployment_has_them() {
    let tenant = Tenant::start("as-deployment").await;
    let rows = twenty_and_one_held();
    tenant.put("rows.jsonl", &rows).await;
    tenant
        .apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "templates"}, "data": {"chat.jinja": "{{ messages }}"},
        }))
        .await;
    tenant.apply(&deployment_of_llama_server(&tenant)).await;
    let job = Job::new(&tenant, "job").set("/server", json!({"from": {"deployment": {"name": "llama"}}}));
    tenant.submit(&job).await;
    tenant.until_received(21).await;

    let job = tenant.job("job").await;
    let pods = tenant.server_pods(&job).await;
    let [pod] = pods.as_slice() else {
        panic!("one server was to be there, and not {}", pods.len());
    };
    assert_is_as_in_the_deployment(pod);
    tenant.release("job", "held").await;
    tenant.complete("job", &rows).await;
}

/// Its command, arguments, variables and volume.
fn assert_is_as_in_the_deployment(pod: &Pod) {
    let spec = serde_json::to_value(pod.spec.as_ref()).expect("JSON");
    let container = &spec["containers"][0];
    assert_eq!(container["command"], json!([LLAMA_SERVER]));
    let args = container["args"].as_array().expect("arguments");
    assert!(args.ends_with(&["--threads".into(), "1".into()]), "{args:?}");
    let variables = container["env"].as_array().expect("variables");
    let own = json!({"name": "GREETING", "value": "from the deployment"});
    assert!(variables.contains(&own), "{variables:?}");
    let volumes = spec["volumes"].as_array().expect("volumes");
    let templates = volumes.iter().find(|volume| volume["name"] == "templates");
    let templates = templates.unwrap_or_else(|| panic!("no volume templates: {volumes:?}"));
    assert_eq!(templates["configMap"]["name"], "templates");
    let mounts = container["volumeMounts"].as_array().expect("mounts");
    let is_mounted = |mount: &Value| mount["name"] == "templates" && mount["mountPath"] == "/templates";
    assert!(mounts.iter().any(is_mounted), "{mounts:?}");
}

/// Where the fake server's image has it under the name of a real one.
const LLAMA_SERVER: &str = "/usr/local/bin/llama-server";

fn deployment_of_llama_server(tenant: &Tenant) -> Value {
    let server = json!({
        "name": "llama",
        "image": FAKE_SERVER,
        "command": [LLAMA_SERVER],
        "args": ["-m", MODEL, "--threads", "1"],
        "env": [
            {"name": "FAKE_RECORDER", "value": tenant.recorder_url()},
            {"name": "FAKE_SLOTS", "value": "64"},
            {"name": "GREETING", "value": "from the deployment"},
        ],
        "resources": {"requests": {"cpu": "20m", "memory": "16Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [{"name": "templates", "mountPath": "/templates", "readOnly": true}],
    });
    let templates = json!({"name": "templates", "configMap": {"name": "templates"}});
    deployment("llama", json!({"containers": [server], "volumes": [templates]}))
}

fn deployment_of_something_else() -> Value {
    deployment(
        "later",
        json!({"containers": [{"name": "other", "image": FAKE_SERVER}]}),
    )
}

/// It need not run to be read.
fn deployment(name: &str, pod: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    })
}
