//! Rows for a server that is none of the job's: it waits for the Secret of its key, and nothing is started but the feeder.

use batch_inference_operator::api::condition::{ConditionType, find};
use serde_json::{Value, json};

use super::job::{FAKE_SERVER, Job};
use super::rows::chats;
use super::tenant::{PATIENCE, Tenant};
use super::until::until;

const KEY: &str = "sk-of-the-test";

/// A pod that somebody else runs, and the Service that rows are sent to.
fn somebody_elses_server(tenant: &Tenant) -> [Value; 2] {
    let labels = json!({"app": "llm"});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "llm", "labels": labels},
        "spec": {
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "llm",
                "image": FAKE_SERVER,
                "args": ["qwen", "--api-key", KEY],
                "env": [{"name": "FAKE_RECORDER", "value": tenant.recorder_url()}],
                "ports": [{"containerPort": 8000}],
                "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "resources": {"requests": {"cpu": "20m", "memory": "16Mi"}, "limits": {"memory": "256Mi"}},
            }],
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "llm"},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8000}]},
    });
    [pod, service]
}

/// A job over `rows.jsonl` whose key is in the Secret `llm`.
fn job(tenant: &Tenant, name: &str) -> Job {
    let endpoint = json!({
        "url": "http://llm/v1", "model": "qwen", "apiKeySecretRef": {"name": "llm", "key": "api-key"},
    });
    Job::new(tenant, name)
        .set("/server", Value::Null)
        .set("/endpoint", endpoint)
}

async fn put_key(tenant: &Tenant, key: &str) {
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "llm"}, "stringData": {"api-key": key}});
    tenant.apply(&secret).await;
}

#[tokio::test]
async fn rows_go_to_somebody_else_s_server_once_its_key_is_there_and_nothing_is_started_for_them() {
    let tenant = Tenant::start("endpoint").await;
    let rows = chats(5, &json!({}));
    tenant.put("rows.jsonl", &rows).await;
    for object in somebody_elses_server(&tenant) {
        tenant.apply(&object).await;
    }
    tenant.submit(&job(&tenant, "job")).await;
    let waits = tenant
        .until_reason("job", ConditionType::Reconciling, "SecretMissing")
        .await;
    assert!(waits.message.contains("llm"), "{}", waits.message);
    put_key(&tenant, KEY).await;
    tenant.complete("job", &rows).await;

    assert!(!tenant.had_servers().await, "servers were started");
    let children = ["get", "services,networkpolicies,deployments", "--output", "name"];
    let children = tenant.kubectl(&children).await.expect("a list");
    assert_eq!(children.trim(), "service/llm");
    let status = tenant.job("job").await.status.expect("a status").controller;
    let released = find(&status.conditions, ConditionType::GPUsReleased).expect("the condition");
    assert_eq!(
        (released.status.as_str(), released.reason.as_str()),
        ("True", "NoServers")
    );
    assert_eq!(status.timeline.and_then(|timeline| timeline.gpus_released_at), None);
}

#[tokio::test]
async fn a_key_that_is_refused_ends_the_job_and_is_shown_nowhere() {
    let tenant = Tenant::start("endpoint-key").await;
    tenant.put("rows.jsonl", &chats(2, &json!({}))).await;
    for object in somebody_elses_server(&tenant) {
        tenant.apply(&object).await;
    }
    put_key(&tenant, "sk-another").await;
    tenant.submit(&job(&tenant, "job")).await;
    let ended = tenant.end("job").await;
    let failed = ended.status.as_ref().map(|status| &status.controller.conditions);
    let failed = failed
        .and_then(|conditions| find(conditions, ConditionType::Failed))
        .expect("the condition");
    assert_eq!(failed.reason, "EndpointAccessDenied");
    // The job is faster than kubelet, which says that the container is created.
    let log = until("the feeder's log", PATIENCE, async || {
        tenant.kubectl(&["logs", "job/job-feeder"]).await.ok()
    })
    .await;
    let told = tenant
        .kubectl(&["get", "bij,jobs,pods,events", "--output", "yaml"])
        .await
        .expect("a list");
    assert!(!log.contains("sk-another") && !told.contains("sk-another"));
}
