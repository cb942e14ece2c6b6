//! Jobs of a million rows and more: peak memory, how soon a restart goes on, and how fast results are written.

use crate::answer_server::AnswerServer;
use crate::dataset::Length;
use crate::figure::{Figure, Goal};
use crate::job::{Job, World};
use crate::process::Usage;
use crate::sample::Sample;

use super::memory::{LIMIT, LONGEST, with_stages};

/// Rows that are left when the feeder is killed, of all.
const LEFT: u64 = 100;

/// One job: killed when all but some rows are durable, restarted with its scratch and without, and run to its end.
pub async fn measure(world: &World, rows: u64, rounds: usize) -> Vec<Figure> {
    let dataset = world.dataset(rows, Length::UpTo(LONGEST));
    let mut job = world.job(&dataset).await;
    let until_killed = first_start(&mut job, rows - rows / LEFT).await;
    let (mut kept, mut lost) = (Sample::default(), Sample::default());
    for round in 0..rounds {
        kept.push(restart(&mut job, "scratch").await);
        lost.push(restart(&mut job, &format!("scratch-{round}")).await);
    }
    job.serve(AnswerServer::start(0));
    let to_the_end = job.run().await;
    let finalise = finalise_rate(&to_the_end, rows);
    dataset.remove();
    figures(rows, &[until_killed, to_the_end], kept, lost, finalise)
}

/// Feeds rows until that many are durable, and is killed.
async fn first_start(job: &mut Job<'_>, rows: u64) -> Usage {
    job.serve(AnswerServer::with(&[&format!("--answers={rows}")]));
    let mut feeder = job.start(&job.scratch("scratch"));
    feeder
        .until("the rows are durable", async || job.completed() >= rows)
        .await;
    feeder.kill().await
}

/// Seconds from a start to its first row.
async fn restart(job: &mut Job<'_>, scratch: &str) -> f64 {
    job.serve(AnswerServer::with(&["--answers=0"]));
    let server = job.server();
    let mut feeder = job.start(&job.scratch(scratch));
    feeder
        .until("it sends a row", async || server.counts().await.received > 0)
        .await;
    let seconds = server.counts().await.first_received.saturating_sub(feeder.started) as f64 / 1e6;
    feeder.kill().await;
    seconds
}

/// Megabytes of results per second. What the answer server answers makes lines of about this length.
fn finalise_rate(usage: &Usage, rows: u64) -> f64 {
    const LINE_BYTES: f64 = 840.0;
    rows as f64 * LINE_BYTES / 1e6 / usage.stages["Finalizing"].wall.as_secs_f64()
}

fn figures(rows: u64, runs: &[Usage], kept: Sample, lost: Sample, finalise: f64) -> Vec<Figure> {
    let millions = rows.div_ceil(1_000_000);
    let peak = runs
        .iter()
        .map(|usage| usage.total.peak_mebibytes())
        .fold(0.0, f64::max);
    let what = format!("peak memory, {millions} M rows of up to 4 KiB");
    let memory = Figure::new(
        &format!("memory-{millions}m"),
        &what,
        "MiB",
        LIMIT,
        Sample::from_iter([peak]),
    );
    let memory = with_stages(memory, runs).with(
        "MB/s of results in Finalizing, SeaweedFS on the same machine",
        Sample::from_iter([finalise]),
    );
    let what = format!("restart with {millions} M rows done, scratch kept: first new row after");
    let kept = Figure::new(
        &format!("restart-{millions}m-kept"),
        &what,
        "s",
        Goal::AtMost(5.0),
        kept,
    );
    let what = format!("restart with {millions} M rows done, scratch lost: first new row after");
    let lost = Figure::new(
        &format!("restart-{millions}m-lost"),
        &what,
        "s",
        Goal::AtMost(5.0),
        lost,
    );
    vec![memory, kept, lost]
}
