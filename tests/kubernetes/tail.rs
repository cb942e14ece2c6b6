//! The last rows: servers that have nothing to do go, those that are busy stay; one that hangs is replaced.

use batch_inference_operator::api::BatchInferenceJob;
use batch_inference_operator::api::condition::ConditionType;
use batch_inference_operator::api::reason::Reason;
use kube::ResourceExt;
use serde_json::json;

use super::audit::{OPERATOR, times};
use super::fake_model_server::EventKind;
use super::job::Job;
use super::rows::{chat, chats};
use super::tenant::{PATIENCE, Tenant};
use super::troubleshooting::page::shows;
use super::until::until;

const SERVERS: u32 = 8;
/// What a server gets at once, of which nothing is known.
const IN_FLIGHT: usize = 64;
/// Servers with nothing in flight are given back within this time: twice what is promised, as other jobs run beside this one.
const GIVEN_BACK_WITHIN_MS: i64 = 10_000;

#[tokio::test]
async fn of_eight_servers_the_one_with_the_last_row_stays() {
    let tenant = Tenant::start("tail").await;
    // More than eight servers take and let wait, so that all are needed.
    let rows = chats(1300, &json!({"hold": "first"})) + &chat("held", "", &json!({"hold": "held"}));
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "tail").replicas(SERVERS)).await;
    let all_ready = |job: &BatchInferenceJob| {
        let servers = job.status.as_ref().and_then(|status| status.controller.servers.clone());
        servers.is_some_and(|servers| u32::try_from(servers.ready) == Ok(SERVERS))
    };
    let job = tenant.until_job("tail", "eight servers", all_ready).await;
    tenant.until_received(8 * IN_FLIGHT).await;
    let names = async || -> Vec<_> {
        let pods = tenant.server_pods(&job).await.into_iter();
        let alive = pods.filter(|pod| pod.metadata.deletion_timestamp.is_none());
        alive.map(|pod| pod.name_any()).collect()
    };
    tenant.release("tail", "first").await;
    let left = until("one server is left", PATIENCE, async || {
        Some(names().await).filter(|names| names.len() == 1)
    })
    .await;
    assert_eq!(left, holders(&tenant)[..1], "the busy one was let go");
    let took = last_scaled(&tenant) - last_answered(&tenant);
    eprintln!("from the last answer of the other servers to their end {took} ms");
    assert!(took <= GIVEN_BACK_WITHIN_MS, "{took}");
    let received = tenant.received();
    tenant.release("tail", "held").await;
    tenant.complete("tail", &rows).await;
    assert_eq!(tenant.received(), received, "rows were sent again");
}

/// The servers that were given the held row, the last one first.
fn holders(tenant: &Tenant) -> Vec<String> {
    let events = tenant.recorder.events().into_iter().rev();
    let given = events.filter(|event| event.event == EventKind::Received && event.id == "held");
    given.map(|event| event.pod).collect()
}

/// When the last row was answered, in milliseconds since 1970.
fn last_answered(tenant: &Tenant) -> i64 {
    let events = tenant.recorder.events().into_iter();
    let answers = events.filter(|event| event.event == EventKind::Answered);
    let last = answers.map(|event| event.at_ms).max().expect("an answer");
    i64::try_from(last).expect("a time")
}

/// When the operator last said how many servers there are to be, in milliseconds since 1970.
fn last_scaled(tenant: &Tenant) -> i64 {
    let writes = times(OPERATOR, "patch", "deployments", &tenant.namespace);
    writes.last().expect("a Deployment").as_millisecond()
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
    let what = "A server takes rows and answers none.";
    shows(&tenant, "hung", ConditionType::ServersReady, Reason::ServerHung, what).await;
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
