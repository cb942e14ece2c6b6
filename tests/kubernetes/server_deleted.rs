//! A server that goes in mid-run takes no row with it.

use std::collections::BTreeSet;

use serde_json::json;

use super::job::Job;
use super::rows::chats;
use super::tenant::{PATIENCE, Tenant};
use super::until::until;

#[tokio::test]
async fn rows_of_a_deleted_server_come_back_and_none_fails() {
    let tenant = Tenant::start("server-deleted").await;
    // Long answers, so that a server has rows in flight whenever it goes.
    let rows = chats(600, &json!({"latency_ms": "2000"}));
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "deleted").replicas(2)).await;
    let doomed = until("both servers have rows", PATIENCE, async || {
        let events = tenant.recorder.events();
        let busy: BTreeSet<_> = events.into_iter().map(|event| event.pod).collect();
        (busy.len() == 2).then(|| busy.into_iter().next()).flatten()
    })
    .await;

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
