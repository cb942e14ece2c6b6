//! A controller that is killed at any point changes nothing about how a job ends.

use batch_inference_operator::api::BatchInferenceJob;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use serde_json::json;

use super::{Controller, servers_go_in_time};
use crate::job::Job;
use crate::rows::twenty_and_one_held;
use crate::tenant::{PATIENCE, Tenant, conditions};
use crate::until::until;

async fn begin(name: &str) -> Tenant {
    let tenant = Tenant::start(name).await;
    tenant.put("rows.jsonl", &twenty_and_one_held()).await;
    tenant
}

/// The end that a job has that nobody disturbs: every condition with its reason, each row once, nothing left.
pub async fn ends_as_if_undisturbed(tenant: &Tenant, rows: &str) {
    tenant.complete("job", rows).await;
    let job = tenant.job("job").await;
    let mut told: Vec<_> = conditions(&job)
        .iter()
        .map(|it| format!("{}={} {}", it.type_, it.status, it.reason))
        .collect();
    told.sort();
    assert_eq!(
        told,
        [
            "Complete=True AllRowsSucceeded",
            "GPUsReleased=True ServersGone",
            "Reconciling=False Ended",
            "ResultsAvailable=True ResultsWritten",
            "ServersReady=False ServersNotNeeded",
            "Validated=True DatasetValid",
        ]
    );
    assert!(
        tenant.received().values().all(|received| *received == 1),
        "{:?}",
        tenant.received()
    );
}

fn feeder_says(job: &BatchInferenceJob, servers_needed: bool) -> bool {
    let feeder = job.status.as_ref().and_then(|status| status.reported.feeder.as_ref());
    feeder.is_some_and(|feeder| feeder.servers_needed == servers_needed)
}

#[tokio::test]
async fn killed_when_the_feeder_is_applied() {
    let tenant = Tenant::without_keys("killed-1").await;
    tenant.put("rows.jsonl", &twenty_and_one_held()).await;
    // Without its keys the feeder does not start, so the job stays at this point.
    tenant.submit(&Job::new(&tenant, "job")).await;
    let job = tenant.job("job").await;
    tenant.feeder_pod(&job).await;
    Controller::running(&tenant.client).await.kill().await;
    tenant.create_keys("store-keys", "demo-secret").await;
    tenant.until_received(21).await;
    tenant.release("job", "held").await;
    ends_as_if_undisturbed(&tenant, &twenty_and_one_held()).await;
}

#[tokio::test]
async fn killed_when_the_data_set_is_validated_and_no_server_exists() {
    let tenant = begin("killed-2").await;
    let controller = Controller::running(&tenant.client).await;
    tenant.submit(&Job::new(&tenant, "job")).await;
    let job = tenant.job("job").await;
    tenant.feeder_pod(&job).await;
    controller.pause().await;
    tenant
        .until_job("job", "servers are needed", |job| feeder_says(job, true))
        .await;
    assert!(
        tenant.server_pods(&job).await.is_empty(),
        "the controller was paused too late to test this"
    );
    controller.kill_paused().await;
    tenant.until_received(21).await;
    tenant.release("job", "held").await;
    ends_as_if_undisturbed(&tenant, &twenty_and_one_held()).await;
}

#[tokio::test]
async fn killed_while_rows_run() {
    let tenant = begin("killed-3").await;
    tenant.submit(&Job::new(&tenant, "job")).await;
    tenant.until_received(21).await;
    Controller::running(&tenant.client).await.kill().await;
    tenant.release("job", "held").await;
    ends_as_if_undisturbed(&tenant, &twenty_and_one_held()).await;
}

#[tokio::test]
async fn killed_after_the_last_row_and_before_the_servers_are_deleted() {
    let tenant = begin("killed-4").await;
    tenant.submit(&Job::new(&tenant, "job")).await;
    tenant.until_received(21).await;
    let controller = Controller::running(&tenant.client).await;
    controller.pause().await;
    tenant.release("job", "held").await;
    let job = tenant
        .until_job("job", "no server is needed", |job| feeder_says(job, false))
        .await;
    assert!(
        !tenant.server_pods(&job).await.is_empty(),
        "the servers are gone too early to test this"
    );
    let killed = Timestamp::now();
    controller.kill_paused().await;
    servers_go_in_time(&tenant, &job, killed).await;
    ends_as_if_undisturbed(&tenant, &twenty_and_one_held()).await;
}

#[tokio::test]
async fn killed_when_the_servers_are_deleted_and_still_ending() {
    let tenant = begin("killed-5").await;
    // Servers that take their time, so that there is a moment to be killed in.
    let slow = json!({"spec": {"containers": [
        {"name": "server", "lifecycle": {"preStop": {"sleep": {"seconds": 8}}}},
    ]}});
    tenant
        .submit(&Job::new(&tenant, "job").set("/server/podTemplate", slow))
        .await;
    tenant.until_received(21).await;
    let controller = Controller::running(&tenant.client).await;
    tenant.release("job", "held").await;
    let deployments: Api<Deployment> = Api::namespaced(tenant.client.clone(), &tenant.namespace);
    until("the servers are being deleted", PATIENCE, async || {
        let servers = deployments.get_opt("job-server").await.ok()??;
        servers.metadata.deletion_timestamp.map(|_| ())
    })
    .await;
    let killed = Timestamp::now();
    controller.kill().await;
    let job = tenant.job("job").await;
    assert!(
        !tenant.server_pods(&job).await.is_empty(),
        "the servers are gone too early to test this"
    );
    servers_go_in_time(&tenant, &job, killed).await;
    ends_as_if_undisturbed(&tenant, &twenty_and_one_held()).await;
}
