//! Work that is repeated after SIGKILL: rows that were answered and are not durable.

use std::time::Duration;

use crate::answer_server::AnswerServer;
use crate::dataset::Length;
use crate::figure::{Figure, Goal};
use crate::job::World;
use crate::sample::Sample;

const ROWS: u64 = 400_000;
const LATENCY_MS: u64 = 20;
/// From the first row to the kill. Each round adds some, so that the kills find segments in all states.
const FEEDING: Duration = Duration::from_secs(7);
const ADDED: Duration = Duration::from_millis(700);

pub async fn measure(world: &World, rounds: usize) -> Vec<Figure> {
    let (mut seconds, mut repeated, mut rate) = (Sample::default(), Sample::default(), Sample::default());
    for round in 0..rounds {
        let lost = kill(world, FEEDING + ADDED * u32::try_from(round).unwrap()).await;
        seconds.push(lost.rows / lost.rows_per_second);
        repeated.push(lost.rows);
        rate.push(lost.rows_per_second);
    }
    let what = "work repeated after SIGKILL, in seconds of answers";
    let figure = Figure::new("kill", what, "s", Goal::AtMost(5.0), seconds);
    vec![figure.with("rows", repeated).with("rows/s before the kill", rate)]
}

struct Lost {
    rows: f64,
    rows_per_second: f64,
}

async fn kill(world: &World, after: Duration) -> Lost {
    let dataset = world.dataset(ROWS, Length::Fixed(400));
    let mut job = world.job(&dataset).await;
    job.serve(AnswerServer::start(LATENCY_MS));
    let mut feeder = job.start(&job.scratch("scratch"));
    let server = job.server();
    feeder
        .until("rows are answered", async || server.counts().await.answered > 0)
        .await;
    let begin = tokio::time::Instant::now();
    feeder.until("it is killed", async || begin.elapsed() >= after).await;
    let counts = server.counts().await;
    feeder.kill().await;
    // What the next start finds is durable. The server takes its rows and answers none.
    job.serve(AnswerServer::with(&["--answers=0"]));
    let server = job.server();
    let mut next = job.start(&job.scratch("scratch"));
    next.until("it sends rows", async || server.counts().await.received > 0)
        .await;
    next.until("it says what is durable", async || job.is_feeding(2)).await;
    let durable = job.completed();
    next.kill().await;
    Lost {
        rows: counts.answered.saturating_sub(durable) as f64,
        rows_per_second: counts.rows_per_second(),
    }
}
