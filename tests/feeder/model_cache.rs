//! What fills a model cache, as a process: killed in the middle of a file, and refused by the hub.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_RANGE, RANGE};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::kubernetes::{Kubernetes, NAMESPACE};
use crate::process::{FeederProcess, program};
use crate::until::until;
use crate::world::JOB;

const COMMIT: &str = "b968826d9c46dd6066d109eabc6255188de91218";
const WEIGHTS: &str = "model.safetensors";
const SIZE: usize = 3 << 20;
const HALF: usize = SIZE / 2;

#[tokio::test]
async fn a_process_that_is_killed_in_the_middle_of_a_file_is_followed_by_one_that_goes_on_with_it() {
    let mut world = World::new(Hub::start(StatusCode::OK).await).await;
    let first = world.start();
    // The hub gives the half, and then says nothing more.
    let incomplete = world.blobs().join(format!("{}.incomplete", sha256()));
    until("half of the file is there", async || {
        std::fs::metadata(&incomplete).is_ok_and(|file| file.len() == HALF as u64)
    })
    .await;
    assert_eq!(first.kill().await, None);
    assert_ne!(world.status()["state"], "Ready");
    assert!(world.locked());

    assert_eq!(world.start().exit_code().await, 0);
    assert_eq!(world.hub.asked(), [0, HALF]);
    let status = world.status();
    assert_eq!(
        (
            &status["state"],
            &status["revision"],
            &status["bytes"],
            &status["totalBytes"]
        ),
        (&json!("Ready"), &json!(COMMIT), &json!(SIZE), &json!(SIZE))
    );
    assert_eq!(status["downloadedBytes"], json!(SIZE - HALF));
    let file = world.hub_folder().join("snapshots").join(COMMIT).join(WEIGHTS);
    assert_eq!(std::fs::read(file).unwrap(), weights());
    assert!(!world.locked());
    assert_eq!(world.kubernetes.refused(), [""; 0]);
}

#[tokio::test]
async fn what_the_hub_refuses_is_said_in_the_status_and_is_the_end() {
    let mut world = World::new(Hub::start(StatusCode::FORBIDDEN).await).await;
    assert_eq!(world.start().exit_code().await, 0);
    let status = world.status();
    assert_eq!(
        (&status["state"], &status["reason"]),
        (&json!("Failed"), &json!("ModelAccessDenied"))
    );
}

/// A job with a claim, and a hub that has its model.
struct World {
    kubernetes: Kubernetes,
    hub: Hub,
    claim: TempDir,
    directory: TempDir,
    starts: u32,
}

impl World {
    async fn new(hub: Hub) -> Self {
        let kubernetes = Kubernetes::start().await;
        kubernetes.put_job(json!({
            "apiVersion": "batchinference.dev/v1alpha1",
            "kind": "BatchInferenceJob",
            "metadata": {"name": JOB, "namespace": NAMESPACE, "uid": "1"},
            "spec": {
                "dataset": {"inline": "{}"},
                "server": {"baseModel": "org/model", "modelCache": {"persistentVolumeClaim": {"claimName": "models"}}},
            },
            "status": {"resolved": {
                "engine": "VLLM", "image": "vllm", "model": "org/model", "servedModelName": "org/model", "args": ["org/model"],
                "resources": {},
            }},
        }));
        Self {
            kubernetes,
            hub,
            claim: tempfile::tempdir().unwrap(),
            directory: tempfile::tempdir().unwrap(),
            starts: 0,
        }
    }

    fn start(&mut self) -> FeederProcess {
        self.starts += 1;
        let path = |name: String| self.directory.path().join(name);
        let kubeconfig = path("kubeconfig".to_owned());
        std::fs::write(&kubeconfig, self.kubernetes.kubeconfig()).unwrap();
        let claim = self.claim.path().display().to_string();
        let arguments = [
            "fill-model-cache",
            "--namespace",
            NAMESPACE,
            "--name",
            JOB,
            "--uid",
            "1",
            "--directory",
            &claim,
        ];
        let environment = [
            ("KUBECONFIG".to_owned(), kubeconfig.display().to_string()),
            ("MODEL_HF_ENDPOINT".to_owned(), self.hub.url.clone()),
        ];
        let log = path(format!("log-{}", self.starts));
        FeederProcess::start(&program(), arguments, environment, &log)
    }

    fn status(&self) -> Value {
        self.kubernetes.job(JOB)["status"]["modelCache"].clone()
    }

    fn hub_folder(&self) -> PathBuf {
        self.claim.path().join("hub/models--org--model")
    }

    fn blobs(&self) -> PathBuf {
        self.hub_folder().join("blobs")
    }

    fn locked(&self) -> bool {
        self.claim
            .path()
            .join("batch-inference/models--org--model/lock")
            .exists()
    }
}

/// A hub with one model of one file, of which it gives half to whoever asks first.
struct Hub {
    url: String,
    shared: Shared,
}

#[derive(Clone)]
struct Shared {
    /// What it answers to whoever asks for the model.
    status: StatusCode,
    /// From which byte on its file was asked for.
    asked: Arc<Mutex<Vec<usize>>>,
}

impl Hub {
    async fn start(status: StatusCode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Shared {
            status,
            asked: Arc::default(),
        };
        let router = axum::Router::new().fallback(answer).with_state(shared.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { url, shared }
    }

    fn asked(&self) -> Vec<usize> {
        self.shared.asked.lock().unwrap().clone()
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    if request.uri().path().starts_with("/api/models/") {
        return match shared.status {
            StatusCode::OK => described().to_string().into_response(),
            refused => (refused, [("X-Error-Code", "GatedRepo")]).into_response(),
        };
    }
    let start = request.headers().get(RANGE).map_or(0, |range| {
        let start = range.to_str().unwrap().strip_prefix("bytes=").unwrap();
        start.strip_suffix('-').unwrap().parse().unwrap()
    });
    shared.asked.lock().unwrap().push(start);
    let content = Bytes::from(weights());
    if start == 0 {
        let half = stream::iter([Ok::<_, std::io::Error>(content.slice(..HALF))]);
        return Body::from_stream(half.chain(stream::pending())).into_response();
    }
    let range = format!("bytes {start}-{}/{SIZE}", SIZE - 1);
    (
        StatusCode::PARTIAL_CONTENT,
        [(CONTENT_RANGE, range)],
        content.slice(start..),
    )
        .into_response()
}

fn weights() -> Vec<u8> {
    (0..SIZE).map(|number| number.to_le_bytes()[1]).collect()
}

fn sha256() -> String {
    let digest = Sha256::digest(weights());
    digest
        .iter()
        .fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
}

fn described() -> Value {
    let lfs = json!({"sha256": sha256(), "size": SIZE, "pointerSize": 131});
    let file = json!({"rfilename": WEIGHTS, "size": SIZE, "blobId": "0".repeat(40), "lfs": lfs});
    json!({"id": "org/model", "sha": COMMIT, "siblings": [file]})
}
