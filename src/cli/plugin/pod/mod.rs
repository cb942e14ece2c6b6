//! A pod beside a store, for who has no keys of it, or whose output is on a claim: the operator's image with the store's keys, which gives
//! and takes objects when it is asked by exec.
//!
//! Start with [`StorePod`], the pod's life. [`template`] makes it of a job's feeder, [`upload`] from nothing, where there is no job yet, with
//! the [`surroundings`] that another job's feeder shows (all pure). [`remote`] is the conversation, which outlives connections and pods;
//! [`exec`] one question and its answer, [`running`] whether a pod runs (pure). [`objects`] is a store of what it gives, so that everything
//! that reads an output reads this one too.

mod exec;
mod objects;
mod remote;
mod running;
mod surroundings;
mod template;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use k8s_openapi::api::core::v1::Pod;

use super::cluster::Cluster;
use super::interruption::Interruption;
use super::refusal::Refusal;
use crate::cli::output::Place;
use crate::storage::{Store, StoreUri, UriError};
use objects::PodObjects;
use remote::Remote;

pub use exec::RemoteError;
pub use surroundings::Surroundings;
pub use template::{NoTemplate, beside_output};
pub use upload::UploadPod;

/// The container of each.
const CONTAINER: &str = "output";
/// Value of the label of its name. It must not be one by which the operator finds its own pods.
const NAME: &str = "kubectl-bij";
/// After that it ends by itself, also when nobody is there any more to remove it. What is not done by then goes on with another.
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
    /// It runs, and does not answer.
    #[error("the pod does not answer as it should")]
    NoAnswer(#[from] RemoteError),
    /// What it says of itself makes no sense.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// By the person who began it.
    #[error("interrupted")]
    Interrupted,
}

/// A pod that runs.
pub struct StorePod {
    remote: Remote,
    uri: StoreUri,
}

impl StorePod {
    /// Makes it, and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`PodError`]; then there is no pod.
    pub async fn start(
        cluster: &Cluster,
        wanted: Pod,
        place: Place,
        interruption: &Interruption,
    ) -> Result<Self, PodError> {
        let remote = Remote::new(cluster, wanted, place);
        // Not given up in the middle: a pod whose name is not known could not be removed.
        remote.create().await?;
        let begun = tokio::select! {
            begun = begun(&remote) => begun,
            () = interruption.came() => Err(PodError::Interrupted),
        };
        match begun {
            Ok(uri) => Ok(Self { remote, uri }),
            Err(error) => {
                remote.remove().await;
                Err(error)
            }
        }
    }

    /// Where the objects are that it gives and takes.
    #[must_use]
    pub fn uri(&self) -> &StoreUri {
        &self.uri
    }

    /// The objects, to be read.
    #[must_use]
    pub fn store(&self) -> Store {
        let objects = PodObjects::new(self.remote.clone(), self.uri.clone());
        Store::new(Arc::new(objects), self.uri.clone(), "this is what its pod says".into())
    }

    /// Asks for something that is no reading, in the words of `batch-inference-operator output`, with an input.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    pub async fn send(&self, words: &[&str], input: Bytes) -> Result<Bytes, RemoteError> {
        self.remote.send(words, input).await
    }

    /// Removes it. When that fails, it ends by itself.
    pub async fn remove(self) {
        self.remote.remove().await;
    }
}

/// Waits until it runs and says where its objects are: so it is known that it may be asked, and that it understands.
async fn begun(remote: &Remote) -> Result<StoreUri, PodError> {
    remote.running().await?;
    let answer = remote.ask(&["uri"]).await?;
    let uri: String = serde_json::from_slice(&answer).map_err(RemoteError::from)?;
    Ok(StoreUri::parse_prefix(&uri)?)
}
