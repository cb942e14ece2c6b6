//! A job that takes its server from a Deployment: it waits for it by name, and says what it cannot take.

use batch_inference_operator::api::condition::ConditionType;
use serde_json::{Value, json};

use super::job::{FAKE_SERVER, Job};
use super::rows::chats;
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

/// It need not run to be read.
fn deployment_of_something_else() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "later"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "later"}},
            "template": {
                "metadata": {"labels": {"app": "later"}},
                "spec": {"containers": [{"name": "other", "image": FAKE_SERVER}]},
            },
        },
    })
}
