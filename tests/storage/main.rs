//! The same contract on every kind of store: memory, a local directory (a mounted claim), a real S3, and emulators of Azure's and
//! Google's stores.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod azurite;
mod contract;
mod data_sets;
mod emulator;
mod fake_gcs;
mod limited;
mod pod_identity;
mod ports;
mod power_cut;
mod program;
mod seaweedfs;
mod verify;
mod without_hard_links;

use azurite::{Azurite, CONTAINER};
use batch_inference_operator::storage::{
    Cloud, Credentials, Error, Parts, Root, Side, Store, StoreUri, open_output, open_parts, preflight,
};
use fake_gcs::FakeGcs;
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
        let uri = format!("s3://{BUCKET}/{uri}");
        let store = s3_store(&server, &uri, right);
        contract::holds_on(&store).await;
        contract::large_objects_are_written_in_parts(&store).await;
        let credentials = server.credentials(Side::Output, right);
        contract::parts_of_several_processes_are_one_object(&store, || parts(&uri, &credentials)).await;
    }
    let sets = format!("s3://{BUCKET}/sets");
    let of_dataset = server.credentials(Side::Dataset, right);
    data_sets::are_read_from(&sets, &s3_store(&server, &sets, right), &of_dataset).await;
    a_wrong_key_is_refused_by_name(&server).await;
    a_missing_bucket_is_told_from_a_missing_object(&server).await;
    verify::proves_an_output_in_s3_and_says_what_differs(&server).await;
    // At last: its listing starts at the root, which by then is not empty.
    let root = s3_store(&server, &format!("s3://{BUCKET}"), right);
    let listed = root.list("run-1/").await.unwrap();
    assert!(listed.iter().any(|entry| entry.key == "run-1/created"));
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

fn open(uri: &str, credentials: &Credentials) -> Store {
    open_output(&StoreUri::parse_prefix(uri).unwrap(), credentials, None).unwrap()
}

fn parts(uri: &str, credentials: &Credentials) -> Parts {
    open_parts(&StoreUri::parse_prefix(uri).unwrap(), credentials).unwrap()
}

#[tokio::test]
async fn azure_keeps_the_contract_and_refuses_in_words() {
    let server = Azurite::start().await;
    let right = server.credentials(Side::Output);
    for uri in ["run-1", "deep/er/run 2/"] {
        let uri = format!("az://{CONTAINER}/{uri}");
        let store = open(&uri, &right);
        contract::holds_on(&store).await;
        contract::large_objects_are_written_in_parts(&store).await;
        contract::parts_of_several_processes_are_one_object(&store, || parts(&uri, &right)).await;
    }
    let sets = format!("az://{CONTAINER}/sets");
    data_sets::are_read_from(&sets, &open(&sets, &right), &server.credentials(Side::Dataset)).await;
    let copied = open(
        &format!("az://{CONTAINER}/copied"),
        &server.connection_string(Side::Output),
    );
    preflight_is_good(&copied).await;
    a_token_is_enough_and_need_not_delete(&server).await;
    let root = open(&format!("az://{CONTAINER}"), &right);
    assert!(!root.list("run-1/").await.unwrap().is_empty());

    let wrong = server.credentials_with(Side::Output, "d3Jvbmc=");
    let store = open(&format!("az://{CONTAINER}/run"), &wrong);
    for error in refusals(&store).await {
        assert!(matches!(error, Error::AccessDenied { .. }), "{error:?}");
        let message = error.to_string();
        let want = "check AZURE_STORAGE_ACCOUNT_KEY in the Secret of spec.output.credentialsSecretRef";
        assert!(message.contains(want), "{message}");
    }
    no_bucket_is_told(&open("az://no-such-container/run", &right), "container").await;
}

async fn a_token_is_enough_and_need_not_delete(server: &Azurite) {
    let given = open(&format!("az://{CONTAINER}/given"), &server.token(Side::Output, "rcwl"));
    let found = preflight(&given, "preflight/uid").await.unwrap();
    assert!(found.creates_once && !found.deletes, "{found:?}");
    assert_eq!(given.list("preflight/").await.unwrap().len(), 1);
    let read_only = open(&format!("az://{CONTAINER}/given"), &server.token(Side::Output, "rl"));
    let error = read_only.create("job.json", "x").await.unwrap_err();
    let want = "check AZURE_STORAGE_SAS_TOKEN in the Secret of spec.output.credentialsSecretRef";
    assert!(error.to_string().contains(want), "{error}");
}

#[tokio::test]
async fn google_keeps_the_contract_where_the_emulator_can() {
    let server = FakeGcs::start().await;
    let bucket = fake_gcs::BUCKET;
    let credentials = server.credentials(Side::Output);
    for uri in ["run-1", "deep/er/run 2/"] {
        let uri = format!("gs://{bucket}/{uri}");
        let store = open(&uri, &credentials);
        contract::holds_on(&store).await;
        contract::large_objects_are_written_in_parts(&store).await;
        contract::parts_of_several_processes_are_one_object(&store, || parts(&uri, &credentials)).await;
    }
    let sets = format!("gs://{bucket}/sets");
    data_sets::are_read_from(&sets, &open(&sets, &credentials), &server.credentials(Side::Dataset)).await;
    no_bucket_is_told(&open("gs://no-such-bucket/run", &credentials), "bucket").await;
    the_emulator_of_google_knows_no_put_of_the_xml_api(&server).await;
}

/// Once it does, `fake_gcs.rs` needs nothing before it.
async fn the_emulator_of_google_knows_no_put_of_the_xml_api(server: &FakeGcs) {
    let bare = open(&format!("gs://{}/run", fake_gcs::BUCKET), &server.bare(Side::Output));
    let error = bare.create("job.json", "x").await.unwrap_err();
    let told = format!("{error:?}");
    assert!(told.contains("invalid uploadType"), "{told}");
}

async fn preflight_is_good(store: &Store) {
    let found = preflight(store, "preflight/uid").await.unwrap();
    assert!(found.creates_once && found.deletes, "{found:?}");
}

async fn refusals(store: &Store) -> [Error; 3] {
    [
        store.create("job.json", "x").await.map(drop).unwrap_err(),
        store.read("job.json").await.map(drop).unwrap_err(),
        store.list("segments/").await.map(drop).unwrap_err(),
    ]
}

async fn no_bucket_is_told(store: &Store, what: &str) {
    for error in refusals(store).await {
        assert!(matches!(error, Error::BucketNotFound { .. }), "{error:?}");
        assert!(error.to_string().starts_with(&format!("the {what} of `")), "{error}");
    }
}
