//! Tests that stop, change or remove the operator while jobs run. They run one at a time, and nothing else beside them.

mod cluster_faults;
mod controller_killed;
mod crash_points;
mod installation;
mod late_wishes;
mod network_policy;
mod process;
mod standby;
mod strays;
mod upgrade;

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::commands::{kill_container, kill_paused_container, must, pause_container, resume_container, take_back};
use super::tenant::{container_id, is_ready};
use super::until::until;

pub const SYSTEM: &str = "batch-inference-system";
pub const RELEASE: &str = "batch-inference-operator";
pub const CHART: &str = "charts/batch-inference-operator";
const STARTED_WITHIN: Duration = Duration::from_mins(2);

/// The controllers' pods that are ready, and are to stay.
async fn ready_pods(client: &Client) -> Vec<Pod> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM);
    let labels = format!("app.kubernetes.io/instance={RELEASE}");
    let listed = pods.list(&ListParams::default().labels(&labels)).await;
    let mut pods = listed.map_or_else(|_| Vec::new(), |listed| listed.items);
    pods.retain(|pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none());
    pods
}

/// Has so many controllers run.
async fn scale(replicas: u32) {
    let (deployment, replicas) = (format!("deployment/{RELEASE}"), format!("--replicas={replicas}"));
    must("kubectl", &["--namespace", SYSTEM, "scale", &deployment, &replicas]).await;
}

/// Has one controller run again, also when a test fails.
fn scale_back() {
    let deployment = format!("deployment/{RELEASE}");
    take_back(
        "kubectl",
        &["--namespace", SYSTEM, "scale", &deployment, "--replicas=1"],
    );
}

/// The controller's one pod that runs.
pub struct Controller {
    pod: String,
    container: String,
}

impl Controller {
    /// Waits for a controller that is ready.
    pub async fn running(client: &Client) -> Self {
        until("a controller that is ready", STARTED_WITHIN, async || {
            ready_pods(client).await.iter().find_map(Self::in_pod)
        })
        .await
    }

    /// The controller of a pod that is ready.
    pub async fn of_pod(client: &Client, name: &str) -> Self {
        let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM);
        let pod = pods.get(name).await.expect("the controller's pod");
        Self::in_pod(&pod).expect("a container that runs")
    }

    fn in_pod(pod: &Pod) -> Option<Self> {
        Some(Self {
            pod: pod.name_any(),
            container: container_id(pod, "controller")?,
        })
    }

    /// Lets its processes go on after [`Self::pause`].
    pub async fn resume(&self) {
        resume_container(&self.container).await;
    }

    /// Stops its processes where they are.
    pub async fn pause(&self) {
        pause_container(&self.container).await;
    }

    /// Kills it, and has another pod take its place: the same one would be started ever later.
    pub async fn kill(self) {
        kill_container(&self.container).await;
        self.replace().await;
    }

    /// Kills it where it was paused.
    pub async fn kill_paused(self) {
        kill_paused_container(&self.container).await;
        self.replace().await;
    }

    async fn replace(&self) {
        must(
            "kubectl",
            &[
                "--namespace",
                SYSTEM,
                "delete",
                "pod",
                &self.pod,
                "--grace-period=1",
                "--wait=false",
            ],
        )
        .await;
    }
}
