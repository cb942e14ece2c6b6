//! The model servers: a Deployment, and the headless Service that tells which of them are ready.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, HTTPGetAction, LocalObjectReference, PodSecurityContext, PodSpec,
    PodTemplateSpec, Probe, SeccompProfile, SecurityContext, Service, ServicePort, ServiceSpec, Toleration, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{
    WEIGHTS_VOLUME, adapters as fetched, empty_dir, hub, metadata, model_cache, mount, quantity, restricted,
    server_pod_metadata, workload_metadata,
};
use crate::api::BatchInferenceJob;
use crate::api::names::{Component, SERVER_CONTAINER, SERVER_PORT_NAME, selector};
use crate::api::resources::Resources;
use crate::api::server::ServerSpec;
use crate::controller::server_resources::is_device;
use crate::controller::validate::{ValidatedJob, ValidatedServers};
use crate::controller::{adapters, pod_template, server_container, variables};
use crate::engine::launch::Purpose;
use crate::engine::{Launch, Readiness};

/// Seconds between two looks at a server that is starting.
const STARTUP_PERIOD_SECONDS: i32 = 2;
/// LoRAX's health check and vLLM's wait for their engines: one second, the default, is too short.
const PROBE_TIMEOUT_SECONDS: i32 = 5;

/// A Service without an address of its own: rows go to pod addresses.
pub(super) fn service(job: &BatchInferenceJob, port: u16) -> Service {
    Service {
        metadata: metadata(job, Component::Server),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".into()),
            selector: Some(selector(job, Component::Server)),
            ports: Some(vec![ServicePort {
                name: Some(SERVER_PORT_NAME.into()),
                port: port.into(),
                // By number, as the container of a person's template calls its port what it likes.
                target_port: Some(IntOrString::Int(port.into())),
                protocol: Some("TCP".into()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// The servers; `decided` is the pod template that runs already.
#[must_use]
pub fn deployment(
    validated: &ValidatedJob,
    servers: &ValidatedServers,
    replicas: i32,
    decided: Option<PodTemplateSpec>,
) -> Deployment {
    let job = &validated.job;
    let template = decided.unwrap_or_else(|| template(validated, servers));
    Deployment {
        metadata: workload_metadata(job, Component::Server, &template),
        spec: DeploymentSpec {
            replicas: Some(replicas),
            revision_history_limit: Some(0),
            selector: LabelSelector {
                match_labels: Some(selector(job, Component::Server)),
                match_expressions: None,
            },
            template,
            ..DeploymentSpec::default()
        },
        status: None,
    }
}

fn template(validated: &ValidatedJob, servers: &ValidatedServers) -> PodTemplateSpec {
    let base = PodTemplateSpec {
        metadata: None,
        spec: Some(pod(validated, servers)),
    };
    let mut merged = pod_template::merge(base, servers.template.as_ref());
    merged.metadata = Some(server_pod_metadata(&validated.job, merged.metadata));
    merged
}

/// A server's container as it would get its model from the hub: the person's template is merged in, and no model cache.
pub(super) fn merged(validated: &ValidatedJob, servers: &ValidatedServers) -> Container {
    let mut servers = servers.clone();
    servers.spec.model_cache = None;
    let template = template(validated, &servers);
    server_container::find(Some(&template)).cloned().unwrap_or_default()
}

fn pod(validated: &ValidatedJob, servers: &ValidatedServers) -> PodSpec {
    let launch = &servers.launch;
    let (mut volumes, mut mounts) = volumes(launch);
    let certificates = hub::certificates(&validated.hub);
    let fetcher = fetched::fetcher(validated, servers, certificates.clone().map(|(_, mount)| mount));
    let more = certificates
        .into_iter()
        .chain(fetched::volume(validated, servers))
        .chain(model_cache::of_servers(servers));
    for (volume, mount) in more {
        volumes.push(volume);
        mounts.push(mount);
    }
    let profile = validated.resolved.resource_profile.clone().unwrap_or_default();
    PodSpec {
        containers: vec![container(validated, servers, mounts)],
        init_containers: fetcher.map(|fetcher| vec![fetcher]),
        image_pull_secrets: pull_secrets(servers),
        automount_service_account_token: Some(false),
        // A Service named like an engine would set variables that the engine reads: vLLM refuses to start over VLLM_PORT.
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            fs_group: launch.run_as.map(|user| user.group),
            ..PodSecurityContext::default()
        }),
        termination_grace_period_seconds: Some(launch.shutdown_seconds.into()),
        node_selector: (!profile.node_selector.is_empty()).then_some(profile.node_selector),
        runtime_class_name: profile.runtime_class_name,
        tolerations: Some(tolerations(&validated.resolved.resources, profile.tolerations)),
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

fn pull_secrets(servers: &ValidatedServers) -> Option<Vec<LocalObjectReference>> {
    let secrets = servers.engine.pull_secrets.iter();
    let secrets: Vec<_> = secrets
        .map(|secret| LocalObjectReference {
            name: secret.name.clone(),
        })
        .collect();
    (!secrets.is_empty()).then_some(secrets)
}

fn container(validated: &ValidatedJob, servers: &ValidatedServers, mounts: Vec<VolumeMount>) -> Container {
    let (launch, resolved) = (&servers.launch, &validated.resolved);
    let base = Container {
        name: SERVER_CONTAINER.into(),
        image: Some(resolved.image.clone()),
        command: launch.command.clone(),
        args: Some(resolved.args.clone()),
        env: Some(model_cache::with_env(env(validated, servers), &servers.spec)),
        resources: Some(resolved.resources.clone().into()),
        security_context: Some(security_context(launch)),
        // So that the reason for which a model did not load stands in the pod's status.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    let timeout_seconds = servers.spec.startup_timeout_seconds;
    match launch.readiness {
        Readiness::Path(path) => Container {
            ports: Some(vec![ContainerPort {
                name: Some(SERVER_PORT_NAME.into()),
                container_port: launch.port.into(),
                protocol: Some("TCP".into()),
                ..ContainerPort::default()
            }]),
            startup_probe: Some(patient(probe(path), timeout_seconds)),
            readiness_probe: Some(probe(path)),
            ..base
        },
        // Ports and readiness come with the template.
        Readiness::PodTemplate => Container {
            startup_probe: given_startup_probe(servers).map(|probe| patient(probe, timeout_seconds)),
            ..base
        },
    }
}

/// The server's environment: what the engine wants, over it what the installation says of the hub and of the engine, and over all what
/// the job says.
fn env(validated: &ValidatedJob, servers: &ValidatedServers) -> Vec<EnvVar> {
    let mut env: Vec<EnvVar> = Vec::new();
    let ours = own_env(&servers.launch)
        .chain(adapters::own_env(&servers.spec, &validated.resolved.adapter_args))
        .chain(hub::env(&validated.hub))
        .chain(servers.engine.env.iter().cloned());
    for variable in ours
        .chain(token_env(&servers.launch, &servers.spec))
        .chain(adapters::server_env(&servers.spec))
        .chain(servers.spec.env.iter().cloned())
    {
        variables::set(&mut env, variable);
    }
    env
}

fn own_env(launch: &Launch) -> impl Iterator<Item = EnvVar> {
    launch.env.iter().map(|(name, value)| variables::value(name, value))
}

fn token_env(launch: &Launch, server: &ServerSpec) -> impl Iterator<Item = EnvVar> {
    server.hf_token_secret_ref.iter().flat_map(|reference| {
        let names = launch.token_env.iter();
        names.map(|name| variables::key(name, &reference.name, &reference.key, None))
    })
}

/// Restricted where the engine's image can run as anyone; where it must be root, the rest of "baseline".
fn security_context(launch: &Launch) -> SecurityContext {
    match launch.run_as {
        Some(user) => SecurityContext {
            run_as_user: Some(user.user),
            run_as_group: Some(user.group),
            ..restricted(false)
        },
        None => SecurityContext {
            allow_privilege_escalation: Some(false),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".into(),
                localhost_profile: None,
            }),
            ..SecurityContext::default()
        },
    }
}

/// Kubelet must not restart a server that still loads: the probe allows more than the job does, and the controller ends the job.
fn patient(probe: Probe, timeout_seconds: i32) -> Probe {
    Probe {
        initial_delay_seconds: None,
        period_seconds: Some(STARTUP_PERIOD_SECONDS),
        failure_threshold: Some(timeout_seconds / STARTUP_PERIOD_SECONDS + 30),
        // Kubernetes allows no other number.
        success_threshold: None,
        ..probe
    }
}

/// The template's readiness probe, unless it says itself how to see that a server has started.
fn given_startup_probe(servers: &ValidatedServers) -> Option<Probe> {
    let container = server_container::find(servers.template.as_ref())?;
    match container.startup_probe {
        Some(_) => None,
        None => container.readiness_probe.clone(),
    }
}

fn probe(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String(SERVER_PORT_NAME.into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(10),
        timeout_seconds: Some(PROBE_TIMEOUT_SECONDS),
        failure_threshold: Some(3),
        ..Probe::default()
    }
}

/// The profile's, and each device's: a node with devices is often kept free by a taint with the device's name, and not every cluster
/// adds the toleration by itself (Kubernetes, admission plugin `ExtendedResourceToleration`, off by default).
fn tolerations(resources: &Resources, of_profile: Vec<Toleration>) -> Vec<Toleration> {
    let mut devices: Vec<_> = resources
        .limits
        .keys()
        .chain(resources.requests.keys())
        .filter(|name| is_device(name))
        .collect();
    devices.sort();
    devices.dedup();
    let of_devices = devices.into_iter().map(|device| Toleration {
        key: Some(device.clone()),
        operator: Some("Exists".into()),
        effect: Some("NoSchedule".into()),
        ..Toleration::default()
    });
    let mut tolerations = of_profile;
    for toleration in of_devices {
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
    tolerations
}

fn volumes(launch: &Launch) -> (Vec<Volume>, Vec<VolumeMount>) {
    let writable = launch.writable_paths.iter().enumerate();
    writable
        .map(|(index, writable)| {
            let (name, medium, limit) = match writable.purpose {
                Purpose::WeightsCache => (WEIGHTS_VOLUME.to_owned(), None, None),
                Purpose::SharedMemory { size_mebibytes } => (
                    format!("batch-inference-shared-memory-{index}"),
                    Some("Memory"),
                    Some(quantity(&format!("{size_mebibytes}Mi"))),
                ),
                Purpose::Temporary => (format!("batch-inference-temporary-{index}"), None, None),
            };
            (empty_dir(&name, medium, limit), mount(&name, writable.path))
        })
        .unzip()
}
