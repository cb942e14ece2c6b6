//! Tests that stop, change or remove the operator while jobs run. They run one at a time, and nothing else beside them.

mod cluster_faults;
mod controller_killed;
mod crash_points;
mod feeder_lost;
mod installation;
mod late_wishes;
mod mortal;
mod network_policy;
mod process;
mod resource_profiles;
mod standby;
mod strays;
mod upgrade;

use std::time::Duration;

use batch_inference_operator::api::BatchInferenceJob;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use super::audit::{OPERATOR, times};
use super::commands::{kill_container, kill_paused_container, must, pause_container, resume_container, take_back};
use super::tenant::{Tenant, address, container_id, is_ready};
use super::until::until;

pub const SYSTEM: &str = "batch-inference-system";
pub const RELEASE: &str = "batch-inference-operator";
pub const CHART: &str = "charts/batch-inference-operator";
const STARTED_WITHIN: Duration = Duration::from_mins(2);
/// A new controller waits for the old one's Lease to run out first.
const RELEASED_WITHIN: Duration = Duration::from_mins(2);
/// From when a controller works: what a server has to end (`terminationGracePeriodSeconds`), and ten seconds until all is said.
const SERVERS_GONE_WITHIN: SignedDuration = SignedDuration::from_secs(10 + 10);
const SERVERS_DELETED_WITHIN: SignedDuration = SignedDuration::from_secs(10);

/// The controllers' pods that are ready, and are to stay.
async fn ready_pods(client: &Client) -> Vec<Pod> {
    let mut pods = pods(client).await.unwrap_or_default();
    pods.retain(|pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none());
    pods
}

/// The controllers' pods. None while the API server does not answer.
async fn pods(client: &Client) -> Option<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM);
    let labels = format!("app.kubernetes.io/instance={RELEASE}");
    Some(pods.list(&ListParams::default().labels(&labels)).await.ok()?.items)
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

/// The operator of another chart or with other values, until this is dropped: then it is as it was.
struct Upgraded {
    /// The release's number before.
    before: String,
}

impl Upgraded {
    async fn to(client: &Client, chart: &str, values: &str) -> Self {
        let newest = [
            "history",
            RELEASE,
            "--namespace",
            SYSTEM,
            "--max",
            "1",
            "--output",
            "json",
        ];
        let newest: Value = serde_json::from_str(&must("helm", &newest).await).expect("JSON");
        let upgraded = Self {
            before: newest[0]["revision"].to_string(),
        };
        let upgrade = [
            "upgrade",
            RELEASE,
            chart,
            "--namespace",
            SYSTEM,
            "--reuse-values",
            "--set",
            values,
            "--wait",
            "--timeout",
            "2m",
        ];
        must("helm", &upgrade).await;
        Controller::running(client).await;
        upgraded
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        let rollback = [
            "rollback",
            RELEASE,
            &self.before,
            "--namespace",
            SYSTEM,
            "--wait",
            "--timeout",
            "2m",
        ];
        take_back("helm", &rollback);
    }
}

/// Waits until no server of a job is left that needs none: in time from when a controller holds the Lease, and not before `since`.
async fn servers_go_in_time(tenant: &Tenant, job: &BatchInferenceJob, since: Timestamp) {
    until_no_server_is_left(tenant, job).await;
    let took = Timestamp::now().duration_since(works_since(tenant).await.max(since));
    eprintln!("servers were gone {took:?} after a controller worked");
    assert!(took <= SERVERS_GONE_WITHIN, "{took:?}");
}

/// The same after a fault of the cluster itself, whose own controllers take their time to watch anew before they carry out what is asked:
/// it is asked in time.
async fn servers_are_deleted_in_time(tenant: &Tenant, job: &BatchInferenceJob, since: Timestamp) {
    until_no_server_is_left(tenant, job).await;
    let deletions = times(OPERATOR, "delete", "deployments", &tenant.namespace);
    let last = deletions.last().expect("a deletion");
    let took = last.duration_since(works_since(tenant).await.max(since));
    eprintln!("servers were deleted {took:?} after a controller worked");
    assert!(took <= SERVERS_DELETED_WITHIN, "{took:?}");
}

async fn until_no_server_is_left(tenant: &Tenant, job: &BatchInferenceJob) {
    until("no server is left", RELEASED_WITHIN, async || {
        tenant.server_pods(job).await.is_empty().then_some(())
    })
    .await;
}

/// Since when the controller holds the Lease.
async fn works_since(tenant: &Tenant) -> Timestamp {
    let leases: Api<Lease> = Api::namespaced(tenant.client.clone(), SYSTEM);
    let lease = leases.get(RELEASE).await.expect("the Lease");
    let acquired = lease.spec.and_then(|spec| spec.acquire_time);
    acquired.expect("a controller that works").0
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

    /// What it serves at a path.
    pub async fn serves(&self, client: &Client, path: &str) -> String {
        let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM);
        let pod = pods.get(&self.pod).await.expect("the controller's pod");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let url = format!("http://{}:8080/{path}", address(&pod));
        let answer = client.get(url).send().await.expect("an answer");
        let answer = answer.error_for_status().expect("200");
        answer.text().await.expect("text")
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
