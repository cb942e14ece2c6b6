//! What of an object is kept: only what decisions need, as a controller may know of ten thousand jobs that have ended. Pure.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::names::{ANNOTATION_JOB, Component, LABEL_COMPONENT, LABEL_JOB_UID};
use crate::controller::children::has_ended;
use crate::controller::pod_state::{has_component, has_succeeded};
use crate::controller::server_pods::DELETION_COST;

/// A feeder, or what fills a model cache, whole while it may still be changed; of one that has ended, only that.
pub(super) fn job(mut job: Job) -> Job {
    job.metadata.managed_fields = None;
    if has_ended(&job) {
        job.metadata.annotations = None;
        job.spec = None;
    }
    job
}

/// The servers whole: they do not outlive their rows.
pub(super) fn servers(mut servers: Deployment) -> Deployment {
    servers.metadata.managed_fields = None;
    servers
}

/// A pod's status, its owner, its node, and what its containers are limited to. A pod of the operator's own programs that has succeeded says nothing
/// that its Job and its report do not.
pub(in crate::controller) fn pod(mut pod: Pod) -> Option<Pod> {
    if !has_component(&pod, Component::Server) && has_succeeded(&pod) {
        return None;
    }
    pod.metadata = pod_metadata(pod.metadata);
    pod.spec = pod.spec.map(pod_spec);
    Some(pod)
}

fn pod_metadata(metadata: ObjectMeta) -> ObjectMeta {
    let mut labels = metadata.labels;
    let mut annotations = metadata.annotations;
    if let Some(labels) = &mut labels {
        labels.retain(|name, _| [LABEL_COMPONENT, LABEL_JOB_UID].contains(&name.as_str()));
    }
    if let Some(annotations) = &mut annotations {
        annotations.retain(|name, _| [ANNOTATION_JOB, DELETION_COST].contains(&name.as_str()));
    }
    ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        deletion_timestamp: metadata.deletion_timestamp,
        // Whether a pod is of the Job that fills the model cache now, or of an older one.
        owner_references: metadata.owner_references,
        labels,
        annotations,
        ..ObjectMeta::default()
    }
}

fn pod_spec(spec: PodSpec) -> PodSpec {
    let limits = |container: Container| Container {
        name: container.name,
        resources: container.resources,
        ..Container::default()
    };
    PodSpec {
        node_name: spec.node_name,
        containers: spec.containers.into_iter().map(limits).collect(),
        ..PodSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn owners() -> Value {
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u-r"}])
    }

    fn pod_of(component: &str, phase: &str) -> Pod {
        let metadata = json!({"name": "p", "uid": "u", "managedFields": [], "ownerReferences": owners(),
                              "labels": {LABEL_COMPONENT: component, LABEL_JOB_UID: "j", "other": ""},
                              "annotations": {ANNOTATION_JOB: "job", DELETION_COST: "-1", "other": ""}});
        let container = json!({"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}],
                               "resources": {"limits": {"nvidia.com/gpu": "1"}}});
        let pod = json!({"metadata": metadata, "spec": {"nodeName": "n", "containers": [container], "priority": 1},
                         "status": {"phase": phase, "reason": "Evicted"}});
        serde_json::from_value(pod).expect("a pod")
    }

    #[test]
    fn of_a_pod_its_marks_owner_node_devices_and_status_are_kept() {
        let kept = serde_json::to_value(pod(pod_of("server", "Failed")).expect("kept")).expect("JSON");
        let want = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "uid": "u", "ownerReferences": owners(),
                         "labels": {LABEL_COMPONENT: "server", LABEL_JOB_UID: "j"},
                         "annotations": {ANNOTATION_JOB: "job", DELETION_COST: "-1"}},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]},
            "status": {"phase": "Failed", "reason": "Evicted"},
        });
        assert_eq!(kept, want);
    }

    #[test]
    fn feeders_that_have_ended_are_hardly_kept() {
        assert!(pod(pod_of("feeder", "Running")).is_some());
        assert!(pod(pod_of("feeder", "Succeeded")).is_none());
        let job = |conditions: Value| -> Job {
            let job = json!({"metadata": {"name": "f", "annotations": {"a": ""}}, "spec": {"template": {}},
                             "status": {"conditions": conditions}});
            super::job(serde_json::from_value(job).expect("a Job"))
        };
        assert!(job(json!([])).spec.is_some());
        assert!(job(json!([{"type": "Suspended", "status": "True"}])).spec.is_some());
        for end in ["Complete", "Failed"] {
            let ended = job(json!([{"type": end, "status": "True"}]));
            assert!(ended.spec.is_none() && ended.metadata.annotations.is_none() && has_ended(&ended));
        }
    }
}
