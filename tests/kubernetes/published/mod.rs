//! Every example that people are shown is one that the API server and the operator take: each job of `examples/` and of the pages, each
//! part of a job in `docs/`, and each part of the chart's values.
//!
//! `blocks` finds them in the pages. Jobs are suspended, so that nothing that they name has to be there.

mod blocks;

use batch_inference_operator::api::condition::ConditionType;
use serde_json::{Value, json};

use super::commands::{must, root, run};
use super::tenant::{Tenant, condition};
use blocks::{Block, Kind};

#[tokio::test]
async fn every_published_job_is_taken_by_the_api_server_and_the_operator() {
    let tenant = Tenant::without_keys("published").await;
    tenant.apply(&deployment()).await;
    let jobs: Vec<_> = blocks::all()
        .into_iter()
        .filter(|block| block.kind == Kind::Job)
        .collect();
    assert!(jobs.len() > 15, "only {} jobs were found", jobs.len());
    for (number, Block { place, value, .. }) in jobs.into_iter().enumerate() {
        let mut job = value;
        let name = format!("published-{number}");
        job["metadata"]["name"] = json!(name);
        job["spec"]["suspend"] = json!(true);
        let apply = [
            "--namespace",
            &tenant.namespace,
            "apply",
            "--server-side",
            "--validate=strict",
            "--filename",
            "-",
        ];
        let applied = run("kubectl", &apply, &job.to_string()).await;
        applied.unwrap_or_else(|refusal| panic!("{place} is refused: {refusal}"));
        // Profiles are the installation's.
        if job.pointer("/spec/server/resourceProfile").is_some() {
            continue;
        }
        let suspended = tenant.until_reason(&name, ConditionType::Suspended, "Suspended").await;
        assert_eq!(suspended.status, "True", "{place}");
        let job = tenant.job(&name).await;
        let failed = condition(&job, ConditionType::Failed).filter(|failed| failed.status == "True");
        assert!(failed.is_none(), "{place}: {failed:?}");
    }
}

#[tokio::test]
async fn every_published_pod_template_is_a_pods() {
    let tenant = Tenant::without_keys("published-pods").await;
    let mut found = 0;
    for Block { place, value, .. } in blocks::all() {
        for part in ["server", "feeder"] {
            let Some(template) = value.pointer(&format!("/spec/{part}/podTemplate")) else {
                continue;
            };
            found += 1;
            let apply = [
                "--namespace",
                &tenant.namespace,
                "apply",
                "--dry-run=server",
                "--validate=strict",
                "--filename",
                "-",
            ];
            let taken = run("kubectl", &apply, &deployment_of(template).to_string()).await;
            taken.unwrap_or_else(|refusal| panic!("{place}: {part}.podTemplate is refused: {refusal}"));
        }
    }
    assert!(found > 3, "only {found} templates were found");
}

#[tokio::test]
async fn every_published_value_of_the_chart_is_rendered_and_read_by_the_operator() {
    let values: Vec<_> = blocks::all()
        .into_iter()
        .filter(|block| block.kind == Kind::Values)
        .collect();
    assert!(values.len() > 3, "only {} blocks of values were found", values.len());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("values.yaml").to_string_lossy().into_owned();
    let chart = root()
        .join("charts/batch-inference-operator")
        .to_string_lossy()
        .into_owned();
    for Block { place, value, .. } in values {
        std::fs::write(&file, value.to_string()).expect("a file");
        let template = [
            "template",
            "operator",
            &chart,
            "--show-only",
            "templates/deployment.yaml",
            "--values",
            &file,
        ];
        let rendered: Value = serde_yaml::from_str(&must("helm", &template).await).expect("a Deployment");
        let arguments = rendered["spec"]["template"]["spec"]["containers"][0]["args"]
            .as_array()
            .expect("arguments");
        let mut arguments: Vec<_> = arguments
            .iter()
            .map(|argument| argument.as_str().expect("a text"))
            .collect();
        // What stands before it is read before it is answered.
        arguments.push("--help");
        let read = run(env!("CARGO_BIN_EXE_batch-inference-operator"), &arguments, "").await;
        read.unwrap_or_else(|refusal| panic!("{place}: the operator refuses {arguments:?}: {refusal}"));
    }
}

/// A Deployment with this template, and with what a job would add to it.
fn deployment_of(template: &Value) -> Value {
    let labels = json!({"app": "published"});
    let mut template = template.clone();
    template["metadata"]["labels"] = labels.clone();
    for container in template["spec"]["containers"].as_array_mut().into_iter().flatten() {
        if container["image"].is_null() {
            container["image"] = json!("registry.example/any:1");
        }
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "published"},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    })
}

/// What `docs/from-deployment.md` takes a job's server from. It need not run to be read.
fn deployment() -> Value {
    let container = json!({"name": "vllm", "image": "vllm/vllm-openai:v0.32.0", "args": ["--model", "org/mistral-7b"]});
    let mut deployment = deployment_of(&json!({"spec": {"containers": [container]}}));
    deployment["metadata"]["name"] = json!("mistral-7b");
    deployment
}
