//! How fast segments become results, and with how much memory: the library's finalise as a process of its own
//! (`benches/finalise`), on SeaweedFS.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::figure::{Figure, Goal};
use crate::job::World;
use crate::machine::binary;
use crate::process::{Measured, Usage};
use crate::sample::Sample;

/// Of each row in the results, with its line break.
const LINE_BYTES: u64 = 651;

/// What a job leaves: segments of so many rows, in the order in which the program scatters them.
struct Segments {
    count: u64,
    rows: u64,
    order: &'static str,
}

pub async fn measure(world: &World, rounds: usize) -> Vec<Figure> {
    let large = Segments {
        count: 250,
        rows: 5000,
        order: "near",
    };
    let small = Segments {
        count: 20_000,
        rows: 20,
        order: "scattered",
    };
    let (mut rate, mut rate_peak, mut small_peak) = (Sample::default(), Sample::default(), Sample::default());
    for round in 0..rounds {
        let usage = run(world, &large, &format!("large-{round}")).await;
        rate.push((large.count * large.rows * LINE_BYTES) as f64 / 1e6 / usage.total.wall.as_secs_f64());
        rate_peak.push(usage.total.peak_mebibytes());
    }
    // Making so many objects takes far longer than merging them.
    small_peak.push(run(world, &small, "small").await.total.peak_mebibytes());
    let what = "finalise, 1.25 M rows in 250 segments";
    let rate = Figure::new("finalise", what, "MB/s", Goal::AtLeast(200.0), rate);
    let what = "peak memory, finalise of 20,000 small segments";
    let memory = Figure::new("finalise-small-segments", what, "MiB", Goal::AtMost(64.0), small_peak);
    vec![rate.with("MiB at most", rate_peak), memory]
}

async fn run(world: &World, segments: &Segments, folder: &str) -> Usage {
    let folder = World::output(folder);
    let (count, rows) = (segments.count.to_string(), segments.rows.to_string());
    let made = start(world, &["make", &folder, &count, &rows, segments.order]);
    succeed(Measured::new(made)).await;
    let all = (segments.count * segments.rows).to_string();
    succeed(Measured::new(start(world, &["finalise", &folder, &all]))).await
}

async fn succeed(process: Measured) -> Usage {
    let usage = process.finish(|| "Finalizing".to_owned()).await;
    assert_eq!(usage.exit_code, Some(0), "{} failed", program().display());
    usage
}

fn program() -> PathBuf {
    binary().with_file_name("examples").join("finalise-figures")
}

fn start(world: &World, arguments: &[&str]) -> Child {
    let command = Command::new(program())
        .args(arguments)
        .envs(world.keys())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    command.unwrap_or_else(|error| panic!("{}: {error}", program().display()))
}
