//! What cannot be done: each message says what to do, and the exit code is 3.

use serde_json::{Value, json};

use crate::api_server::{ApiServer, OTHER_NAMESPACE, kubeconfig};
use crate::plugin::Machine;

async fn refused(machine: &Machine, words: &str, expected: &str) {
    let ended = machine.run(words).await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (3, ""),
        "{words}: {}",
        ended.stderr
    );
    assert!(
        ended.stderr.starts_with("error: ") && ended.stderr.contains(expected),
        "{words}: {}",
        ended.stderr
    );
}

#[tokio::test]
async fn a_job_that_is_not_there_or_elsewhere() {
    let server = ApiServer::start().await;
    server.put_in(OTHER_NAMESPACE, "squares", json!({}), json!({}));
    let machine = Machine::of(&server);
    for command in ["get", "wait", "watch", "cancel", "suspend", "resume", "results"] {
        let expected =
            "there is no job `squares` in namespace `team`, but there is one in namespace `other`: add -n other";
        refused(&machine, &format!("{command} squares"), expected).await;
    }
    refused(
        &machine,
        "get circles",
        "in namespace `team` or any other: see `kubectl bij list -A`",
    )
    .await;
    refused(&machine, "get Circles", "`Circles` is no name in Kubernetes").await;
    refused(&machine, "get pod/circles", "a job is NAME or bij/NAME").await;
    refused(&machine, "get circles -n nowhere", "there is no namespace `nowhere`").await;
    refused(&machine, "list -n nowhere", "there is no namespace `nowhere`").await;
    let create = "create x --dataset s3://b/rows.jsonl --model qwen3-8b -n nowhere";
    refused(&machine, create, "there is no namespace `nowhere`: create it").await;
}

#[tokio::test]
async fn a_right_that_is_missing() {
    let server = ApiServer::start().await;
    server.put("triangles", json!({}), json!({}));
    let machine = Machine::of(&server);
    server.forbid("PATCH batchinferencejobs");
    let expected = "you may not patch batchinferencejobs in namespace `team`: ask whoever administers it";
    refused(&machine, "suspend triangles", expected).await;
    server.forbid("GET batchinferencejobs");
    refused(&machine, "get triangles", "you may not get batchinferencejobs").await;
    refused(
        &machine,
        "list -A",
        "you may not list batchinferencejobs in all namespaces",
    )
    .await;
    refused(&machine, "list", "User \"jane\" cannot do this").await;
}

#[tokio::test]
async fn a_cluster_without_the_operator() {
    let server = ApiServer::start().await;
    server.remove_definition();
    let machine = Machine::of(&server);
    for words in ["get triangles", "list"] {
        refused(
            &machine,
            words,
            "does not know BatchInferenceJobs: install the operator's chart",
        )
        .await;
    }
}

#[tokio::test]
async fn no_cluster() {
    // It is held, and nobody listens.
    let unheard = tokio::net::TcpSocket::new_v4().unwrap();
    unheard.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = unheard.local_addr().unwrap();
    let machine = Machine::new(&kubeconfig(&format!("http://{address}")));
    refused(&machine, "list", "does not answer (Connection refused").await;
    refused(
        &machine,
        "list --context production",
        "no context `production`: it has test",
    )
    .await;
    refused(&machine, "list --kubeconfig missing", "no cluster is configured").await;
    let machine = machine.with([("KUBECONFIG".to_owned(), "missing".to_owned())]);
    refused(&machine, "list", "name a kubeconfig by --kubeconfig FILE or KUBECONFIG").await;
}

#[tokio::test]
async fn a_login_that_fails() {
    let program = "echo token; echo no session >&2; exit 4";
    let mut config: Value = serde_json::from_str(&kubeconfig("http://127.0.0.1:1")).unwrap();
    config["users"][0]["user"] = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "/bin/sh",
        "args": ["-c", program],
        "interactiveMode": "Never",
    }});
    let machine = Machine::new(&config.to_string());
    let expected = "does not log you in (its login program ended with exit status: 4: no session)";
    refused(&machine, "list", expected).await;
    let ended = machine.run("list").await;
    assert!(!ended.stderr.contains("token"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_list_of_kubeconfigs() {
    let server = ApiServer::start().await;
    let machine = Machine::of(&server).with([("KUBECONFIG".to_owned(), "missing:kubeconfig:".to_owned())]);
    assert_eq!(machine.run("list").await.code, 0);
    machine.write("kubeconfig", "users: [{name: a, user: {token: secret}");
    refused(&machine, "list", "`kubeconfig` is no kubeconfig").await;
    let ended = machine.run("list").await;
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
}

#[tokio::test]
async fn wrong_words_are_not_the_end_of_a_waits_time() {
    let machine = Machine::new("");
    let ended = machine.run("wait").await;
    assert_eq!(ended.code, 3);
    assert!(ended.stderr.contains("Usage: kubectl bij wait"), "{}", ended.stderr);
    let ended = machine.run("wait --help").await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let ended = machine.run("completion bash").await;
    assert_eq!(ended.code, 0);
    assert!(ended.stdout.contains("kubectl-bij"), "{}", ended.stdout);
}

#[tokio::test]
async fn kubectl_is_told_what_may_come_next() {
    let server = ApiServer::start().await;
    for name in ["triangles", "trapezoids", "squares"] {
        server.put(name, json!({}), json!({}));
    }
    let machine = Machine::of(&server);
    let ended = machine.run("__complete get tr").await;
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "trapezoids\ntriangles\n:4\n"));
    let ended = machine.run("__complete results triangles --sp").await;
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "--split\n:4\n"));
    server.forbid("GET batchinferencejobs");
    let ended = machine.run("__complete get tr").await;
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
        (0, ":4\n", "")
    );
}
