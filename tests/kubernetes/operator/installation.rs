//! Uninstalling the operator and installing it again loses no job, and a job that is deleted meanwhile leaves nothing behind.

use serde_json::json;

use super::{CHART, Controller, RELEASE, SYSTEM, until_no_server_is_left};
use crate::commands::must;
use crate::job::Job;
use crate::rows::chats;
use crate::tenant::Tenant;

#[tokio::test]
async fn uninstalled_and_installed_again_it_goes_on_with_every_job() {
    let tenant = Tenant::start("installation").await;
    let rows = chats(3, &json!({"hold": "held"}));
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "running")).await;
    tenant
        .submit(&Job::new(&tenant, "waiting").set("/output/credentialsSecretRef/name", json!("later-keys")))
        .await;
    tenant.submit(&Job::new(&tenant, "deleted")).await;
    tenant.until_received(6).await;
    let before = tenant.job("running").await;
    let deleted = tenant.job("deleted").await;

    must("helm", &["uninstall", RELEASE, "--namespace", SYSTEM, "--wait"]).await;
    tenant
        .kubectl(&["delete", "bij/deleted", "--wait=false"])
        .await
        .expect("a deletion");
    until_no_server_is_left(&tenant, &deleted).await;
    tenant.release("running", "held").await;
    // With no values at all: tests/kubernetes/install has put the image where the chart's defaults look for it.
    let install = [
        "install",
        RELEASE,
        CHART,
        "--namespace",
        SYSTEM,
        "--wait",
        "--timeout",
        "2m",
    ];
    must("helm", &install).await;

    Controller::running(&tenant.client).await;
    tenant.complete("running", &rows).await;
    assert_eq!(
        tenant.job("running").await.metadata.uid,
        before.metadata.uid,
        "it is another job"
    );
    tenant.create_keys("later-keys", "demo-secret").await;
    tenant.until_received(9).await;
    tenant.release("waiting", "held").await;
    tenant.complete("waiting", &rows).await;
}
