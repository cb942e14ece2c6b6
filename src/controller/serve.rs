//! `/healthz`, `/readyz` and `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::reconcile::ReconcileError;

/// The content type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stray {
    kind: String,
    namespace: String,
    name: String,
}

/// The controller's counters.
#[derive(Clone)]
pub struct Metrics {
    reconciles: Family<Outcome, Counter>,
    duration: Histogram,
    busy: Histogram,
    strays: Family<Stray, Counter>,
    registry: Arc<Registry>,
}

impl Metrics {
    /// Counters that begin at zero, in a registry of their own.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("batch_inference");
        let reconciles = Family::<Outcome, Counter>::default();
        registry.register("reconciles", "Reconciles by outcome", reconciles.clone());
        let strays = Family::<Stray, Counter>::default();
        registry.register(
            "servers_without_job_removed",
            "Servers that had no living job and were removed",
            strays.clone(),
        );
        // From a reconcile that changes nothing (milliseconds) to one that waits for a slow API server.
        let duration = Histogram::new(exponential_buckets(0.001, 2.0, 14));
        registry.register_with_unit(
            "reconcile_duration",
            "Duration of reconciles",
            Unit::Seconds,
            duration.clone(),
        );
        // Deciding and building take microseconds.
        let busy = Histogram::new(exponential_buckets(0.000_05, 2.0, 12));
        registry.register_with_unit(
            "reconcile_busy",
            "Time that reconciles took without waiting for the API server",
            Unit::Seconds,
            busy.clone(),
        );
        Self {
            reconciles,
            duration,
            busy,
            strays,
            registry: Arc::new(registry),
        }
    }

    /// Names a server that had no living job.
    pub fn stray_removed(&self, kind: &str, namespace: &str, name: &str) {
        let stray = Stray {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        self.strays.get_or_create(&stray).inc();
    }

    /// Counts a reconcile: how long it took, and how much of that it did not wait.
    pub fn reconciled(&self, error: Option<&ReconcileError>, took: Duration, busy: Duration) {
        let outcome = match error {
            None => "done",
            Some(ReconcileError::Dereference(_)) => "dereference_failed",
            Some(ReconcileError::Apply(_)) => "apply_failed",
            Some(ReconcileError::ServerPod(_)) => "change_pods_failed",
            Some(ReconcileError::Expiry(_)) => "delete_failed",
            Some(ReconcileError::UpdateStatus(_)) => "update_status_failed",
            Some(ReconcileError::Unreadable { .. }) => "unreadable",
        };
        self.reconciles.get_or_create(&Outcome { outcome }).inc();
        self.duration.observe(took.as_secs_f64());
        self.busy.observe(busy.as_secs_f64());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether the controller has begun to take up jobs.
#[derive(Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on `/readyz` answers 200.
    pub fn set_ready(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Clone)]
struct Served {
    metrics: Metrics,
    readiness: Readiness,
}

/// Serves until `shutdown` resolves.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(
    address: SocketAddr,
    metrics: Metrics,
    readiness: Readiness,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_text))
        .with_state(Served { metrics, readiness });
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, routes).with_graceful_shutdown(shutdown).await
}

async fn ready(State(served): State<Served>) -> impl IntoResponse {
    if served.readiness.0.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "waiting for the BatchInferenceJob definition to be installed",
        )
    }
}

async fn metrics_text(State(served): State<Served>) -> impl IntoResponse {
    let mut text = String::new();
    match encode(&mut text, &served.metrics.registry) {
        Ok(()) => (StatusCode::OK, [(header::CONTENT_TYPE, OPEN_METRICS)], text),
        Err(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain")],
            String::new(),
        ),
    }
}
