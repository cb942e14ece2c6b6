//! Deleting a job removes what belongs to it, and nothing of its output.

use std::time::Duration;

use batch_inference_operator::api::condition::ConditionType;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::inspection_and_finalising::{in_finalising, in_inspection, three_rows};
use super::job::Job;
use super::rows::{chats, twenty_and_one_held};
use super::stages::{allow_pods, in_flight, suspend, until_held_row_is_sent_again, until_seen};
use super::tenant::{PATIENCE, Tenant, container_id, end_of};
use super::until::until;

/// How long a stopped job waits for its feeder.
const NO_FEEDER_FOR: Duration = Duration::from_mins(10);
/// Everything that a job may own.
const CHILDREN: &str = "jobs,deployments,replicasets,pods,services,endpointslices,roles,rolebindings,networkpolicies";

/// Deletes a job, and waits until nothing of it is left but what is in the bucket.
async fn delete(tenant: &Tenant, name: &str) {
    let folder = format!("{name}/");
    let before = tenant.list(&folder).await;
    tenant.kubectl(&["delete", "bij", name]).await.expect("a deletion");
    until_nothing_is_left(tenant).await;
    let after = tenant.list(&folder).await;
    assert!(
        before.iter().all(|key| after.contains(key)),
        "{before:?} became {after:?}"
    );
}

async fn until_job_is_gone(tenant: &Tenant, name: &str) {
    until("the job is gone", PATIENCE, async || {
        let found = tenant.jobs().get_opt(name).await.ok()?;
        found.is_none().then_some(())
    })
    .await;
}

async fn until_nothing_is_left(tenant: &Tenant) {
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
}

/// The job of twenty rows that were done when it was deleted goes on with the one that was not.
async fn goes_on_with_the_held_row(tenant: &Tenant, name: &str, rows: &str) {
    tenant.submit(&Job::new(tenant, name)).await;
    until_held_row_is_sent_again(tenant).await;
    tenant.release(name, "held").await;
    tenant.complete(name, rows).await;
    let again = tenant
        .received()
        .into_iter()
        .filter(|(_, received)| *received > 1)
        .map(|(id, _)| id);
    assert_eq!(again.collect::<Vec<_>>(), ["held"]);
}

#[tokio::test]
async fn deleting_a_running_job_removes_every_child_and_keeps_what_is_in_the_bucket() {
    let tenant = Tenant::start("deletion").await;
    let rows = in_flight(&tenant, Job::new(&tenant, "deleted"), "deleted").await;
    let before = tenant.list("deleted/").await;
    assert!(before.iter().any(|key| key.contains("/segments/")), "{before:?}");
    delete(&tenant, "deleted").await;
    goes_on_with_the_held_row(&tenant, "deleted", &rows).await;
}

/// Lets somebody's finalizers keep an object, or nothing any more.
async fn keep(tenant: &Tenant, kind: &str, name: &str, finalizers: &Value) {
    let patch = json!({"metadata": {"finalizers": finalizers}}).to_string();
    let arguments = ["patch", kind, name, "--type", "merge", "--patch", &patch];
    tenant.kubectl(&arguments).await.expect("a patch");
}

#[tokio::test]
async fn a_running_job_that_is_deleted_and_created_again_at_once_waits_for_the_old_servers_and_goes_on() {
    let tenant = Tenant::start("deletion-again").await;
    let job = Job::new(&tenant, "deleted");
    let rows = in_flight(&tenant, job.clone(), "deleted").await;
    // Kubernetes may be faster than `kubectl` otherwise.
    keep(&tenant, "deployment", "deleted-server", &json!(["example.com/keep"])).await;
    let delete = ["delete", "bij", "deleted", "--wait=false"];
    tenant.kubectl(&delete).await.expect("a deletion");
    until_job_is_gone(&tenant, "deleted").await;
    tenant.submit(&job).await;
    let wait = tenant
        .until_reason("deleted", ConditionType::Validated, "WaitingForOldChild")
        .await;
    assert_eq!(wait.status, "False");
    let waiting = tenant.job("deleted").await;
    assert_eq!(end_of(&waiting), "no end");
    assert!(tenant.feeder_pods(&waiting).await.is_empty(), "it is not begun");
    keep(&tenant, "deployment", "deleted-server", &Value::Null).await;
    goes_on_with_the_held_row(&tenant, "deleted", &rows).await;
}

