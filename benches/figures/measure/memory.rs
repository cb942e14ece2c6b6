//! Peak memory of a job of ordinary size.

use crate::answer_server::AnswerServer;
use crate::dataset::Length;
use crate::figure::{Figure, Goal};
use crate::job::World;
use crate::process::Usage;
use crate::sample::Sample;

pub const LONGEST: usize = 4 << 10;
pub const LIMIT: Goal = Goal::AtMost(64.0);
pub const ROWS: u64 = 50_000;

pub async fn measure(world: &World, rounds: usize, rows: u64) -> Vec<Figure> {
    let dataset = world.dataset(rows, Length::UpTo(LONGEST));
    let mut runs = Vec::new();
    for _ in 0..rounds {
        let mut job = world.job(&dataset).await;
        job.serve(AnswerServer::start(0));
        runs.push(job.run().await);
    }
    let peaks = runs.iter().map(|usage| usage.total.peak_mebibytes()).collect();
    let what = "peak memory, 50,000 rows of up to 4 KiB";
    let figure = Figure::new("memory-50k", what, "MiB", LIMIT, peaks);
    vec![with_stages(figure, &runs)]
}

/// The peak as it was at the end of each stage: says which stage needs the most.
pub fn with_stages(mut figure: Figure, runs: &[Usage]) -> Figure {
    for stage in ["Inspecting", "Feeding", "Finalizing"] {
        let peaks: Sample = runs
            .iter()
            .filter_map(|usage| usage.stages.get(stage))
            .map(crate::process::Cost::peak_mebibytes)
            .collect();
        figure = figure.with(&format!("MiB at the end of {stage}"), peaks);
    }
    figure
}
