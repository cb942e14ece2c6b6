//! The model cache: the Job of a CPU pod that fills it, and what servers have of it.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec, PodTemplateSpec, Volume, VolumeMount};

use super::{claim_volume, cpu_pod, hub, mount, servers, workload_metadata};
use crate::api::names::{Component, MODEL_CACHE_MOUNT_PATH};
use crate::api::resources::{ComputeDefaults, Resources};
use crate::api::server::ServerSpec;
use crate::controller::settings::Settings;
use crate::controller::validate::{ValidatedJob, ValidatedServers};
use crate::controller::variables;
use crate::engine::model_cache;

const VOLUME: &str = "batch-inference-model-cache";

/// What fills the cache. Its pod is the feeder's in all that is not the work itself (image, account, the person's template), as it runs
/// in the same place for the same job; it is one of its own, because a claim of access mode ReadWriteOnce stays at the node of a pod.
pub(super) fn job(
    validated: &ValidatedJob,
    servers: &ValidatedServers,
    settings: &Settings,
    decided: Option<PodTemplateSpec>,
) -> Job {
    let job = &validated.job;
    let template = decided.unwrap_or_else(|| {
        let pod = pod(validated, servers, settings);
        cpu_pod::template(validated, Component::ModelCache, pod)
    });
    Job {
        metadata: workload_metadata(job, Component::ModelCache, &template),
        spec: Some(cpu_pod::job_spec(template)),
        status: None,
    }
}

fn pod(validated: &ValidatedJob, servers: &ValidatedServers, settings: &Settings) -> PodSpec {
    let claim = claim(&servers.spec).map(|claim| claim_volume(VOLUME, claim, None));
    let volumes = claim.into_iter().collect();
    let mounts = vec![mount(VOLUME, MODEL_CACHE_MOUNT_PATH)];
    cpu_pod::pod(validated, container(validated, servers, settings), volumes, mounts)
}

fn container(validated: &ValidatedJob, servers: &ValidatedServers, settings: &Settings) -> Container {
    let env = hub::env(&validated.hub)
        .into_iter()
        .chain(hub::of_model(&servers::merged(validated, servers)));
    let arguments = cpu_pod::arguments("fill-model-cache", validated);
    Container {
        resources: Some(resources().into()),
        ..cpu_pod::container(settings, arguments, env.collect())
    }
}

/// Checksums take a processor; what is written waits in the page cache, which counts as memory of the container.
fn resources() -> Resources {
    Resources::default().or_default(&ComputeDefaults {
        cpu: "500m",
        memory: "256Mi",
        memory_limit: "2Gi",
    })
}

/// The claim, as a volume of servers: they only read. One that the template has already stays one volume, as kubelet waits for ever for a pod
/// that has one claim in two.
pub(super) fn of_servers(servers: &ValidatedServers) -> Option<(Volume, VolumeMount)> {
    let claim = claim(&servers.spec)?;
    let given = given_volume(servers.template.as_ref(), claim);
    let volume = given.unwrap_or_else(|| claim_volume(VOLUME, claim, Some(true)));
    let mount = VolumeMount {
        read_only: Some(true),
        ..mount(&volume.name, MODEL_CACHE_MOUNT_PATH)
    };
    Some((volume, mount))
}

fn given_volume(template: Option<&PodTemplateSpec>, claim: &str) -> Option<Volume> {
    let mut volumes = template?.spec.as_ref()?.volumes.iter().flatten();
    let is_of_claim = |volume: &&Volume| {
        let source = volume.persistent_volume_claim.as_ref();
        source.is_some_and(|source| source.claim_name == claim)
    };
    volumes.find(is_of_claim).cloned()
}

/// The variables of servers, with those over them by which they find their model in the cache.
pub(super) fn with_env(mut env: Vec<EnvVar>, spec: &ServerSpec) -> Vec<EnvVar> {
    if spec.model_cache.is_none() {
        return env;
    }
    for (name, value) in model_cache::env(spec.engine) {
        variables::set(&mut env, variables::value(name, value));
    }
    env
}

fn claim(spec: &ServerSpec) -> Option<&str> {
    Some(&spec.model_cache.as_ref()?.persistent_volume_claim.claim_name)
}
