//! The figures of `docs/benchmarks.md`: `make bench` and `make bench-full`.
//!
//! The feeder is the real binary, as a process of its own; its processor time and memory are read from `/proc`. Its store is a
//! real S3 (SeaweedFS), its model server the lean one of `benches/answer-server`, whose own clock says when rows came and went,
//! and Kubernetes is the small API server of the feeder's tests. Each figure with a yardstick has both measured by turns.
//!
//! Start with `measure`, a file for each kind of figure. `job` runs feeders, `process` measures them, `wrk` is the yardstick,
//! `dataset` writes the rows, `page` writes what was measured to `docs/benchmarks.json` and from there to the page.

#![expect(clippy::unwrap_used, reason = "a benchmark says what is wrong by panicking")]
#![expect(clippy::cast_precision_loss, reason = "figures are rounded to three digits")]

#[path = "../../tests/feeder/image.rs"]
mod image;
#[allow(dead_code, reason = "the feeder's tests use more of it")]
#[path = "../../tests/feeder/kubernetes/mod.rs"]
mod kubernetes;
#[path = "../../tests/storage/ports.rs"]
mod ports;
#[allow(dead_code, reason = "tests use more of it")]
#[path = "../../tests/storage/seaweedfs.rs"]
mod seaweedfs;

mod answer_server;
mod arguments;
mod dataset;
mod figure;
mod job;
mod machine;
mod measure;
mod page;
mod process;
mod sample;
mod wrk;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    if let Some(file) = &arguments.inspect {
        runtime.block_on(measure::inspection::inspect_file(file));
        return ExitCode::SUCCESS;
    }
    if let Some(command) = &arguments.from {
        return measure::add_from(command);
    }
    let ended = runtime.block_on(async {
        tokio::select! {
            () = measure::all(&arguments) => ExitCode::SUCCESS,
            // What runs is ended, and its files removed, as it is dropped.
            () = interrupted() => ExitCode::FAILURE,
        }
    });
    drop(runtime);
    ended
}

async fn interrupted() {
    let [mut interrupt, mut terminate] =
        [SignalKind::interrupt(), SignalKind::terminate()].map(|kind| signal(kind).unwrap());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
