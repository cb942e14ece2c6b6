//! Why pods do not run, or do not even exist, in the words of kubelet, scheduler, API server and the servers themselves.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};

use super::lost::counts;
use super::pod_state::condition;
use super::pulling::{Pull, pull};
use super::scheduling::why_not_scheduled;
use crate::api::default_store::DEFAULT_STORE;
use crate::api::reason::Reason;
use crate::api::wait::Wait;
use crate::engine::last_words::telling_line;
use crate::engine::{Engine, LastWords, Mistake, last_words};

/// What runs in a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The feeder.
    Feeder,
    /// What fills the model cache.
    ModelCache,
    /// A model server.
    Server(Engine),
}

impl Program {
    fn last_words(self, words: &str) -> LastWords<'_> {
        match self {
            Self::Server(engine) => last_words(engine, words),
            Self::Feeder | Self::ModelCache => LastWords {
                mistake: None,
                line: telling_line(words),
            },
        }
    }

    fn crash_loop(self) -> Reason {
        match self {
            Self::Feeder => Reason::FeederCrashLooping,
            Self::ModelCache => Reason::ModelCacheCrashLooping,
            Self::Server(_) => Reason::ServerCrashLooping,
        }
    }
}

/// The first reason among these pods of a program for not running; none when all run or have only just begun. Pods that were taken
/// away have nothing to say: others are made in their place.
#[must_use]
pub fn why_pods_wait(program: Program, pods: &[Pod]) -> Option<Wait> {
    pods.iter()
        .filter(|pod| counts(pod))
        .find_map(|pod| why_pod_waits(program, pod))
}

/// Why a Deployment's pods are not even made: a quota or a policy that lets a Deployment pass may refuse its pods.
#[must_use]
pub fn why_pods_are_refused(deployment: &Deployment) -> Option<Wait> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    // kube-controller-manager, pkg/controller/deployment/util, of Kubernetes 1.34.
    let refused = conditions.iter().find(|condition| {
        condition.type_.as_deref() == Some("ReplicaFailure")
            && condition.status.as_deref() == Some("True")
            && condition.reason.as_deref() == Some("FailedCreate")
    })?;
    let words = refused.message.as_deref().unwrap_or_default();
    Some(Wait::new(
        why_refused(words),
        format!("Kubernetes refused a server's pod: {words}"),
    ))
}

/// Whether an object was refused by a quota, a policy or a webhook, which may change, and not for what it is. They give any HTTP status,
/// also those of an object that is wrong: 422 by a `ValidatingAdmissionPolicy` and 400 by a webhook that names none.
/// `RESOURCE "NAME" is forbidden: ...`: apiserver, `pkg/admission/errors.go`; `admission webhook "NAME" denied the request...`:
/// `pkg/admission/plugin/webhook/errors/statuserror.go`, of Kubernetes 1.34.
#[must_use]
pub(super) fn is_not_admitted(words: &str) -> bool {
    let mut parts = words.split('"');
    let (begins, said) = (parts.next(), parts.nth(1).unwrap_or_default());
    let by_webhook = begins == Some("admission webhook ") && said.starts_with(" denied the request");
    by_webhook || said.starts_with(" is forbidden: ")
}

/// What an object that Kubernetes forbids is refused for. "exceeded quota: NAME, requested: ...": apiserver,
/// `pkg/admission/plugin/resourcequota/controller.go`, of Kubernetes 1.34.
#[must_use]
pub(super) fn why_refused(words: &str) -> Reason {
    if words.contains("exceeded quota: ") {
        Reason::QuotaExceeded
    } else {
        Reason::AdmissionRefused
    }
}

fn why_pod_waits(program: Program, pod: &Pod) -> Option<Wait> {
    let status = pod.status.as_ref()?;
    if let Some(wait) = condition(pod, "PodScheduled", "False").and_then(why_not_scheduled) {
        return Some(wait);
    }
    let init = status.init_container_statuses.iter().flatten();
    let main = status.container_statuses.iter().flatten();
    init.chain(main)
        .find_map(|container| why_container_waits(program, container))
}

pub(super) fn why_container_waits(program: Program, container: &ContainerStatus) -> Option<Wait> {
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    let reason = waiting
        .and_then(|waiting| waiting.reason.as_deref())
        .unwrap_or_default();
    let words = waiting
        .and_then(|waiting| waiting.message.as_deref())
        .unwrap_or_default();
    let name = &container.name;
    if let Some(meaning) = pull(reason, words) {
        let message = format!(
            "image {} of container {name} cannot be pulled: {words}",
            container.image
        );
        return Some(Wait::new(pull_reason(program, meaning), message));
    }
    // The reasons are kubelet's: pkg/kubelet/kuberuntime of Kubernetes 1.34.
    match reason {
        "CreateContainerConfigError" if !is_cache_behind(words) => Some(config_error(words)),
        "CreateContainerError" | "RunContainerError" => Some(Wait::new(
            Reason::ContainerNotStarting,
            format!("container {name} cannot be started: {words}"),
        )),
        _ => why_container_ended(program, container),
    }
}

/// Whether kubelet has not heard yet of the Secrets or ConfigMaps of a pod, as happens on a busy node, and tries again by itself:
/// `pkg/kubelet/util/manager/watch_based_manager.go` of Kubernetes 1.34, `Get`.
#[must_use]
pub fn is_cache_behind(words: &str) -> bool {
    words.starts_with("failed to sync ")
}

