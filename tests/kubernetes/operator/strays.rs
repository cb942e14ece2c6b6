//! Servers whose job is gone are removed, and nothing else is.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::Controller;
use crate::job::Job;
use crate::rows::chats;
use crate::tenant::{PATIENCE, Tenant};
use crate::until::until;

const SERVERS: [&str; 6] = [
    "get",
    "deployments,replicasets,pods",
    "--selector",
    "app.kubernetes.io/component=server",
    "--output",
    "name",
];

/// Deployments, ReplicaSets and pods of servers that are there.
async fn count_servers(tenant: &Tenant) -> usize {
    tenant.kubectl(&SERVERS).await.expect("a listing").lines().count()
}

/// How many servers without a job a controller says that it has removed from the namespace.
async fn count_removed(controller: &Controller, tenant: &Tenant) -> usize {
    let metrics = controller.serves(&tenant.client, "metrics").await;
    let place = format!("namespace=\"{}\"", tenant.namespace);
    let removed = metrics
        .lines()
        .filter(|line| line.starts_with("batch_inference_servers_without_job_removed_total{") && line.contains(&place));
    let count = |line: &str| -> usize {
        let (_, count) = line.rsplit_once(' ').expect("a name and a number");
        count.parse().expect("a number")
    };
    removed.map(count).sum()
}

#[tokio::test]
async fn servers_that_outlive_their_job_are_removed_when_a_controller_starts() {
    let tenant = Tenant::start("strays").await;
    let rows = chats(3, &json!({"hold": "held"}));
    tenant.put("rows.jsonl", &rows).await;
    for name in ["whole", "without-deployment"] {
        tenant.submit(&Job::new(&tenant, name)).await;
    }
    tenant.until_received(6).await;
    // A Deployment of somebody else, in the same namespace and without any label of ours.
    let other = [
        "create",
        "deployment",
        "other",
        "--image=localhost/none:1",
        "--replicas=0",
    ];
    tenant.kubectl(&other).await.expect("a Deployment");
    let orphan = async |what: &str, name: &str| {
        let deleted = tenant
            .kubectl(&["delete", what, name, "--cascade=orphan", "--wait=true"])
            .await;
        deleted.expect("a deletion");
    };
    orphan("bij", "whole").await;
    orphan("bij", "without-deployment").await;
    orphan("deployment", "without-deployment-server").await;
    let deployments: Api<Deployment> = Api::namespaced(tenant.client.clone(), &tenant.namespace);
    let left = deployments
        .get("whole-server")
        .await
        .expect("what was orphaned is there");
    assert_eq!(left.owner_references(), []);

    let strays = count_servers(&tenant).await;
    assert_eq!(strays, 1 + 2 + 2, "a Deployment, two ReplicaSets and two pods");

    let controller = Controller::running(&tenant.client).await;
    assert_eq!(count_removed(&controller, &tenant).await, 0);
    controller.kill().await;
    until("the servers are gone", PATIENCE, async || {
        (count_servers(&tenant).await == 0).then_some(())
    })
    .await;
    let controller = Controller::running(&tenant.client).await;
    until("each of them is counted", PATIENCE, async || {
        (count_removed(&controller, &tenant).await == strays).then_some(())
    })
    .await;
    assert!(deployments.get_opt("other").await.expect("an answer").is_some());
}
