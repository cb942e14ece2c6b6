//! Every name that Kubernetes takes for a job works, and a child's name that somebody else has is waited for.

use batch_inference_operator::api::condition::ConditionType;
use serde_json::{Value, json};

use super::job::{FAKE_SERVER, Job};
use super::rows::chats;
use super::tenant::{Tenant, end_of};

/// Somebody else's Deployment, without a pod.
fn deployment(name: &str) -> Value {
    let labels = json!({"app": name});
    let pod = json!({"containers": [{"name": "other", "image": FAKE_SERVER}]});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": labels}, "spec": pod}},
    })
}

#[tokio::test]
async fn jobs_with_long_dotted_and_numeric_names_run() {
    let tenant = Tenant::start("names").await;
    let rows = chats(3, &json!({}));
    tenant.put("rows.jsonl", &rows).await;
    let long = "n".repeat(253);
    let names = [long.as_str(), "with.dots.in-it", "7-days"];
    for (number, name) in (0..).zip(names) {
        let output = tenant.uri(&format!("output-{number}/"));
        tenant
            .submit(&Job::new(&tenant, name).set("/output/uri", json!(output)))
            .await;
    }
    for name in names {
        tenant.end(name).await;
    }
    for (number, name) in (0..).zip(names) {
        let output = tenant.output(&format!("output-{number}")).await;
        output.prove(&rows);
        assert_eq!(output.manifest["job"]["name"], name);
    }
}

#[tokio::test]
async fn a_job_waits_while_others_have_the_name_of_its_servers() {
    let tenant = Tenant::start("name-taken").await;
    let rows = chats(3, &json!({}));
    tenant.put("rows.jsonl", &rows).await;
    for name in ["job", "stopped"] {
        tenant.apply(&deployment(&format!("{name}-server"))).await;
        tenant.submit(&Job::new(&tenant, name)).await;
    }
    for name in ["job", "stopped"] {
        let wait = tenant
            .until_reason(name, ConditionType::Validated, "ChildNameTaken")
            .await;
        let words = format!("Deployment {name}-server exists and does not belong to this job");
        assert!(wait.message.starts_with(&words), "{}", wait.message);
    }

    tenant.patch_spec("stopped", &json!({"shutdown": "Terminate"})).await;
    // Which is when its GPUs are released.
    let stopped = tenant.end("stopped").await;
    assert_eq!(end_of(&stopped), "Failed: Cancelled");
    let others = ["get", "deployment", "stopped-server"];
    tenant.kubectl(&others).await.expect("what is not the job's stays");

    let delete = ["delete", "deployment", "job-server"];
    tenant.kubectl(&delete).await.expect("a deletion");
    tenant.complete("job", &rows).await;
}
