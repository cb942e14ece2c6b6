//! A pod made from nothing, for a job that is not there yet. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, EnvFromSource, LocalObjectReference, Pod, PodSecurityContext, PodSpec, ResourceRequirements,
    SecretEnvSource,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::template::hold;
use super::{CONTAINER, NAME, STAYS_FOR};
use crate::api::names::{DATASET_ENV_PREFIX, LABEL_NAME};
use crate::cli::output::Place;
use crate::controller::build::{UNPRIVILEGED_ID, WITHOUT_MESH, restricted};

/// The API server adds five letters and digits.
const GENERATED: &str = "kubectl-bij-upload-";
/// The image of the chart, without a tag.
const REPOSITORY: &str = "ghcr.io/batch-inference-operator/batch-inference-operator";
/// Of the program itself, in mebibytes.
const MEMORY_MIB: usize = 128;

/// What an upload's pod is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct UploadPod {
    /// The operator's image.
    pub image: String,
    /// Secrets to pull it with.
    pub pull_secrets: Vec<LocalObjectReference>,
    /// Who asks the store, where no key does; the namespace's `default` without.
    pub service_account: Option<String>,
    /// The Secret with the store's keys.
    pub secret: Option<String>,
    /// What it has in memory of parts at most, in bytes.
    pub bytes_at_once: usize,
}

/// The image of the operator of this program's own version, as the chart has it.
#[must_use]
pub fn default_image() -> String {
    format!("{REPOSITORY}:{}", env!("CARGO_PKG_VERSION"))
}

impl UploadPod {
    /// The pod: as restricted as a feeder's, with the keys of the data set's store; no token, no restart, and an end. No job owns it, as
    /// there is none yet.
    #[must_use]
    pub fn pod(&self, place: &Place) -> Pod {
        Pod {
            metadata: metadata(),
            spec: Some(PodSpec {
                active_deadline_seconds: i64::try_from(STAYS_FOR.as_secs()).ok(),
                automount_service_account_token: Some(false),
                containers: vec![self.container(place)],
                enable_service_links: Some(false),
                image_pull_secrets: (!self.pull_secrets.is_empty()).then(|| self.pull_secrets.clone()),
                restart_policy: Some("Never".into()),
                security_context: Some(PodSecurityContext {
                    run_as_user: Some(UNPRIVILEGED_ID),
                    run_as_group: Some(UNPRIVILEGED_ID),
                    ..PodSecurityContext::default()
                }),
                service_account_name: self.service_account.clone(),
                termination_grace_period_seconds: Some(1),
                ..PodSpec::default()
            }),
            status: None,
        }
    }

    fn container(&self, place: &Place) -> Container {
        let keys = self.secret.as_ref().map(|secret| EnvFromSource {
            prefix: Some(DATASET_ENV_PREFIX.into()),
            secret_ref: Some(SecretEnvSource {
                name: secret.clone(),
                optional: None,
            }),
            config_map_ref: None,
        });
        Container {
            name: CONTAINER.into(),
            image: Some(self.image.clone()),
            args: Some(hold(place)),
            env_from: keys.map(|keys| vec![keys]),
            resources: Some(self.resources()),
            security_context: Some(restricted(true)),
            ..Container::default()
        }
    }

    fn resources(&self) -> ResourceRequirements {
        let memory = Quantity(format!("{}Mi", MEMORY_MIB + self.bytes_at_once.div_ceil(1 << 20)));
        let requests = [
            ("cpu".to_owned(), Quantity("100m".into())),
            ("memory".to_owned(), memory.clone()),
        ];
        ResourceRequirements {
            requests: Some(BTreeMap::from(requests)),
            limits: Some(BTreeMap::from([("memory".to_owned(), memory)])),
            ..ResourceRequirements::default()
        }
    }
}

fn metadata() -> ObjectMeta {
    let without_mesh = WITHOUT_MESH.map(|(name, value)| (name.to_owned(), value.to_owned()));
    ObjectMeta {
        generate_name: Some(GENERATED.into()),
        labels: Some([(LABEL_NAME.to_owned(), NAME.to_owned())].into()),
        annotations: Some(without_mesh.into()),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::storage::Side;

    fn upload_pod() -> UploadPod {
        UploadPod {
            image: "registry.example/operator:1".into(),
            pull_secrets: Vec::new(),
            service_account: None,
            secret: Some("batch-inference-store".into()),
            bytes_at_once: 32 << 20,
        }
    }

    fn spec(pod: &UploadPod) -> Value {
        let place = Place::in_default_store("datasets/", Side::Dataset);
        serde_json::to_value(pod.pod(&place)).unwrap()["spec"].take()
    }

    #[test]
    fn the_pod_passes_the_strictest_standard_and_has_no_token() {
        let container = json!({
            "name": "output",
            "image": "registry.example/operator:1",
            "args": ["output", "--default-store", "datasets/", "--keys-of", "dataset", "hold", "3600"],
            "envFrom": [{"prefix": "DATASET_", "secretRef": {"name": "batch-inference-store"}}],
            "resources": {"requests": {"cpu": "100m", "memory": "160Mi"}, "limits": {"memory": "160Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": true,
                "runAsNonRoot": true,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        });
        let expected = json!({
            "activeDeadlineSeconds": 3600,
            "automountServiceAccountToken": false,
            "containers": [container],
            "enableServiceLinks": false,
            "restartPolicy": "Never",
            "securityContext": {"runAsUser": 65532, "runAsGroup": 65532},
            "terminationGracePeriodSeconds": 1,
        });
        assert_eq!(spec(&upload_pod()), expected);
    }

    #[test]
    fn an_identity_and_a_private_registry_are_the_pods() {
        let pod = UploadPod {
            pull_secrets: vec![LocalObjectReference {
                name: "registry".into(),
            }],
            service_account: Some("may-use-my-bucket".into()),
            secret: None,
            ..upload_pod()
        };
        let spec = spec(&pod);
        assert_eq!(spec["serviceAccountName"], "may-use-my-bucket");
        assert_eq!(spec["imagePullSecrets"], json!([{"name": "registry"}]));
        assert_eq!(spec["containers"][0]["envFrom"], Value::Null);
    }

    #[test]
    fn the_default_image_is_the_charts() {
        let values = include_str!("../../../../charts/batch-inference-operator/values.yaml");
        assert!(values.contains(&format!("repository: {REPOSITORY}\n")));
        let chart = include_str!("../../../../charts/batch-inference-operator/Chart.yaml");
        let version = env!("CARGO_PKG_VERSION");
        assert!(chart.contains(&format!("appVersion: {version}\n")));
    }
}
