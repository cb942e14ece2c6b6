//! How fast a data set is inspected: the library's inspection in a process of its own, on one core.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use batch_inference_operator::dataset::{ModelNames, Scratch, Source, inspect};
use object_store::local::LocalFileSystem;

use crate::dataset::{Dataset, Length, MODEL};
use crate::figure::{Figure, Goal};
use crate::job::World;
use crate::process::Measured;
use crate::sample::Sample;

pub const ROWS: u64 = 1_000_000;

pub async fn measure(world: &World, rounds: usize, rows: u64) -> Vec<Figure> {
    let short = world.dataset(rows, Length::Fixed(400));
    let long = world.dataset(rows / 10, Length::Fixed(4 << 10));
    let (mut processor, mut wall, mut of_long) = (Sample::default(), Sample::default(), Sample::default());
    for _ in 0..rounds {
        let run = run(&short).await;
        processor.push(run.processor_rate);
        wall.push(run.wall_rate);
        of_long.push(self::run(&long).await.processor_rate);
    }
    let what = "inspection, one core: bytes of the data set by processor time, rows of 400 bytes";
    let figure = Figure::new("inspection", what, "MB/s", Goal::AtLeast(400.0), processor);
    vec![figure.with("MB/s by the clock", wall).with("rows of 4 KiB", of_long)]
}

/// Megabytes per second.
struct Run {
    processor_rate: f64,
    wall_rate: f64,
}

async fn run(dataset: &Dataset) -> Run {
    let ourselves = std::env::current_exe().unwrap();
    let child = Command::new("taskset")
        .args(["--cpu-list", "0"])
        .arg(ourselves)
        .arg("--inspect")
        .arg(&dataset.path)
        .stdin(Stdio::null())
        .spawn();
    let usage = Measured::new(child.unwrap()).finish(|| "Inspecting".to_owned()).await;
    assert_eq!(usage.exit_code, Some(0), "the data set was not inspected");
    let megabytes = dataset.bytes as f64 / 1e6;
    Run {
        processor_rate: megabytes / usage.total.processor().as_secs_f64(),
        wall_rate: megabytes / usage.total.wall.as_secs_f64(),
    }
}

/// What the process does.
pub async fn inspect_file(file: &Path) {
    let store = LocalFileSystem::new_with_prefix(file.parent().unwrap()).unwrap();
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let source = Source::new(Arc::new(store), name.as_str().into(), name.clone(), "");
    let scratch = tempfile::tempdir().unwrap();
    let inspected = inspect(&source, &ModelNames::new([MODEL]), &Scratch::new(scratch.path())).await;
    inspected.unwrap();
}
