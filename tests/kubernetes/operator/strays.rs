//! Servers whose job is gone are removed, and nothing else is.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::Controller;
use crate::job::Job;
use crate::rows::chats;
use crate::tenant::{PATIENCE, Tenant};
use crate::until::until;

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

    Controller::running(&tenant.client).await.kill().await;
    until("the servers are gone", PATIENCE, async || {
        let servers = [
            "get",
            "deployments,replicasets,pods",
            "--selector",
            "app.kubernetes.io/component=server",
            "--output",
            "name",
        ];
        tenant
            .kubectl(&servers)
            .await
            .expect("a listing")
            .is_empty()
            .then_some(())
    })
    .await;
    assert!(deployments.get_opt("other").await.expect("an answer").is_some());
}
