//! Whether a pod runs, and why not. Pure.

use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::{ContainerStateWaiting, Pod, PodCondition};

use crate::controller::waiting::is_cache_behind;

/// Reasons of a container that waits for a person, and not for time (kubelet, `pkg/kubelet/images/types.go` and
/// `pkg/kubelet/kuberuntime/kuberuntime_container.go`).
const STUCK: [&str; 5] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
];

/// Whether it runs, and is not about to end.
#[must_use]
pub fn is_running(pod: &Pod) -> bool {
    phase(pod) == Some("Running") && pod.metadata.deletion_timestamp.is_none()
}

/// Whether it runs or has run.
#[must_use]
pub fn has_begun(pod: &Pod) -> bool {
    !matches!(phase(pod), Some("Pending") | None)
}

/// Whether waiting alone will not make it run.
#[must_use]
pub fn is_stuck(pod: &Pod) -> bool {
    waiting(pod).any(|waiting| {
        let is_stuck = waiting.reason.is_some_and(|reason| STUCK.contains(&reason.as_str()));
        is_stuck && !is_cache_behind(&waiting.message.unwrap_or_default())
    })
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

fn waiting(pod: &Pod) -> impl Iterator<Item = ContainerStateWaiting> {
    let status = pod.status.clone().unwrap_or_default();
    let containers = status.container_statuses.unwrap_or_default().into_iter();
    containers.filter_map(|container| container.state?.waiting)
}

/// What a pod waits for, in its container's words.
fn words_of_container(pod: &Pod) -> Option<String> {
    waiting(pod).find_map(|waiting| {
        let reason = waiting.reason.filter(|reason| reason != "ContainerCreating")?;
        Some(format!("{reason}: {}", waiting.message.unwrap_or_default()))
    })
}

/// The conditions that a pod does not meet.
fn unmet(pod: &Pod) -> impl Iterator<Item = PodCondition> {
    let status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default().into_iter();
    conditions.filter(|condition| condition.status == "False")
}

/// What a pod waits for, each time that it is something else. That a container is being created is none.
#[derive(Debug, Default)]
pub struct Waits {
    last: Mutex<Option<String>>,
}

impl Waits {
    /// What is new.
    #[must_use]
    pub fn news(&self, pod: &Pod) -> Option<String> {
        let of_scheduler = || {
            let mut unmet = unmet(pod).filter(|condition| condition.type_ == "PodScheduled");
            unmet.find_map(|condition| condition.message)
        };
        let now = words_of_container(pod).or_else(of_scheduler)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() == Some(&now) {
            return None;
        }
        *last = Some(now.clone());
        Some(now)
    }
}

/// What keeps a pod from running: its container's words, else the scheduler's, else its phase.
#[must_use]
pub fn why(pod: &Pod) -> String {
    words_of_container(pod)
        .or_else(|| unmet(pod).find_map(|condition| condition.message))
        .unwrap_or_else(|| match phase(pod) {
            Some("Failed") => "it failed; is the operator's image older than this program?".to_owned(),
            phase => format!("it is {}", phase.unwrap_or("Unknown")),
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap()
    }

    fn waiting(reason: &str) -> Value {
        waiting_with(reason, "not found")
    }

    fn waiting_with(reason: &str, message: &str) -> Value {
        let container = json!({
            "name": "output", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": reason, "message": message}},
        });
        json!({"phase": "Pending", "containerStatuses": [container]})
    }

    #[test]
    fn a_pod_that_does_not_start_says_why() {
        let unschedulable = json!([{"type": "PodScheduled", "status": "False", "message": "no room"}]);
        for (status, expected) in [
            (waiting("ErrImagePull"), "ErrImagePull: not found"),
            (json!({"phase": "Pending", "conditions": unschedulable}), "no room"),
            (waiting("ContainerCreating"), "it is Pending"),
            (
                json!({"phase": "Failed"}),
                "it failed; is the operator's image older than this program?",
            ),
            (Value::Null, "it is Unknown"),
        ] {
            assert_eq!(why(&pod(status)), expected);
        }
    }

    #[test]
    fn what_a_pod_waits_for_is_told_when_it_changes() {
        let unmet = |kind: &str, message: &str| {
            let conditions = json!([{"type": kind, "status": "False", "message": message}]);
            json!({"phase": "Pending", "conditions": conditions})
        };
        let waits = Waits::default();
        for (status, expected) in [
            (json!({"phase": "Pending"}), None),
            (unmet("PodScheduled", "no room"), Some("no room")),
            (unmet("PodScheduled", "no room"), None),
            (unmet("PodScheduled", "no node"), Some("no node")),
            (unmet("Ready", "containers with unready status"), None),
            (waiting("ContainerCreating"), None),
            (waiting("ErrImagePull"), Some("ErrImagePull: not found")),
            (json!({"phase": "Running"}), None),
        ] {
            assert_eq!(waits.news(&pod(status.clone())).as_deref(), expected, "{status}");
        }
    }

    #[test]
    fn what_a_person_has_to_mend_is_not_waited_for() {
        for (reason, expected) in [
            ("CreateContainerConfigError", true),
            ("ImagePullBackOff", true),
            ("ErrImagePull", false),
            ("ContainerCreating", false),
        ] {
            assert_eq!(is_stuck(&pod(waiting(reason))), expected, "{reason}");
        }
        let words = "failed to sync secret cache: timed out waiting for the condition";
        let busy = waiting_with("CreateContainerConfigError", words);
        assert!(!is_stuck(&pod(busy)));
        assert!(!is_stuck(&pod(Value::Null)));
    }

    #[test]
    fn a_pod_runs_until_it_is_to_end() {
        assert!(is_running(&pod(json!({"phase": "Running"}))));
        let mut ending = pod(json!({"phase": "Running"}));
        ending.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time::from(
            k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
        ));
        assert!(!is_running(&ending) && has_begun(&ending));
        for phase in ["Pending", "Failed", "Succeeded"] {
            assert!(!is_running(&pod(json!({"phase": phase}))), "{phase}");
        }
    }
}
