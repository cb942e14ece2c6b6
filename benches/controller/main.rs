//! The controller's figures: a real API server, nodes and pods by kwok, and stand-ins for feeders that report as feeders do.
//!
//! `run` starts it in a test cluster. [`scenario`] is what is measured, one after another; [`cluster`] has the nodes,
//! [`operator`] the process that is measured, [`feeders`] the stand-ins, [`without`] the same work without an operator,
//! [`finished`] jobs that have ended, [`writes`] what the API server's audit log tells.
#![allow(clippy::unwrap_used, missing_docs)]

mod cluster;
mod feeders;
mod figures;
mod finished;
#[path = "../../tests/feeder/image.rs"]
mod image;
mod operator;
mod scenario;
mod signals;
mod without;
mod writes;

use clap::Parser;

/// Measures, and prints a line of JSON for each figure.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Jobs at a time.
    #[arg(long, default_value_t = 1000)]
    pub jobs: usize,
    /// Jobs that have ended.
    #[arg(long, default_value_t = 10_000)]
    pub finished: usize,
    /// Seconds for which writes are counted.
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// Only for `run`: what was measured is not written to the page.
    #[arg(long)]
    pub dry_run: bool,
    /// Cargo passes it to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    scenario::run(&Arguments::parse()).await;
}
