//! Kubernetes, as far as a feeder sees it: an API server with one namespace, jobs, EndpointSlices and ConfigMaps.
//!
//! Start with [`Kubernetes`], what tests do with it; `objects` is what it holds, `routes` what the feeder asks of it. Whatever a
//! feeder has no right to ask is refused and remembered.

mod objects;
mod routes;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use batch_inference_operator::api::names::{Component, SERVER_PORT_NAME, child_name};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use objects::{Kind, Objects};

pub const NAMESPACE: &str = "tests";

/// A running API server, until it is dropped.
pub struct Kubernetes {
    address: SocketAddr,
    shared: Arc<Shared>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Shared {
    objects: Mutex<Objects>,
    /// Told of every change of the objects.
    changed: watch::Sender<()>,
    /// What nobody may ask, and was asked.
    refused: Mutex<Vec<String>>,
    /// Whether every request fails.
    away: AtomicBool,
    /// Whether the feeder may do nothing any more.
    has_no_role: AtomicBool,
}

impl Shared {
    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Objects) -> T) -> T {
        let changed = change(&mut self.objects());
        self.changed.send_replace(());
        changed
    }

    fn refused(&self) -> MutexGuard<'_, Vec<String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kubernetes {
    /// Starts on the current runtime.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let router = routes::router(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            shared,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    /// The content of a file for `KUBECONFIG`.
    pub fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        })
        .to_string()
    }

    /// Creates or replaces a job.
    pub fn put_job(&self, job: Value) {
        self.shared.change(|objects| objects.put(Kind::Job, job));
    }

    /// Changes a job that is there.
    pub fn change_job(&self, name: &str, change: impl FnOnce(&mut Value)) {
        self.shared.change(|objects| {
            let mut job = objects.get(Kind::Job, name).expect("the job is there");
            change(&mut job);
            objects.put(Kind::Job, job);
        });
    }

    /// A job as it is now.
    pub fn job(&self, name: &str) -> Value {
        self.shared.objects().get(Kind::Job, name).expect("the job is there")
    }

    /// A ConfigMap as it is now.
    pub fn config_map(&self, name: &str) -> Option<Value> {
        self.shared.objects().get(Kind::ConfigMap, name)
    }

    /// Creates or replaces a ConfigMap.
    pub fn put_config_map(&self, map: Value) {
        self.shared.change(|objects| objects.put(Kind::ConfigMap, map));
    }

    /// Every status that a job had, the oldest first.
    pub fn statuses(&self, name: &str) -> Vec<Value> {
        self.shared.objects().statuses(name)
    }

    /// Adds a job's ready server. Each has its own slice, as here each has its own port.
    pub fn put_server(&self, job: &str, pod: &str, address: SocketAddr) {
        let service = child_name(job, Component::Server);
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": pod, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4",
            "ports": [{"name": SERVER_PORT_NAME, "port": address.port(), "protocol": "TCP"}],
            "endpoints": [{
                "addresses": [address.ip().to_string()],
                "conditions": {"ready": true},
                "targetRef": {"kind": "Pod", "name": pod},
            }],
        });
        self.shared.change(|objects| objects.put(Kind::EndpointSlice, slice));
    }

    /// Removes a server.
    pub fn delete_server(&self, pod: &str) {
        self.shared.change(|objects| objects.delete(Kind::EndpointSlice, pod));
    }

    /// Lets every request fail, or no longer. Watches that are open go on.
    pub fn set_away(&self, away: bool) {
        self.shared.away.store(away, Ordering::SeqCst);
    }

    /// Takes the feeder's role away, as happens before its pod ends when its job is deleted.
    pub fn remove_role(&self) {
        self.shared.has_no_role.store(true, Ordering::SeqCst);
    }

    /// Requests for which a feeder has no right.
    pub fn refused(&self) -> Vec<String> {
        self.shared.refused().clone()
    }
}
