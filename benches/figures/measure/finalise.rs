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
    let (mut rate, mut rate_copied, mut rate_on_disk) = (Sample::default(), Sample::default(), Sample::default());
    let (mut rate_peak, mut small_peak) = (Sample::default(), Sample::default());
    let disk = tempfile::tempdir().unwrap();
    for round in 0..rounds {
        let folder = World::output(&format!("large-{round}"));
        make(world, &large, &folder).await;
        let usage = run(world, "finalise", &large, &folder).await;
        rate.push(large.rate(&usage));
        rate_peak.push(usage.total.peak_mebibytes());
        rate_copied.push(large.rate(&run(world, "copy", &large, &folder).await));
        let folder = format!("{}/{round}/", disk.path().display());
        make(world, &large, &folder).await;
        rate_on_disk.push(large.rate(&run(world, "finalise", &large, &folder).await));
        std::fs::remove_dir_all(&folder).unwrap();
    }
    // Making so many objects takes far longer than merging them.
    let folder = World::output("small");
    make(world, &small, &folder).await;
    small_peak.push(run(world, "finalise", &small, &folder).await.total.peak_mebibytes());
    let what = "finalise, 1.25 M rows in 250 segments";
    let rate = Figure::new("finalise", what, "MB/s", Goal::AtLeast(200.0), rate);
    let what = "peak memory, finalise of 20,000 small segments";
    let memory = Figure::new("finalise-small-segments", what, "MiB", Goal::AtMost(64.0), small_peak);
    let rate = rate
        .with("SeaweedFS alone, reading and writing as much", rate_copied)
        .with("in a folder on disk", rate_on_disk)
        .with("MiB at most", rate_peak);
    vec![rate, memory]
}

impl Segments {
    fn all_rows(&self) -> u64 {
        self.count * self.rows
    }

    /// Bytes of results by the clock, in MB/s.
    fn rate(&self, usage: &Usage) -> f64 {
        (self.all_rows() * LINE_BYTES) as f64 / 1e6 / usage.total.wall.as_secs_f64()
    }
}

async fn make(world: &World, segments: &Segments, folder: &str) {
    let (count, rows) = (segments.count.to_string(), segments.rows.to_string());
    let made = start(world, &["make", folder, &count, &rows, segments.order]);
    succeed(Measured::new(made)).await;
}

async fn run(world: &World, what: &str, segments: &Segments, folder: &str) -> Usage {
    let all = segments.all_rows().to_string();
    succeed(Measured::new(start(world, &[what, folder, &all]))).await
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
