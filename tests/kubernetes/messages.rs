//! Mistakes of a newcomer: what `kubectl` says to them.

use batch_inference_operator::api::condition::ConditionType;
use serde_json::json;

use super::job::Job;
use super::rows::chats;
use super::tenant::{PATIENCE, Tenant, end_of};
use super::until::until;

#[tokio::test]
async fn a_wrong_manifest_is_refused_by_kubectl_with_what_to_do() {
    let tenant = Tenant::without_keys("manifest").await;
    let job = Job::new(&tenant, "wrong");
    for (wrong, says) in [
        (
            job.clone().set("/server/baseModle", json!("x")),
            "unknown field \"spec.server.baseModle\"",
        ),
        (
            job.clone().set("/server/imageTag", json!("b9")),
            "give image or imageTag, not both",
        ),
        (
            job.clone().set("/dataset/inline", json!("{}")),
            "exactly one of uri, configMap, inline",
        ),
        (
            job.clone().set("/server/engine", json!("vLLM")),
            "supported values: \"VLLM\", \"LoRAX\", \"SGLang\", \"LlamaCpp\", \"Custom\"",
        ),
        (
            job.clone().set("/server/baseModel", json!(null)),
            "give baseModel, or from: a Deployment that runs a model server",
        ),
    ] {
        let refusal = tenant.try_apply(&wrong.0).await.expect_err("a refusal");
        assert!(refusal.contains(says), "{says:?} is not in {refusal:?}");
    }
}

#[tokio::test]
async fn a_wrong_template_key_and_image_are_explained_by_kubectl_describe() {
    let tenant = Tenant::start("describe").await;
    tenant.put("rows.jsonl", &chats(2, &json!({}))).await;
    tenant.create_keys("wrong-keys", "not-the-secret").await;
    let template = json!({"spec": {"containers": [{"name": "server", "imagee": "x"}]}});
    tenant
        .submit(&Job::new(&tenant, "template").set("/server/podTemplate", template))
        .await;
    let refused =
        json!({"spec": {"containers": [{"name": "server", "volumeMounts": [{"name": "none", "mountPath": "/x"}]}]}});
    tenant
        .submit(&Job::new(&tenant, "volume").set("/server/podTemplate", refused))
        .await;
    tenant
        .submit(&Job::new(&tenant, "quantization").set("/server/quantization", json!("fp8")))
        .await;
    let key = Job::new(&tenant, "key").set("/output/credentialsSecretRef/name", json!("wrong-keys"));
    tenant.submit(&key).await;
    let image = Job::new(&tenant, "image").set("/server/image", json!("localhost/no-such-image:1"));
    tenant.submit(&image).await;

    for (name, reason, says) in [
        (
            "template",
            "PodTemplateInvalid",
            &["spec.server.podTemplate.spec.containers[0].imagee", "remove it"][..],
        ),
        (
            "volume",
            "PodTemplateInvalid",
            &["volumeMounts[", "Not found: \"none\""],
        ),
        (
            "quantization",
            "QuantizationUnsupported",
            &["spec.server.quantization", "fp8"],
        ),
        (
            "key",
            "OutputNotWritable",
            &["spec.output.credentialsSecretRef", "AWS_SECRET_ACCESS_KEY"],
        ),
    ] {
        tenant.end(name).await;
        describes(&tenant, name, reason, says).await;
    }
    tenant
        // Nothing listens there, so nobody says that the image is not there.
        .until_reason("image", ConditionType::ServersReady, "RegistryUnavailable")
        .await;
    describes(
        &tenant,
        "image",
        "RegistryUnavailable",
        &["localhost/no-such-image:1", "kubelet tries again"],
    )
    .await;
}

#[tokio::test]
async fn a_server_that_loads_for_too_long_ends_the_job_and_nothing_of_it_runs_on() {
    let tenant = Tenant::start("startup").await;
    tenant.put("rows.jsonl", &chats(2, &json!({}))).await;
    let env = json!([{"name": "FAKE_LOADING_SECONDS", "value": "600"}]);
    let job = Job::new(&tenant, "loading").set("/server/env", env);
    tenant.submit(&job.set("/server/startupTimeoutSeconds", json!(5))).await;

    let ended = tenant.end("loading").await;

    assert_eq!(end_of(&ended), "Failed: StartupTimeout");
    describes(
        &tenant,
        "loading",
        "StartupTimeout",
        &[
            "not ready 5 s after it was scheduled",
            "Raise spec.server.startupTimeoutSeconds",
        ],
    )
    .await;
    until("no pod is left", PATIENCE, async || {
        let pods = tenant.kubectl(&["get", "pods,jobs", "--output", "name"]).await;
        pods.expect("a listing").is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_quota_that_refuses_the_servers_is_quoted_and_waited_for() {
    let tenant = Tenant::start("quota").await;
    let rows = chats(2, &json!({}));
    tenant.put("rows.jsonl", &rows).await;
    let no_gpus = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-gpus"},
        "spec": {"hard": {"requests.nvidia.com/gpu": "0"}},
    });
    tenant.apply(&no_gpus).await;
    tenant.submit(&Job::new(&tenant, "refused").on_vllm()).await;

    let waits = tenant
        .until_reason("refused", ConditionType::ServersReady, "QuotaExceeded")
        .await;

    assert!(waits.message.contains("exceeded quota: no-gpus"), "{}", waits.message);
    let removed = tenant.kubectl(&["delete", "resourcequota", "no-gpus"]).await;
    removed.expect("a quota");
    tenant.complete("refused", &rows).await;
}

/// `kubectl describe` shows the reason and the words, in a condition and in an event, which comes after it.
async fn describes(tenant: &Tenant, name: &str, reason: &str, says: &[&str]) {
    let described = until("an event with the reason", PATIENCE, async || {
        let described = tenant.kubectl(&["describe", "bij", name]).await.ok()?;
        let (_, events) = described.split_once("Events:")?;
        events.contains(reason).then_some(described)
    })
    .await;
    let (object, _) = described.split_once("Events:").expect("events");
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(object.contains(reason), "{reason} is not in {described}");
    for part in says {
        assert!(one_line(object).contains(part), "{part:?} is not in {described}");
    }
}
