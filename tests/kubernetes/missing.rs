//! What a job refers to may come later: it waits by name, without a server, and goes on by itself.

use std::time::Duration;

use batch_inference_operator::api::condition::ConditionType;
use serde_json::json;

use super::commands::cluster_state;
use super::job::Job;
use super::rows::chats;
use super::tenant::Tenant;
use super::until::until;

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
    let volume = Volume::with_rows(&tenant, &rows).await;
    for name in ["keys", "token", "map", "claim"] {
        tenant.complete(name, &rows).await;
    }
    assert!(tenant.had_servers().await, "servers that did run are not seen either");
    volume.remove(&tenant).await;
}

/// A folder of the node with a data set, and a claim for it.
struct Volume {
    name: String,
    folder: std::path::PathBuf,
}

impl Volume {
    async fn with_rows(tenant: &Tenant, rows: &str) -> Self {
        let name = tenant.namespace.clone();
        let folder = cluster_state().join("volumes").join(&name);
        std::fs::create_dir_all(&folder).expect("a new folder");
        std::fs::write(folder.join("rows.jsonl"), rows).expect("a file");
        let size = json!({"storage": "1Mi"});
        tenant
            .apply(&json!({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
                "spec": {
                    "capacity": size, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
                    "persistentVolumeReclaimPolicy": "Retain",
                    "hostPath": {"path": folder, "type": "Directory"},
                    "claimRef": {"namespace": name, "name": "later-claim"},
                },
            }))
            .await;
        tenant
            .apply(&json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "later-claim"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": name,
                    "resources": {"requests": size},
                },
            }))
            .await;
        Self { name, folder }
    }

    async fn remove(self, tenant: &Tenant) {
        let removed = tenant
            .kubectl(&["delete", "persistentvolume", &self.name, "--wait=false"])
            .await;
        removed.expect("a volume");
        tenant
            .kubectl(&["delete", "pods,jobs", "--all"])
            .await
            .expect("no pods");
        until("the folder is free", Duration::from_secs(30), async || {
            std::fs::remove_dir_all(&self.folder).ok()
        })
        .await;
    }
}
