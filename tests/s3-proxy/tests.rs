//! The proxy before a real S3, with the operator's own store as its client.

use std::time::Duration;

use batch_inference_operator::storage::{Credentials, Error, Put, Side, Store, StoreUri, open_output};

use crate::s3_proxy::{Fault, S3Proxy, Which};
use crate::seaweedfs::{BUCKET, SECRET_KEY, SeaweedFs};
use crate::until::{PATIENCE, until};

/// A store behind a proxy, in a folder of its own.
async fn behind_proxy(s3: &SeaweedFs, folder: &str) -> (S3Proxy, Store) {
    let proxy = S3Proxy::start(s3.s3(), s3.filer()).await;
    let keys = s3.environment(Side::Output, SECRET_KEY).map(|(name, value)| {
        let value = if name.ends_with("ENDPOINT_URL") {
            proxy.url()
        } else {
            value
        };
        (name, value)
    });
    let uri = StoreUri::parse_prefix(&format!("s3://{BUCKET}/proxy/{folder}")).unwrap();
    let store = open_output(&uri, &Credentials::from_env(Side::Output, keys), None).unwrap();
    (proxy, store)
}

#[tokio::test]
async fn what_nothing_befalls_passes_as_it_was_signed() {
    let s3 = crate::world::s3().await;
    let (proxy, store) = behind_proxy(s3, "passes").await;
    let large = vec![b'x'; 3 << 20];
    assert_eq!(store.create("a", large.clone()).await.unwrap(), Put::Created);
    assert_eq!(store.create("a", "other").await.unwrap(), Put::AlreadyExists);
    assert_eq!(store.read("a").await.unwrap().unwrap(), large);
    assert_eq!(store.size("a").await.unwrap(), Some(3 << 20));
    assert_eq!(store.read_range("a", 1..3).await.unwrap(), "xx");
    assert_eq!(store.list("").await.unwrap().len(), 1);
    assert_eq!(proxy.failed(), 0);
}

#[tokio::test]
async fn faults_that_pass_are_tried_again_by_the_store_itself() {
    let s3 = crate::world::s3().await;
    let (proxy, store) = behind_proxy(s3, "passing").await;
    store.create("read", "content").await.unwrap();
    for fault in [
        Fault::Answer(503, "SlowDown"),
        Fault::Answer(500, "InternalError"),
        Fault::ResetInAnswer,
        Fault::AnswerLost,
        Fault::Delay(Duration::from_millis(1)),
    ] {
        proxy.heal();
        let before = proxy.failed();
        proxy.fail(Which::gets().of("/read").times(2), fault);
        assert_eq!(store.read("read").await.unwrap().unwrap(), "content", "{fault:?}");
        assert!(proxy.failed() > before, "{fault:?}");
    }
}

#[tokio::test]
async fn a_put_whose_answer_is_lost_is_done_and_one_that_is_reset_is_not() {
    let s3 = crate::world::s3().await;
    let (proxy, store) = behind_proxy(s3, "lost").await;
    for (key, fault, done) in [
        ("lost", Fault::AnswerLost, true),
        ("reset", Fault::ResetInRequest, false),
    ] {
        proxy.heal();
        proxy.fail(Which::puts(), fault);
        let payload = vec![b'x'; 1 << 20];
        let tried = tokio::time::timeout(PATIENCE, store.create(key, payload)).await;
        assert!(!matches!(tried, Ok(Ok(Put::Created))), "{tried:?}");
        proxy.heal();
        assert_eq!(store.size(key).await.unwrap().is_some(), done, "{fault:?}");
    }
}

#[tokio::test]
async fn a_store_that_ignores_conditions_replaces_objects() {
    let s3 = crate::world::s3().await;
    let (proxy, store) = behind_proxy(s3, "conditions").await;
    proxy.fail(Which::all(), Fault::ConditionIgnored);
    for content in ["first", "second"] {
        assert_eq!(store.create("a", content).await.unwrap(), Put::Created);
        assert_eq!(store.read("a").await.unwrap().unwrap(), content);
    }
}

#[tokio::test]
async fn a_refusal_is_told_with_its_code() {
    let s3 = crate::world::s3().await;
    let (proxy, store) = behind_proxy(s3, "refusal").await;
    proxy.fail(
        Which::puts().of("/a").after(1).times(1),
        Fault::Answer(403, "RequestTimeTooSkewed"),
    );
    assert_eq!(store.create("a", "1").await.unwrap(), Put::Created);
    let refused = store.create("a", "2").await.unwrap_err();
    assert!(format!("{refused:?}").contains("RequestTimeTooSkewed"), "{refused:?}");
    assert_eq!(store.create("a", "3").await.unwrap(), Put::AlreadyExists);
}

#[tokio::test]
async fn a_store_that_is_gone_refuses_connections_until_it_is_back() {
    let s3 = crate::world::s3().await;
    let (proxy, store) = behind_proxy(s3, "gone").await;
    store.create("a", "content").await.unwrap();
    proxy.go_away().await;
    let address = proxy.url().replace("http://", "");
    let refused = tokio::net::TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let read = tokio::spawn({
        let store = store.clone();
        async move { store.read("a").await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!read.is_finished());
    proxy.come_back();
    assert_eq!(read.await.unwrap().unwrap().unwrap(), "content");
}

#[tokio::test]
async fn silence_is_kept_until_the_client_goes_away() {
    let s3 = crate::world::s3().await;
    let (proxy, store) = behind_proxy(s3, "silence").await;
    proxy.fail(Which::all(), Fault::Silence);
    let reading = tokio::spawn({
        let store = store.clone();
        async move { store.read("a").await }
    });
    until("it is taken", async || proxy.failed() == 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!reading.is_finished());
    reading.abort();
    assert_eq!(proxy.failed(), 1);
    proxy.heal();
    assert!(matches!(
        store.read("a").await,
        Ok(None) | Err(Error::Unavailable { .. })
    ));
}
