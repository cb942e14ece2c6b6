//! A node that is an object, and who speaks for it as a kubelet does.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::wait::await_condition;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::super::commands::take_back;
use super::super::tenant::{PATIENCE, Tenant, is_ready};
use super::super::until::until;

/// A device that only second nodes have, each of them one.
pub const DEVICE: &str = "test.batchinference.dev/device";
/// Only pods of the test itself get past it.
const TAINT: &str = "test.batchinference.dev/node-of";
/// A node of which nothing is heard for 50 seconds is taken for lost.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A second node, which takes one pod of its test; it is deleted when this is dropped.
pub struct SecondNode {
    name: String,
    nodes: Api<Node>,
    kubelet: Arc<Kubelet>,
    tasks: [JoinHandle<()>; 2],
}

struct Kubelet {
    nodes: Api<Node>,
    pods: Api<Pod>,
    /// By the names of pods of this node, the pods in which they really run.
    stand_ins: Mutex<BTreeMap<String, String>>,
}

impl SecondNode {
    /// Makes a node named for the namespace, and waits until it is ready.
    pub async fn join(tenant: &Tenant) -> Self {
        let name = format!("second-node-of-{}", tenant.namespace);
        let nodes: Api<Node> = Api::all(tenant.client.clone());
        let node = json!({"metadata": {"name": name, "labels": {TAINT: name}},
                          "spec": {"taints": [{"key": TAINT, "value": name, "effect": "NoSchedule"}]}});
        let node = serde_json::from_value(node).expect("a node");
        nodes.create(&PostParams::default(), &node).await.expect("a new node");
        let kubelet = Arc::new(Kubelet::new(&tenant.client, &tenant.namespace));
        let node = Self {
            tasks: [
                tokio::spawn(Arc::clone(&kubelet).speak_for(name.clone())),
                tokio::spawn(Arc::clone(&kubelet).run_pods(name.clone())),
            ],
            name,
            nodes,
            kubelet,
        };
        node.until_ready().await;
        node
    }

    async fn until_ready(&self) {
        until("the second node takes pods", PATIENCE, async || {
            let node = self.nodes.get(&self.name).await.ok()?;
            let taints = node.spec?.taints.unwrap_or_default();
            let is_ready = taints.iter().all(|taint| taint.key == TAINT);
            is_ready.then_some(())
        })
        .await;
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A pod template of which this node is preferred.
    pub fn preferred(&self) -> Value {
        let here = json!({"matchExpressions": [{"key": TAINT, "operator": "In", "values": [self.name]}]});
        let affinity = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 100, "preference": here}]}});
        let toleration = json!({"key": TAINT, "value": self.name, "effect": "NoSchedule"});
        json!({"spec": {"affinity": affinity, "tolerations": [toleration]}})
    }

    /// Whether what runs in this pod of the first node is said to run here.
    pub fn runs(&self, stand_in: &str) -> bool {
        self.kubelet.stand_ins().values().any(|name| name == stand_in)
    }

    /// Power is lost: what runs there ends without a word, and nobody speaks for the node.
    pub async fn lose(&self) {
        for task in &self.tasks {
            task.abort();
        }
        for pod in self.kubelet.stand_ins().keys() {
            self.kubelet.kill(pod).await;
        }
    }

    /// The object is deleted, as by a person, or by whoever watches the machines.
    pub async fn delete(&self) {
        let deleted = self.nodes.delete(&self.name, &DeleteParams::default()).await;
        deleted.expect("a node that is deleted");
    }
}

impl Drop for SecondNode {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        take_back(
            "kubectl",
            &["delete", "node", &self.name, "--ignore-not-found", "--wait=false"],
        );
    }
}

impl Kubelet {
    fn new(client: &Client, namespace: &str) -> Self {
        Self {
            nodes: Api::all(client.clone()),
            pods: Api::namespaced(client.clone(), namespace),
            stand_ins: Mutex::default(),
        }
    }

    fn stand_ins(&self) -> BTreeMap<String, String> {
        self.stand_ins.lock().expect("no panic").clone()
    }

