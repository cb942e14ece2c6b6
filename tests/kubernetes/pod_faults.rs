//! What happens to single pods of a job, from outside: it is told, no row is blamed, and the job comes to its end.

use batch_inference_operator::api::condition::ConditionType;
use k8s_openapi::api::core::v1::ContainerStateTerminated;
use serde_json::json;

use super::commands::{must, run};
use super::job::{FAKE_SERVER, Job};
use super::rows::{chats, twenty_and_one_held};
use super::stages::allow_pods;
use super::tenant::{PATIENCE, Tenant, container_id, end_of};
use super::until::until;

#[tokio::test]
async fn a_server_that_the_kernel_kills_for_its_memory_takes_no_row_with_it() {
    let tenant = Tenant::start("server-oom").await;
    tenant.put("rows.jsonl", &twenty_and_one_held()).await;
    tenant.submit(&Job::new(&tenant, "job")).await;
    tenant.until_received(21).await;
    let job = tenant.job("job").await;
    tenant.eat(&tenant.server_pods(&job).await[0]).await;
    let how = until("the server was killed", PATIENCE, async || {
        let pod = tenant.server_pods(&job).await.pop()?;
        let last: Option<ContainerStateTerminated> = pod.status?.container_statuses?.pop()?.last_state?.terminated;
        last
    })
    .await;
    assert_eq!(how.reason.as_deref(), Some("OOMKilled"), "{how:?}");
    tenant.until_received(22).await;
    tenant.release("job", "held").await;
    let output = tenant.complete("job", &twenty_and_one_held()).await;
    assert_eq!(output.errors, "");
}

#[tokio::test]
async fn a_feeder_that_the_kernel_kills_for_its_memory_goes_on_where_it_was() {
    let tenant = Tenant::start("feeder-oom").await;
    let rows = twenty_and_one_held();
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "job")).await;
    let job = tenant.until_completed("job", 20).await;
    let feeder = container_id(&tenant.feeder_pod(&job).await, "feeder").expect("a feeder that runs");
    must("tests/cluster/out-of-memory", &[&feeder]).await;
    let how = until("the feeder was killed", PATIENCE, async || {
        let pod = tenant.feeder_pod(&job).await;
        pod.status?.container_statuses?.pop()?.last_state?.terminated
    })
    .await;
    assert_eq!(how.reason.as_deref(), Some("OOMKilled"), "{how:?}");
    tenant.until_received(22).await;
    tenant.release("job", "held").await;
    tenant.complete("job", &rows).await;
    let twice: Vec<_> = tenant
        .received()
        .into_iter()
        .filter(|(_, received)| *received > 1)
        .collect();
    assert_eq!(twice, [("held".to_owned(), 2)]);
}

#[tokio::test]
async fn a_quota_that_is_reached_in_mid_run_is_waited_for_by_name() {
    let tenant = Tenant::start("quota-reached").await;
    tenant.put("rows.jsonl", &twenty_and_one_held()).await;
    tenant.submit(&Job::new(&tenant, "job")).await;
    tenant.until_received(21).await;
    let job = tenant.job("job").await;
    allow_pods(&tenant, 1).await;
    let server = tenant.server_pods(&job).await.remove(0).metadata.name.expect("a name");
    tenant.kubectl(&["delete", "pod", &server]).await.expect("a deletion");
    let told = tenant
        .until_reason("job", ConditionType::ServersReady, "QuotaExceeded")
        .await;
    assert!(told.message.contains("exceeded quota: pods"), "{told:?}");
    tenant
        .kubectl(&["delete", "resourcequota", "pods"])
        .await
        .expect("a deletion");
    tenant.until_received(22).await;
    tenant.release("job", "held").await;
    let output = tenant.complete("job", &twenty_and_one_held()).await;
    assert_eq!(output.errors, "");
    assert_eq!(end_of(&tenant.job("job").await), "Complete: AllRowsSucceeded");
}

#[tokio::test]
async fn a_server_whose_device_is_dead_fails_no_row_while_another_one_works() {
    let tenant = Tenant::start("dead-device").await;
    // One server alone works on them for longer than the other needs to start.
    let rows = chats(800, &json!({"latency_ms": "2000"}));
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "job").replicas(2)).await;
    let job = tenant.job("job").await;
    let dead = until("two servers with rows", PATIENCE, async || {
        let busy: std::collections::BTreeSet<_> = tenant.recorder.events().into_iter().map(|event| event.pod).collect();
        let pods = tenant.server_pods(&job).await;
        let is_busy =
            |pod: &k8s_openapi::api::core::v1::Pod| pod.metadata.name.as_ref().is_some_and(|name| busy.contains(name));
        (busy.len() == 2).then(|| pods.into_iter().find(is_busy)).flatten()
    })
    .await;
    tenant.fail_every_row(&dead).await;
    let output = tenant.complete("job", &rows).await;
    assert_eq!(output.errors, "");
}

#[tokio::test]
async fn an_image_that_its_registry_does_not_have_ends_the_job() {
    let tenant = Tenant::start("no-image").await;
    tenant.put("rows.jsonl", &twenty_and_one_held()).await;
    // A registry that knows of nothing, on the node itself: from there images are pulled without TLS.
    let registry = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "empty-registry", "namespace": "test-store"},
    "spec": {"hostNetwork": true, "containers": [
        {"name": "registry", "image": FAKE_SERVER, "args": ["-m", "none", "--host", "127.0.0.1", "--port", "5099"]},
    ]}});
    run("kubectl", &["apply", "--filename", "-"], &registry.to_string())
        .await
        .expect("a registry");
    must(
        "kubectl",
        &[
            "--namespace",
            "test-store",
            "wait",
            "pod/empty-registry",
            "--for=condition=Ready",
            "--timeout=2m",
        ],
    )
    .await;
    let job = Job::new(&tenant, "job").set("/server/image", json!("localhost:5099/no-such-image:1"));
    tenant.submit(&job).await;
    let waits = tenant
        .until_reason("job", ConditionType::ServersReady, "ImagePullFailed")
        .await;
    assert!(waits.message.contains("localhost:5099/no-such-image:1"), "{waits:?}");
    let ended = tenant.end("job").await;
    assert_eq!(end_of(&ended), "Failed: ImagePullFailed");
    must(
        "kubectl",
        &[
            "--namespace",
            "test-store",
            "delete",
            "pod",
            "empty-registry",
            "--wait=false",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_server_whose_disk_is_too_small_is_named_and_ends_the_job() {
    let tenant = Tenant::start("small-disk").await;
    tenant.put("rows.jsonl", &twenty_and_one_held()).await;
    let script = "head -c 8000000 /dev/zero >/weights/model; sleep 600";
    let volume = json!({"name": "weights", "emptyDir": {"sizeLimit": "1Mi"}});
    let container = json!({"name": "server", "command": ["sh", "-c", script],
                           "volumeMounts": [{"name": "weights", "mountPath": "/weights"}]});
    let job = Job::new(&tenant, "job")
        .set("/server/image", json!("localhost/base:bookworm"))
        .set(
            "/server/podTemplate",
            json!({"spec": {"volumes": [volume], "containers": [container]}}),
        );
    tenant.submit(&job).await;
    let waits = tenant
        .until_reason("job", ConditionType::ServersReady, "EphemeralStorageExceeded")
        .await;
    assert!(waits.message.contains("\"weights\""), "{waits:?}");
    assert_eq!(end_of(&tenant.end("job").await), "Failed: EphemeralStorageExceeded");
}
