//! `create` with a data set of this machine, for the namespace's default store: with keys, and through a pod.

use std::process::Stdio;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::api_server::{ApiServer, Fault};
use crate::plugin::{Machine, ended, interrupt};
use crate::store::{default_store, keys, store, unnamed_spec, uri};
use crate::until::until;

/// Beside what the row says.
const FILLING_BYTES: usize = 5 << 20;

/// So many rows, of five mebibytes each.
fn rows(count: usize) -> String {
    let filling = "x".repeat(FILLING_BYTES);
    let row = |id: usize| {
        let body = json!({"messages": [{"role": "user", "content": filling}]});
        let row = json!({"custom_id": id.to_string(), "method": "POST", "url": "/v1/chat/completions", "body": body});
        format!("{row}\n")
    };
    (0..count).map(row).collect()
}

/// A namespace with a default store in this folder, and a machine with a data set, which may not read the store's Secret.
async fn world(folder: &str, rows: &str) -> (ApiServer, Machine) {
    let server = ApiServer::start().await;
    server.put_secret("batch-inference-store", default_store(folder).await);
    server.forbid("GET secrets");
    let machine = Machine::of(&server);
    machine.write("rows.jsonl", rows);
    (server, machine)
}

async fn uploaded(folder: &str) -> Option<String> {
    let bytes = store(folder).await.read("datasets/rows.jsonl").await.unwrap()?;
    Some(String::from_utf8(bytes.to_vec()).unwrap())
}

const CREATE: &str = "create triangles --dataset rows.jsonl --model qwen3-8b";

#[tokio::test]
async fn who_may_read_the_secret_needs_no_pod() {
    let server = ApiServer::start().await;
    server.put_secret("batch-inference-store", default_store("direct").await);
    let machine = Machine::of(&server);
    let rows = rows(1);
    machine.write("rows.jsonl", &rows);
    let ended = machine.run(CREATE).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(uploaded("direct").await == Some(rows), "other rows");
    let expected = json!({"dataset": {"name": "rows"}, "server": {"baseModel": "qwen3-8b"}});
    assert_eq!(server.job("triangles")["spec"], expected);
    assert!(server.pods().0.is_empty());
}

#[tokio::test]
async fn a_store_that_is_not_found_here_or_knows_nobody_here_is_asked_by_a_pod() {
    let server = ApiServer::start().await;
    let mut inside = default_store("inside").await;
    let address = inside.iter_mut().find(|(name, _)| name == "AWS_ENDPOINT_URL").unwrap();
    "http://store.no-such-namespace.svc:8333".clone_into(&mut address.1);
    server.put_secret("batch-inference-store", inside);
    server.forbid("POST pods");
    let machine = Machine::of(&server);
    machine.write("rows.jsonl", rows(1));
    let asked_a_pod = "you may not create pods in namespace `team`";
    for words in [
        CREATE.to_owned(),
        format!("{CREATE} --dataset-uri {}rows.jsonl", uri("nobody")),
    ] {
        let ended = machine.run(&words).await;
        assert_eq!(ended.code, 3);
        assert!(ended.stderr.contains(asked_a_pod), "{words}: {}", ended.stderr);
    }
    server.put("running", unnamed_spec(), json!({"progress": {"total": 1}}));
    server.put_feeder("running", "batch-inference-store");
    let ended = machine.run("results running --partial").await;
    assert!(ended.stderr.contains(asked_a_pod), "{}", ended.stderr);

    // An address of one's own goes before it.
    let mut keys = keys().await;
    keys.retain(|(name, _)| name == "AWS_ENDPOINT_URL");
    let ended = machine.with(keys).run(CREATE).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(uploaded("inside").await.is_some());
}

