//! The feeder as a process: what it needs of Kubernetes, around the steps.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::api::BatchInferenceJob;
use crate::api::condition::{ConditionType, is_true};
use crate::api::status::{FeederStage, Resolved};
use crate::results::Lease;

use super::adapters::{AdapterCheck, ApiToken};
use super::backoff::backoff;
use super::endpoint::server_client;
use super::job::Job;
use super::job_status::JobStatus;
use super::model::ModelCheck;
use super::open::{open_source, open_store};
use super::open_files::raise_limit;
use super::patience::Patience;
use super::preflight::refused_at_start;
use super::replicas::{Replicas, replica_at, watch_replicas};
use super::report::{End, Report};
use super::reporter::{Dismissed, Reporter, WriteError};
use super::steps::{Feeder, Stop};
use super::stopping::watch_stopping;
use super::trouble::chain;

/// What has changed is said within this time when the feeder is asked to stop.
const LAST_WORD: Duration = Duration::from_secs(1);
/// With that, and the five seconds that rows may take to become durable, it is over in ten, of the 30 s that a pod has to end.
const RELEASE_WITHIN: Duration = Duration::from_secs(3);

/// Which job, and where its pod has what.
#[derive(Clone, Debug)]
pub struct Arguments {
    /// The job's namespace.
    pub namespace: String,
    /// The job's name.
    pub name: String,
    /// The job's uid: a later job of the same name is another job.
    pub uid: String,
    /// Where a claim or ConfigMap with the data set is mounted.
    pub dataset_directory: PathBuf,
    /// Where a claim for the output is mounted.
    pub output_directory: PathBuf,
    /// Scratch directory.
    pub scratch: PathBuf,
    /// The most parameters that the base model may have.
    pub max_base_model_parameters: u64,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nothing is left to do here: the end is in the job's status, or it is not this feeder's to write.
    Done,
    /// Another start may go on.
    Restart,
    /// It was asked to stop; another start goes on.
    Interrupted,
}

impl Exit {
    /// The exit code. 143 is what a shell reports of a process that SIGTERM ended.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Restart => 1,
            Self::Interrupted => 143,
        }
    }
}

/// Feeds one job until it has ended, or until `shutdown` is cancelled. The keys of the stores are taken from the process's
/// environment.
pub async fn run(arguments: Arguments, client: Client, shutdown: CancellationToken) -> Exit {
    raise_limit();
    let Arguments {
        namespace, name, uid, ..
    } = &arguments;
    let status = JobStatus::new(client.clone(), namespace, name, uid);
    let report = match Box::pin(shutdown.run_until_cancelled(begin(&status))).await {
        Some(Ok(Some(report))) => report,
        Some(Ok(None)) => {
            tracing::info!("the job has ended already");
            return Exit::Done;
        }
        Some(Err(dismissed)) => return dismiss(dismissed),
        None => return Exit::Interrupted,
    };
    tracing::info!(%namespace, %name, attempt = report.attempt, "the feeder starts");
    let (reporter, publishing) = Reporter::new(report, status.clone());
    let publishing = AbortOnDropHandle::new(tokio::spawn(publishing));
    let lease = Arc::default();
    let exit = tokio::select! {
        exit = async {
            let patience = Patience { reporter: reporter.clone(), shutdown: shutdown.clone() };
            let worked = Box::pin(work(&arguments, client, &status, patience, Arc::clone(&lease))).await;
            conclude(worked, &reporter, &shutdown).await
        } => exit,
        dismissed = publishing => match dismissed {
            // The last word of a feeder that was asked to stop may be for a job that is gone.
            Ok(_) if shutdown.is_cancelled() => Exit::Interrupted,
            Ok(dismissed) => dismiss(dismissed),
            Err(_) => Exit::Restart,
        },
    };
    if exit != Exit::Restart {
        // What is not released in time expires by itself.
        let _ = timeout(RELEASE_WITHIN, release(&lease, &status)).await;
    }
    exit
}

/// Lets other jobs work in the output, if this one is over. A feeder that is merely started elsewhere keeps it.
async fn release(lease: &OnceLock<Lease>, status: &JobStatus) {
    let Some(lease) = lease.get() else { return };
    let is_over = match status.read().await {
        Ok(job) => is_over(&job),
        Err(error) => is_gone(&error),
    };
    if is_over && let Err(error) = lease.release().await {
        tracing::info!(error = %chain(&error), "the lease could not be released and expires");
    }
}

/// The feeder's account and role go with the job, and may go before its pod does.
fn is_gone(error: &WriteError) -> bool {
    match error {
        WriteError::Dismissed(_) => true,
        WriteError::Failed(kube::Error::Api(status)) => matches!(status.code, 401 | 403),
        WriteError::Failed(_) | WriteError::TimedOut => false,
    }
}

fn is_over(job: &BatchInferenceJob) -> bool {
    let status = job.status.as_ref();
    let feeder = status.and_then(|status| status.reported.feeder.as_ref());
    let conditions = status.map_or(&[][..], |status| &status.controller.conditions);
    job.metadata.deletion_timestamp.is_some()
        || feeder.is_some_and(|feeder| feeder.state == FeederStage::Ended)
        || is_true(conditions, ConditionType::Failed)
}

