//! Why pods do not run, or do not even exist, in the words of kubelet, scheduler and API server.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

use crate::api::names::Component;
use crate::api::reason::Reason;
use crate::api::wait::Wait;

/// The first reason among these pods of a component for not running; none when all run or have only just begun.
#[must_use]
pub fn why_pods_wait(component: Component, pods: &[Pod]) -> Option<Wait> {
    pods.iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .find_map(|pod| why_pod_waits(component, pod))
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
        Reason::AdmissionRefused,
        format!("Kubernetes refused a server's pod: {words}"),
    ))
}

fn why_pod_waits(component: Component, pod: &Pod) -> Option<Wait> {
    let status = pod.status.as_ref()?;
    let scheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled");
    if let Some(wait) = scheduled.and_then(why_not_scheduled) {
        return Some(wait);
    }
    let init = status.init_container_statuses.iter().flatten();
    let main = status.container_statuses.iter().flatten();
    init.chain(main)
        .find_map(|container| why_container_waits(component, container))
}

fn why_not_scheduled(condition: &PodCondition) -> Option<Wait> {
    if condition.status != "False" {
        return None;
    }
    let words = condition.message.clone().unwrap_or_default();
    // "persistentvolumeclaim "NAME" not found": kube-scheduler, plugins/volumebinding.
    if words.contains("persistentvolumeclaim") && words.contains("not found") {
        return Some(Wait::new(Reason::ClaimMissing, words));
    }
    Some(Wait::new(Reason::Unschedulable, format!("the scheduler says: {words}")))
}

fn why_container_waits(component: Component, container: &ContainerStatus) -> Option<Wait> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let words = waiting.message.clone().unwrap_or_default();
    let name = &container.name;
    // The reasons are kubelet's: pkg/kubelet/kuberuntime and pkg/kubelet/images of Kubernetes 1.34.
    match waiting.reason.as_deref()? {
        "CreateContainerConfigError" => Some(config_error(&words)),
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => Some(Wait::new(
            image_pull_failed_of(component),
            format!(
                "image {} of container {name} cannot be pulled: {words}",
                container.image
            ),
        )),
        "CrashLoopBackOff" => Some(Wait::new(
            crash_loop_of(component),
            format!(
                "container {name} ended {} times; its last words: {}",
                container.restart_count,
                last_words(container)
            ),
        )),
        "CreateContainerError" | "RunContainerError" => Some(Wait::new(
            Reason::ContainerNotStarting,
            format!("container {name} cannot be started: {words}"),
        )),
        _ => None,
    }
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
    Wait::new(reason, words)
}

fn image_pull_failed_of(component: Component) -> Reason {
    match component {
        Component::Feeder => Reason::FeederImagePullFailed,
        Component::Server => Reason::ImagePullFailed,
    }
}

fn crash_loop_of(component: Component) -> Reason {
    match component {
        Component::Feeder => Reason::FeederCrashLooping,
        Component::Server => Reason::ServerCrashLooping,
    }
}

fn last_words(container: &ContainerStatus) -> String {
    let terminated = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let Some(terminated) = terminated else {
        return "none".into();
    };
    match terminated.message.as_deref().map(str::trim) {
        Some(words) if !words.is_empty() => words.to_owned(),
        _ => format!("none (exit code {})", terminated.exit_code),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).expect("a pod")
    }

    fn waiting(reason: &str, message: &str) -> Pod {
        pod(json!({"containerStatuses": [{
            "name": "feeder", "image": "i", "imageID": "", "ready": false, "restartCount": 3,
            "state": {"waiting": {"reason": reason, "message": message}},
            "lastState": {"terminated": {"exitCode": 1, "message": "out of memory\n"}},
        }]}))
    }

    #[test]
    fn the_words_of_kubelet_and_scheduler_become_reasons() {
        let unscheduled = |message: &str| {
            pod(
                json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]}),
            )
        };
        let cases = vec![
            (
                waiting("CreateContainerConfigError", "secret \"keys\" not found"),
                Reason::SecretMissing,
                "secret \"keys\" not found",
            ),
            (
                waiting("CreateContainerConfigError", "couldn't find key token in Secret ns/hf"),
                Reason::SecretMissing,
                "key token",
            ),
            (
                waiting("CreateContainerConfigError", "configmap \"c\" not found"),
                Reason::ConfigMapMissing,
                "\"c\"",
            ),
            (
                waiting("CreateContainerConfigError", "configmap \"no-secrets\" not found"),
                Reason::ConfigMapMissing,
                "\"no-secrets\"",
            ),
            (
                waiting(
                    "CreateContainerConfigError",
                    "couldn't find key secret in ConfigMap ns/secret",
                ),
                Reason::ConfigMapMissing,
                "key secret",
            ),
            (
                waiting("ImagePullBackOff", "Back-off pulling image"),
                Reason::ImagePullFailed,
                "cannot be pulled",
            ),
            (
                waiting("CrashLoopBackOff", "back-off 10s"),
                Reason::ServerCrashLooping,
                "out of memory",
            ),
            (
                unscheduled("0/1 nodes are available: persistentvolumeclaim \"data\" not found. not found"),
                Reason::ClaimMissing,
                "\"data\" not found",
            ),
            (
                unscheduled("0/1 nodes are available: 1 Insufficient nvidia.com/gpu."),
                Reason::Unschedulable,
                "Insufficient",
            ),
        ];
        for (pod, reason, words) in cases {
            let wait = why_pods_wait(Component::Server, &[pod]).expect("waits");
            assert_eq!(wait.reason, reason);
            assert!(wait.message.contains(words), "{}", wait.message);
        }
    }

    #[test]
    fn a_pod_that_is_being_created_gives_no_reason() {
        assert_eq!(
            why_pods_wait(Component::Server, &[waiting("ContainerCreating", "")]),
            None
        );
        assert_eq!(why_pods_wait(Component::Server, &[pod(json!({}))]), None);
    }

    #[test]
    fn the_feeder_s_image_is_not_that_of_the_servers() {
        let wait = why_pods_wait(Component::Feeder, &[waiting("ErrImagePull", "not found")]).expect("waits");
        assert_eq!(wait.reason.as_str(), "FeederImagePullFailed");
        assert!(!wait.explain().contains("spec.server"), "{}", wait.explain());
    }
}
