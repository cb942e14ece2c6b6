//! What both programs start with: a log on standard error, and the runtime that their work runs on.

use std::process::ExitCode;

use anyhow::Context;
use tracing_subscriber::{EnvFilter, fmt};

/// Runs the work of a program to its end.
///
/// # Errors
///
/// Those of the work, or there is no runtime.
pub fn run<F: Future<Output = anyhow::Result<ExitCode>>>(work: F) -> anyhow::Result<ExitCode> {
    // reqwest, kube and object_store all use the process's one TLS provider.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("failed to start the runtime")?;
    let outcome = runtime.block_on(work);
    // Dropping it would wait for calls that hang with a disk or a name server.
    runtime.shutdown_background();
    outcome
}

/// For those who collect logs: as JSON, and what happens in the ordinary course of things too. `RUST_LOG` says otherwise.
pub fn log_as_json() {
    let log = fmt().json().with_env_filter(filter("info"));
    log.with_writer(std::io::stderr).init();
}

/// For a person who waits for something else: only what has failed, and not what the error of a request says again. `RUST_LOG` says otherwise.
pub fn log_as_text() {
    // It would panic where nobody reads standard error any more.
    let log = fmt()
        .log_internal_errors(false)
        .with_env_filter(filter("error,kube_client=off"));
    log.with_writer(std::io::stderr).init();
}

fn filter(default: &str) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default))
}
