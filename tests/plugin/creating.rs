//! `create`.

use batch_inference_operator::storage::Store;
use serde_json::{Value, json};

use crate::api_server::ApiServer;
use crate::plugin::{Machine, ended, interrupt};
use crate::s3_proxy::{Fault, S3Proxy, Which};
use crate::store::{keys, s3, store, uri};
use crate::until::until;

const ROW: &str = r#"{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": []}}"#;

#[tokio::test]
async fn flags_become_a_job() {
    let server = ApiServer::start().await;
    let machine = Machine::of(&server);
    let words = "create triangles --dataset s3://b/rows.jsonl --model qwen3-8b --output-uri s3://b/out/ --secret keys";
    let ended = machine.run(words).await;
    let told = "batchinferencejob.batchinference.dev/triangles created\n";
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
        (0, told, "")
    );
    let expected = json!({
        "dataset": {"uri": "s3://b/rows.jsonl", "credentialsSecretRef": {"name": "keys"}},
        "server": {"baseModel": "qwen3-8b"},
        "output": {"uri": "s3://b/out/", "credentialsSecretRef": {"name": "keys"}},
    });
    assert_eq!(server.job("triangles")["spec"], expected);
    let again = machine.run(words).await;
    assert_eq!(again.code, 3);
    assert!(again.stderr.contains("a job of this name already"), "{}", again.stderr);
    let words = words.replace(" triangles", "");
    assert_eq!(
        machine.run(&format!("{words} -o name")).await.stdout,
        told.replace("triangles created", "batch-x7k2p")
    );
}

#[tokio::test]
async fn a_dry_run_makes_nothing() {
    let server = ApiServer::start().await;
    let machine = Machine::of(&server);
    let words = "create triangles --dataset s3://b/rows.jsonl --model qwen3-8b --output-uri s3://b/out/";
    let client = machine.run(&format!("{words} --dry-run client")).await;
    let job: Value = serde_yaml::from_str(&client.stdout).unwrap();
    assert_eq!(job["spec"]["server"], json!({"baseModel": "qwen3-8b"}));
    assert_eq!(job["metadata"], json!({"name": "triangles"}));
    let elsewhere = machine.run(&format!("{words} --dry-run client -n other")).await;
    let job: Value = serde_yaml::from_str(&elsewhere.stdout).unwrap();
    assert_eq!(job["metadata"], json!({"name": "triangles", "namespace": "other"}));
    assert!(server.seen().is_empty());
    let asked = machine.run(&format!("{words} --dry-run server")).await;
    assert!(asked.stdout.ends_with("created (server dry run)\n"), "{}", asked.stdout);
    assert_eq!(server.jobs(), 0);
}

#[tokio::test]
async fn a_file_with_a_job_is_created_and_a_misspelled_field_is_refused() {
    let server = ApiServer::start().await;
    let machine = Machine::of(&server);
    let job = include_str!("../../examples/smallest.yaml");
    machine.write("job.yaml", job);
    let ended = machine.run("create -f job.yaml").await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(server.jobs(), 1);
    machine.write("job.yaml", job.replace("server:", "serverr:"));
    let refused = machine.run("create -f job.yaml").await;
    assert_eq!(refused.code, 3);
    assert!(
        refused.stderr.contains("unknown field \"spec.serverr\""),
        "{}",
        refused.stderr
    );
    machine.write("job.yaml", job.replace("metadata:", "metadata:\n  namespace: other"));
    let elsewhere = machine.run("create -f job.yaml -n team").await;
    assert!(
        elsewhere
            .stderr
            .contains("the job is for namespace `other`, and -n says `team`"),
        "{}",
        elsewhere.stderr
    );
    assert_eq!(machine.run("create -f job.yaml").await.code, 0);
    assert_eq!(server.jobs(), 2);
}

fn create(folder: &str) -> String {
    let uri = uri(folder);
    format!(
        "create {folder} --dataset rows.jsonl --dataset-uri {uri}rows.jsonl --model qwen3-8b --output-uri {uri}out/"
    )
}

