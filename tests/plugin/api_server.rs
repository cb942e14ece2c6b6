//! Kubernetes, as far as the plugin sees it: jobs of two namespaces, and in [`objects`] what is beside them.

mod objects;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use batch_inference_operator::api::names::{Component, child_name};
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::pods::{self, Pods};

/// The namespace of the kubeconfig's context.
pub const NAMESPACE: &str = "team";
/// Another one that is there.
pub const OTHER_NAMESPACE: &str = "other";

const JOBS: &str = "/apis/batchinference.dev/v1alpha1/namespaces/{namespace}/batchinferencejobs";
const PODS: &str = "/api/v1/namespaces/{namespace}/pods";
const ALL_JOBS: &str = "/apis/batchinference.dev/v1alpha1/batchinferencejobs";

/// A running API server, until it is dropped.
pub struct ApiServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<Kept>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Kept {
    version: u64,
    jobs: BTreeMap<(String, String), Value>,
    /// Version, kind of change, job.
    events: Vec<(u64, &'static str, Value)>,
    secrets: BTreeMap<String, Value>,
    config_maps: BTreeMap<String, Value>,
    /// The feeders' Jobs, by name.
    feeders: BTreeMap<String, Value>,
    pods: Pods,
    /// What becomes of the next execs, where not all goes well.
    faults: VecDeque<Option<Fault>>,
    /// `VERB RESOURCE`, such as `GET secrets`.
    forbidden: BTreeSet<&'static str>,
    is_without_definition: bool,
    /// Method, path and query of each request.
    seen: Vec<String>,
}

/// What can become of an exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks before there is an answer.
    Break,
    /// The same, and the pod is gone.
    LosePod,
    /// No answer ever comes.
    Silence,
}

impl Kept {
    fn put(&mut self, mut job: Value) -> Value {
        self.version += 1;
        job["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let key = key(&job);
        let change = if self.jobs.contains_key(&key) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        self.jobs.insert(key, job.clone());
        self.events.push((self.version, change, job.clone()));
        job
    }
}

fn key(job: &Value) -> (String, String) {
    let text = |field: &str| job["metadata"][field].as_str().expect(field).to_owned();
    (text("namespace"), text("name"))
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        let changed = change(&mut self.kept());
        self.changed.send_replace(());
        changed
    }
}

impl ApiServer {
    /// Starts on the current runtime.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let router = router(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            shared,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    /// The content of a kubeconfig.
    pub fn kubeconfig(&self) -> String {
        kubeconfig(&format!("http://{}", self.address))
    }

    /// Creates or replaces a job of the namespace.
    pub fn put(&self, name: &str, spec: Value, status: Value) {
        self.put_in(NAMESPACE, name, spec, status);
    }

    /// The same in any namespace.
    pub fn put_in(&self, namespace: &str, name: &str, spec: Value, status: Value) {
        let job = json!({
            "apiVersion": "batchinference.dev/v1alpha1",
            "kind": "BatchInferenceJob",
            "metadata": {
                "name": name, "namespace": namespace, "uid": uid(name), "creationTimestamp": "2026-11-24T08:00:00Z",
                "managedFields": [{"manager": "somebody"}],
            },
            "spec": spec,
            "status": status,
        });
        self.shared.change(|kept| kept.put(job));
    }

    /// Changes the status of a job that is there.
    pub fn set_status(&self, name: &str, status: Value) {
        let spec = self.job(name)["spec"].clone();
        self.put(name, spec, status);
    }

    /// Removes a job.
    pub fn delete(&self, name: &str) {
        self.shared.change(|kept| {
            let job = kept.jobs.remove(&(NAMESPACE.to_owned(), name.to_owned())).expect(name);
            kept.version += 1;
            let version = kept.version;
            kept.events.push((version, "DELETED", job));
        });
    }

    /// A job as it is now.
    pub fn job(&self, name: &str) -> Value {
        self.shared.kept().jobs[&(NAMESPACE.to_owned(), name.to_owned())].clone()
    }

    /// How many jobs there are.
    pub fn jobs(&self) -> usize {
        self.shared.kept().jobs.len()
    }

