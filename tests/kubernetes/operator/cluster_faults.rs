//! Parts of the cluster that end while a job runs: the job comes to its end all the same, and no server is left.

use std::time::Duration;

use batch_inference_operator::api::BatchInferenceJob;
use batch_inference_operator::api::condition::ConditionType;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use reqwest::Method;
use tokio::time::{Instant, sleep};

use super::servers_are_deleted_in_time;
use crate::audit::requests;
use crate::commands::{must, run, take_back};
use crate::job::Job;
use crate::rows::twenty_and_one_held;
use crate::tenant::{PATIENCE, Tenant, condition, control};
use crate::until::until;

/// How long the API server is away; `API_SERVER_AWAY_SECONDS` in long runs.
const AWAY: Duration = Duration::from_secs(20);
const BACK_WITHIN: Duration = Duration::from_mins(2);

/// A part that is stopped; it is started again also when a test fails.
struct Stopped(&'static str);

impl Stopped {
    async fn part(name: &'static str) -> Self {
        must("tests/cluster/part", &["stop", name]).await;
        Self(name)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        take_back("tests/cluster/part", &["start", self.0]);
    }
}

async fn api_server_is_back() {
    until("the API server", BACK_WITHIN, async || {
        run("kubectl", &["get", "--raw", "/readyz"], "").await.ok()
    })
    .await;
}

/// A job that has answered twenty rows and holds one; the job, and its server's pod.
async fn held(name: &str) -> (Tenant, String, BatchInferenceJob, Pod) {
    let tenant = Tenant::start(name).await;
    let rows = twenty_and_one_held();
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "job")).await;
    tenant.until_received(21).await;
    let job = tenant.job("job").await;
    let server = tenant.server_pods(&job).await.remove(0);
    (tenant, rows, job, server)
}

#[tokio::test]
async fn an_api_server_that_is_away_stops_no_row_and_the_gpus_go_when_it_is_back() {
    let away = std::env::var("API_SERVER_AWAY_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let away = away.map_or(AWAY, Duration::from_secs);
    let (tenant, rows, job, server) = held("api-away").await;
    let known = job.metadata.resource_version.clone().expect("a version");
    let stopped = Stopped::part("kube-apiserver").await;
    let begin = Instant::now();
    control(Method::POST, &server, "release/held").await;
    until("the results, without the API server", PATIENCE, async || {
        tenant.exists("job/manifest.json").await.then_some(())
    })
    .await;
    sleep(away.saturating_sub(begin.elapsed())).await;
    drop(stopped);
    let lists = lists_of_jobs().len();
    api_server_is_back().await;
    servers_are_deleted_in_time(&tenant, &job, Timestamp::now()).await;
    tenant.complete("job", &rows).await;
    assert!(tenant.received().values().all(|received| *received == 1));
    is_expired(&known).await;
    let again = &lists_of_jobs()[lists..];
    assert!(
        again.iter().any(|user| user.ends_with(":batch-inference-operator")),
        "{again:?}"
    );
}

/// Whoever listed jobs, request by request.
fn lists_of_jobs() -> Vec<String> {
    let listed = requests(|user| user.starts_with("system:serviceaccount:")).into_iter();
    let listed = listed.filter(|request| {
        let object = request.object_ref.as_ref();
        request.verb == "list" && object.is_some_and(|object| object.resource == "batchinferencejobs")
    });
    listed.map(|request| request.user.username).collect()
}

/// A watch from a version that the API server knew before it ended is answered with 410: all is to be listed anew.
async fn is_expired(version: &str) {
    let path = format!(
        "/apis/batchinference.dev/v1alpha1/batchinferencejobs?watch=1&timeoutSeconds=2&resourceVersion={version}"
    );
    let answer = match run("kubectl", &["get", "--raw", &path], "").await {
        Ok(answer) | Err(answer) => answer,
    };
    assert!(
        answer.contains("410") || answer.contains("too old resource version"),
        "{answer}"
    );
}

#[tokio::test]
async fn etcd_that_is_restarted_changes_no_end() {
    let (tenant, rows, job, server) = held("etcd").await;
    let stopped = Stopped::part("etcd").await;
    control(Method::POST, &server, "release/held").await;
    until("the results, without etcd", PATIENCE, async || {
        tenant.exists("job/manifest.json").await.then_some(())
    })
    .await;
    drop(stopped);
    api_server_is_back().await;
    servers_are_deleted_in_time(&tenant, &job, Timestamp::now()).await;
    tenant.complete("job", &rows).await;
    assert!(tenant.received().values().all(|received| *received == 1));
}

#[tokio::test]
async fn a_node_that_is_silent_holds_no_results_back_and_its_gpus_are_unknown_until_it_speaks() {
    let (tenant, rows, job, server) = held("kubelet").await;
    let stopped = Stopped::part("kubelet").await;
    let released = Timestamp::now();
    control(Method::POST, &server, "release/held").await;
    let told = tenant
        .until_reason("job", ConditionType::GPUsReleased, "NodeLost")
        .await;
    assert_eq!(told.status, "Unknown", "{told:?}");
    assert!(told.message.contains("node-1"), "{told:?}");
    let ended = tenant.job("job").await;
    let complete = condition(&ended, ConditionType::Complete).expect("an end");
    assert_eq!(
        (complete.status.as_str(), complete.reason.as_str()),
        ("True", "AllRowsSucceeded")
    );
    tenant.output("job").await.prove(&rows);
    drop(stopped);
    servers_are_deleted_in_time(&tenant, &job, released).await;
    tenant.complete("job", &rows).await;
}

#[tokio::test]
async fn a_drained_node_takes_no_row_with_it_and_the_wait_has_a_name() {
    let (tenant, rows, job, _) = held("drained").await;
    let pods = format!(
        "--pod-selector=batchinference.dev/job-uid={}",
        job.metadata.uid.clone().expect("a uid")
    );
    let cordoned = Cordoned;
    must(
        "kubectl",
        &["drain", "node-1", "--delete-emptydir-data", "--timeout=2m", &pods],
    )
    .await;
    let told = tenant
        .until_reason("job", ConditionType::ServersReady, "Unschedulable")
        .await;
    assert!(told.message.contains("unschedulable"), "{told:?}");
    drop(cordoned);
    tenant.until_received(22).await;
    tenant.release("job", "held").await;
    let output = tenant.complete("job", &rows).await;
    assert_eq!(output.errors, "");
}

/// The node takes pods again when this is dropped.
struct Cordoned;

impl Drop for Cordoned {
    fn drop(&mut self) {
        take_back("kubectl", &["uncordon", "node-1"]);
    }
}