async fn uploaded(store: &Store) -> Option<String> {
    let bytes = store.read("rows.jsonl").await.unwrap()?;
    Some(String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn a_data_set_is_checked_before_it_is_uploaded_and_the_job_names_it() {
    let server = ApiServer::start().await;
    let machine = Machine::of(&server).with(keys().await);
    let (folder, store) = ("uploaded", store("uploaded").await);
    machine.write("rows.jsonl", "no row\n");
    let bad = machine.run(&create(folder)).await;
    assert_eq!(bad.code, 1);
    assert!(bad.stderr.contains("rows.jsonl:1: not JSON"), "{}", bad.stderr);
    assert_eq!((server.jobs(), uploaded(&store).await), (0, None));

    machine.write("rows.jsonl", format!("{ROW}\n"));
    let good = machine.run(&create(folder)).await;
    assert_eq!(good.code, 0, "{}", good.stderr);
    assert_eq!(uploaded(&store).await, Some(format!("{ROW}\n")));
    assert_eq!(
        server.job(folder)["spec"]["dataset"],
        json!({"uri": format!("{}rows.jsonl", uri(folder))})
    );

    // As when the upload was done and the job could not be created.
    server.delete(folder);
    let again = machine.run(&create(folder)).await;
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(
        again.stderr.contains("already, with the same bytes"),
        "{}",
        again.stderr
    );

    server.delete(folder);
    machine.write("rows.jsonl", format!(" {ROW}"));
    let again = machine.run(&create(folder)).await;
    assert_eq!(again.code, 3);
    assert!(
        again
            .stderr
            .contains("is there already, with other bytes: --overwrite replaces it"),
        "{}",
        again.stderr
    );
    assert_eq!(machine.run(&format!("{} --overwrite", create(folder))).await.code, 0);
}

#[tokio::test]
async fn nothing_is_uploaded_for_a_job_that_would_be_refused() {
    let server = ApiServer::start().await;
    server.forbid("POST batchinferencejobs");
    let machine = Machine::of(&server).with(keys().await);
    machine.write("rows.jsonl", format!("{ROW}\n"));
    let refused = machine.run(&create("refused")).await;
    assert_eq!(refused.code, 3);
    assert!(
        refused.stderr.contains("you may not create batchinferencejobs"),
        "{}",
        refused.stderr
    );
    assert_eq!(uploaded(&store("refused").await).await, None);
}

/// A row that goes in several parts.
fn large_row() -> String {
    let filling = "x".repeat(12 << 20);
    ROW.replace(
        "\"messages\": []",
        &format!("\"messages\": [{{\"content\": \"{filling}\"}}]"),
    )
}

fn gives_parts_back(proxy: &S3Proxy) -> bool {
    proxy.seen().iter().any(|(request, _)| request.method == "DELETE")
}

#[tokio::test]
async fn an_upload_that_is_interrupted_leaves_nothing_and_can_be_begun_again() {
    let server = ApiServer::start().await;
    let proxy = S3Proxy::start(s3().await.s3(), s3().await.filer()).await;
    let endpoint = ("AWS_ENDPOINT_URL".to_owned(), proxy.url());
    let machine = Machine::of(&server).with(keys().await).with([endpoint]);
    let rows = large_row();
    machine.write("rows.jsonl", &rows);
    let store = store("interrupted").await;

    proxy.fail(Which::puts(), Fault::Silence);
    let process = machine.start(&create("interrupted"));
    until("a part is on its way", async || proxy.failed() > 0).await;
    interrupt(&process);
    let ended = ended(process).await;
    assert_eq!(ended.code, 3);
    assert!(
        ended.stderr.contains("was interrupted, and no job was created"),
        "{}",
        ended.stderr
    );
    assert_eq!((server.jobs(), uploaded(&store).await), (0, None));
    assert!(gives_parts_back(&proxy));

    proxy.heal();
    assert_eq!(machine.run(&create("interrupted")).await.code, 0);
    assert_eq!(uploaded(&store).await, Some(rows));
    assert_eq!(server.jobs(), 1);
}

#[tokio::test]
async fn who_interrupts_twice_need_not_wait_for_the_store() {
    let server = ApiServer::start().await;
    let proxy = S3Proxy::start(s3().await.s3(), s3().await.filer()).await;
    let endpoint = ("AWS_ENDPOINT_URL".to_owned(), proxy.url());
    let machine = Machine::of(&server).with(keys().await).with([endpoint]);
    machine.write("rows.jsonl", large_row());
    proxy.fail(Which::puts(), Fault::Silence);
    let process = machine.start(&create("interrupted-twice"));
    until("a part is on its way", async || proxy.failed() > 0).await;
    proxy.fail(Which::all(), Fault::Silence);
    interrupt(&process);
    until("the upload is being given up", async || gives_parts_back(&proxy)).await;
    interrupt(&process);
    assert_eq!(ended(process).await.code, 130);
}

#[tokio::test]
async fn a_place_that_takes_no_file_is_refused_before_anything_is_done() {
    let server = ApiServer::start().await;
    let machine = Machine::of(&server);
    // The file is not even there.
    let words = "create x --dataset rows.jsonl --model qwen3-8b --dry-run server --dataset-uri";
    for (uri, expected) in [
        ("https://host/rows.jsonl", "is no place to upload to"),
        ("s3://b/rows.jsonl.gz", "end as differently compressed files do"),
    ] {
        let refused = machine.run(&format!("{words} {uri}")).await;
        assert_eq!(refused.code, 3);
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
    assert!(server.seen().is_empty());
}
