//! What happens to one of several nodes: the second node is an object, and the test is its kubelet. What runs there really
//! runs in pods of the first one, under names of their own, until the node is taken away.

mod kubelet;

use std::collections::BTreeSet;

use batch_inference_operator::api::BatchInferenceJob;
use batch_inference_operator::api::condition::ConditionType;
use batch_inference_operator::api::reason::Reason;
use serde_json::json;

use super::commands::{must, take_back};
use super::job::{FAKE_SERVER, Job};
use super::rows::{chats, twenty_and_one_held};
use super::tenant::{PATIENCE, Tenant, condition, end_of, restricted};
use super::troubleshooting::page::shows;
use super::until::until;
use kubelet::{DEVICE, SecondNode};

/// One server alone works on them for longer than the other needs to start.
const ROWS: usize = 800;

/// A job with a server on each node, both at work.
async fn on_two_nodes(name: &str) -> (Tenant, SecondNode, String, BatchInferenceJob) {
    let tenant = Tenant::start(name).await;
    let node = SecondNode::join(&tenant).await;
    let rows = chats(ROWS, &json!({"latency_ms": "2000"}));
    tenant.put("rows.jsonl", &rows).await;
    let job = Job::new(&tenant, "job").replicas(2);
    let job = job.set("/server/podTemplate", node.preferred());
    tenant.submit(&job).await;
    until("servers on both nodes have rows", PATIENCE, async || {
        let busy: BTreeSet<_> = tenant.recorder.events().into_iter().map(|event| event.pod).collect();
        (busy.len() == 2 && busy.iter().any(|pod| node.runs(pod))).then_some(())
    })
    .await;
    let job = tenant.job("job").await;
    (tenant, node, rows, job)
}

#[tokio::test]
async fn a_lost_node_takes_no_row_with_it_and_its_gpus_are_unknown_until_it_is_gone() {
    let (tenant, node, rows, _) = on_two_nodes("node-lost").await;
    node.lose().await;
    let told = tenant
        .until_reason("job", ConditionType::GPUsReleased, "NodeLost")
        .await;
    assert_eq!(told.status, "Unknown", "{told:?}");
    assert!(told.message.contains(node.name()), "{told:?}");
    // Servers are given back before results are written.
    tenant
        .until_reason("job", ConditionType::Complete, "AllRowsSucceeded")
        .await;
    let what = "The node of a server does not answer; the job is over all the same.";
    shows(&tenant, "job", ConditionType::GPUsReleased, Reason::NodeLost, what).await;
    assert_eq!(end_of(&tenant.job("job").await), "Complete: AllRowsSucceeded");
    let output = tenant.output("job").await;
    output.prove(&rows);
    assert_eq!(output.errors, "");
    node.delete().await;
    tenant.complete("job", &rows).await;
}

#[tokio::test]
async fn a_job_that_is_resumed_gets_servers_while_a_pod_of_the_old_ones_is_on_a_lost_node() {
    let (tenant, node, rows, _) = on_two_nodes("resumed").await;
    node.lose().await;
    tenant.patch_spec("job", &json!({"suspend": true})).await;
    tenant
        .until_reason("job", ConditionType::GPUsReleased, "NodeLost")
        .await;
    tenant.patch_spec("job", &json!({"suspend": false})).await;
    tenant
        .until_completed("job", i64::try_from(ROWS).expect("a count"))
        .await;
    tenant
        .until_reason("job", ConditionType::Complete, "AllRowsSucceeded")
        .await;
    node.delete().await;
    tenant.complete("job", &rows).await;
}

#[tokio::test]
async fn a_node_that_goes_after_a_notice_takes_no_row_with_it() {
    let (tenant, node, rows, job) = on_two_nodes("spot").await;
    let pods = format!(
        "--pod-selector=batchinference.dev/job-uid={}",
        job.metadata.uid.clone().expect("a uid")
    );
    // As a handler of notices does; whoever runs there is told, and has the time of the notice.
    must(
        "kubectl",
        &[
            "drain",
            node.name(),
            &pods,
            "--delete-emptydir-data",
            "--grace-period=30",
            "--timeout=30s",
        ],
    )
    .await;
    node.lose().await;
    node.delete().await;
    let output = tenant.complete("job", &rows).await;
    assert_eq!(output.errors, "");
}

#[tokio::test]
async fn a_server_that_is_preempted_is_waited_for_by_name_and_no_row_is_blamed() {
    let tenant = Tenant::start("preempted").await;
    let node = SecondNode::join(&tenant).await;
    tenant.put("rows.jsonl", &twenty_and_one_held()).await;
    let job = Job::new(&tenant, "job")
        .set("/server/podTemplate", node.preferred())
        .set("/server/resources/limits", json!({"memory": "256Mi", DEVICE: 1}))
        .set("/rowPolicy", json!({"maxAttempts": 1}));
    tenant.submit(&job).await;
    tenant.until_received(21).await;
    let preemptor = Preemptor::start(&tenant, &node).await;
    let told = tenant
        .until_reason("job", ConditionType::ServersReady, "Unschedulable")
        .await;
    assert!(told.message.contains(&format!("Insufficient {DEVICE}")), "{told:?}");
    drop(preemptor);
    tenant.until_received(22).await;
    tenant.release("job", "held").await;
    let output = tenant.complete("job", &twenty_and_one_held()).await;
    assert_eq!(output.errors, "");
    let job = tenant.job("job").await;
    assert!(condition(&job, ConditionType::Failed).is_none_or(|failed| failed.status != "True"));
}

/// A pod that is more important than a server, and wants its device.
struct Preemptor {
    name: String,
}

impl Preemptor {
    async fn start(tenant: &Tenant, node: &SecondNode) -> Self {
        let name = tenant.namespace.clone();
        let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
                           "value": 1000});
        tenant.apply(&class).await;
        let mut pod = node.preferred();
        pod["spec"]["priorityClassName"] = name.as_str().into();
        pod["spec"]["containers"] = json!([
            {"name": "important", "image": FAKE_SERVER, "args": ["-m", "none"], "resources": {"limits": {DEVICE: 1}},
             "securityContext": restricted()},
        ]);
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"] = json!({"name": "important"});
        tenant.apply(&pod).await;
        Self { name }
    }
}

impl Drop for Preemptor {
    fn drop(&mut self) {
        take_back(
            "kubectl",
            &["--namespace", &self.name, "delete", "pod", "important", "--wait=false"],
        );
        take_back("kubectl", &["delete", "priorityclass", &self.name]);
    }
}
