//! The quickstart, as `make quickstart` runs it: a real model on a real llama-server.

use serde_json::Value;

use super::commands::{must, root, run};
use super::output::Output;

const CAT: [&str; 7] = [
    "--namespace",
    "quickstart",
    "exec",
    "deployment/object-store",
    "--",
    "/usr/bin/weed",
    "filer.cat",
];

#[tokio::test]
async fn the_quickstart_gives_a_hundred_results_and_leaves_no_server() {
    let image = must(
        "kubectl",
        &[
            "--namespace",
            "batch-inference-system",
            "get",
            "deployment",
            "batch-inference-operator",
            "--output",
            "jsonpath={.spec.template.spec.containers[0].image}",
        ],
    )
    .await;

    let shown = run(
        "env",
        &[&format!("OPERATOR_IMAGE={image}"), "examples/quickstart/run"],
        "",
    )
    .await;

    let shown = shown.unwrap_or_else(|error| panic!("{error}"));
    for part in [
        "100 of 100 rows, 0 failed",
        "rows/s",
        "\"custom_id\":\"prompt-003\"",
        "each row exactly once",
    ] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    let dataset = std::fs::read_to_string(root().join("examples/quickstart/rows.jsonl")).expect("the data set");
    let output = Output {
        results: stored("results.jsonl").await,
        errors: stored("errors.jsonl").await,
        manifest: serde_json::from_str(&stored("manifest.json").await).expect("a manifest"),
    };
    output.prove(&dataset);
    assert_eq!(output.errors, "");
    let status = must(
        "kubectl",
        &[
            "--namespace",
            "quickstart",
            "get",
            "bij",
            "quickstart",
            "--output",
            "json",
        ],
    )
    .await;
    let status: Value = serde_json::from_str(&status).expect("an object");
    assert_eq!(status["status"]["phase"], "Completed");
    assert_eq!(status["status"]["progress"]["completed"], 100);
    let conditions = status["status"]["conditions"].as_array().expect("conditions");
    let released = conditions.iter().find(|condition| condition["type"] == "GPUsReleased");
    assert_eq!(released.map(|condition| &condition["status"]), Some(&"True".into()));
    assert!(
        status["status"]["usage"]["completionTokens"].as_u64() > Some(100),
        "{status}"
    );
    let servers = [
        "--namespace",
        "quickstart",
        "get",
        "pods,deployments,replicasets",
        "--output",
        "name",
    ];
    let left = must(
        "kubectl",
        &[&servers[..], &["--selector", "app.kubernetes.io/component=server"]].concat(),
    )
    .await;
    assert_eq!(left, "", "something of the servers is left");
    must("kubectl", &["delete", "namespace", "quickstart", "--wait=false"]).await;
}

async fn stored(key: &str) -> String {
    let url = format!("http://localhost:8888/buckets/quickstart/results/{key}");
    must("kubectl", &[&CAT[..], &[url.as_str()]].concat()).await
}
