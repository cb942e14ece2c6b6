//! The model cache: the Job of a CPU pod that fills it, and what servers have of it.

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, PodTemplateSpec, Volume,
    VolumeMount,
};
use kube::ResourceExt;

use super::{UNPRIVILEGED_ID, access, hub, mount, pod_metadata, restricted, servers, workload_metadata};
use crate::api::names::{Component, FEEDER_CONTAINER, MODEL_CACHE_MOUNT_PATH};
use crate::api::resources::{ComputeDefaults, Resources};
use crate::api::server::ServerSpec;
use crate::controller::pod_template;
use crate::controller::settings::Settings;
use crate::controller::validate::{ValidatedJob, ValidatedServers};
use crate::engine::model_cache;

const VOLUME: &str = "model-cache";
/// As of the feeder: what is waited for may take days, and its end is what it reports.
const NO_BACKOFF_LIMIT: i32 = i32::MAX;

/// What fills the cache. Its pod is the feeder's in all that is not the work itself (image, account, the person's template), as it runs
/// in the same place for the same job; it is one of its own, because a claim of access mode ReadWriteOnce stays at the node of a pod.
pub(super) fn job(
    validated: &ValidatedJob,
    servers: &ValidatedServers,
    settings: &Settings,
    decided: Option<PodTemplateSpec>,
) -> Job {
    let job = &validated.job;
    let template = decided.unwrap_or_else(|| template(validated, servers, settings));
    Job {
        metadata: workload_metadata(job, Component::ModelCache, &template),
        spec: Some(JobSpec {
            backoff_limit: Some(NO_BACKOFF_LIMIT),
            completions: Some(1),
            parallelism: Some(1),
            template,
            ..JobSpec::default()
        }),
        status: None,
    }
}

fn template(validated: &ValidatedJob, servers: &ValidatedServers, settings: &Settings) -> PodTemplateSpec {
    let base = PodTemplateSpec {
        metadata: None,
        spec: Some(pod(validated, servers, settings)),
    };
    let mut merged = pod_template::merge(base, validated.feeder_template.as_ref());
    merged.metadata = Some(pod_metadata(&validated.job, Component::ModelCache, merged.metadata));
    merged
}

fn pod(validated: &ValidatedJob, servers: &ValidatedServers, settings: &Settings) -> PodSpec {
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    if let Some(volume) = volume(&servers.spec, None) {
        volumes.push(volume);
        mounts.push(mount(VOLUME, MODEL_CACHE_MOUNT_PATH));
    }
    if let Some((volume, mount)) = hub::certificates(&validated.hub) {
        volumes.push(volume);
        mounts.push(mount);
    }
    PodSpec {
        containers: vec![container(validated, servers, settings, mounts)],
        enable_service_links: Some(false),
        restart_policy: Some("OnFailure".into()),
        service_account_name: Some(access::feeder_account_name(&validated.job)),
        automount_service_account_token: Some(true),
        security_context: Some(PodSecurityContext {
            run_as_user: Some(UNPRIVILEGED_ID),
            run_as_group: Some(UNPRIVILEGED_ID),
            fs_group: Some(UNPRIVILEGED_ID),
            ..PodSecurityContext::default()
        }),
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

fn container(
    validated: &ValidatedJob,
    servers: &ValidatedServers,
    settings: &Settings,
    mounts: Vec<VolumeMount>,
) -> Container {
    let job = &validated.job;
    let env: Vec<EnvVar> = hub::env(&validated.hub)
        .into_iter()
        .chain(hub::of_model(&servers::merged(validated, servers)))
        .collect();
    let arguments = [
        "fill-model-cache",
        "--namespace",
        &job.namespace().unwrap_or_default(),
        "--name",
        &job.name_any(),
        "--uid",
        &job.uid().unwrap_or_default(),
    ]
    .map(String::from)
    .to_vec();
    Container {
        // So that the person's template for the feeder is about this one, too.
        name: FEEDER_CONTAINER.into(),
        image: Some(settings.feeder_image.clone()),
        args: Some(arguments),
        env: (!env.is_empty()).then_some(env),
        resources: Some(resources().into()),
        security_context: Some(restricted(true)),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(mounts),
        ..Container::default()
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

/// The claim, as a volume of servers: they only read.
pub(super) fn of_servers(spec: &ServerSpec) -> Option<(Volume, VolumeMount)> {
    let mount = VolumeMount {
        read_only: Some(true),
        ..mount(VOLUME, MODEL_CACHE_MOUNT_PATH)
    };
    Some((volume(spec, Some(true))?, mount))
}

/// The variables of servers, with those over them by which they find their model in the cache.
pub(super) fn with_env(mut env: Vec<EnvVar>, spec: &ServerSpec) -> Vec<EnvVar> {
    if spec.model_cache.is_none() {
        return env;
    }
    for (name, value) in model_cache::env(spec.engine) {
        env.retain(|variable| variable.name != name);
        env.push(EnvVar {
            name: name.into(),
            value: Some(value),
            value_from: None,
        });
    }
    env
}

fn volume(spec: &ServerSpec, read_only: Option<bool>) -> Option<Volume> {
    let cache = spec.model_cache.as_ref()?;
    Some(Volume {
        name: VOLUME.into(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: cache.persistent_volume_claim.claim_name.clone(),
            read_only,
        }),
        ..Volume::default()
    })
}
