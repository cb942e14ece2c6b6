//! When a cluster told that a server is ready: from then on it can have rows.
//!
//! Pods say it themselves, in whole seconds, and before the `EndpointSlice` does.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use futures::StreamExt;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::task::JoinHandle;

/// Watches the `EndpointSlices` of a namespace, until dropped.
pub struct Readiness {
    ready_since: Arc<Mutex<BTreeMap<String, SystemTime>>>,
    watch: JoinHandle<()>,
}

impl Readiness {
    /// Sees each pod that is told to be ready from now on.
    pub fn watch(client: Client, namespace: &str) -> Self {
        let ready_since = Arc::<Mutex<BTreeMap<_, _>>>::default();
        let slices: Api<EndpointSlice> = Api::namespaced(client, namespace);
        let seen = ready_since.clone();
        let watch = tokio::spawn(async move {
            let changed = watcher(slices, watcher::Config::default())
                .default_backoff()
                .applied_objects();
            let mut changed = pin!(changed);
            while let Some(slice) = changed.next().await {
                let Ok(slice) = slice else { continue };
                let now = SystemTime::now();
                let mut seen = seen.lock().expect("no panic");
                for pod in ready_pods(slice) {
                    seen.entry(pod).or_insert(now);
                }
            }
        });
        Self { ready_since, watch }
    }

    /// When a pod was told to be ready.
    pub fn of(&self, pod: &str) -> Option<SystemTime> {
        self.ready_since.lock().expect("no panic").get(pod).copied()
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

fn ready_pods(slice: EndpointSlice) -> impl Iterator<Item = String> {
    let ready = slice.endpoints.into_iter().flatten().filter(|endpoint| {
        let conditions = endpoint.conditions.as_ref();
        conditions.and_then(|conditions| conditions.ready) == Some(true)
    });
    ready.filter_map(|endpoint| endpoint.target_ref?.name)
}
