//! A newer operator restarts no pod of a job that runs.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{CHART, Upgraded};
use crate::commands::{must, root};
use crate::job::{FAKE_SERVER, Job};
use crate::rows::chats;
use crate::stages::until_no_feeder;
use crate::tenant::Tenant;

#[tokio::test]
async fn an_upgrade_with_another_feeder_engine_and_field_restarts_no_running_pod() {
    let tenant = Tenant::start("upgrade").await;
    // More than one server takes at once, or a second would not be needed.
    let rows = chats(300, &json!({"hold": "held"}));
    tenant.put("rows.jsonl", &rows).await;
    // The job takes the engine's image from the operator's settings, which the upgrade changes.
    let older = Upgraded::to(&tenant.client, CHART, &format!("engines.LlamaCpp.image={FAKE_SERVER}")).await;
    let job = Job::new(&tenant, "running").set("/server/image", json!(null));
    tenant.submit(&job).await;
    tenant.until_received(3).await;
    let before = pods(&tenant).await;
    let chart = tempfile::tempdir().expect("a folder");
    chart_with_a_new_field(chart.path());

    let chart = chart.path().to_str().expect("a path");
    let images = "feeder.image=localhost/other-feeder:2,engines.LlamaCpp.image=localhost/other-engine:2";
    let newer = Upgraded::to(&tenant.client, chart, images).await;

    let field = must("kubectl", &["explain", "bij.spec.fieldOfTomorrow"]).await;
    assert!(field.contains("comes with the next version"), "{field}");
    // A job that is new shows that the new controller has taken up its work; it gets the new feeder, which does not exist.
    tenant
        .submit(&Job::new(&tenant, "new").inline(&chats(3, &json!({}))))
        .await;
    let new = tenant.job("new").await;
    let feeder = tenant.feeder_pod(&new).await;
    let image = feeder.spec.and_then(|spec| spec.containers[0].image.clone());
    assert_eq!(image.as_deref(), Some("localhost/other-feeder:2"));
    tenant.kubectl(&["delete", "bij", "new"]).await.expect("a deletion");
    until_no_feeder(&tenant, &new).await;
    // A change to the running job makes the new controller write its children.
    tenant
        .kubectl(&["scale", "bij/running", "--replicas=2"])
        .await
        .expect("scaling");
    let is_seen = |job: &batch_inference_operator::api::BatchInferenceJob| {
        job.status.as_ref().is_some_and(|status| {
            status
                .controller
                .servers
                .as_ref()
                .is_some_and(|servers| servers.ready == 2)
        })
    };
    tenant.until_job("running", "two servers are ready", is_seen).await;
    let after = pods(&tenant).await;
    assert!(
        before.iter().all(|pod| after.contains(pod)),
        "pods were restarted: {before:?} became {after:?}"
    );
    let images = [
        "get",
        "pods",
        "--output",
        "jsonpath={.items[*].spec.containers[*].image}",
    ];
    let images = tenant.kubectl(&images).await.expect("images");
    assert!(!images.contains("other"), "{images}");
    tenant.release("running", "held").await;
    tenant.complete("running", &rows).await;

    drop(newer);
    drop(older);
}

/// Each pod of the running job: its uid, and how often its container was restarted.
async fn pods(tenant: &Tenant) -> Vec<String> {
    let each = "jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[0].restartCount}{\"\\n\"}{end}";
    let printed = tenant.kubectl(&["get", "pods", "--output", each]).await.expect("pods");
    printed.lines().map(str::to_owned).collect()
}

/// A copy of the chart whose definition has a field more.
fn chart_with_a_new_field(folder: &Path) {
    let copied = std::process::Command::new("cp")
        .arg("--recursive")
        .arg(root().join(CHART).join("."))
        .arg(folder)
        .status();
    assert!(
        copied.is_ok_and(|status| status.success()),
        "the chart cannot be copied"
    );
    let path = folder.join("crd.yaml");
    let text = fs::read_to_string(&path).expect("the definition");
    let mut definition: serde_json::Value = serde_yaml::from_str(&text).expect("YAML");
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let fields = definition
        .pointer_mut(spec)
        .and_then(serde_json::Value::as_object_mut)
        .expect("the spec's fields");
    fields.insert(
        "fieldOfTomorrow".into(),
        json!({"type": "string", "description": "comes with the next version"}),
    );
    fs::write(&path, serde_yaml::to_string(&definition).expect("YAML")).expect("the definition");
}
