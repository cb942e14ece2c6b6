//! The Python of `docs/coming-from-predibase.md`, as it stands there, with the ordinary Kubernetes client. Its jobs run on the fake server.

use std::path::Path;

use batch_inference_operator::api::BatchInferenceJob;
use batch_inference_operator::api::phase::Phase;
use batch_inference_operator::api::shutdown::Shutdown;
use serde_json::{Value, json};

use super::commands::{must, run};
use super::job::Job;
use super::rows::{chat, chats};
use super::tenant::{Tenant, end_of};

const PAGE: &str = include_str!("../../docs/coming-from-predibase.md");

/// What stands before the page's code: a job that does not take its server from a Deployment gets the fake one. One that names LoRAX's
/// image is as the page has it, and suspended, since that image is not in the cluster.
const BEFORE: &str = r#"
import json, os
from kubernetes import client

create_object = client.CustomObjectsApi.create_namespaced_custom_object

def create_on_the_fake_server(self, **words):
    server = words["body"]["spec"]["server"]
    if "imageTag" in server:
        words["body"]["spec"]["suspend"] = True
    elif "from" not in server:
        server.update(json.loads(os.environ["FAKE_SERVER"]))
    return create_object(self, **words)

client.CustomObjectsApi.create_namespaced_custom_object = create_on_the_fake_server
"#;

/// And behind it, what came of it, in the last line.
const BEHIND: &str = r#"
no_results = None
try:
    download_results(lorax_job, dest="nothing.jsonl")
except LookupError as error:
    no_results = str(error)
found = [get(job["metadata"][name])["metadata"]["uid"] == job["metadata"]["uid"] for name in ("name", "uid")]
refusal = None
try:
    create(dataset="my_inference_dataset", server={"baseModel": "qwen3-8b", "quantisation": "fp8"}, name="misspelled")
except client.ApiException as error:
    refusal = {"status": error.status, "message": json.loads(error.body)["message"]}

other_token = None
try:
    server_config("qwen3-8b", hf_token="hf_other")
except ValueError as error:
    other_token = str(error)
secrets = [
    server_config("qwen3-8b", hf_token="hf_...")["hfTokenSecretRef"]["name"],
    server_config("qwen3-8b", hf_token="hf_other", hf_token_secret="other")["hfTokenSecretRef"]["name"],
]

names = [listed["metadata"]["name"] for listed in list_jobs()]
print(json.dumps({
    "name": job["metadata"]["name"],
    "end": end["reason"],
    "cancelled": wait(other_job)["reason"],
    "listed": sorted(names),
    "found": found,
    "no_results": no_results,
    "refusal": refusal,
    "other_token": other_token,
    "secrets": secrets,
}))
"#;

#[tokio::test]
async fn the_python_of_the_page_does_what_predibases_calls_do() {
    let tenant = Tenant::without_keys("predibase").await;
    tenant.create_default_store().await;
    tenant.apply(&deployment()).await;
    let rows = chats(5, &json!({})) + &chat("refused", "", &json!({"status": "400"})) + "\n";
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "my_inference_dataset.jsonl", &rows);
    write(folder.path(), "kubeconfig", &tenant.kubeconfig().await.to_string());
    let code = [BEFORE.to_owned(), python(PAGE), BEHIND.to_owned()].join("\n");
    write(folder.path(), "page.py", &code);

    let printed = run_python(&tenant, folder.path()).await;

    let last: Value = serde_json::from_str(printed.lines().last().expect("a line")).expect("an object");
    assert_eq!(last["end"], "SomeRowsFailed", "{printed}");
    let name = last["name"].as_str().expect("a name");
    assert_eq!(last["listed"], json!(["as-my-deployment", name, "on-lorax"]));
    assert_eq!(last["found"], json!([true, true]));
    assert_eq!(last["no_results"], "job on-lorax has no results: see its conditions");
    assert!(name.starts_with("batch-"), "{name}");
    let other_token = "Secret hugging-face has another token: name another Secret";
    assert_eq!(last["other_token"], other_token, "{printed}");
    assert_eq!(last["secrets"], json!(["hugging-face", "other"]));
    assert_eq!(last["refusal"]["status"], 400, "{printed}");
    let refusal = last["refusal"]["message"].as_str().expect("why it is refused");
    assert!(
        refusal.contains("unknown field \"spec.server.quantisation\""),
        "{refusal}"
    );
    assert_eq!(end_of(&tenant.end(name).await), "Complete: SomeRowsFailed");
    let output = std::fs::read_to_string(folder.path().join("my_output.jsonl")).expect("rows");
    assert_eq!(ids(&output), ids(&rows));
    assert_eq!(refused(&output), ["refused"]);

    assert_eq!(last["cancelled"], "Cancelled", "{printed}");
    let other = tenant.end("as-my-deployment").await;
    assert_eq!(other.spec.shutdown, Some(Shutdown::Stop));
    let status = other.status.expect("a status").controller;
    assert_eq!(status.phase, Some(Phase::Cancelled));
    assert_eq!(status.resolved.expect("what was resolved").model, "Qwen/Qwen3-8B");
    is_asked_of_lorax(&tenant.job("on-lorax").await);
}

