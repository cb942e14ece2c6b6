//! What a feeder shows of how a pod of the operator's image runs in its namespace: where the image is, which nodes take it, and how it gets
//! out of the cluster. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::batch::v1::Job as FeederJob;
use k8s_openapi::api::core::v1::{EnvVar, LocalObjectReference, PodSpec, Toleration, Volume, VolumeMount};

use crate::api::names::FEEDER_CONTAINER;

/// The image of the chart, without a tag.
const REPOSITORY: &str = "ghcr.io/batch-inference-operator/batch-inference-operator";
/// Variables by which a store outside is reached, whichever it is. Files that they name are mounted. Which store is meant, another job's feeder
/// does not say.
const NETWORK: [&str; 4] = ["HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"];

/// How a pod runs in a namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Surroundings {
    /// The operator's image.
    pub image: String,
    /// Secrets to pull it with.
    pub pull_secrets: Vec<LocalObjectReference>,
    /// Variables of proxy and certificates.
    pub env: Vec<EnvVar>,
    /// Where the certificates are.
    pub mounts: Vec<VolumeMount>,
    /// What they are on.
    pub volumes: Vec<Volume>,
    /// Nodes that may run it.
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints of theirs that it takes.
    pub tolerations: Option<Vec<Toleration>>,
}

impl Surroundings {
    /// Those of a namespace of which nothing is known: the image of the operator of this program's own version, as the chart has it.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            image: format!("{REPOSITORY}:{}", env!("CARGO_PKG_VERSION")),
            pull_secrets: Vec::new(),
            env: Vec::new(),
            mounts: Vec::new(),
            volumes: Vec::new(),
            node_selector: None,
            tolerations: None,
        }
    }

    /// Those of a feeder; none of one that is not as this program knows it.
    #[must_use]
    pub fn of(feeder: FeederJob) -> Option<Self> {
        let pod = feeder.spec?.template.spec?;
        let mut containers = pod.containers.iter();
        let feeder = containers.find(|container| container.name == FEEDER_CONTAINER)?;
        let env = feeder.env.iter().flatten();
        let env: Vec<_> = env.filter(|variable| is_of_network(variable)).cloned().collect();
        let mounts = feeder.volume_mounts.iter().flatten();
        let mounts: Vec<_> = mounts.filter(|mount| is_named(mount, &env)).map(read_only).collect();
        Some(Self {
            image: feeder.image.clone()?,
            env,
            volumes: volumes(&pod, &mounts),
            mounts,
            pull_secrets: pod.image_pull_secrets.unwrap_or_default(),
            node_selector: pod.node_selector,
            tolerations: pod.tolerations,
        })
    }
}

fn is_of_network(variable: &EnvVar) -> bool {
    NETWORK.contains(&variable.name.as_str())
}

/// Whether a variable names a file that is mounted there.
fn is_named(mount: &VolumeMount, env: &[EnvVar]) -> bool {
    let mut files = env.iter().filter_map(|variable| variable.value.as_deref());
    files.any(|file| Path::new(file).starts_with(&mount.mount_path))
}

fn read_only(mount: &VolumeMount) -> VolumeMount {
    VolumeMount {
        read_only: Some(true),
        ..mount.clone()
    }
}

fn volumes(pod: &PodSpec, mounts: &[VolumeMount]) -> Vec<Volume> {
    let is_mounted = |volume: &&Volume| mounts.iter().any(|mount| mount.name == volume.name);
    pod.volumes.iter().flatten().filter(is_mounted).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn proxy_certificates_and_nodes_are_a_feeders_and_its_keys_account_and_claims_are_not() {
        let feeder = json!({"spec": {"template": {"spec": {
            "nodeSelector": {"pool": "cpu"},
            "tolerations": [{"key": "batch", "operator": "Exists"}],
            "imagePullSecrets": [{"name": "registry"}],
            "containers": [{"name": "sidecar"}, {
                "name": "feeder",
                "image": "registry.example/operator:1",
                "env": [
                    {"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"},
                    {"name": "SSL_CERT_FILE", "value": "/etc/batch-inference/certificates/ca.crt"},
                    {"name": "AZURE_STORAGE_ACCOUNT_NAME", "value": "me"},
                    {"name": "MODEL_HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}},
                ],
                "volumeMounts": [
                    {"name": "output", "mountPath": "/output"},
                    {"name": "batch-inference-certificates", "mountPath": "/etc/batch-inference/certificates"},
                ],
            }],
            "volumes": [
                {"name": "output", "persistentVolumeClaim": {"claimName": "results"}},
                {"name": "batch-inference-certificates", "configMap": {"name": "trusted"}},
            ],
        }}}});
        let surroundings = Surroundings::of(serde_json::from_value(feeder).unwrap()).unwrap();
        assert_eq!(surroundings.image, "registry.example/operator:1");
        let names = |env: &[EnvVar]| env.iter().map(|variable| variable.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&surroundings.env), ["HTTPS_PROXY", "SSL_CERT_FILE"]);
        assert_eq!(
            serde_json::to_value(&surroundings.mounts).unwrap(),
            json!([{"name": "batch-inference-certificates", "mountPath": "/etc/batch-inference/certificates", "readOnly": true}])
        );
        assert_eq!(
            serde_json::to_value(&surroundings.volumes).unwrap(),
            json!([{"name": "batch-inference-certificates", "configMap": {"name": "trusted"}}])
        );
        assert_eq!(surroundings.pull_secrets.len(), 1);
        let selector = BTreeMap::from([("pool".to_owned(), "cpu".to_owned())]);
        assert_eq!(surroundings.node_selector, Some(selector));
        assert!(surroundings.tolerations.is_some());
    }

    #[test]
    fn a_feeder_of_another_shape_shows_nothing() {
        assert_eq!(Surroundings::of(FeederJob::default()), None);
    }

    #[test]
    fn the_default_image_is_the_charts() {
        let values = include_str!("../../../../charts/batch-inference-operator/values.yaml");
        assert!(values.contains(&format!("repository: {REPOSITORY}\n")));
        let chart = include_str!("../../../../charts/batch-inference-operator/Chart.yaml");
        let version = env!("CARGO_PKG_VERSION");
        assert!(chart.contains(&format!("appVersion: {version}\n")));
        assert_eq!(Surroundings::unknown().image, format!("{REPOSITORY}:{version}"));
    }
}
