//! `docs/troubleshooting.md` shows what `kubectl describe` really prints of a job in each of its waits and mistakes. Here are those that
//! need nothing but a job; tests of faults show theirs by [`page::shows`], too.

pub mod page;

use batch_inference_operator::api::condition::ConditionType::{
    self, Failed, GPUsReleased, Reconciling, ServersReady, Validated,
};
use batch_inference_operator::api::reason::Reason;
use futures::future::join_all;
use serde_json::{Value, json};

use super::commands::kill_container;
use super::job::Job;
use super::rows::{chat, chats};
use super::s3_proxy::{Fault, Which};
use super::tenant::{Tenant, container_id};

/// An image with a shell.
const SHELL: &str = "localhost/base:bookworm";

/// A job, and what is to be seen of it.
struct Case {
    reason: Reason,
    condition: ConditionType,
    what: &'static str,
    job: Job,
}

/// A server that ends with these words.
fn last_words(job: Job, words: &str) -> Job {
    let script = format!("echo '{words}' >&2; exit 1");
    // The image's tag is no engine's version, so that it would run as its own user.
    let user = json!({"runAsNonRoot": true, "runAsUser": 65532, "capabilities": {"drop": ["ALL"]}});
    let container = json!({"name": "server", "command": ["sh", "-c", script], "securityContext": user});
    let pod = json!({"spec": {"containers": [container]}});
    job.set("/server/image", json!(SHELL)).set("/server/podTemplate", pod)
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases(tenant: &Tenant) -> Vec<Case> {
    let job = |reason: Reason| Job::new(tenant, &name_of(reason));
    let case = |reason, condition, what, change: &dyn Fn(Job) -> Job| Case {
        reason,
        condition,
        what,
        job: change(job(reason)),
    };
    let vllm = |words: &'static str| move |job: Job| last_words(job.on_vllm(), words);
    vec![
        case(
            Reason::SecretMissing,
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
            Reason::ConfigMapMissing,
            Reconciling,
            "The ConfigMap of the data set is not there, or that of the certificates which the operator's chart names as \
             `hub.caConfigMap`.",
            &|job| job.set("/dataset", json!({"configMap": {"name": "rows", "key": "rows.jsonl"}})),
        ),
        case(
            Reason::ClaimMissing,
            Reconciling,
            "The claim of the data set is not there.",
            &|job| job.set("/dataset", json!({"uri": "pvc://datasets/rows.jsonl"})),
        ),
        case(
            Reason::ClaimPending,
            Reconciling,
            "The claim has no volume yet.",
            &|job| job.set("/dataset", json!({"uri": "pvc://pending/rows.jsonl"})),
        ),
        case(Reason::DatasetInvalid, Failed, "A row cannot be run.", &|job| {
            job.set("/dataset/uri", json!(tenant.uri("invalid.jsonl")))
        }),
        case(
            Reason::DatasetNotFound,
            Failed,
            "The data set is not where the job says.",
            &|job| job.set("/dataset/uri", json!(tenant.uri("no-such.jsonl"))),
        ),
        case(
            Reason::DatasetAccessDenied,
            Failed,
            "The store does not take the keys.",
            &|job| job.set("/dataset/credentialsSecretRef/name", json!("wrong-keys")),
        ),
        case(
            Reason::OutputNotWritable,
            Failed,
            "The store does not take what is written.",
            &|job| job.set("/output/credentialsSecretRef/name", json!("wrong-keys")),
        ),
        case(Reason::OutputNotEmpty, Failed, "The output is another job's.", &|job| {
            job.set("/output/uri", json!(tenant.uri("first/")))
        }),
        case(
            Reason::OutputInUse,
            Validated,
            "Another job works on the same rows in the same output.",
            &|job| {
                job.set("/dataset/uri", json!(tenant.uri("held.jsonl")))
                    .set("/output/uri", json!(tenant.uri("older/")))
            },
        ),
        case(
            Reason::FeederCrashLooping,
            Reconciling,
            "The feeder ends again and again; here, as its template gives it a command that it does not know.",
            &|job| {
                let pod = json!({"spec": {"containers": [{"name": "feeder", "args": ["no-such-command"]}]}});
                job.set("/feeder", json!({"podTemplate": pod}))
            },
        ),
        case(
            Reason::PodTemplateInvalid,
            Failed,
            "A field of a pod template does not exist.",
            &|job| {
                let pod = json!({"spec": {"containers": [{"name": "server", "imagee": "x"}]}});
                job.set("/server/podTemplate", pod)
            },
        ),
        case(
            Reason::Unschedulable,
            ServersReady,
            "No node has as many GPUs.",
            &|job| {
                job.on_vllm().set(
                    "/server/resources/limits",
                    json!({"memory": "256Mi", "nvidia.com/gpu": 16}),
                )
            },
        ),
        case(
            Reason::QuotaExceeded,
            ServersReady,
            "A quota of the namespace is used up.",
            &|job| {
                job.set("/server/resources/requests", json!({"cpu": "20m", "memory": "100Gi"}))
                    .set("/server/resources/limits", json!({"memory": "100Gi"}))
            },
        ),
        case(
            Reason::AdmissionRefused,
            ServersReady,
            "A policy of the namespace refuses the server's pod.",
            &|job| {
                let pod = json!({"spec": {"hostNetwork": true, "containers": [{"name": "server"}]}});
                job.set("/server/podTemplate", pod)
            },
        ),
        case(
            Reason::RegistryUnavailable,
            ServersReady,
            "The registry of the server's image does not answer.",
            &|job| job.set("/server/image", json!("localhost/no-such-image:1")),
        ),
        case(Reason::ImagePullFailed, Failed, "The image's name is none.", &|job| {
            job.set("/server/image", json!("localhost/Server:1"))
        }),
        case(
            Reason::ServersStarting,
            ServersReady,
            "The model is being loaded.",
            &|job| job.set("/server/env", json!([{"name": "FAKE_LOADING_SECONDS", "value": "600"}])),
        ),
        case(
            Reason::StartupTimeout,
            Failed,
            "The model took too long to load.",
            &|job| {
                job.set("/server/env", json!([{"name": "FAKE_LOADING_SECONDS", "value": "600"}]))
                    .set("/server/startupTimeoutSeconds", json!(5))
            },
        ),
        case(
            Reason::ServerCrashLooping,
            ServersReady,
            "The server ends with words that nobody knows.",
            &|job| last_words(job, "the fan is on fire"),
        ),
        case(
            Reason::ModelAccessDenied,
            Failed,
            "The model is gated, and the token may not read it.",
            &vllm("OSError: You are trying to access a gated repo."),
        ),
        case(
            Reason::ModelNotFound,
            Failed,
            "There is no such model.",
            &vllm("Repository Not Found for url: https://huggingface.co/api/models/Qwen/Qwen3-9B."),
        ),
        case(
            Reason::QuantizationUnsupported,
            Failed,
            "The GPU cannot quantize like that.",
            &vllm(
                "ValueError: The quantization method fp8 is not supported for the current GPU. Minimum capability: 75. Current capability: 70.",
            ),
        ),
        case(
            Reason::OutOfGPUMemory,
            Failed,
            "The model does not fit the GPU.",
            &vllm(
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.69 GiB",
            ),
        ),
        case(
            Reason::InvalidServerArguments,
            Failed,
            "The engine does not know an argument.",
            &vllm("vllm serve: error: unrecognized arguments: --max-model-length 4096"),
        ),
        case(
            Reason::UnsupportedArchitecture,
            Failed,
            "The engine does not know this kind of model.",
            &vllm(
                "ValueError: Model architectures [Qwen9ForCausalLM] are not supported for now. Supported architectures: dict_keys([])",
            ),
        ),
        case(
            Reason::Suspended,
            ConditionType::Suspended,
            "Somebody suspended the job.",
            &|job| job.set("/suspend", json!(true)),
        ),
        case(Reason::ServersRunning, GPUsReleased, "All is well: rows run.", &|job| {
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
    // That of OutputInUse finds this one at work.
    tenant
        .submit(&Job::new(&tenant, "older").set("/dataset/uri", json!(tenant.uri("held.jsonl"))))
        .await;
    tenant.until_received(3).await;

    let cases = cases(&tenant);
    for case in &cases {
        tenant.submit(&case.job).await;
    }
    let shown = cases.iter().map(|case| async {
        let job = name_of(case.reason);
        page::shows(&tenant, &job, case.condition, case.reason, case.what).await;
        page::is_described(&tenant, &job, case.condition).await;
    });
    join_all(shown).await;
}

#[tokio::test]
async fn the_page_shows_what_kubectl_describe_says_of_a_store_in_trouble() {
    let (tenant, proxy) = Tenant::behind_proxy("troubleshooting-store").await;
    let shows = async |reason, condition, what| page::shows(&tenant, &name_of(reason), condition, reason, what).await;
    for (reason, key, fault, what) in [
        (
            Reason::StoreUnavailable,
            "away.jsonl",
            Fault::Answer(503, "SlowDown"),
            "The store does not answer, or fails.",
        ),
        (
            Reason::ClockSkew,
            "skewed.jsonl",
            Fault::Answer(403, "RequestTimeTooSkewed"),
            "The clock of the feeder's node is wrong, or the store's.",
        ),
    ] {
        proxy.fail(Which::all().of(key), fault);
        let job = Job::new(&tenant, &name_of(reason)).set("/dataset/uri", json!(tenant.uri(key)));
        tenant.submit(&job).await;
        shows(reason, Validated, what).await;
    }

    let name = name_of(Reason::DatasetChanged);
    tenant
        .put("rows.jsonl", &chat("held", "", &json!({"hold": "held"})))
        .await;
    tenant.submit(&Job::new(&tenant, &name)).await;
    tenant.until_received(1).await;
    tenant.put("rows.jsonl", &chats(2, &json!({}))).await;
    let feeder = tenant.feeder_pod(&tenant.job(&name).await).await;
    kill_container(&container_id(&feeder, "feeder").expect("a feeder that runs")).await;
    let what = "Somebody replaced the data set while the job ran.";
    shows(Reason::DatasetChanged, Failed, what).await;
}

/// The job that shows a reason.
fn name_of(reason: Reason) -> String {
    reason.as_str().to_lowercase()
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
