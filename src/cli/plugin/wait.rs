//! `wait`: until the end of a job, or of the time.

use std::process::ExitCode;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::arguments::WaitArguments;
use super::exit;
use super::follow::Seen;
use super::job::Job;
use super::jobs::Jobs;
use super::progress::Progress;
use super::standard_error::tell;
use super::standard_output;
use super::verdict::Verdict;

/// Waits. How it ended goes to standard output; that the time is over, to standard error.
///
/// # Errors
///
/// [`super::refusal::Refusal`], or standard output cannot be written.
pub async fn wait(jobs: &Jobs, arguments: &WaitArguments) -> anyhow::Result<ExitCode> {
    let deadline = arguments.timeout.and_then(deadline);
    // To look only, the API server has to be asked.
    let first = deadline.filter(|_| arguments.timeout != Some(Duration::ZERO));
    let Some(found) = before(first, jobs.find(&arguments.job)).await else {
        tell(format_args!(
            "`{}` could not be looked at in time: the API server does not answer",
            arguments.job
        ));
        return Ok(ExitCode::from(exit::TIME_OVER));
    };
    let mut job = found?;
    let mut changes = jobs.follow(&job);
    loop {
        if let Some(end) = job.end() {
            let verdict = Verdict::of(&job, &end);
            standard_output::write(&format!("{}\n", verdict.text))?;
            return Ok(ExitCode::from(verdict.code));
        }
        let Some(seen) = before(deadline, changes.next()).await else {
            tell(time_over(&job));
            return Ok(ExitCode::from(exit::TIME_OVER));
        };
        match seen? {
            Seen::Job(now) => job = now,
            Seen::Trouble(why) => tell(format_args!(
                "the API server does not answer ({why}); it is asked again"
            )),
        }
    }
}

/// None, when it is farther away than clocks go.
fn deadline(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

async fn before<T>(deadline: Option<Instant>, event: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, event).await.ok(),
        None => Some(event.await),
    }
}

fn time_over(job: &Job) -> String {
    let rows = Progress::of(job).map_or_else(String::new, |progress| {
        format!(", {} of {} rows", progress.done, progress.total)
    });
    format!("{} has not ended in time: {}{rows}", job.full_name(), job.phase())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn without_a_deadline_the_event_is_waited_for() {
        assert_eq!(before(None, async { 7 }).await, Some(7));
        let over = Some(Instant::now());
        assert_eq!(before(over, std::future::pending::<u8>()).await, None);
    }

    #[test]
    fn a_time_that_no_clock_shows_is_no_limit() {
        assert_eq!(deadline(Duration::MAX), None);
        assert!(deadline(Duration::from_hours(1)).is_some());
    }

    #[test]
    fn the_end_of_the_time_says_how_far_the_job_is() {
        let name = json!({"name": "x"});
        let job = Job::new(json!({
            "metadata": name,
            "status": {"phase": "Running", "progress": {"total": 10, "completed": 3, "failed": 1, "percent": 40}},
        }));
        assert!(time_over(&job).ends_with("/x has not ended in time: Running, 4 of 10 rows"));
        assert!(time_over(&Job::new(json!({"metadata": name}))).ends_with("in time: Pending"));
    }
}
