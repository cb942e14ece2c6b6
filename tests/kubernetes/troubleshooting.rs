//! `docs/troubleshooting.md` shows what `kubectl describe` really prints of a job in each of its waits and mistakes.
//!
//! With `WRITE_TROUBLESHOOTING=1` the page is written anew; else what is printed has to be what the page shows, the words of the
//! messages left out.

use std::fmt::Write;

use batch_inference_operator::api::condition::ConditionType::{self, Failed, GPUsReleased, Reconciling, ServersReady};
use batch_inference_operator::api::reason::Reason;
use futures::future::join_all;
use serde_json::{Value, json};

use super::commands::root;
use super::job::Job;
use super::rows::{chat, chats};
use super::tenant::Tenant;

/// The page's part that is made here begins after this line.
const BEGIN: &str = "<!-- begin: written by tests/kubernetes/troubleshooting.rs -->\n";
const END: &str = "<!-- end -->\n";
/// An image with a shell.
const SHELL: &str = "localhost/base:bookworm";

/// A job, and what is to be seen of it.
struct Case {
    reason: &'static str,
    condition: ConditionType,
    what: &'static str,
    job: Job,
}

/// A server that ends with these words.
fn last_words(job: Job, words: &str) -> Job {
    let script = format!("echo '{words}' >&2; exit 1");
    let pod = json!({"spec": {"containers": [{"name": "server", "command": ["sh", "-c", script]}]}});
    job.set("/server/image", json!(SHELL)).set("/server/podTemplate", pod)
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases(tenant: &Tenant) -> Vec<Case> {
    let job = |reason: &str| {
        let name: String = reason.chars().flat_map(char::to_lowercase).collect();
        Job::new(tenant, &name)
    };
    let case = |reason, condition, what, change: &dyn Fn(Job) -> Job| Case {
        reason,
        condition,
        what,
        job: change(job(reason)),
    };
    let vllm = |words: &'static str| move |job: Job| last_words(job.on_vllm(), words);
    vec![
        case(
            "SecretMissing",
            Reconciling,
            "A Secret that the job names is not there.",
            &|job| {
                job.set(
                    "/server/hfTokenSecretRef",
                    json!({"name": "hugging-face", "key": "token"}),
                )
            },
        ),
        case(
            "ConfigMapMissing",
            Reconciling,
            "The ConfigMap of the data set is not there.",
            &|job| job.set("/dataset", json!({"configMap": {"name": "rows", "key": "rows.jsonl"}})),
        ),
        case(
            "ClaimMissing",
            Reconciling,
            "The claim of the data set is not there.",
            &|job| job.set("/dataset", json!({"uri": "pvc://datasets/rows.jsonl"})),
        ),
        case("ClaimPending", Reconciling, "The claim has no volume yet.", &|job| {
            job.set("/dataset", json!({"uri": "pvc://pending/rows.jsonl"}))
        }),
        case("DatasetInvalid", Failed, "A row cannot be run.", &|job| {
            job.set("/dataset/uri", json!(tenant.uri("invalid.jsonl")))
        }),
        case(
            "DatasetNotFound",
            Failed,
            "The data set is not where the job says.",
            &|job| job.set("/dataset/uri", json!(tenant.uri("no-such.jsonl"))),
        ),
        case(
            "DatasetAccessDenied",
            Failed,
            "The store does not take the keys.",
            &|job| job.set("/dataset/credentialsSecretRef/name", json!("wrong-keys")),
        ),
        case(
            "OutputNotWritable",
            Failed,
            "The store does not take what is written.",
            &|job| job.set("/output/credentialsSecretRef/name", json!("wrong-keys")),
        ),
        case("OutputNotEmpty", Failed, "The output is another job's.", &|job| {
            job.set("/output/uri", json!(tenant.uri("first/")))
        }),
        case(
            "PodTemplateInvalid",
            Failed,
            "A field of a pod template does not exist.",
            &|job| {
                let pod = json!({"spec": {"containers": [{"name": "server", "imagee": "x"}]}});
                job.set("/server/podTemplate", pod)
            },
        ),
        case("Unschedulable", ServersReady, "No node has as many GPUs.", &|job| {
            job.on_vllm().set(
                "/server/resources/limits",
                json!({"memory": "256Mi", "nvidia.com/gpu": 16}),
            )
        }),
        case(
            "QuotaExceeded",
            ServersReady,
            "A quota of the namespace is used up.",
            &|job| {
                job.set("/server/resources/requests", json!({"cpu": "20m", "memory": "100Gi"}))
                    .set("/server/resources/limits", json!({"memory": "100Gi"}))
            },
        ),
        case(
            "AdmissionRefused",
            ServersReady,
            "A policy of the namespace refuses the server's pod.",
            &|job| {
                let pod = json!({"spec": {"hostNetwork": true, "containers": [{"name": "server"}]}});
                job.set("/server/podTemplate", pod)
            },
        ),
        case(
            "RegistryUnavailable",
            ServersReady,
            "The registry of the server's image does not answer.",
            &|job| job.set("/server/image", json!("localhost/no-such-image:1")),
        ),
        case("ServersStarting", ServersReady, "The model is being loaded.", &|job| {
            job.set("/server/env", json!([{"name": "FAKE_LOADING_SECONDS", "value": "600"}]))
        }),
        case("StartupTimeout", Failed, "The model took too long to load.", &|job| {
            job.set("/server/env", json!([{"name": "FAKE_LOADING_SECONDS", "value": "600"}]))
                .set("/server/startupTimeoutSeconds", json!(5))
        }),
        case(
            "ServerCrashLooping",
            ServersReady,
            "The server ends with words that nobody knows.",
            &|job| last_words(job, "the fan is on fire"),
        ),
        case(
            "ModelAccessDenied",
            Failed,
            "The model is gated, and the token may not read it.",
            &vllm("OSError: You are trying to access a gated repo."),
        ),
        case(
            "OutOfGPUMemory",
            Failed,
            "The model does not fit the GPU.",
            &vllm(
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.69 GiB",
            ),
        ),
        case(
            "InvalidServerArguments",
            Failed,
            "The engine does not know an argument.",
            &vllm("vllm serve: error: unrecognized arguments: --max-model-length 4096"),
        ),
        case(
            "UnsupportedArchitecture",
            Failed,
            "The engine does not know this kind of model.",
            &vllm(
                "ValueError: Model architectures [Qwen9ForCausalLM] are not supported for now. Supported architectures: dict_keys([])",
            ),
        ),
        case(
            "Suspended",
            ConditionType::Suspended,
            "Somebody suspended the job.",
            &|job| job.set("/suspend", json!(true)),
        ),
        case("ServersRunning", GPUsReleased, "All is well: rows run.", &|job| {
            job.set("/dataset/uri", json!(tenant.uri("held.jsonl")))
        }),
    ]
}

#[tokio::test]
async fn the_page_shows_what_kubectl_describe_says_in_each_wait() {
    let tenant = Tenant::start("troubleshooting").await;
    tenant.put("rows.jsonl", &chats(3, &json!({}))).await;
    tenant
        .put("held.jsonl", &chat("held", "", &json!({"hold": "held"})))
        .await;
    tenant
        .put(
            "invalid.jsonl",
            &(chats(2, &json!({})) + "{\"custom_id\": \"row-3\"}\n"),
        )
        .await;
    tenant.create_keys("wrong-keys", "not-the-secret").await;
    tenant.apply(&pending_claim()).await;
    tenant.apply(&quota()).await;
    // Whose output the job of OutputNotEmpty takes for its own.
    tenant.put("first.jsonl", &chats(2, &json!({}))).await;
    tenant
        .submit(&Job::new(&tenant, "first").set("/dataset/uri", json!(tenant.uri("first.jsonl"))))
        .await;
    tenant.end("first").await;

    let cases = cases(&tenant);
    for case in &cases {
        tenant.submit(&case.job).await;
    }
    let printed = join_all(cases.iter().map(|case| section(&tenant, case))).await;
    let path = root().join("docs/troubleshooting.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("the beginning of what is made here");
    let (shown, after) = rest.split_once(END).expect("the end of what is made here");
    let printed = printed.concat();
    if std::env::var_os("WRITE_TROUBLESHOOTING").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{printed}{END}{after}")).expect("a page that is written");
        return;
    }
    for (shown, printed) in sections(shown).zip(sections(&printed)) {
        assert_eq!(without_words(shown), without_words(printed));
    }
    assert_eq!(sections(shown).count(), sections(&printed).count());
}

fn sections(page: &str) -> impl Iterator<Item = &str> {
    page.split("\n### ").skip(1)
}

/// What is the same each time: not the words, which tell of times, counts and pods.
fn without_words(section: &str) -> String {
    let lines = section.lines().filter(|line| !line.starts_with("    Message:"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The section of one case: what the condition says, as `kubectl describe` prints it.
async fn section(tenant: &Tenant, case: &Case) -> String {
    let name = case.job.0["metadata"]["name"].as_str().expect("a name");
    let told = tenant.until_reason(name, case.condition, case.reason).await;
    let described = tenant
        .kubectl(&["describe", "batchinferencejob", name])
        .await
        .expect("a description");
    let words = described.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = told.message.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(&message), "{message:?} is not in {described}");
    assert!(
        described.contains(&format!("Reason:                {}", case.reason)),
        "{described}"
    );
    let mut section = format!("\n### {}\n\n{}\n\n", case.reason, case.what);
    // The namespace is the test's.
    let message = message
        .replace(&tenant.namespace, "my-namespace")
        .replace("tests/my-namespace", "my-bucket");
    for (field, value) in [
        ("Message", message.as_str()),
        ("Reason", case.reason),
        ("Status", &told.status),
        ("Type", &told.type_),
    ] {
        writeln!(section, "    {field}: {}{value}", " ".repeat(8 - field.len())).expect("a string");
    }
    assert!(Reason::parse(case.reason).is_some());
    section
}

fn pending_claim() -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "pending"},
           "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none",
                    "resources": {"requests": {"storage": "1Gi"}}}})
}

fn quota() -> Value {
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "memory"},
           "spec": {"hard": {"requests.memory": "50Gi"}}})
}
