//! What the two accounts may do, as the API server says; and that no secret is found anywhere but where it belongs.

use batch_inference_operator::api::condition::ConditionType;
use kube::ResourceExt;
use serde_json::json;

use super::commands::{must, run};
use super::job::Job;
use super::operator::{RELEASE, SYSTEM};
use super::rows::{chat, chats};
use super::tenant::{PATIENCE, Tenant, end_of};
use super::until::until;

/// What a user may do, one line each.
async fn may(user: &str, namespace: &str) -> Vec<String> {
    let who = format!("--as={user}");
    let list = [
        "auth",
        "can-i",
        "--list",
        "--no-headers",
        "--as-group=system:authenticated",
    ];
    let listed = must("kubectl", &[&list[..], &["--namespace", namespace, &who]].concat()).await;
    // The API server gives the verbs of several roles in any order.
    let in_order = |line: &str| {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let (object, verbs) = line.rsplit_once('[').expect("verbs in brackets");
        let mut verbs: Vec<_> = verbs.trim_end_matches(']').split(' ').collect();
        verbs.sort_unstable();
        format!("{object}[{}]", verbs.join(" "))
    };
    listed.lines().map(in_order).collect()
}

/// What an account may do that not everybody may.
async fn account_may(account: &str, namespace: &str) -> String {
    let anyone = may("nobody", namespace).await;
    let mut own = may(&format!("system:serviceaccount:{account}"), namespace).await;
    own.retain(|line| !anyone.contains(line));
    own.sort();
    let (_, name) = account.split_once(':').expect("a namespace and a name");
    format!("{name}\n{}\n", own.join("\n"))
}

#[tokio::test]
async fn both_accounts_may_do_what_they_need_and_a_feeder_only_to_its_own_job() {
    let tenant = Tenant::start("rights").await;
    tenant
        .put("rows.jsonl", &chat("held", "", &json!({"hold": "held"})))
        .await;
    tenant.submit(&Job::new(&tenant, "job")).await;
    tenant.until_received(1).await;
    let feeder = format!("{}:job-feeder", tenant.namespace);
    let operator = format!("{SYSTEM}:{RELEASE}");
    insta::assert_snapshot!(
        "may_in_a_namespace_of_jobs",
        account_may(&feeder, &tenant.namespace).await + "\n" + &account_may(&operator, &tenant.namespace).await
    );
    insta::assert_snapshot!(
        "operator_may_in_its_own_namespace",
        account_may(&operator, SYSTEM).await
    );
    // What the list says, tried.
    tenant
        .submit(&Job::new(&tenant, "other").set("/suspend", json!(true)))
        .await;
    let who = format!("--as=system:serviceaccount:{feeder}");
    for refused in [
        ["get", "batchinferencejob", "other"],
        ["get", "secret", "store-keys"],
        ["get", "pods", "--all-namespaces"],
    ] {
        let mut arguments = vec!["--namespace", &tenant.namespace, &who];
        arguments.extend(refused);
        let refusal = run("kubectl", &arguments, "").await.expect_err("a refusal");
        assert!(refusal.contains("Forbidden"), "{refused:?}: {refusal}");
    }
    let own = run(
        "kubectl",
        &[
            "--namespace",
            &tenant.namespace,
            &who,
            "get",
            "batchinferencejob",
            "job",
        ],
        "",
    )
    .await;
    own.expect("its own job");
}

