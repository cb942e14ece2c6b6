//! Deleting a job removes what belongs to it, and nothing of its output.

use serde_json::json;

use super::job::Job;
use super::rows::{chat, chats, twenty_and_one_held};
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

#[tokio::test]
async fn a_deleted_job_that_a_finalizer_keeps_gives_its_gpus_back() {
    let tenant = Tenant::start("kept").await;
    tenant.put("rows.jsonl", &twenty_and_one_held()).await;
    let mut job = Job::new(&tenant, "kept");
    job.0["metadata"]["finalizers"] = json!(["example.com/keep"]);
    tenant.submit(&job).await;
    tenant.until_received(21).await;
    let job = tenant.job("kept").await;
    let delete = ["delete", "bij", "kept", "--wait=false"];
    tenant.kubectl(&delete).await.expect("a deletion");
    until("neither server nor feeder is left", PATIENCE, async || {
        let servers = tenant.server_pods(&job).await;
        let feeders = tenant.feeder_pods(&job).await;
        (servers.is_empty() && feeders.is_empty()).then_some(())
    })
    .await;
    assert!(
        tenant.job("kept").await.metadata.deletion_timestamp.is_some(),
        "it is still there"
    );
    let let_go = [
        "patch",
        "bij",
        "kept",
        "--type=merge",
        "--patch",
        r#"{"metadata": {"finalizers": null}}"#,
    ];
    tenant.kubectl(&let_go).await.expect("a patch");
    until("the job is gone", PATIENCE, async || {
        let found = tenant.jobs().get_opt("kept").await.ok()?;
        found.is_none().then_some(())
    })
    .await;
}
