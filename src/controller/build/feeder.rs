//! The feeder: a Job of one CPU pod.

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, EnvFromSource, EnvVar, EnvVarSource, PersistentVolumeClaimVolumeSource,
    PodSecurityContext, PodSpec, PodTemplateSpec, SecretEnvSource, SecretKeySelector, Volume, VolumeMount,
};
use kube::ResourceExt;

use super::{
    UNPRIVILEGED_ID, access, empty_dir, hub, mount, pod_metadata, quantity, restricted, servers, workload_metadata,
};
use crate::api::BatchInferenceJob;
use crate::api::names::{
    ADAPTERS_ENV_PREFIX, Component, DATASET_ENV_PREFIX, DATASET_MOUNT_PATH, ENDPOINT_API_KEY_ENV, FEEDER_CONTAINER,
    FEEDER_PREREQUISITES_CONTAINER, OUTPUT_ENV_PREFIX, OUTPUT_MOUNT_PATH, SCRATCH_MOUNT_PATH,
};
use crate::api::resources::{ComputeDefaults, Resources};
use crate::controller::decide::FeederWanted;
use crate::controller::settings::Settings;
use crate::controller::validate::ValidatedJob;
use crate::controller::{adapters, pod_template};

/// The feeder never gives up by a count: a crash costs seconds of work, and what it waits for may take days. Its end is
/// decided by what it reports, not by how often it was restarted.
const NO_BACKOFF_LIMIT: i32 = i32::MAX;
const DATASET_VOLUME: &str = "dataset";
const OUTPUT_VOLUME: &str = "output";
const DEFAULT_SCRATCH: &str = "2Gi";

pub(super) fn job(
    validated: &ValidatedJob,
    settings: &Settings,
    wanted: FeederWanted,
    decided: Option<PodTemplateSpec>,
) -> Job {
    let job = &validated.job;
    let template = decided.unwrap_or_else(|| template(validated, settings));
    Job {
        metadata: workload_metadata(job, Component::Feeder, &template),
        spec: Some(JobSpec {
            backoff_limit: Some(NO_BACKOFF_LIMIT),
            completions: Some(1),
            parallelism: Some(1),
            suspend: Some(wanted == FeederWanted::Suspend),
            template,
            ..JobSpec::default()
        }),
        status: None,
    }
}

fn template(validated: &ValidatedJob, settings: &Settings) -> PodTemplateSpec {
    let job = &validated.job;
    let base = PodTemplateSpec {
        metadata: None,
        spec: Some(pod(validated, settings)),
    };
    let mut merged = pod_template::merge(base, validated.feeder_template.as_ref());
    merged.metadata = Some(pod_metadata(job, Component::Feeder, merged.metadata));
    merged
}

fn pod(validated: &ValidatedJob, settings: &Settings) -> PodSpec {
    let job = &validated.job;
    let mut volumes = vec![empty_dir("scratch", None, Some(scratch_limit(job)))];
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
    if let Some((volume, mount)) = hub::certificates(&validated.hub) {
        volumes.push(volume);
        mounts.push(mount);
    }
    PodSpec {
        containers: vec![container(validated, settings, mounts)],
        init_containers: prerequisites(validated, settings).map(|container| vec![container]),
        enable_service_links: Some(false),
        restart_policy: Some("OnFailure".into()),
        service_account_name: Some(access::feeder_account_name(job)),
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

fn container(validated: &ValidatedJob, settings: &Settings, mounts: Vec<VolumeMount>) -> Container {
    let job = &validated.job;
    let env: Vec<EnvVar> = hub::env(&validated.hub)
        .into_iter()
        .chain(hub::of_model(&server(validated)))
        .chain(endpoint_key(job))
        .chain(adapters::feeder_env(job))
        .collect();
    let arguments = [
        "feed",
        "--namespace",
        &job.namespace().unwrap_or_default(),
        "--name",
        &job.name_any(),
        "--uid",
        &job.uid().unwrap_or_default(),
        "--max-base-model-parameters",
        &validated.max_parameters.to_string(),
    ]
    .map(String::from)
    .to_vec();
    Container {
        name: FEEDER_CONTAINER.into(),
        image: Some(settings.feeder_image.clone()),
        args: Some(arguments),
        env: (!env.is_empty()).then_some(env),
        env_from: Some(store_keys(job)),
        resources: Some(resources(job).into()),
        security_context: Some(restricted(true)),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// The stores' keys, each Secret with a prefix of its own: two Secrets with the same keys must not collide. That of the default store
/// says besides where the store is; nobody reads it before the feeder does.
fn store_keys(job: &BatchInferenceJob) -> Vec<EnvFromSource> {
    let from = |prefix: &str, secret: Option<&str>| {
        secret.map(|secret| EnvFromSource {
            prefix: Some(prefix.into()),
            secret_ref: Some(SecretEnvSource {
                name: secret.into(),
                optional: None,
            }),
            config_map_ref: None,
        })
    };
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
    Some(EnvVar {
        name: ENDPOINT_API_KEY_ENV.into(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: reference.name.clone(),
                key: reference.key.clone(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
        value: None,
    })
}

/// An init container that refers to what the servers will need and does nothing: while a Secret is missing, kubelet does not start
/// it, the feeder waits, and no GPU is taken.
fn prerequisites(validated: &ValidatedJob, settings: &Settings) -> Option<Container> {
    let job = &validated.job;
    let refers = |variable: &EnvVar| {
        variable
            .value_from
            .as_ref()
            .is_some_and(|from| from.secret_key_ref.is_some() || from.config_map_key_ref.is_some())
    };
    let env = server(validated).env.unwrap_or_default();
    let env: Vec<EnvVar> = env.into_iter().filter(refers).collect();
    if env.is_empty() {
        return None;
    }
    Some(Container {
        name: FEEDER_PREREQUISITES_CONTAINER.into(),
        image: Some(settings.feeder_image.clone()),
        args: Some(vec!["--version".into()]),
        env: Some(env),
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

fn scratch_limit(job: &BatchInferenceJob) -> k8s_openapi::apimachinery::pkg::api::resource::Quantity {
    let scratch = job.spec.feeder.as_ref().and_then(|feeder| feeder.scratch.as_ref());
    scratch
        .and_then(|scratch| scratch.size_limit.clone())
        .unwrap_or_else(|| quantity(DEFAULT_SCRATCH))
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