#[tokio::test]
async fn deleting_a_job_whose_servers_start_leaves_none_of_them() {
    let tenant = Tenant::start("deletion-starting").await;
    tenant.put("rows.jsonl", &chats(3, &json!({}))).await;
    let env = json!([{"name": "FAKE_LOADING_SECONDS", "value": "600"}]);
    tenant
        .submit(&Job::new(&tenant, "deleted").set("/server/env", env))
        .await;
    let job = tenant.job("deleted").await;
    until("a server that loads", PATIENCE, async || {
        let pod = tenant.server_pods(&job).await.pop()?;
        container_id(&pod, "server")
    })
    .await;
    delete(&tenant, "deleted").await;
}

#[tokio::test]
async fn a_suspended_job_that_is_deleted_and_created_again_goes_on_where_it_was() {
    let tenant = Tenant::start("deletion-suspended").await;
    let rows = in_flight(&tenant, Job::new(&tenant, "deleted"), "deleted").await;
    suspend(&tenant, "deleted").await;
    delete(&tenant, "deleted").await;
    goes_on_with_the_held_row(&tenant, "deleted", &rows).await;
}

#[tokio::test]
async fn deleting_a_job_whose_data_is_read_leaves_nothing() {
    let (tenant, proxy) = in_inspection("deletion-inspection").await;
    delete(&tenant, "job").await;
    assert!(!tenant.had_servers().await);
    drop(proxy);
}

#[tokio::test]
async fn a_job_that_is_deleted_while_it_writes_its_results_writes_them_when_it_is_created_again() {
    let (tenant, proxy) = in_finalising("deletion-finalising").await;
    delete(&tenant, "job").await;
    proxy.heal();
    tenant.submit(&Job::new(&tenant, "job")).await;
    tenant.complete("job", &three_rows()).await;
    assert!(tenant.received().values().all(|received| *received == 1));
}

#[tokio::test]
#[ignore = "ten minutes: make soak"]
async fn a_stopped_job_that_no_feeder_can_finish_goes_on_when_it_is_created_again() {
    let tenant = Tenant::start("deletion-not-finalized").await;
    let rows = in_flight(&tenant, Job::new(&tenant, "stopped"), "stopped").await;
    let job = tenant.job("stopped").await;
    allow_pods(&tenant, 0).await;
    let feeder = tenant.feeder_pod(&job).await.name_any();
    let kill = ["delete", "pod", &feeder, "--grace-period=0", "--force"];
    tenant.kubectl(&kill).await.expect("a deletion");
    tenant.patch_spec("stopped", &json!({"shutdown": "Stop"})).await;
    until("an end", NO_FEEDER_FOR + PATIENCE, async || {
        (end_of(&tenant.job("stopped").await) == "Failed: ResultsNotFinalized").then_some(())
    })
    .await;
    tenant.end("stopped").await;
    assert!(!tenant.exists("stopped/manifest.json").await);

    tenant
        .kubectl(&["delete", "resourcequota", "pods"])
        .await
        .expect("a deletion");
    delete(&tenant, "stopped").await;
    goes_on_with_the_held_row(&tenant, "stopped", &rows).await;
}

#[tokio::test]
async fn a_job_that_ended_is_deleted_after_a_while_also_when_it_is_suspended() {
    let tenant = Tenant::start("expired").await;
    tenant.put("rows.jsonl", &three_rows()).await;
    tenant.submit(&Job::new(&tenant, "job")).await;
    tenant.complete("job", &three_rows()).await;
    tenant.patch_spec("job", &json!({"suspend": true})).await;
    let job = until_seen(&tenant, "job").await;
    assert_eq!(end_of(&job), "Complete: AllRowsSucceeded");
    let before = tenant.list("job/").await;
    tenant.patch_spec("job", &json!({"ttlSecondsAfterFinished": 1})).await;
    until_job_is_gone(&tenant, "job").await;
    until_nothing_is_left(&tenant).await;
    assert_eq!(tenant.list("job/").await, before);
}

#[tokio::test]
async fn a_job_that_is_deleted_before_its_time_is_over_goes_at_once() {
    let tenant = Tenant::start("deletion-ttl").await;
    tenant.put("rows.jsonl", &three_rows()).await;
    let job = Job::new(&tenant, "job").set("/ttlSecondsAfterFinished", json!(3600));
    tenant.submit(&job).await;
    tenant.complete("job", &three_rows()).await;
    delete(&tenant, "job").await;
    // Its results are those of the next job of the same work.
    tenant.submit(&job).await;
    assert_eq!(end_of(&tenant.end("job").await), "Complete: ResultsReused");
    assert!(tenant.received().values().all(|received| *received == 1));
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
    keep(&tenant, "bij", "kept", &Value::Null).await;
    until_job_is_gone(&tenant, "kept").await;
}
