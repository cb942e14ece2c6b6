//! `fake-gcs-server` as a Google Cloud Storage on this machine's loopback.
//!
//! Version 1.56 knows Google's JSON API, and of its XML API, which our client speaks, only reading, listing and deleting: no put
//! (400, `invalid uploadType`), hence no create-only one (`x-goog-if-generation-match`), no upload in parts, and no `If-Match`. What it lacks is
//! put here before it, each request of the XML API as the one of the JSON API that Google documents for the same:
//! <https://cloud.google.com/storage/docs/xml-api/overview>, <https://cloud.google.com/storage/docs/json_api/v1>

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use batch_inference_operator::storage::{Credentials, Side};
use reqwest::Url;

use crate::azurite::prefixed;
use crate::emulator::{Emulator, client};
use crate::ports::free_ports;

pub const BUCKET: &str = "test-bucket";
const LARGEST: usize = 256 << 20;

pub struct FakeGcs {
    _emulator: Emulator,
    /// What our client talks to.
    endpoint: String,
    /// The server itself.
    server: String,
}

impl FakeGcs {
    /// Starts a server with [`BUCKET`] in it.
    pub async fn start() -> Self {
        let [port] = free_ports();
        let data = tempfile::tempdir().unwrap();
        let host = format!("127.0.0.1:{port}");
        let port = port.to_string();
        let arguments = [
            "-scheme",
            "http",
            "-host",
            "127.0.0.1",
            "-port",
            &port,
            "-backend",
            "memory",
            "-public-host",
            &host,
        ];
        let mut emulator = Emulator::start("fake-gcs-server", &[], arguments, data);
        let client = client();
        let server = format!("http://{host}");
        let buckets = format!("{server}/storage/v1/b?project=test");
        emulator
            .ready(|| client.post(&buckets).json(&serde_json::json!({"name": BUCKET})))
            .await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let xml = Xml {
            client,
            server: server.clone(),
            uploads: Arc::default(),
        };
        let router = Router::new().fallback(answer).with_state(xml);
        tokio::spawn(async { axum::serve(listener, router).await });
        Self {
            _emulator: emulator,
            endpoint,
            server,
        }
    }

    /// As a Secret names an emulator.
    pub fn credentials(&self, side: Side) -> Credentials {
        Credentials::from_env(side, prefixed(side, &[("STORAGE_EMULATOR_HOST", &self.endpoint)]))
    }

    /// The same without what is put before the server.
    pub fn bare(&self, side: Side) -> Credentials {
        Credentials::from_env(side, prefixed(side, &[("STORAGE_EMULATOR_HOST", &self.server)]))
    }
}

type Parts = BTreeMap<u32, Bytes>;

#[derive(Clone)]
struct Xml {
    client: reqwest::Client,
    server: String,
    /// Parts of uploads that are not complete.
    uploads: Arc<Mutex<HashMap<String, Parts>>>,
}

/// A request, taken apart.
struct Asked {
    method: Method,
    bucket: String,
    /// As it stands in the path: encoded.
    object: String,
    query: HashMap<String, String>,
    /// `x-goog-if-generation-match`.
    generation: Option<String>,
    body: Bytes,
}

async fn answer(State(xml): State<Xml>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let url = Url::parse(&format!("http://host{}", parts.uri)).unwrap();
    let (bucket, object) = url.path()[1..].split_once('/').unwrap_or((&url.path()[1..], ""));
    let asked = Asked {
        method: parts.method.clone(),
        bucket: percent_decoded(bucket),
        object: object.to_owned(),
        query: url.query_pairs().into_owned().collect(),
        generation: parts
            .headers
            .get("x-goog-if-generation-match")
            .map(|value| value.to_str().unwrap().to_owned()),
        body: to_bytes(body, LARGEST).await.unwrap(),
    };
    let upload = asked.query.get("uploadId").cloned();
    match (asked.method.as_str(), upload) {
        ("PUT", Some(id)) => xml.keep_part(&id, asked),
        ("POST", Some(id)) => xml.complete(&id, asked).await,
        ("DELETE", Some(id)) => {
            xml.uploads.lock().unwrap().remove(&id);
            StatusCode::NO_CONTENT.into_response()
        }
        ("POST", None) if asked.query.contains_key("uploads") => xml.begin(),
        ("PUT", None) => xml.put(asked).await,
        _ => xml.pass_on(parts, asked).await,
    }
}

