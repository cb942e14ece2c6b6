//! The pod, made of the feeder's: what may read the output may also give it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::batch::v1::Job as FeederJob;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, VolumeMount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

use super::super::job::Job;
use super::{CONTAINER, NAME, STAYS_FOR};
use crate::api::BatchInferenceJob;
use crate::api::names::{
    ADAPTER_API_TOKEN_ENV, DATASET_MOUNT_PATH, ENDPOINT_API_KEY_ENV, FEEDER_CONTAINER, LABEL_NAME, MODEL_ENV_PREFIX,
    OUTPUT_ENV_PREFIX, SCRATCH_MOUNT_PATH,
};
use crate::cli::output::Place;
use crate::controller::build::KUEUE_PREFIX;

/// The API server adds five letters and digits.
const GENERATED: &str = "kubectl-bij-output-";
/// What the operator's annotations begin with.
const OURS: &str = "batchinference.dev/";

/// What labels begin with that are not copied: the operator's, those of Jobs, and Kueue's.
const KNOWN_PREFIXES: [&str; 4] = [OURS, "app.kubernetes.io/", "batch.kubernetes.io/", KUEUE_PREFIX];
/// Older labels of Jobs: <https://kubernetes.io/docs/reference/labels-annotations-taints/#controller-uid>
const OF_JOBS: [&str; 2] = ["controller-uid", "job-name"];

/// A feeder without a container of its name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the job's feeder has no container `{FEEDER_CONTAINER}`")]
pub struct NoTemplate;

/// The pod: the feeder's image, security and place, the keys of the output, its claim and whatever else is mounted but the data set,
/// read-only; no token, no restart, and an end.
///
/// # Errors
///
/// [`NoTemplate`].
pub fn beside_output(job: &Job, feeder: &FeederJob, place: &Place) -> Result<Pod, NoTemplate> {
    let template = feeder.spec.as_ref().map(|spec| &spec.template).ok_or(NoTemplate)?;
    let given = template.spec.as_ref().ok_or(NoTemplate)?;
    let mut containers = given.containers.iter();
    let feeder = containers
        .find(|container| container.name == FEEDER_CONTAINER)
        .ok_or(NoTemplate)?;
    let container = container(feeder, place);
    let mounts = container.volume_mounts.iter().flatten();
    let mounted: BTreeSet<_> = mounts.map(|mount| mount.name.clone()).collect();
    let volumes = given.volumes.iter().flatten();
    let volumes = volumes
        .filter(|volume| mounted.contains(&volume.name))
        .cloned()
        .collect();
    Ok(Pod {
        metadata: metadata(job, template.metadata.clone().unwrap_or_default()),
        spec: Some(PodSpec {
            active_deadline_seconds: i64::try_from(STAYS_FOR.as_secs()).ok(),
            automount_service_account_token: Some(false),
            containers: vec![container],
            enable_service_links: Some(false),
            image_pull_secrets: given.image_pull_secrets.clone(),
            node_selector: given.node_selector.clone(),
            affinity: given.affinity.clone(),
            tolerations: given.tolerations.clone(),
            restart_policy: Some("Never".into()),
            runtime_class_name: given.runtime_class_name.clone(),
            security_context: given.security_context.clone(),
            // Where the output is allowed to an identity and not by keys, it is this one's.
            service_account_name: given.service_account_name.clone(),
            termination_grace_period_seconds: Some(1),
            volumes: Some(volumes),
            ..PodSpec::default()
        }),
        status: None,
    })
}

fn metadata(job: &Job, feeders: ObjectMeta) -> ObjectMeta {
    let annotations = feeders.annotations.unwrap_or_default();
    let foreign = annotations.into_iter().filter(|(name, _)| !name.starts_with(OURS));
    ObjectMeta {
        generate_name: Some(GENERATED.into()),
        namespace: Some(job.namespace().to_owned()),
        labels: Some(labels(feeders.labels.unwrap_or_default())),
        // What keeps service meshes out.
        annotations: Some(foreign.collect()),
        owner_references: Some(vec![OwnerReference {
            api_version: BatchInferenceJob::api_version(&()).into_owned(),
            kind: BatchInferenceJob::kind(&()).into_owned(),
            name: job.name().to_owned(),
            uid: job.uid().to_owned(),
            ..OwnerReference::default()
        }]),
        ..ObjectMeta::default()
    }
}

/// Those of the feeder that somebody else reads, such as the webhook that gives a pod its identity. With those of Kubernetes, the feeder's
/// Job would take the pod for one of its own; with Kueue's, the pod would wait for a quota.
fn labels(feeders: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let foreign = feeders.into_iter().filter(|(name, _)| {
        let is_known = KNOWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        !is_known && !OF_JOBS.contains(&name.as_str())
    });
    foreign.chain([(LABEL_NAME.to_owned(), NAME.to_owned())]).collect()
}

fn container(feeder: &Container, place: &Place) -> Container {
    let keys = feeder.env_from.iter().flatten();
    let keys = keys.filter(|from| from.prefix.as_deref() == Some(OUTPUT_ENV_PREFIX));
    // Neither hub nor endpoint nor servers are asked: their tokens stay away, and the Secrets of those need not be there.
    let tokens = [ENDPOINT_API_KEY_ENV, ADAPTER_API_TOKEN_ENV];
    let is_theirs = |name: &str| name.starts_with(MODEL_ENV_PREFIX) || tokens.contains(&name);
    let env = feeder.env.iter().flatten();
    let env = env.filter(|variable| !is_theirs(&variable.name));
    // A person's template may have others, such as certificates.
    let mounts = feeder.volume_mounts.iter().flatten();
    let mounts = mounts.filter(|mount| ![DATASET_MOUNT_PATH, SCRATCH_MOUNT_PATH].contains(&mount.mount_path.as_str()));
    let mounts = mounts.map(|mount| VolumeMount {
        read_only: Some(true),
        ..mount.clone()
    });
    Container {
        name: CONTAINER.into(),
        image: feeder.image.clone(),
        image_pull_policy: feeder.image_pull_policy.clone(),
        command: feeder.command.clone(),
        args: Some(hold(place)),
        env: Some(env.cloned().collect()),
        env_from: Some(keys.cloned().collect()),
        resources: feeder.resources.clone(),
        security_context: feeder.security_context.clone(),
        volume_mounts: Some(mounts.collect()),
        ..Container::default()
    }
}

