//! A pod made from nothing, for a job that is not there yet. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, EnvFromSource, EnvVar, Pod, PodSecurityContext, PodSpec, ResourceRequirements, SecretEnvSource,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::surroundings::Surroundings;
use super::template::hold;
use super::{CONTAINER, NAME, STAYS_FOR};
use crate::api::names::{DATASET_ENV_PREFIX, LABEL_NAME};
use crate::cli::output::Place;
use crate::controller::build::{UNPRIVILEGED_ID, WITHOUT_MESH, restricted};

/// The API server adds five letters and digits.
const GENERATED: &str = "kubectl-bij-upload-";
/// Of the program itself, in mebibytes.
const MEMORY_MIB: usize = 128;

/// Without it, Azure's webhook gives a pod no identity:
/// <https://azure.github.io/azure-workload-identity/docs/topics/service-account-labels-and-annotations.html>. Nobody else reads it.
const IDENTITY_OF_AZURE: (&str, &str) = ("azure.workload.identity/use", "true");

/// What an upload's pod is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct UploadPod {
    /// How a pod runs there.
    pub surroundings: Surroundings,
    /// Who asks the store, where no key does; the namespace's `default` without.
    pub service_account: Option<String>,
    /// The Secret with the store's keys.
    pub secret: Option<String>,
    /// Variables by which the job finds its account at the store, where no Secret names it.
    pub account: Vec<EnvVar>,
    /// What it has in memory of parts at most, in bytes.
    pub bytes_at_once: usize,
}

impl UploadPod {
    /// The pod: as restricted as a feeder's, with the keys of the data set's store; no token, no restart, and an end. No job owns it, as
    /// there is none yet.
    #[must_use]
    pub fn pod(&self, place: &Place) -> Pod {
        let Surroundings {
            pull_secrets,
            volumes,
            node_selector,
            tolerations,
            ..
        } = &self.surroundings;
        Pod {
            metadata: self.metadata(),
            spec: Some(PodSpec {
                active_deadline_seconds: i64::try_from(STAYS_FOR.as_secs()).ok(),
                automount_service_account_token: Some(false),
                containers: vec![self.container(place)],
                enable_service_links: Some(false),
                image_pull_secrets: unless_empty(pull_secrets),
                node_selector: node_selector.clone(),
                restart_policy: Some("Never".into()),
                security_context: Some(PodSecurityContext {
                    run_as_user: Some(UNPRIVILEGED_ID),
                    run_as_group: Some(UNPRIVILEGED_ID),
                    ..PodSecurityContext::default()
                }),
                service_account_name: self.service_account.clone(),
                termination_grace_period_seconds: Some(1),
                tolerations: tolerations.clone(),
                volumes: unless_empty(volumes),
                ..PodSpec::default()
            }),
            status: None,
        }
    }

    fn metadata(&self) -> ObjectMeta {
        let without_mesh = WITHOUT_MESH.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let identity = self.service_account.as_ref().map(|_| IDENTITY_OF_AZURE);
        let labels = [(LABEL_NAME, NAME)].into_iter().chain(identity);
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        ObjectMeta {
            generate_name: Some(GENERATED.into()),
            labels: Some(labels.collect()),
            annotations: Some(without_mesh.into()),
            ..ObjectMeta::default()
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
            image: Some(self.surroundings.image.clone()),
            args: Some(hold(place)),
            env: unless_empty(&[self.surroundings.env.as_slice(), &self.account].concat()),
            env_from: keys.map(|keys| vec![keys]),
            resources: Some(self.resources()),
            security_context: Some(restricted(true)),
            volume_mounts: unless_empty(&self.surroundings.mounts),
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

fn unless_empty<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::storage::Side;

    fn upload_pod() -> UploadPod {
        UploadPod {
            surroundings: Surroundings {
                image: "registry.example/operator:1".into(),
                ..Surroundings::unknown()
            },
            service_account: None,
            secret: Some("batch-inference-store".into()),
            account: Vec::new(),
            bytes_at_once: 32 << 20,
        }
    }

    fn labels(pod: &UploadPod) -> Value {
        serde_json::to_value(pod.metadata()).unwrap()["labels"].take()
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
        assert_eq!(labels(&upload_pod()), json!({"app.kubernetes.io/name": "kubectl-bij"}));
    }

    #[test]
    fn an_identity_and_what_pods_need_in_the_namespace_are_the_pods() {
        let feeder = json!({"spec": {"template": {"spec": {
            "imagePullSecrets": [{"name": "registry"}],
            "nodeSelector": {"pool": "cpu"},
            "tolerations": [{"key": "batch", "operator": "Exists"}],
            "containers": [{
                "name": "feeder",
                "image": "registry.example/operator:1",
                "env": [{"name": "SSL_CERT_FILE", "value": "/certificates/ca.crt"}],
                "volumeMounts": [{"name": "certificates", "mountPath": "/certificates"}],
            }],
            "volumes": [{"name": "certificates", "configMap": {"name": "trusted"}}],
        }}}});
        let pod = UploadPod {
            surroundings: Surroundings::of(serde_json::from_value(feeder).unwrap()).unwrap(),
            service_account: Some("may-use-my-bucket".into()),
            secret: None,
            account: vec![EnvVar {
                name: "AZURE_STORAGE_ACCOUNT_NAME".into(),
                value: Some("me".into()),
                value_from: None,
            }],
            ..upload_pod()
        };
        let spec = spec(&pod);
        assert_eq!(labels(&pod)["azure.workload.identity/use"], "true");
        assert_eq!(spec["serviceAccountName"], "may-use-my-bucket");
        assert_eq!(spec["imagePullSecrets"], json!([{"name": "registry"}]));
        assert_eq!(spec["nodeSelector"], json!({"pool": "cpu"}));
        assert_eq!(spec["tolerations"], json!([{"key": "batch", "operator": "Exists"}]));
        assert_eq!(
            spec["volumes"],
            json!([{"name": "certificates", "configMap": {"name": "trusted"}}])
        );
        let container = &spec["containers"][0];
        assert_eq!(container["envFrom"], Value::Null);
        assert_eq!(
            container["env"],
            json!([
                {"name": "SSL_CERT_FILE", "value": "/certificates/ca.crt"},
                {"name": "AZURE_STORAGE_ACCOUNT_NAME", "value": "me"},
            ])
        );
        assert_eq!(
            container["volumeMounts"],
            json!([{"name": "certificates", "mountPath": "/certificates", "readOnly": true}])
        );
    }
}
