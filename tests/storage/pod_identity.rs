//! A store that is opened with what the pod's service account gives, and no key: EKS Pod Identity, whose agent answers over HTTP. The
//! other clouds' identities need their own servers; what is taken of them is tested where stores are opened.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, ETAG};
use axum::routing::{any, get};
use batch_inference_operator::storage::{Credentials, Side, StoreUri, open_output};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// As the agent answers:
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
const ANSWER: &str = r#"{
    "AccessKeyId": "temporary-id", "SecretAccessKey": "temporary-secret", "Token": "temporary-token",
    "Expiration": "2100-01-01T00:00:00Z"
}"#;

/// A header of each request that came.
type Seen = Arc<Mutex<Vec<String>>>;

fn see(seen: &Seen, request: &Request, header: &str) {
    let value = request.headers().get(header).map(|value| value.to_str().unwrap());
    seen.lock().unwrap().push(value.unwrap_or_default().to_owned());
}

#[tokio::test]
async fn a_pod_without_a_secret_writes_with_its_own_identity() {
    let (asked, written) = (Seen::default(), Seen::default());
    let (agent, store) = (Arc::clone(&asked), Arc::clone(&written));
    let give_keys = move |request: Request| {
        see(&agent, &request, AUTHORIZATION.as_str());
        async { ANSWER }
    };
    let take_object = move |request: Request| {
        see(&store, &request, "x-amz-security-token");
        async { [(ETAG, "\"1\"")] }
    };
    let router = Router::new()
        .route("/v1/credentials", get(give_keys))
        .fallback(any(take_object));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _serving = AbortOnDropHandle::new(tokio::spawn(
        async move { axum::serve(listener, router).await.unwrap() },
    ));

    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "token-of-the-service-account").unwrap();
    let environment = [
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("http://{address}/v1/credentials"),
        ),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.display().to_string()),
        ("OUTPUT_AWS_ENDPOINT_URL", format!("http://{address}")),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let uri = StoreUri::parse_prefix("s3://bucket/run/").unwrap();
    let store = open_output(&uri, &Credentials::from_env(Side::Output, environment), None).unwrap();
    store.replace("job.json", "{}").await.unwrap();

    assert_eq!(*asked.lock().unwrap(), ["token-of-the-service-account"]);
    assert_eq!(*written.lock().unwrap(), ["temporary-token"]);
}
