//! A folder of the node as a volume, and a claim for it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::commands::cluster_state;
use super::tenant::Tenant;
use super::until::until;

/// A folder that every node could have, and the PersistentVolume of the tenant's name that is made of it.
pub struct Volume {
    name: String,
    folder: PathBuf,
}

impl Volume {
    /// The folder alone: what is to be there before a pod can see it can be put into it.
    pub fn new(tenant: &Tenant) -> Self {
        let name = tenant.namespace.clone();
        let folder = cluster_state().join("volumes").join(&name);
        std::fs::create_dir_all(&folder).expect("a new folder");
        // What fsGroup would do, which a hostPath does not know.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).expect("a mode");
        Self { name, folder }
    }

    /// Makes the volume, and a claim for it.
    pub async fn claim(&self, tenant: &Tenant, claim: &str, access_mode: &str) {
        let (name, folder) = (&self.name, &self.folder);
        tenant
            .apply(&json!({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
                "spec": {
                    "capacity": {"storage": "1Mi"}, "accessModes": [access_mode], "storageClassName": "",
                    "persistentVolumeReclaimPolicy": "Retain",
                    "hostPath": {"path": folder, "type": "Directory"},
                    "claimRef": {"namespace": name, "name": claim},
                },
            }))
            .await;
        tenant.apply(&self::claim(claim, access_mode, name)).await;
    }

    /// Where it is on this machine.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes it, and every pod of the tenant first.
    pub async fn remove(self, tenant: &Tenant) {
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

/// A claim for a volume, which need not be there.
pub fn claim(name: &str, access_mode: &str, volume: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {
            "accessModes": [access_mode], "storageClassName": "", "volumeName": volume,
            "resources": {"requests": {"storage": "1Mi"}},
        },
    })
}