/// Each argument of `server_config` is in the field that the page's table has for it.
fn is_asked_of_lorax(job: &BatchInferenceJob) {
    let server = job.spec.server.as_ref().expect("a server");
    let server = serde_json::to_value(server).expect("JSON");
    for (field, value) in [
        ("engine", json!("LoRAX")),
        ("baseModel", json!("mistral-7b-instruct-v0-2")),
        ("imageTag", json!("0.12.1")),
        ("hfTokenSecretRef", json!({"name": "hugging-face", "key": "token"})),
        ("quantization", json!("bitsandbytes-nf4")),
        ("args", json!(["--max-total-tokens", "8192"])),
    ] {
        assert_eq!(server[field], value, "{field}");
    }
}

/// The page's blocks of code, one after the other.
fn python(page: &str) -> String {
    let blocks = page.split("```python\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().expect("a block that ends"));
    let code: Vec<_> = blocks.collect();
    assert!(code.len() > 5, "the page has no Python");
    code.join("\n")
}

async fn run_python(tenant: &Tenant, folder: &Path) -> String {
    let packages = must("tests/cluster/python-client", &[]).await;
    let folder = folder.to_string_lossy().into_owned();
    let arguments = [
        format!("--chdir={folder}"),
        format!("PYTHONPATH={}", packages.trim()),
        format!("KUBECONFIG={folder}/kubeconfig"),
        format!("AWS_ENDPOINT_URL={}", tenant.store_url().await),
        format!("FAKE_SERVER={}", fake_server(tenant)),
        "python3".into(),
        "page.py".into(),
    ];
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let printed = run("env", &arguments, "").await;
    printed.unwrap_or_else(|error| panic!("the page's Python failed: {error}"))
}

/// What makes a job on vLLM one on the fake server.
fn fake_server(tenant: &Tenant) -> Value {
    let job = Job::new(tenant, "any").on_vllm();
    let mut server = job.0["spec"]["server"].clone();
    let fields = server.as_object_mut().expect("fields");
    fields.retain(|name, _| !["engine", "baseModel"].contains(&name.as_str()));
    server
}

/// It need not run to be read, and no node is such that a job's servers run as its own: that job waits until it is cancelled.
fn deployment() -> Value {
    let server = json!({
        "name": "vllm", "image": "vllm/vllm-openai:v0.32.0",
        "args": ["--model", "Qwen/Qwen3-8B", "--max-model-len", "8192"],
    });
    let pod = json!({"nodeSelector": {"kubernetes.io/hostname": "nowhere"}, "containers": [server]});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "my-deployment"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "my-deployment"}},
            "template": {"metadata": {"labels": {"app": "my-deployment"}}, "spec": pod},
        },
    })
}

/// Sorted, each as often as it is there.
fn ids(rows: &str) -> Vec<String> {
    let mut ids: Vec<_> = rows.lines().map(|line| id(&row(line))).collect();
    ids.sort();
    ids
}

/// The rows that were answered with a refusal.
fn refused(output: &str) -> Vec<String> {
    let rows = output.lines().map(row);
    rows.filter(|row| row["response"]["status_code"] == 400)
        .map(|row| id(&row))
        .collect()
}

fn row(line: &str) -> Value {
    serde_json::from_str(line).expect("a row")
}

fn id(row: &Value) -> String {
    row["custom_id"].as_str().expect("an id").to_owned()
}

fn write(folder: &Path, name: &str, content: &str) {
    std::fs::write(folder.join(name), content).expect("a file");
}

#[test]
fn every_call_and_field_of_predibase_is_on_the_page() {
    // SDK 2025.10.3: `predibase/beta/config.py`, `predibase/beta/resources/`.
    for name in [
        "pb.datasets.from_file(FILE, name=",
        "batch_inference.create(dataset=, server_config=)",
        "batch_inference.get",
        "batch_inference.list(limit=",
        "batch_inference.cancel",
        "batch_inference.download_results(job, dest=",
        "BatchInferenceServerConfig.from_deployment",
        "base_model",
        "lorax_image_tag",
        "hf_token",
        "quantization",
        "custom_args",
        "backend",
        "preloaded_adapters",
        "job.uuid",
        "job.original_request",
        "job.status",
        "job.error",
        "job.result_path",
    ] {
        assert!(PAGE.contains(&format!("`{name}")), "{name}");
    }
}
