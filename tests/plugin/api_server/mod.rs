//! Kubernetes, as far as the plugin sees it: jobs of two namespaces, and what stands around them.
//!
//! [`ApiServer`] is what tests do to it. [`state`] is what it knows; requests come to [`jobs`] and [`objects`], and what is listed and
//! followed goes through [`watches`].

mod answers;
mod jobs;
mod objects;
mod state;
mod watches;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use batch_inference_operator::api::names::{Component, child_name};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::connections::{Crashes, Listener};
use crate::pods;
use answers::{refusal, unknown_path};
use jobs::{create, get_job, list_all, list_namespace, patch_job};
use objects::{
    create_pod, delete_pod, exec, get_config_map, get_feeder, get_namespace, get_pod, get_secret, list_feeders,
    list_pods,
};
use state::Shared;

pub use state::Fault;

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
    crashes: Arc<Crashes>,
    _serving: AbortOnDropHandle<()>,
}

impl ApiServer {
    /// Starts on the current runtime.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let crashes = Arc::<Crashes>::default();
        let listener = Listener::new(listener, Arc::clone(&crashes)).unwrap();
        let shared = Arc::<Shared>::default();
        let router = router(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            shared,
            crashes,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
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
                "name": name, "namespace": namespace, "creationTimestamp": "2026-11-24T08:00:00Z",
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
        let key = (NAMESPACE.to_owned(), name.to_owned());
        self.shared.change(|kept| kept.delete(&key));
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

    /// From now on, execs whose command has this word get no answer; with `None`, all do.
    pub fn silence_execs(&self, word: Option<&'static str>) {
        self.shared.kept().silent = word;
    }

    /// The commands of all execs so far, without the program's path.
    pub fn commands(&self) -> Vec<Vec<String>> {
        let seen = self.seen().into_iter();
        seen.filter_map(|request| {
            let (path, query) = request.split_once('?')?;
            path.ends_with("/exec").then(|| pods::command(query))
        })
        .collect()
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

    /// The same, with variables of its own.
    pub fn put_feeder_with_env(&self, job: &str, secret: &str, env: Value) {
        let name = child_name(job, Component::Feeder);
        let mut feeder = pods::feeder(&name, secret);
        feeder["spec"]["template"]["spec"]["containers"][0]["env"] = env;
        self.shared.kept().feeders.insert(name, feeder);
    }

    /// The pods that were created, and how many of them are still there.
    pub fn pods(&self) -> (Vec<Value>, usize) {
        self.shared.kept().pods.created_and_left()
    }

    /// From now on, pods wait for a node.
    pub fn hold_pods(&self) {
        self.shared.kept().holds_pods = true;
    }

    /// The node is there, for which pods have waited.
    pub fn release_pods(&self) {
        self.shared.kept().holds_pods = false;
        self.shared.change(state::Kept::run_pods);
    }

    /// Ends all watches, as API servers do every few minutes.
    pub fn end_watches(&self) {
        self.shared.change(|kept| kept.ended_watches += 1);
    }

    /// The same, and forgets what has happened: who wants to go on from there has to list anew.
    pub fn expire_watches(&self) {
        self.shared.change(|kept| {
            kept.version += 1;
            kept.oldest = kept.version;
            kept.ended_watches += 1;
        });
    }

    /// Resets all connections, and takes no other for a while.
    pub fn go_away(&self, down: Duration) {
        self.crashes.crash(down);
    }

    /// How many watches of jobs have been begun.
    pub fn watches(&self) -> usize {
        let seen = self.seen().into_iter();
        seen.filter(|request| request.contains("batchinferencejobs") && request.contains("watch=true"))
            .count()
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

/// The uid of the first job of that name.
pub fn uid(name: &str) -> String {
    uid_of(name, 1)
}

/// The uid of the first, second, ... job of that name.
fn uid_of(name: &str, birth: u64) -> String {
    let letters = name
        .bytes()
        .fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    format!("00000000-0000-4000-8{birth:03x}-{:012x}", letters & 0xffff_ffff_ffff)
}

fn is_namespace(name: &str) -> bool {
    [NAMESPACE, OTHER_NAMESPACE].contains(&name)
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route(JOBS, get(list_namespace).post(create))
        .route(&format!("{JOBS}/{{name}}"), get(get_job).patch(patch_job))
        .route(ALL_JOBS, get(list_all))
        .route("/api/v1/namespaces/{namespace}", get(get_namespace))
        .route("/api/v1/namespaces/{namespace}/secrets/{name}", get(get_secret))
        .route("/api/v1/namespaces/{namespace}/configmaps/{name}", get(get_config_map))
        .route("/apis/batch/v1/namespaces/{namespace}/jobs", get(list_feeders))
        .route("/apis/batch/v1/namespaces/{namespace}/jobs/{name}", get(get_feeder))
        .route(PODS, get(list_pods).post(create_pod))
        .route(&format!("{PODS}/{{name}}"), get(get_pod).delete(delete_pod))
        .route(&format!("{PODS}/{{name}}/exec"), get(exec))
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