#[tokio::test]
async fn a_job_in_a_file_takes_its_rows_from_a_flag() {
    let (server, machine) = world("of-file", &rows(1)).await;
    let job = |dataset: &str| {
        format!(
            "apiVersion: batchinference.dev/v1alpha1\nkind: BatchInferenceJob\nmetadata: {{name: triangles}}\n\
             spec: {{dataset: {dataset}, server: {{baseModel: qwen3-8b}}}}\n"
        )
    };
    machine.write("job.yaml", job("{invalidRows: Skip}"));
    let ended = machine.run("create -f job.yaml --dataset rows.jsonl").await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let expected = json!({"invalidRows": "Skip", "name": "rows"});
    assert_eq!(server.job("triangles")["spec"]["dataset"], expected);
    assert!(uploaded("of-file").await.is_some());

    machine.write("job.yaml", job("{name: others}"));
    let refused = machine.run("create -f job.yaml --dataset rows.jsonl").await;
    assert_eq!(refused.code, 3);
    let expected = "names its rows already (spec.dataset.name): remove that, or --dataset";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
}

#[tokio::test]
async fn a_large_file_goes_through_a_pod_whatever_becomes_of_connections_and_of_the_pod() {
    let rows = rows(5);
    let other = rows.replacen("xx", "xy", 1);
    let (server, machine) = world("through", &rows).await;
    // Where it is, whether there is one, the beginning; then parts.
    server.fail_execs(&[
        None,
        None,
        None,
        Some(Fault::Break),
        Some(Fault::LosePod),
        None,
        Some(Fault::Break),
        Some(Fault::EndPod),
    ]);
    let ended = machine.run(CREATE).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(uploaded("through").await == Some(rows), "other rows");
    assert_eq!(server.job("triangles")["spec"]["dataset"], json!({"name": "rows"}));
    let (created, left) = server.pods();
    assert_eq!((created.len(), left), (3, 0));
    assert!(server.has_failed_execs());
    let told = "uploading rows.jsonl through a pod in namespace `team`";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);

    server.delete("triangles");
    let again = machine.run(CREATE).await;
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(
        again.stderr.contains("already, with the same bytes"),
        "{}",
        again.stderr
    );

    server.delete("triangles");
    machine.write("rows.jsonl", other);
    let again = machine.run(CREATE).await;
    assert_eq!(again.code, 3);
    let expected = "is there already, with other bytes: --overwrite replaces it";
    assert!(again.stderr.contains(expected), "{}", again.stderr);
    assert_eq!(machine.run(&format!("{CREATE} --overwrite")).await.code, 0);
    assert_eq!(server.pods().1, 0);
}

#[tokio::test]
async fn an_upload_through_a_pod_that_is_interrupted_leaves_neither_object_nor_pod_nor_job() {
    let (server, machine) = world("interrupted-pod", &rows(3)).await;
    server.fail_execs(&[None, None, None, Some(Fault::Silence)]);
    let process = machine.start(CREATE);
    until("a part is on its way", async || {
        server.pods().1 == 1 && server.has_failed_execs()
    })
    .await;
    interrupt(&process);
    let interrupted = ended(process).await;
    assert_eq!(interrupted.code, 3);
    assert!(
        interrupted.stderr.contains("was interrupted, and no job was created"),
        "{}",
        interrupted.stderr
    );
    assert_eq!((server.pods().1, server.jobs()), (0, 0));
    assert!(uploaded("interrupted-pod").await.is_none());
    assert_eq!(machine.run(CREATE).await.code, 0);
}

#[tokio::test]
async fn keys_of_ones_own_are_asked_for_the_place_only() {
    // The Secret says where the store is, so without it they are of no use.
    let (server, machine) = world("own-keys", &rows(1)).await;
    let ended = machine.with(keys().await).run(CREATE).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(server.pods().0.len(), 1);
}