    async fn speak_for(self: Arc<Self>, node: String) {
        let since = Timestamp::now();
        let room = json!({"cpu": "8", "memory": "16Gi", "ephemeral-storage": "100Gi", "pods": "1", DEVICE: "1"});
        loop {
            let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
                               "lastHeartbeatTime": Timestamp::now(), "lastTransitionTime": since});
            let status = json!({"status": {"capacity": room, "allocatable": room, "conditions": [ready]}});
            let patch = Patch::Strategic(status);
            // The node may be gone, or the API server away; the next word may be heard.
            let _ = self.nodes.patch_status(&node, &PatchParams::default(), &patch).await;
            sleep(HEARTBEAT).await;
        }
    }

    async fn run_pods(self: Arc<Self>, node: String) {
        let here = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
        let mut changed = pin!(watcher(self.pods.clone(), here).default_backoff().applied_objects());
        while let Some(pod) = changed.next().await {
            let Ok(pod) = pod else { continue };
            if pod.metadata.deletion_timestamp.is_some() {
                self.end(&pod).await;
            } else if pod.status.as_ref().is_none_or(|status| status.pod_ip.is_none()) {
                self.start(&pod).await;
            }
        }
    }

    async fn start(&self, pod: &Pod) {
        let address = self.stand_in(pod).await;
        let spec = pod.spec.as_ref().expect("a spec");
        let now = Timestamp::now();
        let conditions = ["Initialized", "ContainersReady", "Ready"];
        let conditions = conditions.map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": now}));
        let containers = spec.containers.iter().map(|container| {
            json!({"name": container.name, "image": container.image, "imageID": "", "ready": true, "started": true,
                   "restartCount": 0, "state": {"running": {"startedAt": now}}})
        });
        let containers: Vec<_> = containers.collect();
        let status = json!({"phase": "Running", "startTime": now, "podIP": address, "podIPs": [{"ip": address}],
                            "conditions": conditions, "containerStatuses": containers});
        let patch = Patch::Strategic(json!({"status": status}));
        let patched = self
            .pods
            .patch_status(&pod.name_any(), &PatchParams::default(), &patch)
            .await;
        patched.expect("a pod that runs");
    }

    /// Starts what is in a pod on the first node; returns the address.
    async fn stand_in(&self, pod: &Pod) -> String {
        let name = format!("on-second-node-{}", self.stand_ins().len());
        let mut spec = serde_json::to_value(&pod.spec).expect("JSON");
        let fields = spec.as_object_mut().expect("an object");
        for field in [
            "nodeName",
            "affinity",
            "tolerations",
            "priority",
            "priorityClassName",
            "preemptionPolicy",
        ] {
            fields.remove(field);
        }
        for container in fields["containers"].as_array_mut().expect("containers") {
            container.as_object_mut().expect("an object").remove("resources");
        }
        let stand_in = json!({"metadata": {"name": name}, "spec": spec});
        let stand_in = serde_json::from_value(stand_in).expect("a pod");
        let created = self.pods.create(&PostParams::default(), &stand_in).await;
        created.expect("a pod on the first node");
        self.stand_ins
            .lock()
            .expect("no panic")
            .insert(pod.name_any(), name.clone());
        let runs = await_condition(self.pods.clone(), &name, |pod: Option<&Pod>| pod.is_some_and(is_ready));
        let running = timeout(PATIENCE, runs).await.expect("a pod that runs in time");
        let pod = running.expect("a watch").expect("a pod");
        pod.status.and_then(|status| status.pod_ip).expect("an address")
    }

    /// Ends what really runs of a pod, without notice.
    async fn kill(&self, pod: &str) {
        let Some(stand_in) = self.stand_ins().remove(pod) else {
            return;
        };
        let at_once = DeleteParams::default().grace_period(0);
        // It may have been killed before.
        let _ = self.pods.delete(&stand_in, &at_once).await;
    }

    /// As kubelet does when the last container of a pod has ended.
    async fn end(&self, pod: &Pod) {
        self.kill(&pod.name_any()).await;
        let exactly = Preconditions {
            uid: pod.uid(),
            resource_version: None,
        };
        let params = DeleteParams::default().grace_period(0).preconditions(exactly);
        // Somebody else may have been faster.
        let _ = self.pods.delete(&pod.name_any(), &params).await;
    }
}
