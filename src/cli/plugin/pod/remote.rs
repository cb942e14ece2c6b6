//! The conversation with a pod. What is asked is asked again when a connection breaks, and of another pod when this one is gone.

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use kube::runtime::wait::{self, await_condition};
use kube::{Api, ResourceExt};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use super::super::cluster::Cluster;
use super::super::refusal::{Asked, causes, last_cause};
use super::super::standard_error::tell;
use super::exec::{RemoteError, exec};
use super::running::{Waits, has_begun, is_running, is_stuck, why};
use super::{PodError, STAYS_FOR};
use crate::cli::output::Place;

/// Enough for an autoscaler to make a node, which takes some minutes, and for the node to fetch the image.
const STARTS_WITHIN: Duration = Duration::from_mins(10);
/// Enough for a piece of some mebibytes on a slow line. What takes longer is a connection that nobody has at its other end any more.
const ANSWERS_WITHIN: Duration = Duration::from_mins(5);
/// Some twelve seconds in all.
const TRIES: usize = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A pod, and the one that takes its place.
#[derive(Clone)]
pub struct Remote {
    shared: Arc<Shared>,
}

struct Shared {
    pods: Api<Pod>,
    wanted: Pod,
    place: Place,
    server: String,
    namespace: String,
    /// The pod of this moment; empty before the first. Held while another takes its place.
    name: Arc<Mutex<String>>,
}

impl Remote {
    /// No pod yet.
    pub fn new(cluster: &Cluster, wanted: Pod, place: Place) -> Self {
        let shared = Shared {
            pods: Api::namespaced(cluster.client.clone(), &cluster.namespace),
            wanted,
            place,
            server: cluster.server.clone(),
            namespace: cluster.namespace.clone(),
            name: Arc::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Makes the first pod, which need not run yet.
    ///
    /// # Errors
    ///
    /// [`PodError`]; then there is no pod.
    pub async fn create(&self) -> Result<(), PodError> {
        *self.shared.name.lock().await = self.create_one().await?;
        Ok(())
    }

    /// Waits until the pod runs.
    ///
    /// # Errors
    ///
    /// [`PodError::NotStarted`].
    pub async fn running(&self) -> Result<(), PodError> {
        let name = self.name().await;
        self.running_one(&name).await
    }

    /// Asks for something, in the words of `batch-inference-operator output`.
    ///
    /// # Errors
    ///
    /// [`RemoteError`], after several tries where more may help.
    pub async fn ask(&self, words: &[&str]) -> Result<Bytes, RemoteError> {
        self.send(words, Bytes::new()).await
    }

    /// The same with something on its standard input.
    ///
    /// # Errors
    ///
    /// As [`Remote::ask`].
    pub async fn send(&self, words: &[&str], input: Bytes) -> Result<Bytes, RemoteError> {
        let words = words.iter().map(|word| (*word).to_owned());
        let words: Vec<_> = self.shared.place.words().into_iter().chain(words).collect();
        let patience = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_max_times(TRIES);
        let once = || self.once(&words, &input);
        let asked = once.retry(patience).when(RemoteError::may_pass);
        asked
            .notify(|error, _| tell(format_args!("{}; it is asked again", causes(error))))
            .await
    }

    /// Removes the pod. When that fails, it ends by itself.
    pub async fn remove(&self) {
        let name = self.name().await;
        if let Err(error) = self.delete(&name).await {
            let stays = STAYS_FOR.as_secs() / 60;
            let why = last_cause(&error);
            tell(format_args!(
                "the pod {name} could not be removed ({why}); it ends by itself within {stays} minutes"
            ));
        }
    }

    async fn name(&self) -> String {
        self.shared.name.lock().await.clone()
    }

    async fn once(&self, words: &[String], input: &Bytes) -> Result<Bytes, RemoteError> {
        let name = self.name().await;
        let answer = timeout(ANSWERS_WITHIN, exec(&self.shared.pods, &name, words, input)).await;
        match answer.unwrap_or(Err(RemoteError::Lost)) {
            Err(error) if error.may_pass() => {
                let replaced = Box::pin(self.replace_lost(&name)).await;
                replaced.map_err(|error| RemoteError::Gone(Box::new(error)))?;
                Err(error)
            }
            Err(RemoteError::Exec(error)) => {
                Err(RemoteError::Forbidden(self.asked("exec into", "pods").refused(&error)))
            }
            answer => answer,
        }
    }

    /// Puts another pod in the place of one that does not run any more, once for all who ask it.
    async fn replace_lost(&self, lost: &str) -> Result<(), PodError> {
        let name = Arc::clone(&self.shared.name).lock_owned().await;
        if *name != lost {
            return Ok(());
        }
        let found = match self.shared.pods.get_opt(lost).await {
            Ok(Some(pod)) if is_running(&pod) => return Ok(()),
            // Whoever asks the pod next meets the same trouble.
            Err(_) => return Ok(()),
            Ok(found) => found,
        };
        if found.is_some() {
            // It may be gone by now.
            let _ = self.delete(lost).await;
        }
        let name = self.create_as(name).await?;
        self.running_one(&name).await
    }

    /// Makes a pod and takes its name, also when nobody waits for it any more: one whose name is not known could not be removed.
    async fn create_as(&self, mut name: OwnedMutexGuard<String>) -> Result<OwnedMutexGuard<String>, PodError> {
        let remote = self.clone();
        let creating = tokio::spawn(async move {
            *name = remote.create_one().await?;
            Ok::<_, PodError>(name)
        });
        let created = creating.await;
        created.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    async fn create_one(&self) -> Result<String, PodError> {
        let created = self
            .shared
            .pods
            .create(&PostParams::default(), &self.shared.wanted)
            .await;
        let created = created.map_err(|error| self.asked("create", "pods").refused(&error))?;
        Ok(created.name_any())
    }

    async fn running_one(&self, name: &str) -> Result<(), PodError> {
        let waits = Waits::default();
        let is_decided = |pod: Option<&Pod>| {
            let Some(pod) = pod else { return false };
            let is_decided = has_begun(pod) || is_stuck(pod);
            if let Some(news) = waits.news(pod).filter(|_| !is_decided) {
                tell(format_args!("the pod {name} waits: {news}"));
            }
            is_decided
        };
        let decided = await_condition(self.shared.pods.clone(), name, is_decided);
        let seen = match timeout(STARTS_WITHIN, decided).await {
            Ok(Ok(Some(pod))) if is_running(&pod) => return Ok(()),
            Ok(Ok(pod)) => pod,
            Ok(Err(error)) => return Err(self.not_watched(name, &error)),
            Err(_) => self.shared.pods.get_opt(name).await.ok().flatten(),
        };
        Err(PodError::NotStarted {
            name: name.to_owned(),
            why: seen.as_ref().map_or_else(|| "it is gone".to_owned(), why),
        })
    }

    fn not_watched(&self, name: &str, error: &wait::Error) -> PodError {
        let wait::Error::ProbeFailed(watched) = error;
        match self.asked("list or watch", "pods").refused_watch(watched) {
            Some(refusal) => refusal.into(),
            None => PodError::NotStarted {
                name: name.to_owned(),
                why: last_cause(watched),
            },
        }
    }

    async fn delete(&self, name: &str) -> kube::Result<()> {
        let parameters = DeleteParams::default().grace_period(0);
        self.shared.pods.delete(name, &parameters).await.map(drop)
    }

    fn asked(&self, verb: &'static str, resource: &'static str) -> Asked<'_> {
        Asked {
            server: &self.shared.server,
            verb,
            resource,
            namespace: Some(&self.shared.namespace),
        }
    }
}
