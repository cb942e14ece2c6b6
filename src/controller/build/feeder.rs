//! The feeder: a Job of one CPU pod.

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, EnvFromSource, EnvVar, PodSpec, PodTemplateSpec, Volume, VolumeMount,
};

use super::{claim_volume, cpu_pod, empty_dir, hub, mount, restricted, servers, workload_metadata};
use crate::api::BatchInferenceJob;
use crate::api::names::{
    ADAPTERS_ENV_PREFIX, Component, DATASET_ENV_PREFIX, DATASET_MOUNT_PATH, ENDPOINT_API_KEY_ENV,
    FEEDER_PREREQUISITES_CONTAINER, OUTPUT_ENV_PREFIX, OUTPUT_MOUNT_PATH, SCRATCH_MOUNT_PATH,
};
use crate::api::resources::{ComputeDefaults, Resources};
use crate::controller::decide::FeederWanted;
use crate::controller::settings::Settings;
use crate::controller::validate::ValidatedJob;
use crate::controller::{adapters, variables};

const DATASET_VOLUME: &str = "dataset";
const OUTPUT_VOLUME: &str = "output";

pub(super) fn job(
    validated: &ValidatedJob,
    settings: &Settings,
    wanted: FeederWanted,
    decided: Option<PodTemplateSpec>,
) -> Job {
    let job = &validated.job;
    let template = decided.unwrap_or_else(|| cpu_pod::template(validated, Component::Feeder, pod(validated, settings)));
    Job {
        metadata: workload_metadata(job, Component::Feeder, &template),
        spec: Some(JobSpec {
            suspend: Some(wanted == FeederWanted::Suspend),
            ..cpu_pod::job_spec(template)
        }),
        status: None,
    }
}

fn pod(validated: &ValidatedJob, settings: &Settings) -> PodSpec {
    let feeder = validated.job.spec.feeder.clone().unwrap_or_default();
    let mut volumes = vec![empty_dir("scratch", None, Some(feeder.scratch_limit()))];
    let mut mounts = vec![mount("scratch", SCRATCH_MOUNT_PATH)];
    if let Some(claim) = &validated.output_claim {
        mounts.push(mount(OUTPUT_VOLUME, OUTPUT_MOUNT_PATH));
        volumes.push(claim_volume(OUTPUT_VOLUME, claim, None));
    }
    if let Some(volume) = dataset_volume(validated) {
        mounts.push(VolumeMount {
            read_only: Some(true),
            ..mount(&volume.name, DATASET_MOUNT_PATH)
        });
        // kubelet waits for ever for a pod that has one claim in two volumes, so where they share one it is mounted twice.
        if volume.name != OUTPUT_VOLUME {
            volumes.push(volume);
        }
    }
    let server = server(validated);
    let container = container(validated, &server, settings);
    PodSpec {
        init_containers: prerequisites(validated, server, settings).map(|container| vec![container]),
        ..cpu_pod::pod(validated, container, volumes, mounts)
    }
}

fn container(validated: &ValidatedJob, server: &Container, settings: &Settings) -> Container {
    let job = &validated.job;
    let env = hub::env(&validated.hub)
        .into_iter()
        .chain(hub::of_model(server))
        .chain(endpoint_key(job))
        .chain(adapters::feeder_env(job));
    let arguments = cpu_pod::arguments("feed", validated);
    Container {
        env_from: Some(store_keys(job)),
        resources: Some(resources(job).into()),
        ..cpu_pod::container(settings, arguments, env.collect())
    }
}

/// The stores' keys, each Secret with a prefix of its own: two Secrets with the same keys must not collide. That of the default store
/// says besides where the store is; nobody reads it before the feeder does.
fn store_keys(job: &BatchInferenceJob) -> Vec<EnvFromSource> {
    let from = |prefix: &str, secret: Option<&str>| secret.map(|secret| variables::keys(prefix, secret));
    let dataset = from(DATASET_ENV_PREFIX, job.spec.dataset.secret());
    let output = from(OUTPUT_ENV_PREFIX, job.spec.output.secret());
    let adapters = from(ADAPTERS_ENV_PREFIX, adapters::feeder_keys(job));
    dataset.into_iter().chain(output).chain(adapters).collect()
}

/// The container of a server, of a job that has any.
fn server(validated: &ValidatedJob) -> Container {
    let servers = validated.servers.as_ref();
    servers.map_or_else(Container::default, |servers| servers::merged(validated, servers))
}

/// The key of `spec.endpoint`: while its Secret is missing, kubelet does not start the feeder, and the job waits.
fn endpoint_key(job: &BatchInferenceJob) -> Option<EnvVar> {
    let reference = job.spec.endpoint.as_ref()?.api_key_secret_ref.as_ref()?;
    Some(variables::key(
        ENDPOINT_API_KEY_ENV,
        &reference.name,
        &reference.key,
        None,
    ))
}

/// An init container that refers to what the servers will need and does nothing: while a Secret is missing, kubelet does not start
/// it, the feeder waits, and no GPU is taken.
fn prerequisites(validated: &ValidatedJob, server: Container, settings: &Settings) -> Option<Container> {
    let job = &validated.job;
    let refers = |variable: &EnvVar| {
        variable
            .value_from
            .as_ref()
            .is_some_and(|from| from.secret_key_ref.is_some() || from.config_map_key_ref.is_some())
    };
    let env = server.env.unwrap_or_default();
    let env: Vec<EnvVar> = env.into_iter().filter(refers).collect();
    let env_from = server.env_from.unwrap_or_default();
    if env.is_empty() && env_from.is_empty() {
        return None;
    }
    Some(Container {
        name: FEEDER_PREREQUISITES_CONTAINER.into(),
        image: Some(settings.feeder_image.clone()),
        args: Some(vec!["--version".into()]),
        env: (!env.is_empty()).then_some(env),
        env_from: (!env_from.is_empty()).then_some(env_from),
        resources: Some(resources(job).into()),
        security_context: Some(restricted(true)),
        ..Container::default()
    })
}

/// The volume that the data set is on; that of the output, when both are on one claim.
fn dataset_volume(validated: &ValidatedJob) -> Option<Volume> {
    if let Some(claim) = &validated.dataset_claim {
        return Some(if validated.output_claim.as_ref() == Some(claim) {
            claim_volume(OUTPUT_VOLUME, claim, None)
        } else {
            claim_volume(DATASET_VOLUME, claim, Some(true))
        });
    }
    let reference = validated.job.spec.dataset.config_map.as_ref()?;
    Some(Volume {
        name: DATASET_VOLUME.into(),
        config_map: Some(ConfigMapVolumeSource {
            name: reference.name.clone(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    })
}

/// What the feeder asks for: what the job says, and for what it does not name, a default.
fn resources(job: &BatchInferenceJob) -> Resources {
    let given = job.spec.feeder.as_ref().and_then(|feeder| feeder.resources.clone());
    given.unwrap_or_default().or_default(&ComputeDefaults {
        cpu: "250m",
        memory: "256Mi",
        memory_limit: "1Gi",
    })
}
