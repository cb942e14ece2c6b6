//! A small hub with files, and what comes of it on a volume.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
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

use super::super::hasher::Hasher;
use super::*;
use crate::api::reason::Reason;
use crate::api::status::Resolved;
use crate::engine::repository_file::Checksum;
use crate::storage::loopback::serve;
use crate::storage::{Credentials, Side};

const COMMIT: &str = "b968826d9c46dd6066d109eabc6255188de91218";
const WEIGHTS: &str = "model.safetensors";
const QUICK: Rhythm = Rhythm {
    beat: Duration::from_millis(5),
    stale_after: Duration::from_secs(30),
};

#[derive(Default)]
struct Files {
    by_name: BTreeMap<String, Vec<u8>>,
    /// Which file was asked for from which byte on.
    asked: Vec<(String, usize)>,
    /// Files that end after so many bytes, once.
    breaks: BTreeMap<String, usize>,
    /// Files that come wrong, once.
    wrong: BTreeSet<String>,
    /// How many requests there were, for files and for what it says of the model.
    requests: usize,
    gives_no_ranges: bool,
    is_away: bool,
    /// With this status and code it refuses everything.
    refusal: Option<(StatusCode, &'static str)>,
    tells_no_checksums: bool,
    parameters: u64,
}

#[derive(Clone, Default)]
struct Shared {
    files: Arc<Mutex<Files>>,
    /// While it is set, weights are given only when it is notified.
    gate: Arc<Mutex<Option<Arc<Notify>>>>,
}

struct Hub {
    address: String,
    shared: Shared,
}

/// The checksum that a hub tells of a file: of weights their SHA-256, of all else git's.
fn checksum(name: &str, content: &[u8]) -> String {
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

fn is_large(name: &str) -> bool {
    name == WEIGHTS
}

fn described(files: &Files) -> Value {
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

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
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
    async fn start() -> Self {
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

    fn change(&self, change: impl FnOnce(&mut Files)) {
        change(&mut self.shared.files.lock().unwrap());
    }

    /// What was asked for since the last look.
    fn asked(&self) -> Vec<(String, usize)> {
        let mut asked = std::mem::take(&mut self.shared.files.lock().unwrap().asked);
        asked.sort();
        asked
    }

    /// How many requests there were since the last look.
    fn requests(&self) -> usize {
        std::mem::take(&mut self.shared.files.lock().unwrap().requests)
    }

    /// Holds the weights back until it is notified.
    fn hold_weights(&self) -> Arc<Notify> {
        let gate = Arc::new(Notify::new());
        *self.shared.gate.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }

    fn filler(&self, volume: &TempDir, uid: &str) -> Filler<Heard> {
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
fn limits(engine: Engine, args: &[&str]) -> Option<ModelLimits> {
    let resolved = Resolved {
        engine,
        image: engine.default_image().expect("an image").to_string(),
        model: "org/model".into(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        ..Resolved::default()
    };
    Some(ModelLimits::of(&resolved, 7))
}

/// What a filler told.
#[derive(Debug, Default)]
struct Heard {
    commit: Mutex<Option<String>>,
    /// Notified when it waits for another job.
    waits: Notify,
}

impl Told for Heard {
    fn expects(&self, commit: &str, _: &Selection) {
        *self.commit.lock().unwrap() = Some(commit.to_owned());
    }

    fn fills(&self) {}

    fn waits_for(&self, job: &str) {
        assert_eq!(job, "ns/first");
        self.waits.notify_one();
    }
}

fn volume() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn hub_folder(volume: &TempDir) -> std::path::PathBuf {
    volume.path().join("hub/models--org--model")
}

/// What servers find.
fn snapshot(volume: &TempDir, name: &str) -> Vec<u8> {
    let path = hub_folder(volume).join("snapshots").join(COMMIT).join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn weights_blob(hub: &Hub) -> (String, Vec<u8>) {
    let content = hub.shared.files.lock().unwrap().by_name[WEIGHTS].clone();
    (checksum(WEIGHTS, &content), content)
}

#[tokio::test]
async fn files_lie_as_the_hub_s_own_clients_keep_them_and_the_second_job_downloads_nothing() {
    let (hub, volume) = (Hub::start().await, volume());
    let first = hub.filler(&volume, "first");
    first.fill().await.unwrap();
    let fetched = hub.asked();
    assert_eq!(fetched.len(), 2, "{fetched:?}");
    assert!(fetched.contains(&(WEIGHTS.to_owned(), 0)));
    let (blob, content) = weights_blob(&hub);
    assert_eq!(snapshot(&volume, WEIGHTS), content);
    assert_eq!(snapshot(&volume, "tokenizer/vocab.json"), b"{}");
    assert_eq!(snapshot(&volume, "added_tokens.json"), b"");
    let folder = hub_folder(&volume);
    assert!(!folder.join("snapshots").join(COMMIT).join("README.md").exists());
    let mode = std::fs::metadata(folder.join("blobs").join(blob))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o644, "servers have other users");
    for revision in ["main", COMMIT] {
        assert_eq!(
            std::fs::read_to_string(folder.join("refs").join(revision)).unwrap(),
            COMMIT
        );
    }
    assert_eq!((first.meter.there(), first.meter.downloaded()), (300_004, 300_002));

    let second = hub.filler(&volume, "second");
    second.fill().await.unwrap();
    assert!(hub.asked().is_empty());
    assert_eq!((second.meter.there(), second.meter.downloaded()), (300_004, 0));
    assert_eq!(second.told.commit.lock().unwrap().as_deref(), Some(COMMIT));
}

#[tokio::test]
async fn a_download_that_broke_off_goes_on_where_it_did() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.change(|hub| _ = hub.breaks.insert(WEIGHTS.into(), 100_000));
    let filler = hub.filler(&volume, "first");
    filler.fill().await.unwrap();
    assert!(hub.asked().contains(&(WEIGHTS.to_owned(), 100_000)));
    assert_eq!(snapshot(&volume, WEIGHTS), weights_blob(&hub).1);
    assert_eq!((filler.meter.there(), filler.meter.downloaded()), (300_004, 300_002));
}

#[tokio::test]
async fn what_one_file_fails_with_does_not_give_up_the_others() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.change(|hub| _ = hub.breaks.insert(WEIGHTS.into(), 0));
    let filler = hub.filler(&volume, "first");
    let broken = filler.fill().await.unwrap_err();
    assert!(matches!(&broken, FillError::CutShort { bytes: 0, .. }), "{broken}");
    assert_eq!(snapshot(&volume, "config.json"), b"{}");
    hub.asked();
    filler.fill().await.unwrap();
    assert_eq!(hub.asked(), [(WEIGHTS.to_owned(), 0)]);
}

#[tokio::test]
async fn a_hub_without_ranges_is_asked_for_all_of_it_again() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.change(|hub| {
        hub.gives_no_ranges = true;
        hub.breaks.insert(WEIGHTS.into(), 100_000);
    });
    let filler = hub.filler(&volume, "first");
    filler.fill().await.unwrap();
    assert!(hub.asked().contains(&(WEIGHTS.to_owned(), 100_000)));
    assert_eq!(snapshot(&volume, WEIGHTS), weights_blob(&hub).1);
    assert_eq!(filler.meter.there(), 300_004);
}

#[tokio::test]
async fn a_file_with_a_wrong_checksum_is_never_kept() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.change(|hub| _ = hub.wrong.insert(WEIGHTS.into()));
    let filler = hub.filler(&volume, "first");
    match filler.fill().await.unwrap_err() {
        FillError::Damaged { file, .. } => assert_eq!(file, WEIGHTS),
        other => panic!("{other}"),
    }
    let blobs = hub_folder(&volume).join("blobs");
    let (blob, content) = weights_blob(&hub);
    assert!(!blobs.join(&blob).exists() && !blobs.join(format!("{blob}.incomplete")).exists());
    filler.fill().await.unwrap();
    assert_eq!(snapshot(&volume, WEIGHTS), content);
}

/// As a start of the same job on a node that lost touch would.
#[tokio::test]
async fn a_file_that_somebody_else_writes_to_meanwhile_is_never_kept() {
    let (hub, volume) = (Hub::start().await, volume());
    let gate = hub.hold_weights();
    let (blob, content) = weights_blob(&hub);
    let incomplete = hub_folder(&volume).join("blobs").join(format!("{blob}.incomplete"));
    let filler = hub.filler(&volume, "first");
    let writes = async {
        exists(&incomplete).await;
        std::fs::OpenOptions::new()
            .append(true)
            .open(&incomplete)
            .and_then(|mut file| std::io::Write::write_all(&mut file, b"theirs"))
            .unwrap();
        gate.notify_one();
    };
    let (outcome, ()) = tokio::join!(filler.fill(), writes);
    let damaged = outcome.unwrap_err();
    assert!(matches!(&damaged, FillError::Damaged { .. }), "{damaged}");
    assert!(!incomplete.exists());
    gate.notify_one();
    filler.fill().await.unwrap();
    assert_eq!(snapshot(&volume, WEIGHTS), content);
}

async fn exists(path: &std::path::Path) {
    while !path.exists() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_filling_that_is_stopped_gives_its_lock_back() {
    let (hub, volume) = (Hub::start().await, volume());
    let _gate = hub.hold_weights();
    let (blob, _) = weights_blob(&hub);
    let incomplete = hub_folder(&volume).join("blobs").join(format!("{blob}.incomplete"));
    let lock = volume.path().join("batch-inference/models--org--model/lock");
    let filler = hub.filler(&volume, "first");
    tokio::select! {
        outcome = filler.fill() => panic!("{outcome:?}"),
        () = exists(&incomplete) => {}
    }
    assert!(lock.exists());
    filler.give_back().await;
    assert!(!lock.exists());
}

#[tokio::test]
async fn two_jobs_that_need_the_same_model_at_once_download_it_once() {
    let (hub, volume) = (Hub::start().await, volume());
    let gate = hub.hold_weights();
    let (first, second) = (hub.filler(&volume, "first"), hub.filler(&volume, "second"));
    let after_first = async {
        // The first has the lock when the second begins.
        exists(&volume.path().join("batch-inference/models--org--model/lock")).await;
        tokio::join!(second.fill(), async {
            second.told.waits.notified().await;
            gate.notify_one();
        })
    };
    let (filled, (filled_too, ())) = tokio::join!(first.fill(), after_first);
    filled.unwrap();
    filled_too.unwrap();
    let weights = hub.asked().into_iter().filter(|(name, _)| name == WEIGHTS);
    assert_eq!(weights.count(), 1);
    assert_eq!(second.meter.downloaded(), 0);
}

#[tokio::test]
async fn what_a_job_left_that_was_killed_is_taken_up() {
    let (hub, volume) = (Hub::start().await, volume());
    let folder = Folder::new(volume.path(), "org/model");
    folder.make(COMMIT).await.unwrap();
    let first = Holder::new("ns/first".into(), "first".into());
    let killed = Lock::new(folder.lock(), first, QUICK);
    killed.acquire(|_| ()).await.unwrap();
    let (blob, content) = weights_blob(&hub);
    let incomplete = hub_folder(&volume).join("blobs").join(format!("{blob}.incomplete"));
    std::fs::write(incomplete, &content[..200_000]).unwrap();
    let mut filler = hub.filler(&volume, "second");
    filler.rhythm.stale_after = Duration::ZERO;
    filler.fill().await.unwrap();
    assert!(hub.asked().contains(&(WEIGHTS.to_owned(), 200_000)));
    assert_eq!(snapshot(&volume, WEIGHTS), content);
    assert!(!folder.lock().exists());
}

#[tokio::test]
async fn what_somebody_s_own_client_brought_is_checked_and_used() {
    let (hub, volume) = (Hub::start().await, volume());
    let (blob, content) = weights_blob(&hub);
    let blobs = hub_folder(&volume).join("blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join(&blob), &content).unwrap();
    hub.filler(&volume, "first").fill().await.unwrap();
    assert!(hub.asked().iter().all(|(name, _)| name != WEIGHTS));
    assert_eq!(snapshot(&volume, WEIGHTS), content);
    // One that is not what its name says is not.
    std::fs::remove_dir_all(volume.path()).unwrap();
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join(&blob), vec![0; content.len()]).unwrap();
    hub.filler(&volume, "first").fill().await.unwrap();
    assert!(hub.asked().contains(&(WEIGHTS.to_owned(), 0)));
    assert_eq!(snapshot(&volume, WEIGHTS), content);
}

#[tokio::test]
async fn a_cache_that_was_filled_once_needs_no_hub() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.filler(&volume, "first").fill().await.unwrap();
    hub.change(|hub| hub.is_away = true);
    for revision in ["main", COMMIT] {
        let mut filler = hub.filler(&volume, "second");
        filler.wanted.revision = revision.into();
        filler.fill().await.unwrap();
        assert_eq!(filler.told.commit.lock().unwrap().as_deref(), Some(COMMIT));
    }
    let mut other = hub.filler(&volume, "second");
    other.wanted.repository = "org/other".into();
    let away = other.fill().await.unwrap_err();
    assert!(matches!(away, FillError::Hub(HubError::Unreachable(_))), "{away}");
}

#[tokio::test]
async fn a_cache_that_was_filled_once_is_used_where_the_hub_refuses_the_model() {
    for refusal in [
        (StatusCode::FORBIDDEN, "GatedRepo"),
        (StatusCode::UNAUTHORIZED, "RepoNotFound"),
    ] {
        let (hub, volume) = (Hub::start().await, volume());
        let refused = hub.filler(&volume, "none");
        hub.change(|hub| hub.refusal = Some(refusal));
        let refused = refused.fill().await.unwrap_err();
        assert!(matches!(&refused, FillError::Hub(_)), "{refused}");
        hub.change(|hub| hub.refusal = None);
        hub.filler(&volume, "first").fill().await.unwrap();
        hub.change(|hub| hub.refusal = Some(refusal));
        let second = hub.filler(&volume, "second");
        second.fill().await.unwrap();
        assert_eq!(second.told.commit.lock().unwrap().as_deref(), Some(COMMIT));
        // One in which something is missing is not.
        let (blob, _) = weights_blob(&hub);
        std::fs::remove_file(hub_folder(&volume).join("blobs").join(blob)).unwrap();
        let refused = hub.filler(&volume, "third").fill().await.unwrap_err();
        assert!(
            matches!(&refused, FillError::Hub(HubError::Denied(_) | HubError::NotFound(_))),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_hub_that_says_something_else_is_no_hub() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.filler(&volume, "first").fill().await.unwrap();
    // As a page to log in at would be.
    hub.change(|hub| hub.refusal = Some((StatusCode::OK, "")));
    hub.filler(&volume, "second").fill().await.unwrap();
}

/// A GGUF repository often has a `config.json`, which llama-server does not read and nobody brings.
#[tokio::test]
async fn a_filled_cache_of_a_known_commit_asks_the_hub_for_nothing() {
    for engine in [Engine::VLLM, Engine::LlamaCpp] {
        let (hub, volume) = (Hub::start().await, volume());
        hub.change(|hub| _ = hub.by_name.insert("m-Q4_K_M.gguf".into(), b"GGUF".to_vec()));
        let filler = |uid| {
            let mut filler = hub.filler(&volume, uid);
            filler.wanted.engine = engine;
            filler.wanted.revision = COMMIT.into();
            filler.limits = limits(engine, &[]);
            filler
        };
        filler("first").fill().await.unwrap();
        assert_ne!(hub.requests(), 0);
        hub.change(|hub| hub.refusal = Some((StatusCode::FORBIDDEN, "GatedRepo")));
        filler("second").fill().await.unwrap();
        assert_eq!(hub.requests(), 0, "{engine}");
    }
}

#[tokio::test]
async fn a_config_that_somebody_s_own_client_brought_is_read_without_a_hub() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.change(|hub| {
        let config = json!({"quantization_config": {"quant_method": "hqq"}}).to_string();
        hub.by_name.insert("config.json".into(), config.into_bytes());
    });
    hub.filler(&volume, "first").fill().await.unwrap();
    std::fs::remove_dir_all(volume.path().join("batch-inference")).unwrap();
    hub.change(|hub| hub.is_away = true);
    let mut filler = hub.filler(&volume, "second");
    filler.limits = limits(Engine::VLLM, &[]);
    match filler.fill().await.unwrap_err() {
        FillError::Refused(refusal) => assert_eq!(refusal.reason(), Reason::QuantizationUnsupported),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_config_that_is_too_large_is_brought_and_not_read() {
    let (hub, volume) = (Hub::start().await, volume());
    let padding = " ".repeat(4 << 20);
    let config = format!(r#"{{"quantization_config": {{"quant_method": "hqq"}}}}{padding}"#);
    hub.change(|hub| _ = hub.by_name.insert("config.json".into(), config.clone().into_bytes()));
    for uid in ["first", "second"] {
        let mut filler = hub.filler(&volume, uid);
        filler.limits = limits(Engine::VLLM, &[]);
        filler.fill().await.unwrap();
    }
    let configs = hub.asked().into_iter().filter(|(name, _)| name == "config.json");
    assert_eq!(configs.count(), 1);
    assert_eq!(snapshot(&volume, "config.json"), config.as_bytes());
}

/// As `hf download` leaves it: nothing but the cache.
#[tokio::test]
async fn a_cache_that_somebody_s_own_client_filled_needs_no_hub_and_is_checked() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.filler(&volume, "first").fill().await.unwrap();
    let own = volume.path().join("batch-inference");
    std::fs::remove_dir_all(&own).unwrap();
    let vocabulary = hub_folder(&volume)
        .join("snapshots")
        .join(COMMIT)
        .join("tokenizer/vocab.json");
    std::fs::remove_file(&vocabulary).unwrap();
    hub.change(|hub| hub.is_away = true);
    for revision in ["main", COMMIT] {
        let mut filler = hub.filler(&volume, "second");
        filler.wanted.revision = revision.into();
        filler.fill().await.unwrap();
        assert_eq!(filler.told.commit.lock().unwrap().as_deref(), Some(COMMIT));
    }
    assert!(!vocabulary.exists());
    // A hub knows what else there is.
    hub.change(|hub| hub.is_away = false);
    let mut filler = hub.filler(&volume, "third");
    filler.wanted.revision = COMMIT.into();
    filler.fill().await.unwrap();
    assert_eq!(std::fs::read(&vocabulary).unwrap(), b"{}");
    // What is not as its name says is not taken.
    std::fs::remove_dir_all(&own).unwrap();
    hub.change(|hub| hub.is_away = true);
    let (blob, content) = weights_blob(&hub);
    std::fs::write(hub_folder(&volume).join("blobs").join(blob), vec![0; content.len()]).unwrap();
    let away = hub.filler(&volume, "fourth").fill().await.unwrap_err();
    assert!(matches!(away, FillError::Hub(HubError::Unreachable(_))), "{away}");
}

#[tokio::test]
async fn a_file_in_a_snapshot_that_was_not_checked_is_replaced() {
    let (hub, volume) = (Hub::start().await, volume());
    let (_, content) = weights_blob(&hub);
    let folder = hub_folder(&volume).join("snapshots").join(COMMIT);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(WEIGHTS), vec![0; content.len()]).unwrap();
    hub.filler(&volume, "first").fill().await.unwrap();
    assert_eq!(snapshot(&volume, WEIGHTS), content);
}

/// The feeder may have had no answer when it asked.
#[tokio::test]
async fn a_model_that_may_not_be_run_is_refused_before_it_is_brought() {
    let qwen3 = || json!({"model_type": "qwen3"});
    let awq = || json!({"model_type": "qwen3", "quantization_config": {"quant_method": "awq"}});
    for (engine, args, parameters, config, refused) in [
        (Engine::VLLM, &[][..], 7, qwen3(), None),
        (
            Engine::VLLM,
            &[],
            8,
            qwen3(),
            Some("has 8 parameters, and this operator runs models of up to 7"),
        ),
        (
            Engine::LoRAX,
            &[],
            7,
            qwen3(),
            Some("does not load models of the kind qwen3"),
        ),
        (Engine::VLLM, &["--quantization", "awq_marlin"], 7, awq(), None),
        (
            Engine::VLLM,
            &["--quantization", "gptq"],
            7,
            awq(),
            Some("org/model is quantized with awq already"),
        ),
    ] {
        let (hub, volume) = (Hub::start().await, volume());
        hub.change(|hub| {
            hub.parameters = parameters;
            hub.by_name
                .insert("config.json".into(), config.to_string().into_bytes());
        });
        let mut filler = hub.filler(&volume, "first");
        filler.wanted.engine = engine;
        filler.limits = limits(engine, args);
        let said = filler.fill().await.err().map(|error| error.to_string());
        match (&said, refused) {
            (Some(said), Some(words)) => assert!(said.contains(words), "{said}"),
            (said, refused) => assert_eq!(said.as_deref(), refused),
        }
        assert_eq!(filler.told.commit.lock().unwrap().is_none(), refused.is_some());
        assert_eq!(hub.asked().iter().any(|(name, _)| name == WEIGHTS), refused.is_none());
    }
}

#[tokio::test]
async fn files_that_were_removed_are_brought_again() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.filler(&volume, "first").fill().await.unwrap();
    let (blob, content) = weights_blob(&hub);
    std::fs::remove_file(hub_folder(&volume).join("blobs").join(blob)).unwrap();
    hub.asked();
    hub.filler(&volume, "second").fill().await.unwrap();
    assert_eq!(hub.asked(), [(WEIGHTS.to_owned(), 0)]);
    assert_eq!(snapshot(&volume, WEIGHTS), content);
}

#[tokio::test]
async fn a_hub_that_tells_no_checksums_fills_nothing() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.change(|hub| hub.tells_no_checksums = true);
    let unclear = hub.filler(&volume, "first").fill().await.unwrap_err();
    assert!(
        unclear.to_string().contains("does not say size and checksum"),
        "{unclear}"
    );
    assert!(!hub_folder(&volume).exists());
}