fn dismiss(dismissed: Dismissed) -> Exit {
    tracing::info!(reason = %dismissed, "the feeder has nothing to do here");
    Exit::Done
}

/// `None` when the job has ended.
async fn begin(status: &JobStatus) -> Result<Option<Report>, Dismissed> {
    patiently(|| status.begin()).await
}

/// Tries until the API server answers.
async fn patiently<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, Dismissed>
where
    F: Future<Output = Result<T, WriteError>>,
{
    let mut failures = 0;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(WriteError::Dismissed(dismissed)) => return Err(dismissed),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the API server does not answer and is tried again");
                failures += 1;
                sleep(backoff(failures, rand::random())).await;
            }
        }
    }
}

async fn work(
    arguments: &Arguments,
    client: Client,
    status: &JobStatus,
    patience: Patience,
    lease: Arc<OnceLock<Lease>>,
) -> Result<End, Stop> {
    let Arguments {
        namespace,
        name,
        uid,
        dataset_directory,
        output_directory,
        scratch,
        max_base_model_parameters,
        ..
    } = arguments;
    let jobs = Api::namespaced(client.clone(), namespace);
    let resolved = patience
        .shutdown
        // Boxed, like the other watch below, as it would make every future around it large.
        .run_until_cancelled(Box::pin(resolved_job(&jobs, name, status)))
        .await;
    let (job, resolved) = resolved.ok_or(Stop::Interrupted)?;
    let source = match open_source(&job, dataset_directory, scratch, environment()).await {
        Ok(source) => source,
        Err(end) => return Err(not_opened(end, &patience).await?),
    };
    let store = match open_store(&job, &client, output_directory, environment()) {
        Ok(store) => store,
        Err(end) => return Err(not_opened(end, &patience).await?),
    };
    let client_of_servers = server_client(&job, environment())?;
    let wanted = Job::new(&job, &resolved, source.object()).map_err(Stop::Ended)?;
    let endpoint = wanted.endpoint.clone();
    let (ready, replicas) = watch::channel(endpoint.as_ref().map_or_else(Replicas::new, replica_at));
    let decided = job
        .status
        .as_ref()
        .and_then(|status| status.controller.stopping.clone());
    let (tell, stopping) = watch::channel(decided);
    let feeder = Feeder {
        model: ModelCheck::new(&resolved, *max_base_model_parameters, environment()).map_err(Stop::Ended)?,
        adapter_check: AdapterCheck::new(&wanted, environment()).map_err(Stop::Ended)?,
        adapter_token: ApiToken::find(environment()),
        job: wanted,
        source,
        store,
        scratch: scratch.clone(),
        replicas,
        client: client_of_servers,
        stopping,
        patience,
        lease,
    };
    let watching = Box::pin(async {
        match endpoint {
            None => watch_replicas(client, namespace, name, ready).await,
            Some(_) => std::future::pending().await,
        }
    });
    let following = Box::pin(watch_stopping(jobs, name, uid, tell));
    tokio::select! {
        ended = feeder.run() => ended,
        () = following => Err(Stop::Restart("the watch of the job ended".into())),
        () = watching => Err(Stop::Restart("the watch of the servers ended".into())),
    }
}

/// A store that an earlier start could open: its Secret is being changed, and the next start has what it holds then.
async fn not_opened(end: End, patience: &Patience) -> Result<Stop, Stop> {
    if patience.reporter.latest().is_under_way() && end.reason.is_refusal() {
        return refused_at_start(end, patience).await;
    }
    Ok(Stop::Ended(end))
}

/// Waits until the controller has decided what the job runs with.
async fn resolved_job(jobs: &Api<BatchInferenceJob>, name: &str, status: &JobStatus) -> (BatchInferenceJob, Resolved) {
    let mut changes = std::pin::pin!(watch_object(jobs.clone(), name).default_backoff());
    loop {
        if let Ok(job) = patiently(|| status.read()).await
            && let Some(resolved) = job
                .status
                .as_ref()
                .and_then(|status| status.controller.resolved.clone())
        {
            return (job, resolved);
        }
        // A job that is gone is noticed by the reporter, which ends all this.
        if changes.next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// Variables that are not UTF-8 are none of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

async fn conclude(worked: Result<End, Stop>, reporter: &Reporter, shutdown: &CancellationToken) -> Exit {
    let end = match worked {
        Ok(end) | Err(Stop::Ended(end)) => end,
        Err(Stop::Restart(why)) => {
            tracing::error!(%why, "the feeder starts anew");
            // Which adapters cannot be used, among other things: the next start goes on with it.
            let _ = timeout(LAST_WORD, reporter.flush()).await;
            return Exit::Restart;
        }
        Err(Stop::Interrupted) => {
            // A job that does not run has no rate; whoever comes next says the rest.
            let _ = timeout(LAST_WORD, reporter.flush()).await;
            return Exit::Interrupted;
        }
    };
    tracing::info!(reason = %end.reason, message = %end.message, "the job has ended");
    reporter.update(|report| report.set_end(end));
    let said = shutdown.run_until_cancelled(reporter.flush()).await;
    said.map_or(Exit::Interrupted, |()| Exit::Done)
}
