//! Single pods of the servers: which of them go first, and which are replaced.
//!
//! The feeder tells which have nothing to do and which hang; all else is the Deployment's business.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Client, ResourceExt};

use super::exactly::{delete_exactly, is_outdated, of_uid};
use super::pod_state::is_ending;
use crate::api::BatchInferenceJob;
use crate::api::status::FeederState;

/// Among ready pods, a ReplicaSet lets those of the lowest cost go first
/// (<https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost>).
pub(super) const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The cost of a pod that has nothing to do; that of all others is 0.
const IDLE_COST: &str = "-1";

/// A change of a pod that failed.
#[derive(Debug, thiserror::Error)]
#[error("failed to {verb} pod {namespace}/{pod}")]
pub struct ServerPodError {
    verb: &'static str,
    namespace: String,
    pod: String,
    source: kube::Error,
}

/// What is to be done with one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodChange {
    /// Which.
    pub pod: String,
    /// And no other of that name.
    pub uid: Option<String>,
    /// What.
    pub what: What,
}

/// What is to be done with a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It goes first when there are too many.
    LetGoFirst,
    /// It does not, any more.
    Keep,
    /// It hangs: another takes its place.
    Replace,
}

/// What is to be done with the servers' pods.
#[must_use]
pub fn pod_changes(feeder: Option<&FeederState>, pods: &[Pod]) -> Vec<PodChange> {
    let Some(feeder) = feeder else { return Vec::new() };
    let alive = pods.iter().filter(|pod| !is_ending(pod));
    let changes = alive.filter_map(|pod| {
        let name = pod.name_any();
        let is_marked = is_marked(pod);
        let what = if feeder.hung_servers.contains(&name) {
            What::Replace
        } else {
            match (feeder.idle_servers.contains(&name), is_marked) {
                (true, false) => What::LetGoFirst,
                (false, true) => What::Keep,
                (true, true) | (false, false) => return None,
            }
        };
        Some(PodChange {
            pod: name,
            uid: pod.uid(),
            what,
        })
    });
    changes.collect()
}

/// Whether a pod has nothing to do, and is marked to go before all others.
#[must_use]
pub fn goes_first(feeder: &FeederState, pod: &Pod) -> bool {
    is_marked(pod) && feeder.idle_servers.contains(&pod.name_any())
}

fn is_marked(pod: &Pod) -> bool {
    let cost = pod.annotations().get(DELETION_COST);
    cost.is_some_and(|cost| cost == IDLE_COST)
}

/// Does it.
///
/// # Errors
/// When the API server cannot be asked. A pod that is gone needs no change.
pub async fn change_pods(
    client: &Client,
    job: &BatchInferenceJob,
    changes: &[PodChange],
) -> Result<(), ServerPodError> {
    let namespace = job.namespace().unwrap_or_default();
    let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    for change in changes {
        let (verb, done) = match change.what {
            What::LetGoFirst => ("mark", set_cost(&api, change, Some(IDLE_COST)).await),
            What::Keep => ("mark", set_cost(&api, change, None).await),
            What::Replace => ("delete", delete(&api, change).await),
        };
        if let Err(source) = done {
            return Err(ServerPodError {
                verb,
                namespace,
                pod: change.pod.clone(),
                source,
            });
        }
    }
    Ok(())
}

async fn set_cost(api: &Api<Pod>, change: &PodChange, cost: Option<&str>) -> kube::Result<()> {
    let patch = serde_json::json!({"metadata": {"uid": change.uid, "annotations": {DELETION_COST: cost}}});
    let parameters = PatchParams::default();
    match api.patch_metadata(&change.pod, &parameters, &Patch::Merge(patch)).await {
        Err(error) if !is_outdated(&error) => Err(error),
        _ => Ok(()),
    }
}

async fn delete(api: &Api<Pod>, change: &PodChange) -> kube::Result<()> {
    tracing::warn!(pod = %change.pod, "a server hangs and its pod is replaced");
    delete_exactly(api, &change.pod, DeleteParams::default(), of_uid(change.uid.clone())).await
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, metadata: &Value) -> Pod {
        let mut pod = json!({"metadata": {"name": name, "uid": format!("u-{name}")}});
        let fields = metadata.as_object().cloned().unwrap_or_default();
        pod["metadata"].as_object_mut().expect("an object").extend(fields);
        serde_json::from_value(pod).expect("a pod")
    }

    #[test]
    fn idle_pods_are_marked_once_and_hung_ones_replaced_once() {
        let marked = json!({"annotations": {DELETION_COST: IDLE_COST}});
        let pods = [
            pod("busy", &json!({})),
            pod("idle", &json!({})),
            pod("idle-marked", &marked),
            pod("busy-again", &marked),
            pod("hung", &json!({})),
            pod("hung-going", &json!({"deletionTimestamp": "2026-11-24T10:00:00Z"})),
        ];
        let feeder = json!({"attempt": 1, "state": "Feeding", "serversNeeded": true,
                            "idleServers": ["idle", "idle-marked", "gone"], "hungServers": ["hung", "hung-going"]});
        let feeder: FeederState = serde_json::from_value(feeder).expect("a state");
        let changes = pod_changes(Some(&feeder), &pods);
        let named: Vec<_> = changes
            .iter()
            .map(|change| (change.pod.as_str(), change.what))
            .collect();
        assert_eq!(
            named,
            [
                ("idle", What::LetGoFirst),
                ("busy-again", What::Keep),
                ("hung", What::Replace)
            ]
        );
        assert_eq!(changes[0].uid.as_deref(), Some("u-idle"));
        assert_eq!(pod_changes(None, &pods), []);
    }
}
