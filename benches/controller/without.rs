//! The same Jobs, Deployments and pods without an operator, as fast as the cluster makes and removes them: the yardstick.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, PostParams};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::cluster::{end_pod, for_each, namespace, running};
use super::signals::{Signal, Signals};

const NAMESPACE: &str = "without";
const LABEL: &str = "bench";

struct Cluster {
    jobs: Api<Job>,
    deployments: Api<Deployment>,
    pods: Api<Pod>,
    signals: Signals,
    feeders: Mutex<HashSet<String>>,
}

/// How long so many take, from the first that is made to the last of which nothing runs.
pub async fn run(client: &Client, jobs: usize) -> Duration {
    namespace(client, NAMESPACE).await;
    let cluster = Arc::new(Cluster {
        jobs: Api::namespaced(client.clone(), NAMESPACE),
        deployments: Api::namespaced(client.clone(), NAMESPACE),
        pods: Api::namespaced(client.clone(), NAMESPACE),
        signals: Signals::default(),
        feeders: Mutex::default(),
    });
    let watches = [
        tokio::spawn(Arc::clone(&cluster).watch_pods()),
        tokio::spawn(Arc::clone(&cluster).watch_jobs()),
        tokio::spawn(Arc::clone(&cluster).watch_deployments()),
    ];
    let started = Instant::now();
    for_each(0..jobs, |number| {
        let (cluster, name) = (Arc::clone(&cluster), name(number));
        async move {
            let job: Job = serde_json::from_value(feeder(&name)).unwrap();
            cluster.jobs.create(&PostParams::default(), &job).await.unwrap();
        }
    })
    .await;
    for number in 0..jobs {
        cluster.signals.until(&name(number), Signal::ServersGone).await;
        cluster.signals.until(&name(number), Signal::Ended).await;
    }
    let took = started.elapsed();
    for watch in watches {
        watch.abort();
    }
    took
}

fn name(number: usize) -> String {
    format!("job-{number}")
}

impl Cluster {
    async fn watch_pods(self: Arc<Self>) {
        let mut pods = pin!(running(self.pods.clone(), LABEL));
        while let Some((pod, job)) = pods.next().await {
            if pod.name_any().contains("-server-") {
                self.signals.raise(&job, Signal::ServerReady);
            } else if self.feeders.lock().unwrap().insert(pod.name_any()) {
                tokio::spawn(Arc::clone(&self).feed(pod, job));
            }
        }
    }

    async fn feed(self: Arc<Self>, pod: Pod, job: String) {
        let servers: Deployment = serde_json::from_value(servers(&job)).unwrap();
        self.deployments.create(&PostParams::default(), &servers).await.unwrap();
        self.signals.until(&job, Signal::ServerReady).await;
        self.deployments
            .delete(&servers.name_any(), &DeleteParams::foreground())
            .await
            .unwrap();
        end_pod(&self.pods, &pod).await;
    }

    async fn watch_jobs(self: Arc<Self>) {
        let mut jobs = watcher(self.jobs.clone(), watcher::Config::default())
            .applied_objects()
            .boxed();
        while let Some(job) = jobs.next().await {
            let job = job.unwrap();
            if job
                .status
                .as_ref()
                .is_some_and(|status| status.completion_time.is_some())
            {
                self.signals.raise(&job.name_any(), Signal::Ended);
            }
        }
    }

    async fn watch_deployments(self: Arc<Self>) {
        let mut events = watcher(self.deployments.clone(), watcher::Config::default()).boxed();
        while let Some(event) = events.next().await {
            if let Event::Delete(deployment) = event.unwrap() {
                self.signals.raise(&deployment.labels()[LABEL], Signal::ServersGone);
            }
        }
    }
}

fn pod(job: &str, policy: &str) -> Value {
    let resources = json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}});
    json!({"metadata": {"labels": {LABEL: job}},
           "spec": {"restartPolicy": policy, "containers": [{"name": "c", "image": "i", "resources": resources}]}})
}

fn feeder(job: &str) -> Value {
    json!({"metadata": {"name": job, "labels": {LABEL: job}}, "spec": {"template": pod(job, "OnFailure")}})
}

fn servers(job: &str) -> Value {
    json!({"metadata": {"name": format!("{job}-server"), "labels": {LABEL: job}},
           "spec": {"selector": {"matchLabels": {LABEL: job}}, "template": pod(job, "Always")}})
}