/// Whether the container runtime is only slow, as with a large image on a busy disk: kubelet's call took too long and is made again, and
/// the name stays taken until the first one is through (<https://github.com/containerd/containerd/issues/4604>; `context deadline
/// exceeded` is gRPC's, and `name "NAME" is reserved for` containerd's, `internal/registrar`).
#[must_use]
pub(super) fn is_runtime_slow(words: &str) -> bool {
    words.contains("context deadline exceeded") || words.contains("failed to reserve container name")
}

/// "secret "NAME" not found", "configmap "NAME" not found", "couldn't find key KEY in Secret NAMESPACE/NAME":
/// `pkg/kubelet/kubelet_pods.go`, makeEnvironmentVariables.
fn config_error(words: &str) -> Wait {
    let key_of = words
        .strip_prefix("couldn't find key ")
        .and_then(|rest| rest.split_once(" in "));
    // What is missing comes first; a name further on may hold any word.
    let missing = key_of.map_or(words, |(_, object)| object).to_lowercase();
    let reason = if missing.starts_with("secret") {
        Reason::SecretMissing
    } else if missing.starts_with("configmap") {
        Reason::ConfigMapMissing
    } else {
        Reason::ContainerNotStarting
    };
    if reason == Reason::SecretMissing && words.contains(&format!("\"{DEFAULT_STORE}\"")) {
        return Wait::new(reason, format!("{words}: {DEFAULT_STORE_NEEDED}"));
    }
    Wait::new(reason, words)
}

/// Nobody wrote that name into the job.
const DEFAULT_STORE_NEEDED: &str = "it is the namespace's default store, which a job without spec.output.uri, or with \
    spec.dataset.name, needs. Its key `uri` says where the store is (s3://BUCKET/PREFIX/, gs://BUCKET/PREFIX/ or \
    az://CONTAINER/PREFIX/), the others are the store's keys, as for credentialsSecretRef";

fn pull_reason(program: Program, meaning: Pull) -> Reason {
    match (meaning, program) {
        (Pull::NoAnswer, _) => Reason::RegistryUnavailable,
        // Both have the operator's image.
        (_, Program::Feeder | Program::ModelCache) => Reason::FeederImagePullFailed,
        (_, Program::Server(_)) => Reason::ImagePullFailed,
    }
}

/// Why a container ended that is not ready again. While it waits to be started anew, any end is told; once it runs again, only a
/// mistake that it will make again.
fn why_container_ended(program: Program, container: &ContainerStatus) -> Option<Wait> {
    let state = container.state.as_ref()?;
    let waits = state.waiting.as_ref().and_then(|waiting| waiting.reason.as_deref()) == Some("CrashLoopBackOff");
    // The operator's own programs end for reasons of their own, and say them themselves.
    let is_server = matches!(program, Program::Server(_));
    let has_failed = |ended: &&ContainerStateTerminated| is_server && ended.exit_code != 0;
    let ended_now = state.terminated.as_ref().filter(has_failed);
    let last = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let ended = ended_now.or_else(|| last.filter(|ended| waits || (has_failed(ended) && !container.ready)));
    if ended.is_none() && !waits {
        return None;
    }
    let name = &container.name;
    let times = times(container.restart_count + i32::from(state.running.is_none()));
    let words = ended.and_then(|ended| ended.message.as_deref()).unwrap_or_default();
    let LastWords { mistake, line } = program.last_words(words);
    if let Some(mistake) = mistake {
        let message = format!("container {name} ended {times}: {line}");
        return Some(Wait::new(reason_of(mistake), message));
    }
    if !waits && ended_now.is_none() {
        return None;
    }
    // Kubelet's reasons of a container that the runtime could not start.
    if let Some(ended) =
        ended.filter(|ended| matches!(ended.reason.as_deref(), Some("StartError" | "ContainerCannotRun")))
    {
        let words = ended.message.as_deref().unwrap_or_default().trim();
        return Some(Wait::new(
            Reason::ContainerNotStarting,
            format!("container {name} cannot be started: {words}"),
        ));
    }
    Some(Wait::new(
        program.crash_loop(),
        format!("container {name} ended {times}{}", how(ended, line)),
    ))
}

fn times(ends: i32) -> String {
    if ends == 1 {
        "once".into()
    } else {
        format!("{ends} times")
    }
}

/// How a container ended whose words are not recognised.
fn how(ended: Option<&ContainerStateTerminated>, line: &str) -> String {
    let last_words = if line.is_empty() { "none" } else { line };
    match ended {
        None => "; its last words: none".into(),
        Some(ended) if ended.reason.as_deref() == Some("OOMKilled") => {
            "; the kernel killed it as it used more memory than its limit (OOMKilled): raise resources.limits.memory"
                .into()
        }
        Some(ended) => format!(" (exit code {}); its last words: {last_words}", ended.exit_code),
    }
}

fn reason_of(mistake: Mistake) -> Reason {
    match mistake {
        Mistake::ModelAccessDenied => Reason::ModelAccessDenied,
        Mistake::ModelNotFound => Reason::ModelNotFound,
        Mistake::OutOfGPUMemory => Reason::OutOfGPUMemory,
        Mistake::QuantizationUnsupported => Reason::QuantizationUnsupported,
        Mistake::UnsupportedArchitecture => Reason::UnsupportedArchitecture,
        Mistake::AdapterNotLoaded => Reason::AdapterNotLoaded,
        Mistake::InvalidServerArguments => Reason::InvalidServerArguments,
    }
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
