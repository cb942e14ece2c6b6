//! How often a data set's store is asked when it refuses or fails: through the real S3 client, whose words are read.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use object_store::aws::AmazonS3Builder;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::{ClientOptions, RetryConfig};
use reqwest::StatusCode;

use super::Source;

/// An S3 that answers every request alike, or none.
#[derive(Clone, Debug)]
struct Answers {
    always: Result<u16, HttpErrorKind>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl HttpConnector for Answers {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Answers {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.asked.lock().unwrap().push(request.method().to_string());
        let answer = self
            .always
            .map_err(|kind| HttpError::new(kind, std::io::Error::other("gone")));
        let mut response = HttpResponse::new(Vec::new().into());
        *response.status_mut() = StatusCode::from_u16(answer?).unwrap();
        Ok(response)
    }
}

/// A source in such an S3, and the methods of the requests that came.
fn source(always: Result<u16, HttpErrorKind>) -> (Source, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::default();
    let answers = Answers {
        always,
        asked: Arc::clone(&asked),
    };
    let once = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    let store = AmazonS3Builder::new()
        .with_bucket_name("bucket")
        .with_skip_signature(true)
        .with_http_connector(answers)
        .with_retry(once)
        .build();
    let source = Source::new(
        Arc::new(store.unwrap()),
        "rows.jsonl".into(),
        "s3://bucket/rows.jsonl",
        "",
    );
    (source, asked)
}

const OUTAGES: [Result<u16, HttpErrorKind>; 6] = [
    Err(HttpErrorKind::Connect),
    Err(HttpErrorKind::Timeout),
    Ok(500),
    Ok(503),
    Ok(429),
    Ok(408),
];

#[tokio::test]
async fn a_refused_look_is_asked_for_its_words_and_an_outage_is_not_waited_for_twice() {
    for refusal in [Ok(400), Ok(401), Ok(403)] {
        let (source, asked) = source(refusal);
        source.version().await.unwrap_err();
        assert_eq!(*asked.lock().unwrap(), ["HEAD", "GET"], "{refusal:?}");
    }
    for outage in OUTAGES.into_iter().chain([Ok(404)]) {
        let (source, asked) = source(outage);
        source.version().await.unwrap_err();
        assert_eq!(*asked.lock().unwrap(), ["HEAD"], "{outage:?}");
    }
}

#[tokio::test]
async fn a_read_that_fails_in_an_outage_does_not_ask_how_long_the_object_is() {
    for outage in OUTAGES {
        let (source, asked) = source(outage);
        source.read(0..1).await.unwrap_err();
        assert_eq!(*asked.lock().unwrap(), ["GET"], "{outage:?}");
    }
    let (source, asked) = source(Ok(416));
    source.read(0..1).await.unwrap_err();
    assert_eq!(asked.lock().unwrap()[..2], ["GET", "HEAD"]);
}