    /// Puts a Secret into the namespace.
    pub fn put_secret(&self, name: &str, keys: impl IntoIterator<Item = (String, String)>) {
        let data: BTreeMap<_, _> = keys
            .into_iter()
            .map(|(key, value)| (key, STANDARD.encode(value)))
            .collect();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}, "data": data,
        });
        self.shared.kept().secrets.insert(name.to_owned(), secret);
    }

    /// Puts a ConfigMap into the namespace, as a feeder leaves one: `component` is `results` or `segments`.
    pub fn put_config_map(&self, name: &str, component: &str, objects: &[(String, Vec<u8>)]) {
        let data: BTreeMap<_, _> = objects
            .iter()
            .map(|(key, bytes)| (key.replace('/', ".."), STANDARD.encode(bytes)))
            .collect();
        let labels = json!({
            "app.kubernetes.io/name": "batch-inference-job",
            "app.kubernetes.io/component": component,
            "app.kubernetes.io/managed-by": "batch-inference-operator",
        });
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels, "resourceVersion": "1"},
            "binaryData": data,
        });
        self.shared.kept().config_maps.insert(name.to_owned(), map);
    }

    /// What becomes of the next execs, one each; with `None`, all goes well.
    pub fn fail_execs(&self, faults: &[Option<Fault>]) {
        self.shared.kept().faults.extend(faults);
    }

    /// Whether all faults that were wished for have happened.
    pub fn has_failed_execs(&self) -> bool {
        self.shared.kept().faults.is_empty()
    }

    /// Puts the feeder of a job into the namespace, with the keys of a Secret.
    pub fn put_feeder(&self, job: &str, secret: &str) {
        let name = child_name(job, Component::Feeder);
        let feeder = pods::feeder(&name, secret);
        self.shared.kept().feeders.insert(name, feeder);
    }

    /// The pods that were created, and how many of them are still there.
    pub fn pods(&self) -> (Vec<Value>, usize) {
        self.shared.kept().pods.created_and_left()
    }

    /// Takes a right away, such as `GET secrets`.
    pub fn forbid(&self, right: &'static str) {
        self.shared.kept().forbidden.insert(right);
    }

    /// Forgets what jobs are.
    pub fn remove_definition(&self) {
        self.shared.kept().is_without_definition = true;
    }

    /// Requests so far, as `METHOD PATH?QUERY`.
    pub fn seen(&self) -> Vec<String> {
        self.shared.kept().seen.clone()
    }
}

/// A kubeconfig with one context, `test`.
pub fn kubeconfig(server: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": NAMESPACE}}],
        "current-context": "test",
    })
    .to_string()
}

/// The uid of a job of that name.
pub fn uid(name: &str) -> String {
    let letters = name
        .bytes()
        .fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    format!("00000000-0000-4000-8000-{:012x}", letters & 0xffff_ffff_ffff)
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route(JOBS, get(list_namespace).post(create))
        .route(&format!("{JOBS}/{{name}}"), get(get_job).patch(patch_job))
        .route(ALL_JOBS, get(list_all))
        .route("/api/v1/namespaces/{namespace}", get(get_namespace))
        .route(
            "/api/v1/namespaces/{namespace}/secrets/{name}",
            get(objects::get_secret),
        )
        .route(
            "/api/v1/namespaces/{namespace}/configmaps/{name}",
            get(objects::get_config_map),
        )
        .route("/apis/batch/v1/namespaces/{namespace}/jobs", get(objects::list_feeders))
        .route(
            "/apis/batch/v1/namespaces/{namespace}/jobs/{name}",
            get(objects::get_feeder),
        )
        .route(PODS, get(objects::list_pods).post(objects::create_pod))
        .route(
            &format!("{PODS}/{{name}}"),
            get(objects::get_pod).delete(objects::delete_pod),
        )
        .route(&format!("{PODS}/{{name}}/exec"), get(objects::exec))
        .fallback(async || unknown_path())
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), check))
        .with_state(shared)
}

