//! Whose an object is that has the name of a job's child, and whether the child must wait for it. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};

use super::children::{Kind, Workloads};
use crate::api::BatchInferenceJob;
use crate::api::names::LABEL_JOB_UID;
use crate::api::reason::Reason;
use crate::api::wait::Wait;

/// Whether an object is this job's: by its owner, or, when somebody has taken that away, by the job's uid among its labels.
pub(super) fn is_of(job: &BatchInferenceJob, found: &ObjectMeta) -> bool {
    let labels = found.labels.as_ref();
    let uid = owner(found).map_or_else(
        || labels.and_then(|labels| labels.get(LABEL_JOB_UID)),
        |owner| Some(&owner.uid),
    );
    uid.is_some() && uid == job.metadata.uid.as_ref()
}

/// Why a child cannot be made as long as this has its name: it is not this job's, or is on its way out.
pub(super) fn in_the_way<K: Kind>(job: &BatchInferenceJob, found: &K) -> Option<Wait> {
    let (kind, name) = (K::kind(&()), found.name_any());
    if is_of(job, found.meta()) {
        return found.meta().deletion_timestamp.is_some().then(|| {
            Wait::new(
                Reason::WaitingForOldChild,
                format!("{kind} {name} of this job is still being deleted"),
            )
        });
    }
    let job_kind = BatchInferenceJob::kind(&());
    match owner(found.meta()) {
        Some(owner) if owner.kind == job_kind && owner.name == job.name_any() => Some(Wait::new(
            Reason::WaitingForOldChild,
            format!("{kind} {name} belongs to a deleted job of the same name and is still there"),
        )),
        _ => Some(Wait::new(
            Reason::ChildNameTaken,
            format!("{kind} {name} exists and does not belong to this job"),
        )),
    }
}

/// Why a job cannot be begun: something of others has the name of its feeder or of its servers.
pub(super) fn name_taken(job: &BatchInferenceJob, others: &Workloads) -> Option<Wait> {
    let by_feeder = others.feeder.as_ref().and_then(|feeder| in_the_way(job, feeder));
    by_feeder.or_else(|| others.servers.as_ref().and_then(|servers| in_the_way(job, servers)))
}

fn owner(found: &ObjectMeta) -> Option<&OwnerReference> {
    let mut owners = found.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use serde_json::{Value, json};

    use super::*;

    fn job() -> BatchInferenceJob {
        serde_json::from_value(json!({
            "apiVersion": "batchinference.dev/v1alpha1",
            "kind": "BatchInferenceJob",
            "metadata": {"name": "triangles", "namespace": "geometry", "uid": "u-new"},
            "spec": {"dataset": {"inline": ""}, "server": {"baseModel": "m"}, "output": {"uri": "s3://b/o/"}},
        }))
        .expect("a job")
    }

    fn deployment(metadata: Value) -> Deployment {
        let mut deployment: Deployment = serde_json::from_value(json!({"metadata": metadata})).expect("a Deployment");
        deployment.metadata.name = Some("triangles-server".into());
        deployment
    }

    fn owned_by(kind: &str, name: &str, uid: &str) -> Value {
        json!([{"apiVersion": "v1", "kind": kind, "name": name, "uid": uid, "controller": true}])
    }

    #[test]
    fn only_children_of_this_very_job_that_stay_are_not_in_the_way() {
        let of = |uid: &str| owned_by("BatchInferenceJob", "triangles", uid);
        let label = |uid: &str| json!({LABEL_JOB_UID: uid});
        let deleted = "2026-11-24T10:00:00Z";
        let cases = [
            (json!({"ownerReferences": of("u-new")}), None),
            (json!({"labels": label("u-new")}), None),
            (
                json!({"ownerReferences": of("u-new"), "deletionTimestamp": deleted}),
                Some(Reason::WaitingForOldChild),
            ),
            (
                json!({"ownerReferences": of("u-old")}),
                Some(Reason::WaitingForOldChild),
            ),
            (
                json!({"ownerReferences": of("u-old"), "deletionTimestamp": deleted}),
                Some(Reason::WaitingForOldChild),
            ),
            (json!({}), Some(Reason::ChildNameTaken)),
            (json!({"labels": label("u-old")}), Some(Reason::ChildNameTaken)),
            (
                json!({"ownerReferences": owned_by("BatchInferenceJob", "squares", "u-2")}),
                Some(Reason::ChildNameTaken),
            ),
            (
                json!({"ownerReferences": owned_by("Application", "triangles", "u-3"), "labels": label("u-new")}),
                Some(Reason::ChildNameTaken),
            ),
        ];
        for (metadata, expected) in cases {
            let wait = in_the_way(&job(), &deployment(metadata.clone()));
            assert_eq!(wait.map(|wait| wait.reason), expected, "{metadata}");
        }
    }

    #[test]
    fn a_job_is_not_begun_while_the_name_of_its_feeder_or_servers_is_taken() {
        assert_eq!(name_taken(&job(), &Workloads::default()), None);
        let servers = Workloads {
            servers: Some(deployment(
                json!({"ownerReferences": owned_by("BatchInferenceJob", "triangles", "u-old")}),
            )),
            ..Workloads::default()
        };
        let wait = name_taken(&job(), &servers).expect("it waits");
        assert_eq!(
            (wait.reason, wait.message.as_str()),
            (
                Reason::WaitingForOldChild,
                "Deployment triangles-server belongs to a deleted job of the same name and is still there"
            )
        );
        let feeder = json!({"metadata": {"name": "triangles-feeder"},
                            "status": {"conditions": [{"type": "Complete", "status": "True"}]}});
        let feeder = Workloads {
            feeder: Some(serde_json::from_value(feeder).expect("a Job")),
            ..Workloads::default()
        };
        let wait = name_taken(&job(), &feeder).expect("it waits");
        assert_eq!(
            (wait.reason, wait.message.as_str()),
            (
                Reason::ChildNameTaken,
                "Job triangles-feeder exists and does not belong to this job"
            )
        );
    }
}