/// What the pod does until it is asked.
pub(super) fn hold(place: &Place) -> Vec<String> {
    let seconds = STAYS_FOR.as_secs().to_string();
    let words = std::iter::once("output".to_owned()).chain(place.words());
    words.chain(["hold".to_owned(), seconds]).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::storage::{Side, StoreUri};

    fn feeder() -> FeederJob {
        let spec = json!({"template": {
            "metadata": {
                "annotations": {"batchinference.dev/job": "x", "linkerd.io/inject": "disabled"},
                "labels": {
                    "app.kubernetes.io/name": "feeder",
                    "azure.workload.identity/use": "true",
                    "batch.kubernetes.io/controller-uid": "2",
                    "batchinference.dev/job-uid": "1",
                    "controller-uid": "2",
                    "job-name": "x-feeder",
                    "kueue.x-k8s.io/queue-name": "team",
                },
            },
            "spec": {
                "serviceAccountName": "x-feeder",
                "automountServiceAccountToken": true,
                "restartPolicy": "OnFailure",
                "securityContext": {"runAsUser": 65532, "fsGroup": 65532},
                "imagePullSecrets": [{"name": "registry"}],
                "initContainers": [{"name": "prerequisites"}],
                "containers": [
                    {"name": "sidecar"},
                    {
                        "name": "feeder",
                        "image": "registry.example/operator:1",
                        "args": ["feed", "--name", "x"],
                        "env": [
                            {"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"},
                            {"name": "MODEL_HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}},
                            {"name": "ENDPOINT_API_KEY", "valueFrom": {"secretKeyRef": {"name": "api", "key": "key"}}},
                            {"name": "ADAPTER_API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "pbase", "key": "token"}}},
                        ],
                        "envFrom": [
                            {"prefix": "DATASET_", "secretRef": {"name": "theirs"}},
                            {"prefix": "OUTPUT_", "secretRef": {"name": "store-keys"}},
                        ],
                        "securityContext": {"allowPrivilegeEscalation": false, "runAsNonRoot": true},
                        "volumeMounts": [
                            {"name": "scratch", "mountPath": "/scratch"},
                            {"name": "dataset", "mountPath": "/dataset"},
                            {"name": "certificates", "mountPath": "/certificates"},
                            {"name": "output", "mountPath": "/output"},
                        ],
                    },
                ],
                "volumes": [
                    {"name": "scratch", "emptyDir": {}},
                    {"name": "certificates", "secret": {"secretName": "authority"}},
                    {"name": "output", "persistentVolumeClaim": {"claimName": "results"}},
                ],
            },
        }});
        serde_json::from_value(json!({"metadata": {"name": "x-feeder"}, "spec": spec})).unwrap()
    }

    #[test]
    fn the_pod_has_what_reads_the_output_and_nothing_more() {
        let job = Job::new(json!({"metadata": {"name": "x", "namespace": "team", "uid": "1"}}));
        let uri = StoreUri::parse_prefix("pvc://results/run").unwrap();
        let pod = beside_output(&job, &feeder(), &Place::at(&uri, Side::Output)).unwrap();
        let container = json!({
            "name": "output",
            "image": "registry.example/operator:1",
            "args": ["output", "--uri", "pvc://results/run/", "hold", "3600"],
            "env": [{"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"}],
            "envFrom": [{"prefix": "OUTPUT_", "secretRef": {"name": "store-keys"}}],
            "securityContext": {"allowPrivilegeEscalation": false, "runAsNonRoot": true},
            "volumeMounts": [
                {"name": "certificates", "mountPath": "/certificates", "readOnly": true},
                {"name": "output", "mountPath": "/output", "readOnly": true},
            ],
        });
        let expected = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "generateName": "kubectl-bij-output-",
                "namespace": "team",
                "labels": {"app.kubernetes.io/name": "kubectl-bij", "azure.workload.identity/use": "true"},
                "annotations": {"linkerd.io/inject": "disabled"},
                "ownerReferences": [
                    {"apiVersion": "batchinference.dev/v1alpha1", "kind": "BatchInferenceJob", "name": "x", "uid": "1"},
                ],
            },
            "spec": {
                "activeDeadlineSeconds": 3600,
                "automountServiceAccountToken": false,
                "containers": [container],
                "enableServiceLinks": false,
                "imagePullSecrets": [{"name": "registry"}],
                "restartPolicy": "Never",
                "securityContext": {"runAsUser": 65532, "fsGroup": 65532},
                "serviceAccountName": "x-feeder",
                "terminationGracePeriodSeconds": 1,
                "volumes": [
                    {"name": "certificates", "secret": {"secretName": "authority"}},
                    {"name": "output", "persistentVolumeClaim": {"claimName": "results"}},
                ],
            },
        });
        assert_eq!(serde_json::to_value(&pod).unwrap(), expected);
    }

    #[test]
    fn a_feeder_of_another_shape_is_refused() {
        let job = Job::new(json!({}));
        let place = Place::in_default_store("jobs/x/", Side::Output);
        assert_eq!(beside_output(&job, &FeederJob::default(), &place), Err(NoTemplate));
    }
}
