//! `results` of jobs whose output has no URI in the spec: in a ConfigMap, and in the namespace's default store.

use batch_inference_operator::results::Kind;
use batch_inference_operator::storage::Store;
use serde_json::{Value, json};

use crate::api_server::ApiServer;
use crate::plugin::Machine;
use crate::store::{completed, default_store, finish, keys, lines, put_segment, store, text, unnamed_spec, uri};

/// What is in a store, by its keys.
async fn objects(store: &Store) -> Vec<(String, Vec<u8>)> {
    let mut objects = Vec::new();
    for entry in store.list("").await.unwrap() {
        let bytes = store.read(&entry.key).await.unwrap().unwrap();
        objects.push((entry.key, bytes.to_vec()));
    }
    objects
}

fn spec() -> Value {
    let mut spec = unnamed_spec();
    spec["output"] = json!({"configMap": {"name": "out"}});
    spec
}

#[tokio::test]
async fn rows_in_a_config_map_need_no_store() {
    let lines = lines(10, "x");
    let output = Store::in_memory();
    finish(&output, &lines).await;
    let server = ApiServer::start().await;
    server.put_config_map("out", "results", &objects(&output).await);
    server.put("first", spec(), completed("unused", 10));
    let machine = Machine::of(&server);
    let ended = machine.run("results first").await;
    assert_eq!((ended.code, ended.stdout), (0, text(&lines, None)), "{}", ended.stderr);
    assert_eq!(ended.stderr, "10 rows: 8 results and 2 errors\n");
    assert_eq!(machine.run("results first --split -o folder").await.code, 0);
    assert_eq!(machine.read("folder/results.jsonl"), text(&lines, Some(Kind::Result)));

    server.forbid("GET configmaps");
    let refused = machine.run("results first").await;
    assert_eq!(refused.code, 3);
    let expected = "you may not get configmaps in namespace `team`";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
}

#[tokio::test]
async fn a_job_that_runs_has_what_is_finished_in_a_config_map_beside() {
    let lines = lines(10, "x");
    let output = Store::in_memory();
    put_segment(&output, &lines, &[1, 3, 8]).await;
    let server = ApiServer::start().await;
    server.put_config_map("out-segments", "segments", &objects(&output).await);
    let progress = json!({"total": 10, "completed": 2, "failed": 1});
    server.put("first", spec(), json!({"phase": "Running", "progress": progress}));
    let partial = Machine::of(&server).run("results first --partial").await;
    let expected: String = [1, 3, 8].iter().map(|row| lines[*row].1.as_str()).collect();
    assert_eq!((partial.code, partial.stdout), (0, expected), "{}", partial.stderr);
}

#[tokio::test]
async fn rows_in_the_default_store_are_found_by_its_secret_or_through_a_pod() {
    let lines = lines(10, "x");
    let folder = "default-results";
    finish(&store(&format!("{folder}/jobs/named")).await, &lines).await;
    let server = ApiServer::start().await;
    server.put_secret("batch-inference-store", default_store(folder).await);
    server.put("named", unnamed_spec(), completed(&format!("{folder}/jobs/named"), 10));
    server.put_feeder("named", "batch-inference-store");
    let machine = Machine::of(&server);
    let ended = machine.run("results named").await;
    assert_eq!((ended.code, ended.stdout), (0, text(&lines, None)), "{}", ended.stderr);
    assert!(server.pods().0.is_empty());

    server.forbid("GET secrets");
    let ended = machine.run("results named").await;
    assert_eq!((ended.code, ended.stdout), (0, text(&lines, None)), "{}", ended.stderr);
    let told = format!("reading `{}` through a pod", uri(&format!("{folder}/jobs/named")));
    assert!(ended.stderr.starts_with(&told), "{}", ended.stderr);
    let (created, left) = server.pods();
    assert_eq!((created.len(), left), (1, 0));

    // A job that has ended says where its results are, to who has keys of his own.
    let ended = machine.with(keys().await).run("results named").await;
    assert_eq!((ended.code, ended.stdout), (0, text(&lines, None)), "{}", ended.stderr);
    assert_eq!(server.pods().0.len(), 1);
}

#[tokio::test]
async fn rows_of_an_ended_job_are_found_where_it_wrote_them_wherever_the_default_store_is_by_now() {
    let lines = lines(10, "x");
    let folder = "default-store-before/jobs/moved";
    finish(&store(folder).await, &lines).await;
    let server = ApiServer::start().await;
    server.put_secret("batch-inference-store", default_store("default-store-by-now").await);
    server.put("moved", unnamed_spec(), completed(folder, 10));
    server.put_feeder("moved", "batch-inference-store");
    let machine = Machine::of(&server);
    let ended = machine.run("results moved").await;
    assert_eq!((ended.code, ended.stdout), (0, text(&lines, None)), "{}", ended.stderr);
    assert!(server.pods().0.is_empty());
    let ended = machine.run("results moved --via-cluster").await;
    assert_eq!((ended.code, ended.stdout), (0, text(&lines, None)), "{}", ended.stderr);
    assert_eq!(server.pods().0.len(), 1);
}