impl Xml {
    /// <https://cloud.google.com/storage/docs/json_api/v1/objects/insert>
    async fn put(&self, asked: Asked) -> Response {
        let condition = asked
            .generation
            .map(|generation| format!("&ifGenerationMatch={generation}"));
        let url = format!(
            "{}/upload/storage/v1/b/{}/o?uploadType=media&name={}{}",
            self.server,
            asked.bucket,
            asked.object,
            condition.unwrap_or_default()
        );
        let answer = self.client.post(url).body(asked.body).send().await.unwrap();
        match answer.status() {
            StatusCode::OK => {
                let object: serde_json::Value = answer.json().await.unwrap();
                let etag = format!("\"{}\"", object["etag"].as_str().unwrap());
                let generation = object["generation"].as_str().unwrap().to_owned();
                ([("etag", etag), ("x-goog-generation", generation)], "").into_response()
            }
            StatusCode::NOT_FOUND => no_bucket(),
            status => (status, answer.text().await.unwrap()).into_response(),
        }
    }

    /// <https://cloud.google.com/storage/docs/xml-api/post-object-multipart>
    fn begin(&self) -> Response {
        let id = format!("{:016x}", rand::random::<u64>());
        self.uploads.lock().unwrap().insert(id.clone(), Parts::new());
        format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>")
            .into_response()
    }

    fn keep_part(&self, id: &str, asked: Asked) -> Response {
        let number: u32 = asked.query["partNumber"].parse().unwrap();
        let mut uploads = self.uploads.lock().unwrap();
        let Some(parts) = uploads.get_mut(id) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        parts.insert(number, asked.body);
        [("etag", format!("\"{number}\""))].into_response()
    }

    async fn complete(&self, id: &str, asked: Asked) -> Response {
        let Some(parts) = self.uploads.lock().unwrap().remove(id) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let body: Vec<Bytes> = parts.into_values().collect();
        let body = body.concat().into();
        let put = self.put(Asked { body, ..asked }).await;
        if !put.status().is_success() {
            return put;
        }
        "<CompleteMultipartUploadResult><ETag>\"1\"</ETag></CompleteMultipartUploadResult>".into_response()
    }

    async fn pass_on(&self, parts: axum::http::request::Parts, asked: Asked) -> Response {
        let url = format!("{}{}", self.server, parts.uri);
        let mut headers = parts.headers;
        headers.remove("host");
        let expected = headers.get("if-match").cloned();
        let request = self.client.request(asked.method.clone(), url).headers(headers);
        let answer = request.body(asked.body).send().await.unwrap();
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        // Long answers come in chunks; what goes on is whole.
        headers.remove("transfer-encoding");
        // It has no error of its own for a bucket that is not there.
        if !status.is_success() && asked.method != Method::HEAD && !self.has(&asked.bucket).await {
            return no_bucket();
        }
        // It takes no notice of the condition.
        if status.is_success() && expected.is_some() && headers.get("etag") != expected.as_ref() {
            return StatusCode::PRECONDITION_FAILED.into_response();
        }
        let body = Body::from(answer.bytes().await.unwrap());
        (status, headers, body).into_response()
    }

    async fn has(&self, bucket: &str) -> bool {
        let url = format!("{}/storage/v1/b/{bucket}", self.server);
        self.client.get(url).send().await.unwrap().status().is_success()
    }
}

fn no_bucket() -> Response {
    (StatusCode::NOT_FOUND, "<Error><Code>NoSuchBucket</Code></Error>").into_response()
}

/// The client encodes all but letters and digits.
fn percent_decoded(name: &str) -> String {
    let url = Url::parse(&format!("http://host/?{name}")).unwrap();
    let (decoded, _) = url.query_pairs().next().unwrap_or_default();
    decoded.into_owned()
}