#[tokio::test]
async fn no_key_and_no_token_is_found_outside_its_secret() {
    let mark = format!("MARK{:016x}", rand::random::<u64>());
    let tenant = Tenant::start("marked").await;
    tenant.create_keys("wrong-keys", &mark).await;
    let token = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "stringData": {"token": format!("hf_{mark}")}});
    tenant.apply(&token).await;
    // The held row keeps the server, and so its log.
    let held = chat("held", "", &json!({"hold": "held"})) + "\n";
    let rows = chats(3, &json!({})) + &held + &chat("bad", "", &json!({"status": "400"}));
    tenant.put("rows.jsonl", &rows).await;
    let hook = json!({"name": "HOOK_TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "token"}}});
    let with_token = |mut job: Job| {
        let env = job.0["spec"]["server"]["env"].as_array_mut().expect("variables");
        env.push(hook.clone());
        job.set("/server/hfTokenSecretRef", json!({"name": "token", "key": "token"}))
    };
    let wrong = |pointer: &str, name: &str| with_token(Job::new(&tenant, name)).set(pointer, json!("wrong-keys"));
    let crash = json!({"spec": {"containers": [{"name": "server", "command": ["/no-such-program"]}]}});
    for job in [
        with_token(Job::new(&tenant, "runs")),
        wrong("/dataset/credentialsSecretRef/name", "wrong-dataset"),
        wrong("/output/credentialsSecretRef/name", "wrong-output"),
        with_token(Job::new(&tenant, "crashes")).set("/server/podTemplate", crash),
    ] {
        tenant.submit(&job).await;
    }
    let mut places = logs_of_busy_servers(&tenant, "runs").await;
    tenant.release("runs", "held").await;
    assert_eq!(end_of(&tenant.end("runs").await), "Complete: SomeRowsFailed");
    assert_eq!(
        end_of(&tenant.end("wrong-dataset").await),
        "Failed: DatasetAccessDenied"
    );
    assert_eq!(end_of(&tenant.end("wrong-output").await), "Failed: OutputNotWritable");
    tenant
        .until_reason("crashes", ConditionType::ServersReady, "ContainerNotStarting")
        .await;

    let kinds = must(
        "kubectl",
        &["api-resources", "--namespaced", "--verbs=list", "--output=name"],
    )
    .await;
    for kind in kinds.lines().filter(|kind| *kind != "secrets") {
        // Metrics and the like may have no server.
        let all = tenant
            .kubectl(&["get", kind, "--output", "json", "--show-managed-fields"])
            .await
            .unwrap_or_default();
        places.push((kind.to_owned(), all));
    }
    for pod in tenant.server_pods(&tenant.job("crashes").await).await {
        let name = pod.name_any();
        // A program that never started has no log.
        let log = tenant.kubectl(&["logs", &name, "--all-containers"]).await;
        places.push((
            format!("the log of server {name}"),
            log.unwrap_or_else(|refusal| refusal),
        ));
    }
    for name in ["runs", "wrong-dataset", "wrong-output", "crashes"] {
        let log = tenant
            .kubectl(&["logs", &format!("job/{name}-feeder"), "--all-containers"])
            .await;
        places.push((format!("the log of {name}"), log.expect("a log")));
        places.push((
            format!("what describe says of {name}"),
            tenant.kubectl(&["describe", "bij", name]).await.expect("words"),
        ));
    }
    let operator = format!("deployment/{RELEASE}");
    places.push((
        "the operator's log".into(),
        must("kubectl", &["--namespace", SYSTEM, "logs", &operator]).await,
    ));
    for object in tenant.list("").await {
        let key = object.split_once('/').expect("a key below the namespace").1;
        places.push((
            object.clone(),
            String::from_utf8_lossy(&tenant.bytes(key).await).into_owned(),
        ));
    }
    let searched: usize = places.iter().map(|(_, text)| text.len()).sum();
    assert!(searched > 100_000, "{searched} bytes were searched");
    let found: Vec<_> = places
        .iter()
        .filter(|(_, text)| text.contains(&mark))
        .map(|(place, _)| place)
        .collect();
    assert!(found.is_empty(), "the mark is in {found:?}");
    assert_eq!(tenant.job("runs").await.name_any(), "runs");
}

/// The log of each server of a job that works on the held row, with where it was found.
async fn logs_of_busy_servers(tenant: &Tenant, job: &str) -> Vec<(String, String)> {
    until("the held row", PATIENCE, async || {
        tenant.received().get("held").copied()
    })
    .await;
    let mut logs = Vec::new();
    for pod in tenant.server_pods(&tenant.job(job).await).await {
        let name = pod.name_any();
        let log = tenant
            .kubectl(&["logs", &name, "--all-containers"])
            .await
            .expect("a log");
        assert!(log.contains("arguments: "), "{log}");
        logs.push((format!("the log of server {name}"), log));
    }
    assert!(!logs.is_empty(), "{job} has no server");
    logs
}
