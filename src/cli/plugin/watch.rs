//! `watch`: a job to its end, told while it happens.

use std::io::{self, Stdout};
use std::process::ExitCode;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};

use super::arguments::JobArguments;
use super::exit;
use super::follow::Seen;
use super::interruption::Interruption;
use super::job::Job;
use super::jobs::Jobs;
use super::lines::Lines;
use super::progress::Progress;
use super::screen::{self, Screen};
use super::standard_error;
use super::standard_output::{self, StandardOutputError};
use super::verdict::Verdict;

/// How often what is drawn is drawn again, as the time left shrinks by itself.
const TICK: Duration = Duration::from_secs(1);

/// Follows a job to its end. The exit code is that of `wait`.
///
/// # Errors
///
/// [`super::refusal::Refusal`], or standard output cannot be written.
pub async fn watch(jobs: &Jobs, arguments: &JobArguments) -> anyhow::Result<ExitCode> {
    let mut job = jobs.find(&arguments.job).await?;
    let mut changes = jobs.follow(&job);
    let mut view = View::of_standard_output();
    let interruption = Interruption::watch();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if let Some(end) = job.end() {
            let verdict = Verdict::of(&job, &end);
            view.show_end(&job, &verdict)?;
            return Ok(ExitCode::from(verdict.code));
        }
        view.show(&job, Timestamp::now())?;
        tokio::select! {
            _ = ticks.tick() => {}
            () = interruption.came() => return Ok(ExitCode::from(exit::INTERRUPTED)),
            seen = changes.next() => match seen? {
                Seen::Job(now) => job = now,
                Seen::Trouble(why) => {
                    view.warn(&format!("the API server does not answer ({why}); it is asked again"))?;
                }
            },
        }
    }
}

/// Where it is told.
struct View {
    lines: Lines,
    screen: Option<Screen<Stdout>>,
}

impl View {
    fn of_standard_output() -> Self {
        Self {
            lines: Lines::default(),
            screen: screen::width().map(|_| Screen::new(io::stdout())),
        }
    }

    fn tell(&mut self, line: &str) -> Result<(), StandardOutputError> {
        match &mut self.screen {
            Some(screen) => Ok(screen.keep(line)?),
            None => standard_output::write(&format!("{line}\n")),
        }
    }

    /// What is not of the job: in a terminal it stands above the bar, which standard error would be drawn over.
    fn warn(&mut self, line: &str) -> Result<(), StandardOutputError> {
        if self.screen.is_some() {
            return self.tell(line);
        }
        standard_error::tell(line);
        Ok(())
    }

    fn show(&mut self, job: &Job, now: Timestamp) -> Result<(), StandardOutputError> {
        if let Some(news) = self.lines.news(job) {
            self.tell(&news)?;
        }
        // Asked each time, as windows are resized. A line that fills the last column moves some terminals to the next one.
        match (&mut self.screen, screen::width()) {
            (Some(screen), Some(width)) => match Progress::of(job) {
                Some(progress) => Ok(screen.draw(&progress.bar(now, width.saturating_sub(1)))?),
                None => Ok(()),
            },
            _ => match self.lines.progress(job, now) {
                Some(line) => self.tell(&line),
                None => Ok(()),
            },
        }
    }

    fn show_end(&mut self, job: &Job, verdict: &Verdict) -> Result<(), StandardOutputError> {
        if let Some(progress) = Progress::of(job) {
            self.tell(&format!("{}: {}", job.phase(), progress.sentence(Timestamp::now())))?;
        }
        self.tell(&verdict.text)
    }
}
