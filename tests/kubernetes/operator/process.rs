//! The controller as a process: what it serves, and how it ends when it is told to.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::{Api, Client};
use serde_json::json;

use super::{Controller, STARTED_WITHIN, SYSTEM};
use crate::commands::must;
use crate::job::Job;
use crate::tenant::Tenant;
use crate::until::until;

#[tokio::test]
async fn it_serves_health_and_metrics_and_ends_in_peace_when_told_to() {
    let client = Client::try_default().await.expect("a cluster");
    let controller = Controller::running(&client).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM);
    let served = async |path: &str| controller.serves(&client, path).await;
    assert_eq!(
        (served("healthz").await, served("readyz").await),
        ("ok".to_owned(), "ok".to_owned())
    );
    let tenant = Tenant::without_keys("process").await;
    tenant
        .submit(&Job::new(&tenant, "job").set("/suspend", json!(true)))
        .await;
    let metrics = until("a reconcile", STARTED_WITHIN, async || {
        let metrics = served("metrics").await;
        let is_told = metrics.contains("batch_inference_reconciles_total{outcome=\"done\"}");
        is_told.then_some(metrics)
    })
    .await;
    assert!(
        metrics.contains("batch_inference_reconcile_duration_seconds_count"),
        "{metrics}"
    );

    must(
        "tests/cluster/ctr",
        &["task", "kill", "--signal", "SIGTERM", &controller.container],
    )
    .await;

    let ended = until("the controller's end", STARTED_WITHIN, async || {
        last_end(&pods.get(&controller.pod).await.ok()?)
    })
    .await;
    assert_eq!(ended.exit_code, 0, "{ended:?}");
    let log = must(
        "kubectl",
        &["--namespace", SYSTEM, "logs", &controller.pod, "--previous"],
    )
    .await;
    assert!(log.contains("controller stopped"), "{log}");
    controller.replace().await;
    Controller::running(&client).await;
}

/// How the pod's container ended the last time.
fn last_end(pod: &Pod) -> Option<ContainerStateTerminated> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.first()?.last_state.as_ref()?.terminated.clone()
}
