//! Peak memory with rows and answers that are far larger than usual.

use crate::answer_server::AnswerServer;
use crate::dataset::Length;
use crate::figure::{Figure, Goal};
use crate::job::World;
use crate::sample::Sample;

const MEBIBYTE: usize = 1 << 20;
/// The feeder's own limit when the job says nothing, in MiB (`spec.feeder.resources`).
const LIMIT: Goal = Goal::AtMost(1024.0);

struct Case {
    id: &'static str,
    what: &'static str,
    rows: u64,
    row_bytes: usize,
    answer_bytes: usize,
}

const CASES: &[Case] = &[
    Case {
        id: "memory-1mib-rows",
        what: "peak memory, 512 rows of 1 MiB",
        rows: 512,
        row_bytes: MEBIBYTE,
        answer_bytes: 650,
    },
    Case {
        id: "memory-16mib-rows",
        what: "peak memory, 64 rows of 16 MiB",
        rows: 64,
        // The longest line that is a row.
        row_bytes: 16 * MEBIBYTE,
        answer_bytes: 650,
    },
    Case {
        id: "memory-1mib-answers",
        what: "peak memory, 1,000 answers of 1 MiB",
        rows: 1000,
        row_bytes: 400,
        answer_bytes: MEBIBYTE,
    },
];

pub async fn measure(world: &World, rounds: usize, shrink: u64) -> Vec<Figure> {
    let mut figures = Vec::new();
    for case in CASES {
        figures.push(measure_case(world, rounds, case.rows.div_ceil(shrink), case).await);
    }
    figures
}

/// The server takes its time, so that as many rows as the feeder wants are there at once.
async fn measure_case(world: &World, rounds: usize, rows: u64, case: &Case) -> Figure {
    let dataset = world.dataset(rows, Length::Fixed(case.row_bytes));
    let (mut peaks, mut in_flight) = (Sample::default(), Sample::default());
    for _ in 0..rounds.min(3) {
        let mut job = world.job(&dataset).await;
        let answer_bytes = format!("--answer-bytes={}", case.answer_bytes);
        job.serve(AnswerServer::with(&["--latency-ms=200", &answer_bytes]));
        peaks.push(job.run().await.total.peak_mebibytes());
        in_flight.push(job.server().counts().await.most_in_flight as f64);
    }
    dataset.remove();
    Figure::new(case.id, case.what, "MiB", LIMIT, peaks).with("rows in flight at most", in_flight)
}
