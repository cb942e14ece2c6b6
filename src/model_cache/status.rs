//! The job on the API server, as far as the filling of its model cache reads and writes it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::fill::Told;
use super::meter::Meter;
use crate::api::BatchInferenceJob;
use crate::api::model_cache::{MODEL_CACHE_FIELD_MANAGER, ModelCacheState, ModelCacheStatus};
use crate::api::reason::Reason;
use crate::api::status::{CacheStatus, patch};
use crate::api::wait::Wait;
use crate::engine::model_files::Selection;

/// The API server answers within this time, or is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How often it is said how much is there.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// A request to the API server that failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// The job was deleted, or is another one of the same name.
    #[error("the job is gone")]
    JobGone,
    /// Trying again may help.
    #[error("the API server refuses: {0}")]
    Failed(#[source] kube::Error),
    /// Trying again may help.
    #[error("the API server did not answer in time")]
    TimedOut,
}

/// One job, by its uid: a later job of the same name is another job.
pub(super) struct JobApi {
    api: Api<BatchInferenceJob>,
    name: String,
    uid: String,
}

impl JobApi {
    pub(super) fn new(client: Client, namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            uid: uid.to_owned(),
        }
    }

    pub(super) async fn read(&self) -> Result<BatchInferenceJob, ApiError> {
        let job = in_time(self.api.get_opt(&self.name)).await?;
        let job = job.filter(|job| job.metadata.uid.as_deref() == Some(&self.uid));
        job.ok_or(ApiError::JobGone)
    }

    async fn write(&self, status: ModelCacheStatus) -> Result<(), ApiError> {
        let status = CacheStatus {
            model_cache: Some(status),
        };
        let patch = Patch::Apply(patch(&self.name, &self.uid, None, &status));
        let parameters = PatchParams::apply(MODEL_CACHE_FIELD_MANAGER).force();
        match in_time(self.api.patch_status(&self.name, &parameters, &patch)).await {
            Ok(_) => Ok(()),
            Err(ApiError::Failed(kube::Error::Api(status))) if status.is_not_found() => Err(ApiError::JobGone),
            // The uid of another job, or somebody who wrote at the same time.
            Err(ApiError::Failed(error)) => self.read().await.and(Err(ApiError::Failed(error))),
            Err(error) => Err(error),
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    let answer = timeout(ANSWER_WITHIN, answer).await;
    answer.map_err(|_| ApiError::TimedOut)?.map_err(ApiError::Failed)
}

/// Takes what is to be said, and says it.
#[derive(Debug)]
pub(super) struct Telling {
    said: watch::Sender<ModelCacheStatus>,
    meter: Arc<Meter>,
}

impl Telling {
    /// Begins with the commit that an earlier filling has said.
    pub(super) fn new(meter: Arc<Meter>, revision: Option<String>) -> Self {
        Self {
            said: watch::Sender::new(ModelCacheStatus {
                revision,
                ..ModelCacheStatus::default()
            }),
            meter,
        }
    }

    /// Everything is there.
    pub(super) fn is_ready(&self) {
        self.change(|status| {
            status.state = ModelCacheState::Ready;
            (status.reason, status.message) = (None, None);
        });
    }

    /// It will not be there.
    pub(super) fn fails(&self, why: Wait) {
        self.change(|status| {
            status.state = ModelCacheState::Failed;
            (status.reason, status.message) = (Some(why.reason.to_string()), Some(why.message));
        });
    }

    /// Something is waited for.
    pub(super) fn waits(&self, wait: Wait) {
        self.change(|status| {
            (status.reason, status.message) = (Some(wait.reason.to_string()), Some(wait.message));
        });
    }

    fn change(&self, change: impl FnOnce(&mut ModelCacheStatus)) {
        self.said.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            *status != before
        });
    }

    /// With what is there at this moment.
    fn status(&self, said: &ModelCacheStatus) -> ModelCacheStatus {
        let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        ModelCacheStatus {
            bytes: number(self.meter.there()),
            downloaded_bytes: number(self.meter.downloaded()),
            ..said.clone()
        }
    }

    /// Says what changes, until how it ended is accepted, or the job is gone.
    pub(super) async fn publish(&self, job: &JobApi) {
        let mut changes = self.said.subscribe();
        let mut accepted = None;
        loop {
            let status = self.status(&changes.borrow_and_update());
            if accepted.as_ref() != Some(&status) {
                match job.write(status.clone()).await {
                    Ok(()) => accepted = Some(status.clone()),
                    Err(ApiError::JobGone) => return,
                    Err(error) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "the status could not be written and is tried again"
                        );
                    }
                }
            }
            let is_end = status.state != ModelCacheState::Filling;
            if is_end && accepted.as_ref() == Some(&status) {
                return;
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = sleep(TELL_EVERY) => {}
            }
        }
    }
}

impl Told for Telling {
    fn expects(&self, commit: &str, selection: &Selection) {
        self.change(|status| {
            status.revision = Some(commit.to_owned());
            status.total_bytes = i64::try_from(selection.bytes()).ok();
            status.file.clone_from(&selection.gguf);
            status.projector.clone_from(&selection.projector);
        });
    }

    fn fills(&self) {
        self.change(|status| (status.reason, status.message) = (None, None));
    }

    fn waits_for(&self, job: &str) {
        self.waits(Wait::new(
            Reason::ModelCaching,
            format!("job {job} downloads the same model to the same claim"),
        ));
    }
}
