//! What may be changed while a job runs, and what not.

use serde_json::json;

use super::job::Job;
use super::rows::chats;
use super::tenant::{PATIENCE, Tenant};
use super::until::until;

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
    let scaled = tenant.job("scaled").await;
    until("a second server", PATIENCE, async || {
        (tenant.server_pods(&scaled).await.len() == 2).then_some(())
    })
    .await;
    tenant.release("scaled", "held").await;
    tenant.complete("scaled", &rows).await;
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

    until("the policy is back", PATIENCE, async || {
        tenant.kubectl(&["get", "networkpolicy", "edited-server"]).await.ok()
    })
    .await;
    until("one server is wanted again", PATIENCE, async || {
        let replicas = [
            "get",
            "deployment",
            "edited-server",
            "--output",
            "jsonpath={.spec.replicas}",
        ];
        (tenant.kubectl(&replicas).await.as_deref() == Ok("1")).then_some(())
    })
    .await;
    tenant.release("edited", "held").await;
    tenant.complete("edited", &rows).await;
}
