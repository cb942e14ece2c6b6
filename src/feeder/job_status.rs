//! The job's status on the API server, as the feeder reads and writes it.

use std::future::Future;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde::Serialize;

use crate::api::BatchInferenceJob;
use crate::api::status::{FEEDER_FIELD_MANAGER, FeederStage, FeederStatus};

use super::report::Report;
use super::reporter::{Dismissed, StatusWriter, WriteError};

/// The API server answers within this time, or is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// One job, by its uid: a later job of the same name is another job.
#[derive(Clone)]
pub struct JobStatus {
    api: Api<BatchInferenceJob>,
    name: String,
    uid: String,
}

/// A server-side apply of the feeder's part of the status, and only onto the object that was just read: in between, another
/// feeder may have written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusPatch<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Precondition<'a>,
    status: &'a FeederStatus,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Precondition<'a> {
    name: &'a str,
    uid: &'a str,
    resource_version: &'a str,
}

impl JobStatus {
    /// The job of that name, if it still has this uid.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            uid: uid.to_owned(),
        }
    }

    /// Reads the job.
    ///
    /// # Errors
    ///
    /// [`WriteError`]; `JobGone` also when it is another job by now.
    pub async fn read(&self) -> Result<BatchInferenceJob, WriteError> {
        let job = in_time(self.api.get_opt(&self.name)).await?;
        let job = job.filter(|job| job.metadata.uid.as_deref() == Some(&self.uid));
        Ok(job.ok_or(Dismissed::JobGone)?)
    }

    /// Takes the next attempt: no two feeders have the same, as only one of them can write it onto what both read. `None` when
    /// the job has ended.
    ///
    /// # Errors
    ///
    /// [`WriteError`].
    pub async fn begin(&self) -> Result<Option<Report>, WriteError> {
        loop {
            let job = self.read().await?;
            let report = Report::first(job.status.as_ref().map(|status| &status.reported));
            if report.stage == FeederStage::Ended {
                return Ok(None);
            }
            if self.patch(&job, &report.status()).await? {
                return Ok(Some(report));
            }
        }
    }

    /// False when somebody wrote in between.
    async fn patch(&self, read: &BatchInferenceJob, status: &FeederStatus) -> Result<bool, WriteError> {
        let patch = StatusPatch {
            api_version: "batchinference.dev/v1alpha1",
            kind: "BatchInferenceJob",
            metadata: Precondition {
                name: &self.name,
                uid: &self.uid,
                resource_version: &read.resource_version().unwrap_or_default(),
            },
            status,
        };
        let parameters = PatchParams::apply(FEEDER_FIELD_MANAGER).force();
        let patched = in_time(self.api.patch_status(&self.name, &parameters, &Patch::Apply(&patch))).await;
        match patched {
            Ok(_) => Ok(true),
            Err(WriteError::Failed(kube::Error::Api(status))) if status.is_conflict() => Ok(false),
            Err(WriteError::Failed(kube::Error::Api(status))) if status.is_not_found() => {
                Err(Dismissed::JobGone.into())
            }
            Err(error) => Err(error),
        }
    }
}

impl StatusWriter for JobStatus {
    async fn write(&self, status: &FeederStatus) -> Result<(), WriteError> {
        let ours = attempt_of(Some(status));
        loop {
            let job = self.read().await?;
            let theirs = attempt_of(job.status.as_ref().map(|status| &status.reported));
            if theirs > ours {
                return Err(Dismissed::Superseded.into());
            }
            if self.patch(&job, status).await? {
                return Ok(());
            }
        }
    }
}

fn attempt_of(status: Option<&FeederStatus>) -> i64 {
    let feeder = status.and_then(|status| status.feeder.as_ref());
    feeder.map_or(0, |feeder| feeder.attempt)
}

async fn in_time<T>(answer: impl Future<Output = kube::Result<T>>) -> Result<T, WriteError> {
    let answer = tokio::time::timeout(ANSWER_WITHIN, answer).await;
    answer.map_err(|_| WriteError::TimedOut)?.map_err(WriteError::Failed)
}
