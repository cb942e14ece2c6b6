//! Builds every child object of a job: pure and total, no client, no clock, nothing that can fail.
//!
//! [`build`] returns all of them; [`access`] has what the feeder may do and who may talk to the servers, [`feeder`] the CPU pod,
//! [`servers`] the GPU pods, `adapters` what fetches adapters for them, `model_cache` the pod that brings their model beforehand, `cpu_pod`
//! what that pod and the feeder's have in common. Whatever could be wrong was refused in `validate`.

pub mod access;
mod adapters;
mod cpu_pod;
pub mod feeder;
mod hub;
mod model_cache;
pub mod servers;

use k8s_openapi::api::core::v1::{
    Capabilities, EmptyDirVolumeSource, PersistentVolumeClaimVolumeSource, PodTemplateSpec, SeccompProfile,
    SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};

use super::children::{Children, Workloads};
use super::decide::{Decision, FeederWanted};
use super::settings::Settings;
use super::validate::ValidatedJob;
use crate::api::BatchInferenceJob;
use crate::api::names::{ANNOTATION_JOB, ANNOTATION_POD_TEMPLATE, Component, child_name, labels};

/// The user and group of our own image, and of servers whose image can run as anyone.
pub const UNPRIVILEGED_ID: i64 = 65532;
/// How the volume is called that servers download weights to. As all volumes of servers that are the operator's, it has a prefix: one of the
/// same name, of a person's template or a Deployment, would be merged with it.
const WEIGHTS_VOLUME: &str = "batch-inference-weights";

/// Every child that should exist. `found` gives the pod templates that were decided when a workload was first applied: they stay,
/// so that a newer operator restarts no running pod.
#[must_use]
pub fn build(validated: &ValidatedJob, decision: &Decision, settings: &Settings, found: &Workloads) -> Children {
    let is_wanted = match decision.feeder {
        FeederWanted::Run | FeederWanted::Replace => true,
        FeederWanted::Suspend => found.feeder.is_some(),
        FeederWanted::Leave | FeederWanted::Remove => false,
    };
    if !is_wanted {
        return Children::default();
    }
    let (job, servers) = (&validated.job, validated.servers.as_ref());
    let own_account = job
        .spec
        .feeder
        .as_ref()
        .and_then(|feeder| feeder.service_account_name.as_deref());
    Children {
        service_account: own_account.is_none().then(|| access::service_account(job)),
        role: Some(access::role(job)),
        role_binding: Some(access::role_binding(job)),
        network_policy: servers
            .map(|servers| access::network_policy(job, servers.launch.port, &settings.extra_ingress)),
        service: servers.map(|servers| servers::service(job, servers.launch.port)),
        workloads: Workloads {
            feeder: Some(feeder::job(
                validated,
                settings,
                decision.feeder,
                found.feeder.as_ref().and_then(decided_template),
            )),
            model_cache: servers.filter(|_| decision.fills_model_cache).map(|servers| {
                let decided = found.model_cache.as_ref().and_then(decided_template);
                model_cache::job(validated, servers, settings, decided)
            }),
            servers: servers.zip(decision.servers).map(|(servers, replicas)| {
                let decided = found.servers.as_ref().and_then(decided_template);
                servers::deployment(validated, servers, replicas, decided)
            }),
        },
    }
}

/// Name, labels and owner of a child.
fn metadata(job: &BatchInferenceJob, component: Component) -> ObjectMeta {
    ObjectMeta {
        name: Some(child_name(&job.name_any(), component)),
        namespace: job.namespace(),
        labels: Some(labels(job, component)),
        owner_references: job.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

/// Metadata of a workload: its pod template stands beside it as it was decided.
fn workload_metadata(job: &BatchInferenceJob, component: Component, template: &PodTemplateSpec) -> ObjectMeta {
    let written = serde_json::to_string(template).unwrap_or_default();
    ObjectMeta {
        annotations: Some([(ANNOTATION_POD_TEMPLATE.to_owned(), written)].into()),
        ..metadata(job, component)
    }
}

/// The pod template that was decided when this workload was first applied.
fn decided_template<K: Resource>(workload: &K) -> Option<PodTemplateSpec> {
    let written = workload.meta().annotations.as_ref()?.get(ANNOTATION_POD_TEMPLATE)?;
    serde_json::from_str(written).ok()
}

/// Service meshes stay out: a sidecar would end connections that take long, and keep a feeder's pod alive that is done. A person's
/// template may let one in. Istio, Linkerd, Kuma and Consul, each in the words of its documentation.
pub const WITHOUT_MESH: [(&str, &str); 4] = [
    ("sidecar.istio.io/inject", "false"),
    ("linkerd.io/inject", "disabled"),
    ("kuma.io/sidecar-injection", "disabled"),
    ("consul.hashicorp.com/connect-inject", "false"),
];

/// Labels of a job that are for Kueue, and that it looks for on pods
/// (<https://kueue.sigs.k8s.io/docs/tasks/run/plain_pods/>).
pub const KUEUE_PREFIX: &str = "kueue.x-k8s.io/";

/// Metadata of a server's pod: Kueue's labels are the job's.
fn server_pod_metadata(job: &BatchInferenceJob, given: Option<ObjectMeta>) -> ObjectMeta {
    let mut metadata = pod_metadata(job, Component::Server, given);
    let labels = metadata.labels.get_or_insert_default();
    for (name, value) in job.labels().iter().filter(|(name, _)| name.starts_with(KUEUE_PREFIX)) {
        labels.entry(name.clone()).or_insert_with(|| value.clone());
    }
    metadata
}

/// Metadata of a pod. Our labels are set last: whatever a person's template says, the pod must be found.
fn pod_metadata(job: &BatchInferenceJob, component: Component, given: Option<ObjectMeta>) -> ObjectMeta {
    let mut metadata = given.unwrap_or_default();
    metadata.labels.get_or_insert_default().extend(labels(job, component));
    let annotations = metadata.annotations.get_or_insert_default();
    for (name, value) in WITHOUT_MESH {
        annotations.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    annotations.insert(ANNOTATION_JOB.into(), job.name_any());
    metadata
}

/// What the "restricted" pod security standard asks of a container.
#[must_use]
pub fn restricted(read_only: bool) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".into()]),
            add: None,
        }),
        read_only_root_filesystem: read_only.then_some(true),
        run_as_non_root: Some(true),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".into(),
            localhost_profile: None,
        }),
        ..SecurityContext::default()
    }
}

fn empty_dir(name: &str, medium: Option<&str>, size_limit: Option<Quantity>) -> Volume {
    Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: medium.map(Into::into),
            size_limit,
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn claim_volume(name: &str, claim: &str, read_only: Option<bool>) -> Volume {
    Volume {
        name: name.into(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.to_owned(),
            read_only,
        }),
        ..Volume::default()
    }
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        ..VolumeMount::default()
    }
}

fn quantity(text: &str) -> Quantity {
    Quantity(text.into())
}

#[cfg(test)]
#[path = "../build_tests.rs"]
mod tests;
