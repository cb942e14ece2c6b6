//! A claim with a model: filled before there is a server, once for all jobs, and refused where it cannot serve.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::RANGE;
use axum::response::{IntoResponse, Response};
use batch_inference_operator::api::BatchInferenceJob;
use batch_inference_operator::api::condition::ConditionType;
use batch_inference_operator::api::model_cache::{ModelCacheState, ModelCacheStatus};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::job::Job;
use super::rows::chats;
use super::tenant::{MACHINE, Tenant, end_of};
use super::until::until;
use super::volume::{Volume, claim};

const COMMIT: &str = "b968826d9c46dd6066d109eabc6255188de91218";
const WEIGHTS: &[u8] = b"GGUF, or nearly so";

#[tokio::test]
async fn a_model_is_downloaded_once_for_all_jobs_and_before_there_is_a_server() {
    let tenant = Tenant::start("model-cache").await;
    let rows = chats(3, &json!({}));
    tenant.put("rows.jsonl", &rows).await;
    let hub = Hub::start().await;
    let volume = Volume::new(&tenant);
    volume.claim(&tenant, "models", "ReadWriteMany").await;
    tenant.submit(&job(&tenant, "first", &hub)).await;
    until("the model is on its way", Duration::from_mins(2), async || {
        (!hub.downloads().is_empty()).then_some(())
    })
    .await;
    for (kind, reason) in [
        (ConditionType::ServersReady, "ModelCaching"),
        (ConditionType::GPUsReleased, "ServersRunning"),
    ] {
        tenant.until_reason("first", kind, reason).await;
    }
    assert!(!tenant.had_servers().await, "a server waits for a download");
    hub.open();
    for (name, downloaded) in [("first", WEIGHTS.len()), ("second", 0)] {
        if name == "second" {
            tenant.submit(&job(&tenant, name, &hub)).await;
        }
        tenant.complete(name, &rows).await;
        let cache = cache(&tenant.job(name).await);
        let bytes = |bytes: i64| usize::try_from(bytes).expect("a size");
        assert_eq!(cache.state, ModelCacheState::Ready);
        assert_eq!(
            (bytes(cache.bytes), bytes(cache.downloaded_bytes)),
            (WEIGHTS.len(), downloaded),
            "{name}"
        );
        assert_eq!(cache.revision.as_deref(), Some(COMMIT));
    }
    assert_eq!(
        hub.downloads(),
        ["/org/tiny-GGUF/resolve/b968826d9c46dd6066d109eabc6255188de91218/tiny-Q4_K_M.gguf"]
    );
    let file = volume
        .folder()
        .join("hub/models--org--tiny-GGUF/snapshots")
        .join(COMMIT)
        .join("tiny-Q4_K_M.gguf");
    assert_eq!(std::fs::read(file).expect("the file that servers read"), WEIGHTS);
    volume.remove(&tenant).await;
}

#[tokio::test]
async fn a_claim_that_cannot_serve_is_waited_for_or_refused_before_anything_is_made() {
    let tenant = Tenant::start("model-cache-claims").await;
    tenant.put("rows.jsonl", &chats(2, &json!({}))).await;
    let hub = Hub::start().await;
    tenant.submit(&job(&tenant, "job", &hub).replicas(2)).await;
    let waits = tenant
        .until_reason("job", ConditionType::Reconciling, "ClaimMissing")
        .await;
    assert!(
        waits.message.contains("persistentvolumeclaim \"models\""),
        "{}",
        waits.message
    );
    tenant.apply(&claim("models", "ReadWriteOnce", "")).await;
    let ended = tenant.end("job").await;
    assert_eq!(end_of(&ended), "Failed: ModelCacheUnsuitable");
    let jobs = tenant
        .kubectl(&["get", "jobs", "--output", "name"])
        .await
        .expect("a list");
    assert_eq!(jobs, "", "a feeder was started");
    assert!(!tenant.had_servers().await, "servers were started");
}

fn job(tenant: &Tenant, name: &str, hub: &Hub) -> Job {
    Job::new(tenant, name)
        .set("/server/baseModel", json!("org/tiny-GGUF"))
        .set(
            "/server/modelCache",
            json!({"persistentVolumeClaim": {"claimName": "models"}}),
        )
        .set(
            "/server/env",
            json!([
                {"name": "FAKE_RECORDER", "value": tenant.recorder_url()},
                {"name": "FAKE_SLOTS", "value": "64"},
                {"name": "HF_ENDPOINT", "value": hub.url},
            ]),
        )
}

fn cache(job: &BatchInferenceJob) -> ModelCacheStatus {
    let cache = job.status.as_ref().and_then(|status| status.cached.model_cache.clone());
    cache.expect("what was told of the cache")
}

/// A hub with one model, which it holds back until it is opened.
struct Hub {
    url: String,
    state: Arc<HubState>,
}

struct HubState {
    /// The paths of files that were asked for as a whole.
    downloads: Mutex<Vec<String>>,
    gate: Semaphore,
}

impl Hub {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from((MACHINE, 0))).await;
        let listener = listener.expect("the machine's end of the cluster's network");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(HubState {
            downloads: Mutex::default(),
            gate: Semaphore::new(0),
        });
        let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&state));
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { url, state }
    }

    fn downloads(&self) -> Vec<String> {
        self.state.downloads.lock().expect("a list").clone()
    }

    fn open(&self) {
        self.state.gate.add_permits(1);
    }
}

async fn answer(State(state): State<Arc<HubState>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if path.starts_with("/api/models/") {
        return described().to_string().into_response();
    }
    // The feeder only asks whether the file is given.
    if !request.headers().contains_key(RANGE) {
        state.downloads.lock().expect("a list").push(path);
        let _open = state.gate.acquire().await.expect("a gate");
    }
    WEIGHTS.into_response()
}

fn described() -> Value {
    let sha256 = Sha256::digest(WEIGHTS)
        .iter()
        .fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
    let lfs = json!({"sha256": sha256, "size": WEIGHTS.len(), "pointerSize": 131});
    let file = json!({"rfilename": "tiny-Q4_K_M.gguf", "size": WEIGHTS.len(), "blobId": "0".repeat(40), "lfs": lfs});
    json!({"id": "org/tiny-GGUF", "sha": COMMIT, "siblings": [file]})
}
