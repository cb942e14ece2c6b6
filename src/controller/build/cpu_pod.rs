//! The Job of a CPU pod of the operator's own image: what the feeder and the pod that fills the model cache have in common.

use k8s_openapi::api::batch::v1::JobSpec;
use k8s_openapi::api::core::v1::{
    Container, EnvVar, PodSecurityContext, PodSpec, PodTemplateSpec, Volume, VolumeMount,
};
use kube::ResourceExt;

use super::{UNPRIVILEGED_ID, access, hub, pod_metadata, restricted};
use crate::api::names::{Component, FEEDER_CONTAINER};
use crate::controller::pod_template;
use crate::controller::settings::Settings;
use crate::controller::validate::ValidatedJob;

/// It never gives up by a count: a crash costs seconds of work, and what it waits for may take days. Its end is decided by what it reports,
/// not by how often it was restarted.
const NO_BACKOFF_LIMIT: i32 = i32::MAX;

/// One pod, to its end.
pub(super) fn job_spec(template: PodTemplateSpec) -> JobSpec {
    JobSpec {
        backoff_limit: Some(NO_BACKOFF_LIMIT),
        completions: Some(1),
        parallelism: Some(1),
        template,
        ..JobSpec::default()
    }
}

/// The pod with what a person's template for the feeder says besides.
pub(super) fn template(validated: &ValidatedJob, component: Component, pod: PodSpec) -> PodTemplateSpec {
    let base = PodTemplateSpec {
        metadata: None,
        spec: Some(pod),
    };
    let mut merged = pod_template::merge(base, validated.feeder_template.as_ref());
    merged.metadata = Some(pod_metadata(&validated.job, component, merged.metadata));
    merged
}

/// The pod of a container with these volumes, to which those are added by which it reaches the hub.
pub(super) fn pod(
    validated: &ValidatedJob,
    mut container: Container,
    mut volumes: Vec<Volume>,
    mut mounts: Vec<VolumeMount>,
) -> PodSpec {
    if let Some((volume, mount)) = hub::certificates(&validated.hub) {
        volumes.push(volume);
        mounts.push(mount);
    }
    container.volume_mounts = Some(mounts);
    PodSpec {
        containers: vec![container],
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

/// A container that works on a job by one of the program's commands.
pub(super) fn container(settings: &Settings, arguments: Vec<String>, env: Vec<EnvVar>) -> Container {
    Container {
        // Also where it is not the feeder, so that a person's template is about it, too.
        name: FEEDER_CONTAINER.into(),
        image: Some(settings.feeder_image.clone()),
        args: Some(arguments),
        env: (!env.is_empty()).then_some(env),
        security_context: Some(restricted(true)),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    }
}

/// The words of a command that is about a job and its model.
pub(super) fn arguments(command: &str, validated: &ValidatedJob) -> Vec<String> {
    let job = &validated.job;
    [
        command,
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
    .to_vec()
}
