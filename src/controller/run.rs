//! Wires the reconcile to the API server: watches, health, shutdown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, ListParams};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Config, Controller};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Client, Resource, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::as_wanted::AsWanted;
use super::audit::audit;
use super::cache::Cache;
use super::leader::Candidate;
use super::reconcile::{Context, error_policy, reconcile};
use super::serve::{Metrics, Readiness, serve};
use super::settings::Settings;
use crate::api::BatchInferenceJob;
use crate::api::names::MANAGED_BY;

/// Reconciles that may run at a time; kube's default is no limit at all.
const CONCURRENCY: u16 = 32;

/// Why the controller stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Health and metrics could not be served.
    #[error("failed to serve health and metrics on {address}")]
    Serve {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The Lease could not be renewed.
    #[error("the Lease could not be renewed in time, and another controller may work by now")]
    LeaseLost,
}

/// Runs the controller until `shutdown`; the reconciles in hand are finished first.
///
/// # Errors
/// When health and metrics cannot be served.
pub async fn run(
    client: Client,
    settings: Settings,
    address: SocketAddr,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let metrics = Metrics::new();
    let readiness = Readiness::default();
    let reporter = std::env::var("HOSTNAME").unwrap_or_else(|_| MANAGED_BY.into());
    let context = Arc::new(Context {
        client: client.clone(),
        settings,
        reporter,
        metrics: metrics.clone(),
        cache: Cache::new(),
        as_wanted: AsWanted::default(),
    });
    let controller = async {
        let stopped = shutdown.clone();
        tokio::select! {
            () = definition_is_installed(&client) => {}
            () = stopped.cancelled() => return Ok(()),
        }
        // Whoever stands by is ready to take over.
        readiness.set_ready();
        lead(&client, context, shutdown.clone()).await
    };
    let stop_serving = shutdown.clone();
    let served = serve(address, metrics, readiness.clone(), async move {
        stop_serving.cancelled().await;
    });
    let served = async { served.await.map_err(|source| RunError::Serve { address, source }) };
    tokio::try_join!(controller, served).map(|_| ())
}

/// Waits to be the one that works, and works until `shutdown`.
async fn lead(client: &Client, context: Arc<Context>, shutdown: CancellationToken) -> Result<(), RunError> {
    let identity = format!("{}_{:08x}", context.reporter, rand::random::<u32>());
    let candidate = Candidate::new(client.clone(), identity);
    if shutdown.run_until_cancelled(candidate.elected()).await.is_none() {
        return Ok(());
    }
    tracing::info!("controller started");
    tokio::select! {
        () = watch(Arc::clone(&context), shutdown) => {}
        () = audit(client.clone(), context.metrics.clone()) => {}
        // Another may work by now: whatever is in hand is dropped.
        () = candidate.hold() => return Err(RunError::LeaseLost),
    }
    candidate.release().await;
    tracing::info!("controller stopped");
    Ok(())
}

/// Waits until the definition is there, so that operator and definition may be installed in any order.
async fn definition_is_installed(client: &Client) {
    let jobs: Api<BatchInferenceJob> = Api::all(client.clone());
    let look = || async { jobs.list_metadata(&ListParams::default().limit(1)).await.map(|_| ()) };
    let patiently = ExponentialBuilder::default()
        .with_max_delay(Duration::from_secs(2))
        .with_jitter()
        .without_max_times();
    let waited = look.retry(patiently).notify(|error, _| {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "BatchInferenceJobs cannot be listed yet"
        );
    });
    // Without a limit of tries there is no error to return.
    let _ = waited.await;
}

/// Looks at every job in the beginning, and from then on at each that changes or whose children do.
async fn watch(context: Arc<Context>, shutdown: CancellationToken) {
    let client = &context.client;
    let watches = context.cache.follow(client);
    if shutdown.run_until_cancelled(context.cache.synced()).await.is_none() {
        return;
    }
    let (jobs, writer) = reflector::store();
    let deleted_from = Arc::clone(&context);
    let changed = watcher(Api::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .modify(drop_what_nobody_reads)
        .inspect_ok(move |event| {
            if let watcher::Event::Delete(job) = event {
                deleted_from.as_wanted.forget(&job.uid().unwrap_or_default());
            }
        })
        .reflect(writer)
        .applied_objects()
        .inspect_err(|error| tracing::warn!(error = error as &dyn std::error::Error, "the watch of jobs failed"));
    Controller::for_stream(changed, jobs)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .reconcile_on(watches.changed)
        .graceful_shutdown_on(async move { shutdown.cancelled().await })
        .run(
            reconcile,
            |job, error, _| error_policy(&job, error),
            Arc::clone(&context),
        )
        .for_each(|_| std::future::ready(()))
        .await;
}

fn drop_what_nobody_reads(job: &mut DeserializeGuard<BatchInferenceJob>) {
    let metadata = job.meta_mut();
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        // kubectl's copy of the whole object.
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}
