//! Wires the reconcile to the API server: watches, health, shutdown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, ListParams};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Config, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::audit::audit;
use super::leader::Candidate;
use super::reconcile::{Context, error_policy, reconcile};
use super::serve::{Metrics, Readiness, serve};
use super::settings::Settings;
use crate::api::BatchInferenceJob;
use crate::api::names::{ANNOTATION_JOB, LABEL_MANAGED_BY, MANAGED_BY};

/// Reconciles that may run at a time; kube's default is no limit at all.
const CONCURRENCY: u16 = 16;

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
        () = watch(client, Arc::clone(&context), shutdown) => {}
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
        .with_max_delay(Duration::from_secs(10))
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

async fn watch(client: &Client, context: Arc<Context>, shutdown: CancellationToken) {
    let ours = || watcher::Config::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGED_BY}"));
    let all = || client.clone();
    Controller::new(
        Api::<DeserializeGuard<BatchInferenceJob>>::all(all()),
        watcher::Config::default(),
    )
    .with_config(Config::default().concurrency(CONCURRENCY))
    .owns(Api::<Job>::all(all()), ours())
    .owns(Api::<Deployment>::all(all()), ours())
    .owns(Api::<Service>::all(all()), ours())
    .owns(Api::<ServiceAccount>::all(all()), ours())
    .owns(Api::<Role>::all(all()), ours())
    .owns(Api::<RoleBinding>::all(all()), ours())
    .owns(Api::<NetworkPolicy>::all(all()), ours())
    .watches(Api::<Pod>::all(all()), ours(), |pod| job_of(&pod))
    .graceful_shutdown_on(async move { shutdown.cancelled().await })
    .run(reconcile, |job, error, _| error_policy(&job, error), context)
    .for_each(|_| std::future::ready(()))
    .await;
}

/// The job that a pod belongs to: pods are owned by a Job or ReplicaSet, so they say it in an annotation.
fn job_of(pod: &Pod) -> Option<ObjectRef<DeserializeGuard<BatchInferenceJob>>> {
    let name = pod.annotations().get(ANNOTATION_JOB)?;
    Some(ObjectRef::new(name).within(&pod.namespace()?))
}
