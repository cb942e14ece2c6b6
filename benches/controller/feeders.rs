//! Stand-ins for feeders: they report what a feeder reports, when it would, and run no row.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use batch_inference_operator::api::BatchInferenceJob;
use batch_inference_operator::api::names::{ANNOTATION_JOB, Component, LABEL_COMPONENT, LABEL_JOB_UID};
use batch_inference_operator::api::status::{
    DatasetStatus, FEEDER_FIELD_MANAGER, FeederStage, FeederState, FeederStatus, Progress, ResultsStatus, UsageStatus,
    patch,
};
use batch_inference_operator::feeder::PROGRESS_INTERVAL;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use tokio::sync::watch;

use super::cluster::{end_pod, running};
use super::signals::{Signal, Signals};

const ROWS: i64 = 1000;

/// Feeders of all jobs of a namespace, until it is dropped.
pub struct Feeders {
    task: tokio::task::JoinHandle<()>,
    /// Whether rows are to be held back.
    hold: watch::Sender<bool>,
}

impl Drop for Feeders {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Feeders {
    pub fn start(client: Client, namespace: &str) -> Self {
        let hold = watch::Sender::new(false);
        let all = All {
            pods: Api::namespaced(client.clone(), namespace),
            jobs: Api::namespaced(client, namespace),
            signals: Signals::default(),
            seen: Mutex::default(),
            hold: hold.subscribe(),
        };
        Self {
            task: tokio::spawn(Arc::new(all).serve()),
            hold,
        }
    }

    /// From now on, servers are kept until this is taken back.
    pub fn hold(&self, hold: bool) {
        self.hold.send_replace(hold);
    }
}

struct All {
    pods: Api<Pod>,
    jobs: Api<BatchInferenceJob>,
    signals: Signals,
    seen: Mutex<HashSet<String>>,
    hold: watch::Receiver<bool>,
}

impl All {
    async fn serve(self: Arc<Self>) {
        let mut pods = pin!(running(self.pods.clone(), LABEL_JOB_UID));
        while let Some((pod, job)) = pods.next().await {
            let component = pod.labels().get(LABEL_COMPONENT);
            if component.is_some_and(|component| component == Component::Server.as_str()) {
                self.signals.raise(&job, Signal::ServerReady);
            } else if self.seen.lock().unwrap().insert(pod.name_any()) {
                tokio::spawn(Arc::clone(&self).feed(pod, job));
            }
        }
    }

    async fn feed(self: Arc<Self>, pod: Pod, uid: String) {
        let name = pod.annotations()[ANNOTATION_JOB].clone();
        let report = |stage, done| self.report(&name, &uid, stage, done);
        report(FeederStage::Inspecting, 0).await;
        report(FeederStage::Feeding, 0).await;
        self.signals.until(&uid, Signal::ServerReady).await;
        let mut hold = self.hold.clone();
        let mut done = 0;
        // Not all in the same moment.
        let mut pause = PROGRESS_INTERVAL.mul_f64(rand::random());
        while *hold.borrow_and_update() {
            if tokio::time::timeout(pause, hold.changed()).await.is_err() {
                done += 1;
                report(FeederStage::Feeding, done).await;
                pause = PROGRESS_INTERVAL;
            }
        }
        report(FeederStage::Finalizing, ROWS).await;
        report(FeederStage::Ended, ROWS).await;
        // A process ends a moment after its last words.
        tokio::time::sleep(Duration::from_millis(10)).await;
        end_pod(&self.pods, &pod).await;
    }

    async fn report(&self, name: &str, uid: &str, stage: FeederStage, done: i64) {
        let patch = patch(name, uid, None, &status(stage, done));
        let params = PatchParams::apply(FEEDER_FIELD_MANAGER).force();
        // A busy API server drops connections; a feeder says it again.
        while let Err(error) = self.jobs.patch_status(name, &params, &Patch::Apply(&patch)).await {
            eprintln!("the report of {name} failed: {error}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// What a feeder says at this stage, when so many rows are finished.
pub fn status(stage: FeederStage, done: i64) -> FeederStatus {
    let ended = stage == FeederStage::Ended;
    let inspected = stage != FeederStage::Inspecting;
    FeederStatus {
        feeder: Some(FeederState {
            attempt: 1,
            state: stage,
            servers_needed: stage == FeederStage::Feeding,
            servers_wanted: None,
            idle_servers: Vec::new(),
            reason: ended.then(|| "AllRowsSucceeded".into()),
            message: ended.then(|| format!("{ROWS} rows, each with a result")),
            warnings: Vec::new(),
            last_durable_at: None,
            hung_servers: Vec::new(),
        }),
        model: None,
        adapters: None,
        dataset: inspected.then(|| DatasetStatus {
            rows: ROWS,
            bytes: 400 * ROWS,
            version: "\"d41d8cd98f00b204e9800998ecf8427e\"".into(),
            sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into(),
            ..DatasetStatus::default()
        }),
        progress: inspected.then(|| Progress {
            total: ROWS,
            completed: done,
            failed: 0,
            percent: 100 * done / ROWS,
            rows_per_second: Some("12.5".into()),
            estimated_completion_time: None,
        }),
        usage: inspected.then_some(UsageStatus {
            prompt_tokens: 100 * done,
            completion_tokens: 200 * done,
            total_tokens: 300 * done,
        }),
        results: ended.then(|| ResultsStatus {
            uri: "s3://bucket/output/results.jsonl".into(),
            errors_uri: "s3://bucket/output/errors.jsonl".into(),
            manifest_uri: "s3://bucket/output/manifest.json".into(),
            rows: ROWS,
            errors: 0,
        }),
    }
}
