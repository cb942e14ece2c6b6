//! A pod beside an output, for who has no keys of its store, or whose output is on a claim: the feeder's image with the feeder's
//! keys, which gives objects when it is asked by exec.
//!
//! Start with [`OutputPod`], the pod's life; [`template`] makes it of the feeder's own (pure), [`exec`] asks it, and [`objects`] is a
//! store of what it gives, so that everything that reads an output reads this one too.

mod exec;
mod objects;
mod template;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job as FeederJob;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::job::Job;
use super::refusal::{Asked, Refusal, last_cause};
use super::standard_error::tell;
use crate::api::names::{Component, child_name};
use crate::storage::{Store, StoreUri};
use exec::Remote;
use objects::PodObjects;
use template::{NoTemplate, pod};

/// Its image is on a node already, mostly: a feeder ran from it.
const STARTS_WITHIN: Duration = Duration::from_mins(2);
/// After that it ends by itself, also when nobody is there any more to remove it. A fetch that is not done then goes on with another.
const STAYS_FOR: Duration = Duration::from_hours(1);

/// Why there is no pod.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// A right is missing, or the API server failed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is nothing to make it of.
    #[error("the job's feeder, whose image and keys it would have, is not there any more")]
    NoFeeder,
    /// The feeder is not as this program knows it.
    #[error(transparent)]
    Template(#[from] NoTemplate),
    /// It does not run.
    #[error("the pod {name} does not start: {why}")]
    NotStarted {
        /// Its name.
        name: String,
        /// What its status says.
        why: String,
    },
    /// By the person who wanted it.
    #[error("interrupted")]
    Interrupted,
}

/// A pod that runs.
pub struct OutputPod {
    pods: Api<Pod>,
    name: String,
    store: Store,
}

impl OutputPod {
    /// Makes it, and waits until it runs.
    ///
    /// # Errors
    ///
    /// [`PodError`]; then there is no pod.
    pub async fn start(
        client: Client,
        server: &str,
        job: &Job,
        uri: &StoreUri,
        interruption: &CancellationToken,
    ) -> Result<Self, PodError> {
        let asked = |verb, resource| Asked {
            server,
            verb,
            resource,
            namespace: Some(job.namespace()),
        };
        let feeders: Api<FeederJob> = Api::namespaced(client.clone(), job.namespace());
        let feeder = feeders.get_opt(&child_name(job.name(), Component::Feeder)).await;
        let feeder = feeder.map_err(|error| asked("get", "jobs").refused(&error))?;
        let wanted = pod(job, &feeder.ok_or(PodError::NoFeeder)?, uri, STAYS_FOR)?;
        let pods: Api<Pod> = Api::namespaced(client, job.namespace());
        let created = pods.create(&PostParams::default(), &wanted).await;
        let name = created
            .map_err(|error| asked("create", "pods").refused(&error))?
            .name_any();
        let objects = PodObjects::new(Remote::new(pods.clone(), &name, uri), uri.clone());
        let started = Self {
            store: Store::new(Arc::new(objects), uri.clone(), "check the pod's log".into()),
            pods,
            name,
        };
        let error = match interruption.run_until_cancelled(started.running()).await {
            Some(Ok(())) => return Ok(started),
            Some(Err(error)) => error,
            None => PodError::Interrupted,
        };
        started.remove().await;
        Err(error)
    }

    /// The output, read through the pod.
    #[must_use]
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// Removes it. When that fails, it ends by itself, and goes with its job.
    pub async fn remove(self) {
        if let Err(error) = self
            .pods
            .delete(&self.name, &DeleteParams::default().grace_period(0))
            .await
        {
            let stays = STAYS_FOR.as_secs() / 60;
            tell(format_args!(
                "the pod {} could not be removed ({}); it ends by itself within {stays} minutes",
                self.name,
                last_cause(&error)
            ));
        }
    }

    async fn running(&self) -> Result<(), PodError> {
        let has_begun = |pod: Option<&Pod>| !matches!(phase(pod), Some("Pending") | None);
        let begun = await_condition(self.pods.clone(), &self.name, has_begun);
        let seen = match timeout(STARTS_WITHIN, begun).await {
            Ok(Ok(Some(pod))) if phase(Some(&pod)) == Some("Running") => return Ok(()),
            Ok(Ok(pod)) => pod,
            Ok(Err(error)) => return Err(self.not_started(last_cause(&error))),
            Err(_) => self.pods.get_opt(&self.name).await.ok().flatten(),
        };
        Err(self.not_started(seen.as_ref().map_or_else(|| "it is gone".to_owned(), why)))
    }

    fn not_started(&self, why: String) -> PodError {
        PodError::NotStarted {
            name: self.name.clone(),
            why,
        }
    }
}

fn phase(pod: Option<&Pod>) -> Option<&str> {
    pod?.status.as_ref()?.phase.as_deref()
}

/// What keeps a pod from running: its container's words, else the scheduler's, else its phase.
fn why(pod: &Pod) -> String {
    let status = pod.status.clone().unwrap_or_default();
    let containers = status.container_statuses.unwrap_or_default().into_iter();
    let waiting = containers
        .filter_map(|container| container.state?.waiting)
        .find_map(|waiting| {
            let reason = waiting.reason.filter(|reason| reason != "ContainerCreating")?;
            Some(format!("{reason}: {}", waiting.message.unwrap_or_default()))
        });
    let conditions = status.conditions.unwrap_or_default().into_iter();
    let mut unmet = conditions.filter(|condition| condition.status == "False");
    waiting
        .or_else(|| unmet.find_map(|condition| condition.message))
        .unwrap_or_else(|| match status.phase.as_deref() {
            Some("Failed") => "it failed; is the operator's image older than this program?".to_owned(),
            phase => format!("it is {}", phase.unwrap_or("Unknown")),
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_pod_that_does_not_start_says_why() {
        let waiting = |reason: &str| {
            json!([{
                "name": "output", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": reason, "message": "not found"}},
            }])
        };
        let unschedulable = json!([{"type": "PodScheduled", "status": "False", "message": "no room"}]);
        for (status, expected) in [
            (
                json!({"phase": "Pending", "containerStatuses": waiting("ErrImagePull")}),
                "ErrImagePull: not found",
            ),
            (json!({"phase": "Pending", "conditions": unschedulable}), "no room"),
            (
                json!({"phase": "Pending", "containerStatuses": waiting("ContainerCreating")}),
                "it is Pending",
            ),
            (
                json!({"phase": "Failed"}),
                "it failed; is the operator's image older than this program?",
            ),
            (Value::Null, "it is Unknown"),
        ] {
            let pod: Pod = serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap();
            assert_eq!(why(&pod), expected);
        }
    }
}
