//! Deleting a job removes what belongs to it, and nothing of its output.

use serde_json::json;

use super::job::Job;
use super::rows::{chat, chats};
use super::tenant::{PATIENCE, Tenant};
use super::until::until;

/// Everything that a job may own.
const CHILDREN: &str = "jobs,deployments,replicasets,pods,services,endpointslices,roles,rolebindings,networkpolicies";

#[tokio::test]
async fn deleting_a_running_job_removes_every_child_and_keeps_what_is_in_the_bucket() {
    let tenant = Tenant::start("deletion").await;
    let rows = chats(20, &json!({})) + &chat("held", "", &json!({"hold": "held"}));
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "deleted")).await;
    tenant.until_completed("deleted", 20).await;
    let before = tenant.list("deleted/").await;
    assert!(before.iter().any(|key| key.contains("/segments/")), "{before:?}");

    tenant.kubectl(&["delete", "bij", "deleted"]).await.expect("a deletion");

    until("no child is left", PATIENCE, async || {
        let left = tenant
            .kubectl(&["get", CHILDREN, "--output", "name"])
            .await
            .expect("a listing");
        let accounts = tenant
            .kubectl(&["get", "serviceaccounts", "--output", "name"])
            .await
            .expect("a listing");
        (left.is_empty() && accounts.trim() == "serviceaccount/default").then_some(())
    })
    .await;
    assert_eq!(tenant.list("deleted/").await, before);

    // Created again, it goes on where it was: only the row that was not answered is sent.
    tenant.submit(&Job::new(&tenant, "deleted")).await;
    until("the held row", PATIENCE, async || {
        (tenant.received().get("held") == Some(&2)).then_some(())
    })
    .await;
    tenant.release("deleted", "held").await;
    tenant.complete("deleted", &rows).await;
    let again = tenant
        .received()
        .into_iter()
        .filter(|(_, received)| *received > 1)
        .map(|(id, _)| id);
    assert_eq!(again.collect::<Vec<_>>(), ["held"]);
}
