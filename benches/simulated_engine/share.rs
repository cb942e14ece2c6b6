//! Our bound against the best fixed one.

use batch_inference_operator::feeder::concurrency::Concurrency;

use super::simulation::{Bound, Case, Figures, Server, run};

/// The fixed bounds are 1, 2, 4, ... up to 2 to the power of this.
const LARGEST_POWER: u32 = 12;
/// A server that slows down for nothing has no best bound; this is what many are set to.
const FIXED_BEFORE_DELAY: usize = 512;

/// What came of one case.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    pub case: Case,
    pub seed: u64,
    pub best: usize,
    pub fixed: Figures,
    pub with_metrics: Figures,
    pub without: Figures,
}

/// Runs a case with all fixed bounds, and with ours from a cold start.
pub fn shares(case: Case, seed: u64) -> Shares {
    let bounds = match case.server {
        Server::Delay(_) => vec![FIXED_BEFORE_DELAY],
        _ => (0..=LARGEST_POWER).map(|power| 1 << power).collect(),
    };
    let figures = bounds
        .into_iter()
        .map(|limit| (limit, run(case, Bound::Fixed(limit), seed)));
    let (best, fixed) = figures
        .max_by(|(_, a), (_, b)| a.rows_per_second.total_cmp(&b.rows_per_second))
        .expect("bounds");
    let found = |metrics| Bound::Found {
        bound: Concurrency::new(),
        metrics,
    };
    Shares {
        case,
        seed,
        best,
        fixed,
        with_metrics: run(case, found(true), seed),
        without: run(case, found(false), seed),
    }
}

impl Shares {
    /// Of the best fixed bound's rows per second.
    pub fn share(&self, figures: &Figures) -> f64 {
        figures.rows_per_second / self.fixed.rows_per_second
    }

    /// A row of the table.
    pub fn row(&self) -> String {
        format!(
            "| {} | {} | {} | {:.1} | {:.3} | {:.3} | {} | {} |",
            self.case.name,
            self.seed,
            self.best,
            self.fixed.rows_per_second,
            self.share(&self.with_metrics),
            self.share(&self.without),
            self.with_metrics.limit,
            self.without.limit
        )
    }

    /// The same for programs, and more.
    pub fn json(&self) -> String {
        let figures = |figures: &Figures| {
            serde_json::json!({
                "rows_per_second": figures.rows_per_second,
                "share": self.share(figures),
                "limit": figures.limit,
                "most_in_flight": figures.most,
                "preemptions": figures.preemptions,
                "refusals": figures.refusals,
            })
        };
        serde_json::json!({
            "server": self.case.name,
            "seed": self.seed,
            "best_fixed": self.best,
            "fixed": figures(&self.fixed),
            "with_metrics": figures(&self.with_metrics),
            "without_metrics": figures(&self.without),
        })
        .to_string()
    }
}
