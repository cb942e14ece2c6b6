//! How a job is told where there is no terminal: a line for each thing that is new, and not for each row. Pure.

use k8s_openapi::jiff::Timestamp;

use super::job::Job;
use super::narration::narration;
use super::progress::Progress;

/// While the percentage stays, rows are told this often, in seconds.
const TOLD_EVERY: i64 = 60;

/// What was told last.
#[derive(Debug, Default)]
pub struct Lines {
    narration: String,
    progress: Option<(i64, i64, Timestamp)>,
}

impl Lines {
    /// What a job is doing now, when that is not what was told last.
    pub fn news(&mut self, job: &Job) -> Option<String> {
        let now = narration(job);
        if now == self.narration {
            return None;
        }
        self.narration.clone_from(&now);
        Some(now)
    }

    /// How far it is, when that is worth another line.
    pub fn progress(&mut self, job: &Job, now: Timestamp) -> Option<String> {
        let progress = Progress::of(job).filter(|progress| progress.done > 0)?;
        let is_worth = self.progress.is_none_or(|(percent, done, at)| {
            let is_due = now.duration_since(at).as_secs() >= TOLD_EVERY;
            progress.percent != percent || (is_due && progress.done != done)
        });
        if !is_worth {
            return None;
        }
        self.progress = Some((progress.percent, progress.done, now));
        Some(format!("{}: {}", job.phase(), progress.sentence(now)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(phase: &str, completed: i64) -> Job {
        Job::new(json!({"status": {"phase": phase, "progress": {"total": 1000, "completed": completed}}}))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn news_are_told_once() {
        let mut lines = Lines::default();
        assert_eq!(lines.news(&job("Pending", 0)).as_deref(), Some("Pending"));
        assert_eq!(lines.news(&job("Pending", 0)), None);
        assert_eq!(lines.news(&job("Running", 5)).as_deref(), Some("Running"));
    }

    #[test]
    fn rows_are_told_by_the_percent_and_by_the_minute() {
        let mut lines = Lines::default();
        let mut told = |completed, second| lines.progress(&job("Running", completed), at(second));
        assert_eq!(told(0, 0), None);
        assert_eq!(told(5, 0).as_deref(), Some("Running: 5 of 1000 rows (0%)"));
        assert_eq!(told(9, 59), None);
        assert_eq!(told(9, 60).as_deref(), Some("Running: 9 of 1000 rows (0%)"));
        assert_eq!(told(9, 200), None);
        assert_eq!(told(10, 201).as_deref(), Some("Running: 10 of 1000 rows (1%)"));
    }
}