/// Notes the request, and refuses what is forbidden or not defined.
async fn check(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let resource = [
        "batchinferencejobs",
        "secrets",
        "configmaps",
        "/exec",
        "pods",
        "namespaces",
    ]
    .into_iter()
    .find(|name| path.contains(name));
    let right = format!("{} {}", request.method(), resource.unwrap_or_default());
    let refused = {
        let mut kept = shared.kept();
        kept.seen.push(format!("{} {}", request.method(), request.uri()));
        if kept.is_without_definition && path.contains("batchinferencejobs") {
            Some(unknown_path())
        } else if kept.forbidden.contains(right.as_str()) {
            Some(refusal(
                StatusCode::FORBIDDEN,
                "Forbidden",
                "User \"jane\" cannot do this",
                "",
            ))
        } else {
            None
        }
    };
    match refused {
        Some(refused) => refused,
        None => next.run(request).await,
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    #[serde(default)]
    watch: bool,
    resource_version: Option<String>,
    label_selector: Option<String>,
    field_selector: Option<String>,
    dry_run: Option<String>,
    field_validation: Option<String>,
}

impl Parameters {
    fn pick(&self, job: &Value) -> bool {
        let metadata = &job["metadata"];
        let by_label = self
            .label_selector
            .as_deref()
            .and_then(|selector| selector.split_once('='));
        let by_name = self
            .field_selector
            .as_deref()
            .and_then(|selector| selector.strip_prefix("metadata.name="));
        by_label.is_none_or(|(key, value)| metadata["labels"][key] == value)
            && by_name.is_none_or(|name| metadata["name"] == name)
    }
}

async fn list_namespace(
    State(shared): State<Arc<Shared>>,
    Path(namespace): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Response {
    list(
        shared,
        move |job| job["metadata"]["namespace"] == namespace.as_str(),
        parameters,
    )
}

async fn list_all(State(shared): State<Arc<Shared>>, Query(parameters): Query<Parameters>) -> Response {
    list(shared, |_| true, parameters)
}

fn list(
    shared: Arc<Shared>,
    is_meant: impl Fn(&Value) -> bool + Clone + Send + 'static,
    parameters: Parameters,
) -> Response {
    if parameters.watch {
        return watch(shared, is_meant, parameters);
    }
    let kept = shared.kept();
    let items: Vec<_> = kept
        .jobs
        .values()
        .filter(|job| is_meant(job) && parameters.pick(job))
        .collect();
    Json(json!({
        "apiVersion": "batchinference.dev/v1alpha1",
        "kind": "BatchInferenceJobList",
        "metadata": {"resourceVersion": kept.version.to_string()},
        "items": items,
    }))
    .into_response()
}

fn watch(
    shared: Arc<Shared>,
    is_meant: impl Fn(&Value) -> bool + Clone + Send + 'static,
    parameters: Parameters,
) -> Response {
    let since = parameters.resource_version.as_deref().unwrap_or("0");
    let since: u64 = since.parse().expect("a version that came from here");
    let changes = shared.changed.subscribe();
    let lines = stream::unfold((shared, changes, since), move |(shared, mut changes, since)| {
        let (is_meant, parameters) = (is_meant.clone(), parameters.clone());
        async move {
            loop {
                let next = {
                    let kept = shared.kept();
                    let mut events = kept.events.iter();
                    let next =
                        events.find(|(version, _, job)| *version > since && is_meant(job) && parameters.pick(job));
                    next.cloned()
                };
                if let Some((version, change, job)) = next {
                    let line = format!("{}\n", json!({"type": change, "object": job}));
                    return Some((Ok::<_, Infallible>(line), (shared, changes, version)));
                }
                changes.changed().await.ok()?;
            }
        }
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response()
}

async fn get_job(State(shared): State<Arc<Shared>>, Path(key): Path<(String, String)>) -> Response {
    match shared.kept().jobs.get(&key) {
        Some(job) => Json(job).into_response(),
        None => not_found("batchinferencejobs"),
    }
}

async fn create(
    State(shared): State<Arc<Shared>>,
    Path(namespace): Path<String>,
    Query(parameters): Query<Parameters>,
    body: Bytes,
) -> Response {
    let mut job: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !is_namespace(&namespace) {
        return not_found("namespaces");
    }
    if parameters.field_validation.as_deref() == Some("Strict") && job["spec"]["serverr"].is_object() {
        let message = "strict decoding error: unknown field \"spec.serverr\"";
        return refusal(StatusCode::BAD_REQUEST, "BadRequest", message, "");
    }
    if let Some(prefix) = job["metadata"]["generateName"].as_str() {
        job["metadata"]["name"] = json!(format!("{prefix}x7k2p"));
    }
    let name = job["metadata"]["name"].as_str().expect("a name").to_owned();
    job["metadata"]["namespace"] = json!(namespace);
    job["metadata"]["uid"] = json!(uid(&name));
    if shared.kept().jobs.contains_key(&(namespace, name.clone())) {
        let message = format!("batchinferencejobs.batchinference.dev \"{name}\" already exists");
        return refusal(StatusCode::CONFLICT, "AlreadyExists", &message, "");
    }
    if parameters.dry_run.is_none() {
        job = shared.change(|kept| kept.put(job));
    }
    (StatusCode::CREATED, Json(job)).into_response()
}

async fn patch_job(State(shared): State<Arc<Shared>>, Path(key): Path<(String, String)>, body: Bytes) -> Response {
    let patch: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(mut job) = shared.kept().jobs.get(&key).cloned() else {
        return not_found("batchinferencejobs");
    };
    if patch["metadata"]["uid"] != job["metadata"]["uid"] {
        return refusal(StatusCode::CONFLICT, "Conflict", "the UID is another", "");
    }
    for (field, value) in patch["spec"].as_object().expect("a spec") {
        job["spec"][field] = value.clone();
    }
    Json(shared.change(|kept| kept.put(job))).into_response()
}

async fn get_namespace(Path(namespace): Path<String>) -> Response {
    if !is_namespace(&namespace) {
        return not_found("namespaces");
    }
    Json(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})).into_response()
}

fn is_namespace(name: &str) -> bool {
    [NAMESPACE, OTHER_NAMESPACE].contains(&name)
}

/// As the API server answers where nothing is: one line of text.
fn unknown_path() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

fn not_found(kind: &str) -> Response {
    refusal(StatusCode::NOT_FOUND, "NotFound", "not found", kind)
}

fn refusal(code: StatusCode, reason: &str, message: &str, kind: &str) -> Response {
    let status = json!({
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "details": {"kind": kind},
        "code": code.as_u16(),
    });
    (code, Json(status)).into_response()
}
