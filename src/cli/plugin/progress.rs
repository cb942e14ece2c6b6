//! How far a job is: as a bar for a terminal, and as a sentence. Pure.

use k8s_openapi::jiff::Timestamp;

use super::age::human;
use super::job::Job;

/// The shortest bar that still says something, as what stands beside it says more, and one beyond which more is not seen better. In
/// characters.
const BAR: std::ops::RangeInclusive<usize> = 4..=40;

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Rows of the data set.
    pub total: i64,
    /// Rows with a result or an error.
    pub done: i64,
    /// Rows with an error.
    pub failed: i64,
    /// Of all rows, rounded down.
    pub percent: i64,
    rows_per_second: Option<String>,
    ends_at: Option<Timestamp>,
    tokens: Option<i64>,
    token_cost: Option<String>,
    gpu_cost: Option<String>,
}

impl Progress {
    /// Of a job; `None` while the number of its rows is not known.
    #[must_use]
    pub fn of(job: &Job) -> Option<Self> {
        let number = |field: &str| job.number(&format!("/status/progress/{field}"));
        let total = number("total").filter(|total| *total > 0)?;
        let failed = number("failed").unwrap_or(0);
        let done = number("completed").unwrap_or(0) + failed;
        Some(Self {
            total,
            done,
            failed,
            percent: number("percent").unwrap_or(done * 100 / total).clamp(0, 100),
            rows_per_second: job.text("/status/progress/rowsPerSecond").map(str::to_owned),
            ends_at: job.time("/status/progress/estimatedCompletionTime"),
            tokens: job.number("/status/usage/totalTokens").filter(|tokens| *tokens > 0),
            token_cost: cost(job, "tokenCost"),
            gpu_cost: cost(job, "gpuCost").map(|cost| format!("{cost} for GPUs")),
        })
    }

    /// A line of at most `width` characters: a bar, and as much beside it as there is room for, the more important first.
    #[must_use]
    pub fn bar(&self, now: Timestamp, width: usize) -> String {
        let mut beside = String::new();
        let parts = [format!("{}%", self.percent), format!("{}/{}", self.done, self.total)];
        for part in parts.into_iter().chain(self.details(now)) {
            let needed = beside.chars().count() + part.chars().count() + 2;
            if needed + BAR.start() > width {
                break;
            }
            beside = format!("{beside}  {part}");
        }
        let room = width.saturating_sub(beside.chars().count());
        if room < *BAR.start() {
            return beside.chars().take(width).collect();
        }
        format!("{}{beside}", drawn(self.done, self.total, room.min(*BAR.end())))
    }

    /// The same as a sentence.
    #[must_use]
    pub fn sentence(&self, now: Timestamp) -> String {
        let rows = format!("{} of {} rows ({}%)", self.done, self.total, self.percent);
        let parts: Vec<_> = std::iter::once(rows).chain(self.details(now)).collect();
        parts.join(", ")
    }

    fn details(&self, now: Timestamp) -> impl Iterator<Item = String> {
        let failed = (self.failed > 0).then(|| format!("{} failed", self.failed));
        let rate = self.rows_per_second.as_ref().map(|rate| format!("{rate} rows/s"));
        let is_open = self.done < self.total;
        let ends_at = self.ends_at.filter(|_| is_open);
        let left = ends_at.map(|at| format!("{} left", human(at.duration_since(now).as_secs())));
        let tokens = self.tokens.map(|tokens| format!("{} tokens", shortened(tokens)));
        let costs = [self.token_cost.clone(), self.gpu_cost.clone()];
        [failed, rate, left, tokens].into_iter().chain(costs).flatten()
    }
}

fn drawn(done: i64, total: i64, width: usize) -> String {
    let width_as_number = i64::try_from(width).unwrap_or(0);
    // Full only when every row is done.
    let full = usize::try_from(done.clamp(0, total) * width_as_number / total).unwrap_or(0);
    format!("{}{}", "█".repeat(full), "░".repeat(width - full))
}

