//! A small hub with files, and a filler that asks it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_RANGE, RANGE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::super::super::hasher::Hasher;
use super::super::*;
use crate::api::status::Resolved;
use crate::engine::repository_file::Checksum;
use crate::storage::loopback::serve;
use crate::storage::{Credentials, Side};

pub(super) const COMMIT: &str = "b968826d9c46dd6066d109eabc6255188de91218";
pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const QUICK: Rhythm = Rhythm {
    beat: Duration::from_millis(5),
    stale_after: Duration::from_secs(30),
};

#[derive(Default)]
pub(super) struct Files {
    pub(super) by_name: BTreeMap<String, Vec<u8>>,
    /// Which file was asked for from which byte on.
    pub(super) asked: Vec<(String, usize)>,
    /// Files that end after so many bytes, once.
    pub(super) breaks: BTreeMap<String, usize>,
    /// Files that come wrong, once.
    pub(super) wrong: BTreeSet<String>,
    /// How many requests there were, for files and for what it says of the model.
    pub(super) requests: usize,
    pub(super) gives_no_ranges: bool,
    pub(super) is_away: bool,
    /// With this status and code it refuses everything.
    pub(super) refusal: Option<(StatusCode, &'static str)>,
    pub(super) tells_no_checksums: bool,
    pub(super) parameters: u64,
}

#[derive(Clone, Default)]
pub(super) struct Shared {
    pub(super) files: Arc<Mutex<Files>>,
    /// While it is set, weights are given only when it is notified.
    pub(super) gate: Arc<Mutex<Option<Arc<Notify>>>>,
}

pub(super) struct Hub {
    pub(super) address: String,
    pub(super) shared: Shared,
}

/// The checksum that a hub tells of a file: of weights their SHA-256, of all else git's.
pub(super) fn checksum(name: &str, content: &[u8]) -> String {
    let none = if is_large(name) {
        Checksum::sha256(&"0".repeat(64))
    } else {
        Checksum::git_blob(&"0".repeat(40))
    };
    let file = RepositoryFile::new(name, content.len() as u64, none.expect("a checksum")).expect("a file");
    let mut hasher = Hasher::for_file(&file);
    hasher.update(content);
    hasher.finish()
}

pub(super) fn is_large(name: &str) -> bool {
    name == WEIGHTS
}

pub(super) fn described(files: &Files) -> Value {
    let sibling = |(name, content): (&String, &Vec<u8>)| {
        let (size, checksum) = (content.len(), checksum(name, content));
        match (files.tells_no_checksums, is_large(name)) {
            (true, _) => json!({"rfilename": name}),
            (false, true) => {
                json!({"rfilename": name, "size": size, "blobId": "1".repeat(40), "lfs": {"sha256": checksum, "size": size, "pointerSize": 134}})
            }
            (false, false) => json!({"rfilename": name, "size": size, "blobId": checksum}),
        }
    };
    let siblings: Vec<_> = files.by_name.iter().map(sibling).collect();
    let counted = json!({"parameters": {"BF16": files.parameters}});
    json!({"id": "org/model", "sha": COMMIT, "siblings": siblings, "safetensors": counted})
}

pub(super) async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    {
        let mut files = shared.files.lock().unwrap();
        files.requests += 1;
        if files.is_away {
            return StatusCode::PROXY_AUTHENTICATION_REQUIRED.into_response();
        }
        if let Some((status, code)) = files.refusal {
            return (status, [("X-Error-Code", code)]).into_response();
        }
    }
    let Some((_, name)) = path.split_once(&format!("/resolve/{COMMIT}/")) else {
        assert_eq!(request.uri().query(), Some("blobs=true"), "{path}");
        return described(&shared.files.lock().unwrap()).to_string().into_response();
    };
    let gate = shared.gate.lock().unwrap().clone();
    if let Some(gate) = gate.filter(|_| name == WEIGHTS) {
        gate.notified().await;
    }
    let start = request.headers().get(RANGE).map_or(0, |range| {
        let start = range.to_str().unwrap().strip_prefix("bytes=").unwrap();
        start.strip_suffix('-').unwrap().parse().unwrap()
    });
    let mut files = shared.files.lock().unwrap();
    files.asked.push((name.to_owned(), start));
    let start = if files.gives_no_ranges { 0 } else { start };
    let mut content = files.by_name[name].clone();
    if files.wrong.remove(name) {
        content[0] ^= 1;
    }
    let size = content.len();
    let end = files.breaks.remove(name).unwrap_or(size);
    content.truncate(end);
    let piece: std::io::Result<Bytes> = Ok(content.split_off(start).into());
    // As a stream, so that nobody is told beforehand how long it is.
    let body = Body::from_stream(stream::iter([piece]));
    if start == 0 {
        return body.into_response();
    }
    let range = format!("bytes {start}-{}/{size}", size - 1);
    (StatusCode::PARTIAL_CONTENT, [(CONTENT_RANGE, range)], body).into_response()
}

