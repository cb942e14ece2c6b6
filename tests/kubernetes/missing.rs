//! What a job refers to may come later: it waits by name, without a server, and goes on by itself.

use batch_inference_operator::api::condition::ConditionType;
use serde_json::json;

use super::job::Job;
use super::rows::chats;
use super::tenant::Tenant;
use super::volume::Volume;

#[tokio::test]
async fn a_job_waits_by_name_for_what_is_missing_and_goes_on_by_itself() {
    let tenant = Tenant::start("missing").await;
    let rows = chats(3, &json!({}));
    tenant.put("rows.jsonl", &rows).await;
    let keys = Job::new(&tenant, "keys").set("/dataset/credentialsSecretRef/name", json!("later-keys"));
    let token = Job::new(&tenant, "token").set(
        "/server/hfTokenSecretRef",
        json!({"name": "later-token", "key": "token"}),
    );
    let map = Job::new(&tenant, "map").set("/dataset", json!({"configMap": {"name": "later-rows", "key": "rows"}}));
    let claim = Job::new(&tenant, "claim").set("/dataset", json!({"uri": "pvc://later-claim/rows.jsonl"}));
    for job in [&keys, &token, &map, &claim] {
        tenant.submit(job).await;
    }

    for (name, reason, missing) in [
        ("keys", "SecretMissing", "later-keys"),
        ("token", "SecretMissing", "later-token"),
        ("map", "ConfigMapMissing", "later-rows"),
        ("claim", "ClaimMissing", "later-claim"),
    ] {
        let waits = tenant.until_reason(name, ConditionType::Reconciling, reason).await;
        assert!(waits.message.contains(missing), "{name}: {}", waits.message);
        assert!(waits.message.contains("goes on by itself"), "{name}: {}", waits.message);
    }
    assert!(!tenant.had_servers().await, "a job that waits has started servers");

    tenant.create_keys("later-keys", "demo-secret").await;
    let token = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "later-token"}, "stringData": {"token": "hf_x"}});
    tenant.apply(&token).await;
    let map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later-rows"}, "data": {"rows": rows}});
    tenant.apply(&map).await;
    let volume = Volume::new(&tenant);
    std::fs::write(volume.folder().join("rows.jsonl"), &rows).expect("a file");
    volume.claim(&tenant, "later-claim", "ReadWriteOnce").await;
    for name in ["keys", "token", "map", "claim"] {
        tenant.complete(name, &rows).await;
    }
    assert!(tenant.had_servers().await, "servers that did run are not seen either");
    volume.remove(&tenant).await;
}
