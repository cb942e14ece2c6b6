//! How a job ended, for people and for scripts. Pure.

use super::exit;
use super::job::{End, Job};

/// A sentence, and an exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What came of the job.
    pub text: String,
    /// 0 when it completed.
    pub code: u8,
}

impl Verdict {
    /// Of a job that has ended.
    #[must_use]
    pub fn of(job: &Job, end: &End) -> Self {
        let (word, code) = if end.is_success {
            ("completed", 0)
        } else {
            ("failed", exit::BAD)
        };
        let End { reason, message, .. } = end;
        let why = if message.is_empty() {
            reason.clone()
        } else {
            format!("{reason}: {message}")
        };
        Self {
            text: format!("{} {word}: {why}", job.full_name()),
            code,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(kind: &str, message: &str) -> Verdict {
        let job = Job::new(json!({
            "metadata": {"name": "x"},
            "status": {"conditions": [{"type": kind, "status": "True", "reason": "Why", "message": message}]},
        }));
        let end = job.end().expect("an end");
        Verdict::of(&job, &end)
    }

    #[test]
    fn the_code_says_whether_the_job_completed() {
        let text = "batchinferencejob.batchinference.dev/x completed: Why: 5 rows".to_owned();
        assert_eq!(verdict("Complete", "5 rows"), Verdict { text, code: 0 });
        let text = "batchinferencejob.batchinference.dev/x failed: Why".to_owned();
        assert_eq!(verdict("Failed", ""), Verdict { text, code: 1 });
    }
}
