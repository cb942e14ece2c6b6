//! What the API server knows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::uid_of;
use crate::pods::Pods;

/// What the scheduler says of a pod that waits for a node.
const NO_NODE: &str = "0/3 nodes are available: 3 Insufficient cpu.";

#[derive(Default)]
pub struct Shared {
    state: Mutex<Kept>,
    changed: watch::Sender<()>,
}

impl Shared {
    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something that watches should see.
    pub fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        let changed = change(&mut self.kept());
        self.changed.send_replace(());
        changed
    }

    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

#[derive(Default)]
pub struct Kept {
    /// Of the last change.
    pub version: u64,
    pub jobs: BTreeMap<(String, String), Value>,
    /// How often there has been a job of this name: each time it is another one.
    births: BTreeMap<(String, String), u64>,
    pub events: Vec<Event>,
    /// What happened before this version is forgotten.
    pub oldest: u64,
    /// How often all watches were ended.
    pub ended_watches: u64,
    pub secrets: BTreeMap<String, Value>,
    pub config_maps: BTreeMap<String, Value>,
    /// The feeders' Jobs, by name.
    pub feeders: BTreeMap<String, Value>,
    pub pods: Pods,
    /// Whether pods wait, and do not run.
    pub holds_pods: bool,
    /// What becomes of the next execs, where not all goes well.
    pub faults: VecDeque<Option<Fault>>,
    /// Execs with this word never get an answer.
    pub silent: Option<&'static str>,
    /// `VERB RESOURCE`, such as `GET secrets`.
    pub forbidden: BTreeSet<&'static str>,
    pub is_without_definition: bool,
    /// Method, path and query of each request.
    pub seen: Vec<String>,
}

/// What has happened to an object.
#[derive(Clone)]
pub struct Event {
    pub version: u64,
    pub change: &'static str,
    pub object: Value,
}

/// What can become of an exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks before there is an answer.
    Break,
    /// The same, and the pod is gone.
    LosePod,
    /// The pod ends, as all do after a while, and its processes with it.
    EndPod,
    /// No answer ever comes.
    Silence,
}

impl Kept {
    /// Creates or replaces a job.
    pub fn put(&mut self, mut job: Value) -> Value {
        let key = key(&job);
        let change = if self.jobs.contains_key(&key) {
            "MODIFIED"
        } else {
            *self.births.entry(key.clone()).or_default() += 1;
            "ADDED"
        };
        job["metadata"]["uid"] = json!(uid_of(&key.1, self.births[&key]));
        let job = self.happen(change, job);
        self.jobs.insert(key, job.clone());
        job
    }

    /// Removes a job.
    pub fn delete(&mut self, key: &(String, String)) {
        let job = self.jobs.remove(key).expect("a job");
        self.happen("DELETED", job);
    }

    /// Creates a pod, which waits for a node.
    pub fn create_pod(&mut self, pod: Value) -> Value {
        let mut status = json!({"phase": "Pending"});
        if self.holds_pods {
            status["conditions"] = json!([{"type": "PodScheduled", "status": "False", "message": NO_NODE}]);
        }
        let pod = self.pods.create(pod, status);
        self.happen("ADDED", pod)
    }

    /// All pods that wait run from now on.
    pub fn run_pods(&mut self) {
        for pod in self.pods.run() {
            self.happen("MODIFIED", pod);
        }
    }

    pub fn delete_pod(&mut self, name: &str) -> Option<Value> {
        let pod = self.pods.delete(name)?;
        Some(self.happen("DELETED", pod))
    }

    fn happen(&mut self, change: &'static str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.events.push(Event {
            version: self.version,
            change,
            object: object.clone(),
        });
        object
    }
}

fn key(job: &Value) -> (String, String) {
    let text = |field: &str| job["metadata"][field].as_str().expect(field).to_owned();
    (text("namespace"), text("name"))
}
