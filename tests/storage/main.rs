//! The same contract on every kind of store: memory, a local directory (a mounted claim), and a real S3.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod contract;
mod limited;
mod power_cut;
mod program;
mod seaweedfs;
mod verify;
mod without_hard_links;

use batch_inference_operator::storage::{
    Cloud, Credentials, Directories, Error, Root, Side, Store, StoreUri, open_dataset, open_output,
};
use object_store::ObjectStoreExt;
use seaweedfs::{BUCKET, SeaweedFs};

fn no_credentials() -> Credentials {
    Credentials::from_env(Side::Output, [])
}

fn s3_store(server: &SeaweedFs, uri: &str, secret_key: &str) -> Store {
    let uri = StoreUri::parse_prefix(uri).unwrap();
    open_output(&uri, &server.credentials(Side::Output, secret_key), None).unwrap()
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    contract::holds_on(&Store::in_memory()).await;
}

#[tokio::test]
async fn a_mounted_claim_keeps_the_contract() {
    let mount = tempfile::tempdir().unwrap();
    let uri = StoreUri::parse_prefix("pvc://claim/run-1").unwrap();
    let store = open_output(&uri, &no_credentials(), Some(mount.path())).unwrap();
    contract::holds_on(&store).await;
    assert!(mount.path().join("run-1/created").is_file());
}

/// One test, as the server takes seconds to start.
#[tokio::test]
async fn s3_keeps_the_contract_and_refuses_in_words() {
    let server = SeaweedFs::start().await;
    let right = seaweedfs::SECRET_KEY;
    for uri in ["run-1", "deep/er/run 2/"] {
        let store = s3_store(&server, &format!("s3://{BUCKET}/{uri}"), right);
        contract::holds_on(&store).await;
        contract::large_objects_are_written_in_parts(&store).await;
    }
    a_data_set_is_found_where_its_uri_says(&server).await;
    a_wrong_key_is_refused_by_name(&server).await;
    a_missing_bucket_is_told_from_a_missing_object(&server).await;
    verify::proves_an_output_in_s3_and_says_what_differs(&server).await;
    // At last: its listing starts at the root, which by then is not empty.
    let root = s3_store(&server, &format!("s3://{BUCKET}"), right);
    let listed = root.list("run-1/").await.unwrap();
    assert!(listed.iter().any(|entry| entry.key == "run-1/created"));
}

async fn a_data_set_is_found_where_its_uri_says(server: &SeaweedFs) {
    let store = s3_store(server, &format!("s3://{BUCKET}/sets"), seaweedfs::SECRET_KEY);
    store.create("rows.jsonl", "{}\n").await.unwrap();
    let uri = StoreUri::parse_object(&format!("s3://{BUCKET}/sets/rows.jsonl")).unwrap();
    let credentials = server.credentials(Side::Dataset, seaweedfs::SECRET_KEY);
    let dataset = open_dataset(&uri, &credentials, Directories::default()).unwrap();
    let read = dataset.store.get(&dataset.path).await.unwrap();
    assert_eq!(read.bytes().await.unwrap(), "{}\n");
}

async fn a_wrong_key_is_refused_by_name(server: &SeaweedFs) {
    let store = s3_store(server, &format!("s3://{BUCKET}/run"), "wrong");
    let refusals = [
        store.create("job.json", "x").await.map(drop).unwrap_err(),
        store.read("job.json").await.map(drop).unwrap_err(),
        store.list("segments/").await.map(drop).unwrap_err(),
    ];
    for error in refusals {
        assert!(matches!(error, Error::AccessDenied { .. }), "{error:?}");
        let message = error.to_string();
        for part in [
            "s3://test-bucket/run/",
            "AWS_ACCESS_KEY_ID",
            "spec.output.credentialsSecretRef",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }
}

async fn a_missing_bucket_is_told_from_a_missing_object(server: &SeaweedFs) {
    let store = s3_store(server, "s3://no-such-bucket/run", seaweedfs::SECRET_KEY);
    let error = store.create("job.json", "x").await.unwrap_err();
    let Error::BucketNotFound { uri, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(uri.root(), &Root::Bucket(Cloud::S3, "no-such-bucket".into()));
    let error = store.read("job.json").await.unwrap_err();
    assert!(matches!(error, Error::BucketNotFound { .. }), "{error:?}");
}
