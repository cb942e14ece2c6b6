//! `results` of jobs whose output has no URI in the spec: in a ConfigMap, and in the namespace's default store.

use batch_inference_operator::storage::Store;
use serde_json::json;

use crate::api_server::ApiServer;
use crate::plugin::Machine;
use crate::store::{completed, default_store, finish, keys, lines, store, text, unnamed_spec};

#[tokio::test]
async fn rows_in_a_config_map_need_no_store() {
    let lines = lines(10, "x");
    let output = Store::in_memory();
    finish(&output, &lines).await;
    let mut data = Vec::new();
    for key in ["results.jsonl", "errors.jsonl", "manifest.json"] {
        let bytes = output.read(key).await.unwrap().unwrap();
        data.push((key, String::from_utf8(bytes.to_vec()).unwrap()));
    }
    let server = ApiServer::start().await;
    server.put_config_map("out", &data);
    let mut spec = unnamed_spec();
    spec["output"] = json!({"configMap": {"name": "out"}});
    server.put("first", spec, completed("unused", 10));
    let machine = Machine::of(&server);
    let ended = machine.run("results first").await;
    assert_eq!((ended.code, ended.stdout), (0, text(&lines, None)), "{}", ended.stderr);
    assert_eq!(ended.stderr, "10 rows: 8 results and 2 errors\n");
    assert_eq!(machine.run("results first --split -o folder").await.code, 0);
    assert_eq!(machine.read("folder/results.jsonl"), data[0].1);

    server.forbid("GET configmaps");
    let refused = machine.run("results first").await;
    assert_eq!(refused.code, 3);
    let expected = "you may not get configmaps in namespace `team`";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
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
    let told = "reading `jobs/named/` of the namespace's default store through a pod";
    assert!(ended.stderr.starts_with(told), "{}", ended.stderr);
    let (created, left) = server.pods();
    assert_eq!((created.len(), left), (1, 0));

    // A job that has ended says where its results are, to who has keys of his own.
    let ended = machine.with(keys().await).run("results named").await;
    assert_eq!((ended.code, ended.stdout), (0, text(&lines, None)), "{}", ended.stderr);
    assert_eq!(server.pods().0.len(), 1);
}
