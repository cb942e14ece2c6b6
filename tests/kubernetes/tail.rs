//! The last rows: servers that have nothing to do go, those that are busy stay; one that hangs is replaced.

use batch_inference_operator::api::condition::ConditionType;
use kube::ResourceExt;
use serde_json::json;

use super::job::Job;
use super::rows::{chat, chats};
use super::tenant::{PATIENCE, Tenant};
use super::until::until;

#[tokio::test]
async fn of_three_servers_the_one_with_the_last_row_stays() {
    let tenant = Tenant::start("tail").await;
    // More than one server takes at once, so that all three are needed.
    let rows = chats(600, &json!({"hold": "first"})) + &chat("held", "", &json!({"hold": "held"}));
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "tail").replicas(3)).await;
    let three_ready = |job: &batch_inference_operator::api::BatchInferenceJob| {
        let servers = job.status.as_ref().and_then(|status| status.controller.servers.clone());
        servers.is_some_and(|servers| servers.ready == 3)
    };
    let job = tenant.until_job("tail", "three servers", three_ready).await;
    tenant.until_received(3 * 64).await;
    let names = async || -> Vec<_> {
        let pods = tenant.server_pods(&job).await.into_iter();
        let alive = pods.filter(|pod| pod.metadata.deletion_timestamp.is_none());
        alive.map(|pod| pod.name_any()).collect()
    };
    tenant.release("tail", "first").await;
    until("one server is left", PATIENCE, async || {
        (names().await.len() == 1).then_some(())
    })
    .await;
    assert_eq!(tenant.received().get("held"), Some(&1), "the busy one was let go");
    tenant.release("tail", "held").await;
    tenant.complete("tail", &rows).await;
    assert!(tenant.received().values().all(|received| *received == 1));
}

#[tokio::test]
async fn a_server_that_hangs_is_replaced_and_no_row_is_blamed() {
    let tenant = Tenant::start("hung").await;
    let rows = chats(20, &json!({"hold": "held"}));
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "hung")).await;
    tenant.until_received(20).await;
    let job = tenant.job("hung").await;
    let first = tenant.server_pods(&job).await.remove(0);
    tenant.hang(&first).await;
    tenant
        .until_reason("hung", ConditionType::ServersReady, "ServerHung")
        .await;
    until("another server in its place", PATIENCE, async || {
        let pods = tenant.server_pods(&job).await;
        pods.iter().all(|pod| pod.uid() != first.uid()).then_some(())
    })
    .await;
    until("the rows are sent again", PATIENCE, async || {
        let received = tenant.received();
        received.values().all(|received| *received == 2).then_some(())
    })
    .await;
    tenant.release("hung", "held").await;
    tenant.complete("hung", &rows).await;
}
