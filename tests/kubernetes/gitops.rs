//! Tools that apply manifests again and again, and judge by kstatus whether they are done.

use kube::ResourceExt;
use serde_json::{Value, json};

use super::commands::run;
use super::job::Job;
use super::rows::{chat, chats};
use super::tenant::Tenant;

/// Helm 4 waits by kstatus, the library that Flux and others judge by.
async fn helm_4_install(tenant: &Tenant, job: &Value) -> Result<String, String> {
    let helm = std::env::var("HELM4").expect("these tests need the test cluster: `tests/cluster/with COMMAND`");
    let chart = tempfile::tempdir().expect("a folder");
    let templates = chart.path().join("templates");
    std::fs::create_dir(&templates).expect("a folder");
    std::fs::write(
        chart.path().join("Chart.yaml"),
        "apiVersion: v2\nname: job\nversion: 1.0.0\n",
    )
    .expect("a file");
    std::fs::write(templates.join("job.yaml"), job.to_string()).expect("a file");
    let path = chart.path().to_string_lossy().into_owned();
    let name = job["metadata"]["name"].as_str().expect("a name");
    run(
        &helm,
        &[
            "install",
            name,
            &path,
            "--namespace",
            &tenant.namespace,
            "--wait",
            "--timeout",
            "2m",
        ],
        "",
    )
    .await
}

#[tokio::test]
async fn helm_4_waits_until_a_job_is_taken_up_and_fails_with_one_that_never_can_be() {
    let tenant = Tenant::start("helm-4").await;
    let rows = chat("held", "", &json!({"hold": "held"}));
    tenant.put("rows.jsonl", &rows).await;
    let installed = helm_4_install(&tenant, &Job::new(&tenant, "good").0).await;
    installed.expect("a job that is under way");
    let status = tenant.job("good").await.status.expect("a status");
    assert!(status.reported.feeder.is_some(), "helm did not wait for the feeder");

    let wrong = json!({"spec": {"containers": [{"name": "server", "imagee": "x"}]}});
    let refusal = helm_4_install(&tenant, &Job::new(&tenant, "wrong").set("/server/podTemplate", wrong).0).await;
    let refusal = refusal.expect_err("a job that failed");
    assert!(refusal.contains("wrong"), "{refusal}");

    tenant.until_received(1).await;
    tenant.release("good", "held").await;
    tenant.complete("good", &rows).await;
}

#[tokio::test]
async fn the_same_manifest_applied_again_changes_nothing() {
    let tenant = Tenant::start("reapplied").await;
    let rows = chats(3, &json!({}));
    tenant.put("rows.jsonl", &rows).await;
    for (name, options) in [
        ("client-side", &[][..]),
        ("server-side", &["--server-side", "--field-manager=flux"]),
    ] {
        let job = Job::new(&tenant, name);
        let manifest = job.0.to_string();
        let apply = async || {
            let mut arguments = vec!["--namespace", &tenant.namespace, "apply", "--filename", "-"];
            arguments.extend(options);
            run("kubectl", &arguments, &manifest).await.expect("applied")
        };
        apply().await;
        tenant.complete(name, &rows).await;
        let before = tenant.job(name).await;
        apply().await;
        let after = tenant.job(name).await;
        assert_eq!(
            (before.metadata.generation, before.resource_version()),
            (after.metadata.generation, after.resource_version())
        );
        let mut arguments = vec!["--namespace", &tenant.namespace, "diff", "--filename", "-"];
        arguments.extend(options);
        run("kubectl", &arguments, &manifest)
            .await
            .unwrap_or_else(|drift| panic!("{name} drifts: {drift}"));
    }
}
