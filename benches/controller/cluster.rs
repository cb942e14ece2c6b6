//! The cluster: its real node takes no pods, kwok's nodes take all.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;

/// Objects that are written at a time.
pub const AT_A_TIME: usize = 32;
const NODES: usize = 20;
const NODE_MARK: &str = "kwok.x-k8s.io/node";

/// A running kwok; it ends with this.
pub struct Kwok(Child);

impl Drop for Kwok {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command that the kernel ends when this process is killed.
pub fn ends_with_us(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

/// The state folder of the test cluster.
pub fn state() -> PathBuf {
    std::env::var_os("BIO_CLUSTER_STATE")
        .expect("run this by benches/controller/run")
        .into()
}

/// Starts kwok and waits until its nodes are ready.
pub async fn start_kwok(client: &Client) -> Kwok {
    let nodes: Api<Node> = Api::all(client.clone());
    for node in nodes.list(&ListParams::default()).await.unwrap() {
        nodes.cordon(&node.name_any()).await.unwrap();
    }
    let stages = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/controller/stages.yaml");
    let log = std::fs::File::create(state().join("logs/kwok.log")).unwrap();
    let kwok = ends_with_us(std::env::var_os("KWOK").expect("the path of kwok"))
        .arg(format!("--kubeconfig={}", std::env::var("KUBECONFIG").unwrap()))
        .arg(format!("--config={stages}"))
        .arg("--manage-all-nodes=false")
        .arg("--node-lease-duration-seconds=40")
        .arg(format!("--manage-nodes-with-annotation-selector={NODE_MARK}=fake"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("kwok starts");
    let kwok = Kwok(kwok);
    for number in 0..NODES {
        let node = json!({"metadata": {"name": format!("kwok-{number}"), "annotations": {NODE_MARK: "fake"}}});
        nodes
            .create(&PostParams::default(), &serde_json::from_value(node).unwrap())
            .await
            .unwrap();
    }
    until("kwok's nodes are ready", || async {
        let listed = nodes.list(&ListParams::default()).await.unwrap();
        let ready = listed
            .iter()
            .filter(|node| node.annotations().contains_key(NODE_MARK) && is_ready(node));
        ready.count() == NODES
    })
    .await;
    kwok
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Makes a namespace of that name.
pub async fn namespace(client: &Client, name: &str) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(client.clone(), name);
    until("the namespace's service account", || async {
        accounts.get_opt("default").await.unwrap().is_some()
    })
    .await;
}

/// Does something for each number, some at a time.
pub async fn for_each<F: Future<Output = ()>>(numbers: std::ops::Range<usize>, work: impl Fn(usize) -> F) {
    futures::stream::iter(numbers)
        .for_each_concurrent(AT_A_TIME, work)
        .await;
}

/// The pods that have this label and run, each whenever it changes, with the label's value.
pub fn running(pods: Api<Pod>, label: &'static str) -> impl Stream<Item = (Pod, String)> {
    let labelled = watcher::Config::default().labels(label);
    let pods = watcher(pods, labelled).default_backoff().applied_objects();
    pods.filter_map(move |pod| {
        let pod = pod.unwrap();
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let value = pod.labels()[label].clone();
        std::future::ready((phase == Some("Running")).then_some((pod, value)))
    })
}

/// Ends a feeder's pod, as kubelet would.
pub async fn end_pod(pods: &Api<Pod>, pod: &Pod) {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let statuses: Vec<_> = containers
        .map(|container| {
            json!({"name": container.name, "image": container.image, "imageID": "", "ready": false, "restartCount": 0,
                   "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}})
        })
        .collect();
    let ready = json!([{"type": "Ready", "status": "False", "reason": "PodCompleted"},
                       {"type": "ContainersReady", "status": "False", "reason": "PodCompleted"}]);
    let patch = json!({"status": {"phase": "Succeeded", "containerStatuses": statuses, "conditions": ready}});
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(patch))
        .await
        .unwrap();
}

/// Waits for what no watch here tells of.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_mins(10);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
