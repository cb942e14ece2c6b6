//! A job's changes, as they happen.

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::Api;
use kube::api::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watch_object};

use super::cluster::Cluster;
use super::job::Job;
use super::jobs::JOBS;
use super::refusal::{Asked, Refusal, last_cause};

/// What is seen of a job.
#[derive(Debug)]
pub enum Seen {
    /// The job as it is now.
    Job(Job),
    /// The API server does not answer, which is told once; it is asked again.
    Trouble(String),
}

/// The changes of one job.
pub struct Changes {
    stream: BoxStream<'static, watcher::Result<Option<DynamicObject>>>,
    name: String,
    uid: String,
    server: String,
    namespace: String,
    /// What was told of the API server last.
    trouble: String,
}

impl Changes {
    /// Those of a job, beginning with how it is now.
    pub(super) fn of(api: Api<DynamicObject>, job: &Job, cluster: &Cluster) -> Self {
        Self {
            stream: watch_object(api, job.name()).default_backoff().boxed(),
            name: job.name().to_owned(),
            uid: job.uid().to_owned(),
            server: cluster.server.clone(),
            namespace: cluster.namespace.clone(),
            trouble: String::new(),
        }
    }

    /// Waits for the next one. May be dropped and called again.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when no other will come: the job is gone, or may not be watched.
    pub async fn next(&mut self) -> Result<Seen, Refusal> {
        loop {
            let seen = self.stream.next().await.transpose();
            let error = match seen.map(Option::flatten) {
                Ok(Some(object)) => {
                    self.trouble.clear();
                    return self.same_job(object);
                }
                Ok(None) => return Err(self.deleted()),
                Err(error) => error,
            };
            if let Some(refusal) = self.asked().refused_watch(&error) {
                return Err(refusal);
            }
            if is_expired(&error) {
                continue;
            }
            // It is asked again every few seconds, for as long as it takes.
            let trouble = last_cause(&error);
            if trouble != self.trouble {
                self.trouble.clone_from(&trouble);
                return Ok(Seen::Trouble(trouble));
            }
        }
    }

    fn same_job(&self, object: DynamicObject) -> Result<Seen, Refusal> {
        let job = Job::try_from(object).map_err(|error| Refusal::Unreadable {
            name: self.name.clone(),
            why: error.to_string(),
        })?;
        if job.uid() == self.uid {
            return Ok(Seen::Job(job));
        }
        Err(self.deleted())
    }

    fn deleted(&self) -> Refusal {
        Refusal::Deleted {
            name: self.name.clone(),
        }
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            server: &self.server,
            verb: "watch",
            resource: JOBS,
            namespace: Some(&self.namespace),
        }
    }
}

/// The API server has forgotten what has happened since: the watch asks for the job anew, and there is nothing to tell.
fn is_expired(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchError(status) if status.code == 410)
}
