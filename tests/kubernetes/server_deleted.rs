//! A server that goes in mid-run takes no row with it.

use serde_json::json;

use super::job::Job;
use super::rows::chats;
use super::tenant::Tenant;

#[tokio::test]
async fn rows_of_a_deleted_server_come_back_and_none_fails() {
    let tenant = Tenant::start("server-deleted").await;
    let rows = chats(600, &json!({"latency_ms": "500"}));
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "deleted").replicas(2)).await;
    tenant.until_received(150).await;
    let job = tenant.job("deleted").await;
    let pods = tenant.server_pods(&job).await;
    let doomed = pods[0].metadata.name.clone().expect("a name");

    tenant
        .kubectl(&["delete", "pod", &doomed, "--wait=false"])
        .await
        .expect("a deletion");

    let output = tenant.complete("deleted", &rows).await;
    assert_eq!(output.errors, "");
    let twice = tenant.received().values().filter(|received| **received > 1).count();
    assert!(
        (1..600).contains(&twice),
        "{twice} rows were sent again; those of the other server should not be"
    );
}