impl Hub {
    /// One whose model has these weights.
    pub(super) async fn start() -> Self {
        let shared = Shared::default();
        let router = axum::Router::new().fallback(answer).with_state(shared.clone());
        let address = format!("http://{}", serve(router).await);
        let hub = Self { address, shared };
        hub.change(|hub| {
            let weights: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[0]).collect();
            for (name, content) in [
                (WEIGHTS, weights),
                ("config.json", b"{}".to_vec()),
                ("tokenizer/vocab.json", b"{}".to_vec()),
                ("added_tokens.json", Vec::new()),
                ("README.md", b"for people".to_vec()),
            ] {
                hub.by_name.insert(name.to_owned(), content);
            }
        });
        hub
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Files)) {
        change(&mut self.shared.files.lock().unwrap());
    }

    /// What was asked for since the last look.
    pub(super) fn asked(&self) -> Vec<(String, usize)> {
        let mut asked = std::mem::take(&mut self.shared.files.lock().unwrap().asked);
        asked.sort();
        asked
    }

    /// How many requests there were since the last look.
    pub(super) fn requests(&self) -> usize {
        std::mem::take(&mut self.shared.files.lock().unwrap().requests)
    }

    /// Holds the weights back until it is notified.
    pub(super) fn hold_weights(&self) -> Arc<Notify> {
        let gate = Arc::new(Notify::new());
        *self.shared.gate.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }

    pub(super) fn filler(&self, volume: &TempDir, uid: &str) -> Filler<Heard> {
        let endpoint = [("MODEL_HF_ENDPOINT".to_owned(), self.address.clone())];
        Filler {
            hub: ModelHub::open(&Credentials::from_env(Side::Model, endpoint)).unwrap(),
            volume: volume.path().to_owned(),
            wanted: Wanted {
                engine: Engine::VLLM,
                repository: "org/model".into(),
                revision: "main".into(),
                choice: Choice::default(),
            },
            limits: None,
            holder: Holder::new(format!("ns/{uid}"), uid.to_owned()),
            rhythm: QUICK,
            meter: Arc::default(),
            told: Heard::default(),
        }
    }
}

/// What the operator's own image of an engine lets in, with these arguments: models of up to 7 parameters.
pub(super) fn limits(engine: Engine, args: &[&str]) -> ModelLimits {
    let resolved = Resolved {
        engine,
        image: engine.default_image().expect("an image").to_string(),
        model: "org/model".into(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        ..Resolved::default()
    };
    ModelLimits::of(&resolved, 7)
}

/// What a filler told.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) commit: Mutex<Option<String>>,
    /// Notified when it waits for another job.
    pub(super) waits: Notify,
}

impl Told for Heard {
    fn expects(&self, commit: &str, _: &Selection) {
        *self.commit.lock().unwrap() = Some(commit.to_owned());
    }

    fn fills(&self) {}

    fn waits_for(&self, job: &str) {
        // A lock that has only just been made does not say yet whose it is.
        assert!(["ns/first", "another job"].contains(&job), "{job}");
        self.waits.notify_one();
    }
}

pub(super) fn volume() -> TempDir {
    tempfile::tempdir().unwrap()
}

pub(super) fn hub_folder(volume: &TempDir) -> std::path::PathBuf {
    volume.path().join("hub/models--org--model")
}

/// What servers find.
pub(super) fn snapshot(volume: &TempDir, name: &str) -> Vec<u8> {
    let path = hub_folder(volume).join("snapshots").join(COMMIT).join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(super) fn weights_blob(hub: &Hub) -> (String, Vec<u8>) {
    let content = hub.shared.files.lock().unwrap().by_name[WEIGHTS].clone();
    (checksum(WEIGHTS, &content), content)
}

pub(super) async fn exists(path: &std::path::Path) {
    while !path.exists() {
        tokio::task::yield_now().await;
    }
}
