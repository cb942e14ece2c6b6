//! Rows per second against wrk, and what a row costs.

use crate::answer_server::AnswerServer;
use crate::dataset::Length;
use crate::figure::{Figure, Goal};
use crate::job::World;
use crate::sample::Sample;
use crate::wrk;

/// Both ratios, and the processor time of a row in the runs with a server that answers at once.
pub async fn measure(world: &World, rounds: usize, rows: u64, wrk_seconds: u32) -> Vec<Figure> {
    let mut slow = Runs::default();
    let mut fast = Runs::default();
    for _ in 0..rounds {
        slow.round(world, rows, 20, &[512], wrk_seconds).await;
        fast.round(world, rows, 0, &[64, 128, 256, 512], wrk_seconds).await;
    }
    let cost = Figure::new(
        "processor-time",
        "processor time a row, rows of 400 bytes, from the start of the feeder to its end",
        "us",
        Goal::AtMost(20.0),
        fast.processor_us.clone(),
    );
    let cost = cost
        .with("of it while rows are sent", fast.feeding_us.clone())
        .with("with the server that answers after 20 ms", slow.processor_us.clone());
    vec![
        slow.figure(
            "rows-20ms",
            "rows/s, server answers after 20 ms, against wrk's best at 512 connections",
            0.95,
        ),
        fast.figure(
            "rows-0ms",
            "rows/s, server answers at once, against wrk's best of 64 to 512 connections",
            0.50,
        ),
        cost,
    ]
}

#[derive(Default)]
struct Runs {
    ratio: Sample,
    wrk: Sample,
    rows: Sample,
    job_rows: Sample,
    most_in_flight: Sample,
    connections: Sample,
    processor_us: Sample,
    feeding_us: Sample,
}

impl Runs {
    /// wrk, then the feeder, each with a server of its own.
    async fn round(&mut self, world: &World, rows: u64, latency_ms: u64, connections: &[u32], wrk_seconds: u32) {
        let mut best: f64 = 0.0;
        for connections in connections {
            let server = AnswerServer::start(latency_ms);
            best = best.max(wrk::requests_per_second(&server, *connections, wrk_seconds).await);
        }
        let dataset = world.dataset(rows, Length::Fixed(400));
        let mut job = world.job(&dataset).await;
        job.serve(AnswerServer::start(latency_ms));
        let usage = job.run().await;
        let counts = job.server().counts().await;
        assert_eq!(counts.answered, rows, "rows were sent again");
        let us_a_row = |duration: std::time::Duration| duration.as_secs_f64() * 1e6 / rows as f64;
        self.ratio.push(counts.rows_per_second() / best);
        self.wrk.push(best);
        self.rows.push(counts.rows_per_second());
        self.job_rows.push(rows as f64 / usage.total.wall.as_secs_f64());
        self.most_in_flight.push(counts.most_in_flight as f64);
        // One is that of the question.
        self.connections.push((counts.connections - 1) as f64);
        self.processor_us.push(us_a_row(usage.total.processor()));
        self.feeding_us.push(us_a_row(usage.stages["Feeding"].processor()));
    }

    fn figure(&self, id: &str, what: &str, goal: f64) -> Figure {
        Figure::new(id, what, "", Goal::AtLeast(goal), self.ratio.clone())
            .with("feeder, rows/s", self.rows.clone())
            .with("wrk, requests/s", self.wrk.clone())
            .with(
                "rows/s of the whole job, inspection and results included",
                self.job_rows.clone(),
            )
            .with("rows in the server at most", self.most_in_flight.clone())
            .with("connections made", self.connections.clone())
    }
}