#[tokio::test]
async fn who_wants_to_go_through_the_cluster_does_though_there_are_keys_here() {
    let rows = rows(2);
    let server = ApiServer::start().await;
    server.put_secret("batch-inference-store", default_store("wish").await);
    let machine = Machine::of(&server).with(keys().await);
    machine.write("rows.jsonl", &rows);
    let ended = machine.run(&format!("{CREATE} --via-cluster")).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let told = "through a pod in namespace `team`, as --via-cluster asks";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    assert!(uploaded("wish").await == Some(rows), "other rows");
    assert_eq!(server.job("triangles")["spec"]["dataset"], json!({"name": "rows"}));
    let (created, left) = server.pods();
    assert_eq!((created.len(), left), (1, 0));
    let has_asked = |words: &str| {
        server
            .commands()
            .iter()
            .any(|command| command.contains(&words.to_owned()))
    };
    assert!(["begin", "part", "complete"].into_iter().all(has_asked));
    assert!(!server.seen().iter().any(|request| request.contains("/secrets/")));
}

#[tokio::test]
async fn an_account_of_azure_is_that_of_the_job_and_not_of_another_feeder() {
    let server = ApiServer::start().await;
    let account = |value: &str| json!([{"name": "AZURE_STORAGE_ACCOUNT_NAME", "value": value}]);
    server.put_feeder_with_env("another", "store-keys", account("another"));
    // The pod need not run: what it is made of is enough.
    server.forbid("GET /exec");
    let machine = Machine::of(&server);
    machine.write("rows.jsonl", rows(1));
    let pod_template = json!({"spec": {"containers": [{"name": "feeder", "env": account("own")}]}});
    for (feeder, expected) in [
        (json!({"serviceAccountName": "rows"}), serde_json::Value::Null),
        (
            json!({"serviceAccountName": "rows", "podTemplate": pod_template}),
            account("own"),
        ),
    ] {
        let job = json!({
            "apiVersion": "batchinference.dev/v1alpha1",
            "kind": "BatchInferenceJob",
            "metadata": {"name": "triangles"},
            "spec": {"server": {"baseModel": "qwen3-8b"}, "feeder": feeder},
        });
        machine.write("job.yaml", job.to_string());
        let words = "create -f job.yaml --dataset rows.jsonl --dataset-uri az://container/rows.jsonl";
        let ended = machine.run(words).await;
        assert_eq!(ended.code, 3);
        let (created, left) = server.pods();
        assert_eq!(left, 0, "{}", ended.stderr);
        let pod = created.last().expect(&ended.stderr);
        assert_eq!(pod["spec"]["containers"][0]["env"], expected, "{pod}");
    }
}

#[tokio::test]
async fn a_right_or_a_store_that_is_missing_is_named() {
    let (server, machine) = world("no-rights", &rows(1)).await;
    server.forbid("GET /exec");
    let ended = machine.run(CREATE).await;
    assert_eq!((ended.code, server.pods().1, server.jobs()), (3, 0, 0));
    let expected = "you may not exec into pods in namespace `team`";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);

    server.forbid("GET pods");
    let ended = machine.run(CREATE).await;
    assert_eq!((ended.code, server.pods().1, server.jobs()), (3, 0, 0));
    let expected = "you may not list or watch pods in namespace `team`";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);

    server.forbid("POST pods");
    let ended = machine.run(CREATE).await;
    assert_eq!((ended.code, server.jobs()), (3, 0));
    for expected in [
        "you may not create pods in namespace `team`",
        "ask for the right to get the Secret batch-inference-store",
    ] {
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }

    let server = ApiServer::start().await;
    let machine = Machine::of(&server);
    machine.write("rows.jsonl", rows(1));
    let ended = machine.run(CREATE).await;
    assert_eq!((ended.code, server.jobs()), (3, 0));
    let expected = "there is no Secret batch-inference-store in namespace `team`: create it";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}

#[tokio::test]
async fn a_part_that_is_damaged_on_its_way_is_refused() {
    let words = "output --uri s3://bucket/ part rows.jsonl --upload=1 --number=0 --bytes=3 --sha256=00";
    let mut program = Command::new(env!("CARGO_BIN_EXE_batch-inference-operator"))
        .args(words.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    program.stdin.take().unwrap().write_all(b"abc").await.unwrap();
    let refused = ended(program).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert_eq!(refused.stderr, "what came by standard input is not what was sent\n");
}