/// What tokens or GPUs have cost, where the operator has a price for them.
fn cost(job: &Job, field: &str) -> Option<String> {
    let amount = job.text(&format!("/status/cost/{field}"))?;
    let currency = job.text("/status/cost/currency").unwrap_or_default();
    Some(format!("{amount} {currency}").trim_end().to_owned())
}

/// A large number with three digits or so, rounded down: `950`, `12.3k`, `4.5M`.
fn shortened(number: i64) -> String {
    const STEPS: [(i64, char); 3] = [(1_000_000_000, 'G'), (1_000_000, 'M'), (1_000, 'k')];
    match STEPS.iter().find(|(step, _)| number >= *step) {
        Some((step, name)) => format!("{}.{}{name}", number / step, number % step * 10 / step),
        None => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn progress(status: Value) -> Option<Progress> {
        Progress::of(&Job::new(json!({"status": status})))
    }

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn running() -> Progress {
        let status = json!({
            "progress": {
                "total": 1000, "completed": 447, "failed": 3, "percent": 45, "rowsPerSecond": "12.5",
                "estimatedCompletionTime": "2026-11-24T12:04:30Z",
            },
            "usage": {"totalTokens": 1_234_567},
            "cost": {"tokenCost": "0.61", "currency": "USD"},
        });
        progress(status).unwrap()
    }

    #[test]
    fn a_sentence_says_all_that_is_known() {
        assert_eq!(
            running().sentence(now()),
            "450 of 1000 rows (45%), 3 failed, 12.5 rows/s, 4m30s left, 1.2M tokens, 0.61 USD"
        );
        let first = progress(json!({"progress": {"total": 10, "completed": 0, "failed": 0, "percent": 0}})).unwrap();
        assert_eq!(first.sentence(now()), "0 of 10 rows (0%)");
        assert_eq!(progress(json!({"progress": {"total": 0}})), None);
        assert_eq!(progress(json!({})), None);
    }

    #[test]
    fn a_bar_takes_what_room_there_is() {
        let rest = "  45%  450/1000  3 failed  12.5 rows/s  4m30s left  1.2M tokens  0.61 USD";
        assert_eq!(
            running().bar(now(), 200),
            format!("{}{}{rest}", "█".repeat(18), "░".repeat(22))
        );
        assert_eq!(
            running().bar(now(), 60),
            "████░░░░░░  45%  450/1000  3 failed  12.5 rows/s  4m30s left"
        );
        // The cost stands there in a terminal of eighty columns, also when rows have failed.
        assert_eq!(running().bar(now(), 80), format!("███░░░░{rest}"));
        assert_eq!(running().bar(now(), 20), "██░░░  45%  450/1000");
        for width in 0..200 {
            let line = running().bar(now(), width);
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
    }

    #[test]
    fn a_bar_is_full_at_the_last_row_only() {
        assert_eq!(drawn(999, 1000, 10), "█████████░");
        assert_eq!(drawn(1000, 1000, 10), "██████████");
        assert_eq!(drawn(0, 1000, 10), "░░░░░░░░░░");
    }

    #[test]
    fn a_finished_job_has_no_time_left() {
        let mut done = running();
        done.done = done.total;
        assert!(!done.sentence(now()).contains("left"));
    }

    #[test]
    fn what_has_a_price_has_a_cost() {
        let sentence = |cost: Value| {
            let status = json!({"progress": {"total": 10, "completed": 10, "percent": 100}, "cost": cost});
            progress(status).unwrap().sentence(now())
        };
        let of_both = json!({"tokenCost": "0.61", "gpuCost": "2.50", "currency": "EUR"});
        assert_eq!(sentence(of_both), "10 of 10 rows (100%), 0.61 EUR, 2.50 EUR for GPUs");
        let of_tokens = json!({"tokenCost": "0.61", "currency": "EUR"});
        assert_eq!(sentence(of_tokens), "10 of 10 rows (100%), 0.61 EUR");
        assert_eq!(sentence(Value::Null), "10 of 10 rows (100%)");
    }

    #[test]
    fn large_numbers_are_shortened() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1.0k"),
            (12_345, "12.3k"),
            (1_999_999, "1.9M"),
            (2_000_000_000, "2.0G"),
        ] {
            assert_eq!(shortened(number), expected);
        }
    }
}
