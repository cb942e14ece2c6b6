//! What may be changed while a job runs, and what not.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::job::Job;
use super::readiness::Readiness;
use super::rows::chats;
use super::tenant::{PATIENCE, Tenant};
use super::until::until;

/// From when a server is told to be ready to when it has a row: a second is promised, and other jobs run beside this one.
const USED_WITHIN: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_changed_model_is_refused_with_the_rule_and_scaling_is_not() {
    let tenant = Tenant::start("spec-changes").await;
    // More than one server takes at once, or the second would not be needed.
    let rows = chats(300, &json!({"hold": "held"}));
    tenant.put("rows.jsonl", &rows).await;
    // With a template, whose fields the definition does not know: scaling must not take it for changed.
    let template = json!({"spec": {"nodeSelector": {"kubernetes.io/os": "linux"}}});
    let job = Job::new(&tenant, "scaled").set("/server/podTemplate", template);
    tenant.submit(&job).await;
    tenant.until_received(3).await;

    for (field, changed) in [
        ("baseModel", json!("/models/other.gguf")),
        ("quantization", json!("Q8_0")),
        ("args", json!(["--verbose"])),
    ] {
        let refusal = tenant
            .try_apply(&job.clone().set(&format!("/server/{field}"), changed).0)
            .await;
        let refusal = refusal.expect_err("a refusal");
        assert!(
            refusal.contains(&format!("{field} cannot be changed once the job exists")),
            "{refusal}"
        );
    }
    let refusal = tenant
        .try_apply(&job.clone().set("/output/credentialsSecretRef", json!(null)).0)
        .await;
    assert!(refusal.expect_err("a refusal").contains("output cannot be changed"));

    tenant
        .kubectl(&["scale", "bij/scaled", "--replicas=2"])
        .await
        .expect("scaling");
    until("a second server with rows", PATIENCE, async || {
        (first_rows(&tenant).len() == 2).then_some(())
    })
    .await;
    tenant.release("scaled", "held").await;
    tenant.complete("scaled", &rows).await;
}

#[tokio::test]
async fn servers_that_scaling_adds_have_rows_at_once_and_those_that_it_takes_lose_none() {
    let tenant = Tenant::start("spec-changes-scale").await;
    let readiness = Readiness::watch(tenant.client.clone(), &tenant.namespace);
    // More than three servers take at once.
    let rows = chats(400, &json!({"hold": "held"}));
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "job")).await;
    tenant.until_received(1).await;
    scale(&tenant, 3).await;
    let servers = until("three servers have rows", PATIENCE, async || {
        let first_rows = first_rows(&tenant).into_iter();
        let with_ready: Option<Vec<_>> = first_rows.map(|(pod, row)| Some((readiness.of(&pod)?, row))).collect();
        with_ready.filter(|servers| servers.len() == 3)
    })
    .await;
    // A row may be there before this test hears of its server.
    let waits = servers
        .iter()
        .map(|(ready, row)| row.duration_since(*ready).unwrap_or_default());
    let waits: Vec<_> = waits.collect();
    eprintln!("from ready to the first row: {waits:?}");
    assert!(waits.iter().all(|wait| *wait <= USED_WITHIN), "{waits:?}");

    let job = tenant.job("job").await;
    scale(&tenant, 1).await;
    until("one server is left", PATIENCE, async || {
        (tenant.server_pods(&job).await.len() == 1).then_some(())
    })
    .await;
    tenant.release("job", "held").await;
    let output = tenant.complete("job", &rows).await;
    assert_eq!(output.errors, "");
}

async fn scale(tenant: &Tenant, replicas: u32) {
    let replicas = format!("--replicas={replicas}");
    tenant.kubectl(&["scale", "bij/job", &replicas]).await.expect("scaling");
}

/// When each server that has had a row got its first.
fn first_rows(tenant: &Tenant) -> BTreeMap<String, SystemTime> {
    let mut first = BTreeMap::new();
    for event in tenant.recorder.events() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(event.at_ms);
        first.entry(event.pod).or_insert(at);
    }
    first
}

#[tokio::test]
async fn a_child_that_was_edited_or_deleted_by_hand_is_put_back() {
    let tenant = Tenant::start("edited").await;
    let rows = chats(2, &json!({"hold": "held"}));
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "edited")).await;
    tenant.until_received(2).await;

    tenant
        .kubectl(&["delete", "networkpolicy", "edited-server"])
        .await
        .expect("a deletion");
    tenant
        .kubectl(&["scale", "deployment/edited-server", "--replicas=3"])
        .await
        .expect("scaling");

    let without_owner = r#"[{"op": "remove", "path": "/metadata/ownerReferences"}]"#;
    let patch = [
        "patch",
        "deployment/edited-server",
        "--type=json",
        "--patch",
        without_owner,
    ];
    tenant.kubectl(&patch).await.expect("a patch");

    until("the policy is back", PATIENCE, async || {
        tenant.kubectl(&["get", "networkpolicy", "edited-server"]).await.ok()
    })
    .await;
    until(
        "one server is wanted again, and the job owns it",
        PATIENCE,
        async || {
            let fields = "jsonpath={.spec.replicas} {.metadata.ownerReferences[*].name}";
            let servers = ["get", "deployment", "edited-server", "--output", fields];
            (tenant.kubectl(&servers).await.as_deref() == Ok("1 edited")).then_some(())
        },
    )
    .await;
    let job = tenant.job("edited").await;
    until("the others are gone", PATIENCE, async || {
        (tenant.server_pods(&job).await.len() == 1).then_some(())
    })
    .await;
    tenant.release("edited", "held").await;
    tenant.complete("edited", &rows).await;
}
