//! Says in the job's status what the feeder does, without ever keeping it from doing it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::api::status::FeederStatus;

use super::backoff::backoff;
use super::report::{Report, is_change_of_state};

/// Progress alone is said at most this often: with what the controller writes, a running job is one write in five seconds.
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(6);
/// Servers that are not needed any more wait for no more than this after the API server is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Writes the feeder's part of the job's status.
pub trait StatusWriter: Send {
    /// Writes one status.
    fn write(&self, status: &FeederStatus) -> impl Future<Output = Result<(), WriteError>> + Send;
}

/// A status that was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// This feeder has no say any more.
    #[error(transparent)]
    Dismissed(#[from] Dismissed),
    /// Trying again may help.
    #[error("the job's status could not be written")]
    Failed(#[source] kube::Error),
    /// The API server does not answer.
    #[error("the API server did not answer in time")]
    TimedOut,
}

/// Why a feeder has no say any more. It ends without touching anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dismissed {
    /// The job was deleted, or is another one of the same name.
    #[error("the job is gone")]
    JobGone,
    /// A feeder that started later works on the job.
    #[error("a feeder of a higher attempt has taken over")]
    Superseded,
}

/// Takes what is to be said. The latest counts: what was not said in time is never said. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Reporter {
    latest: Arc<watch::Sender<Latest>>,
    accepted: watch::Receiver<u64>,
}

#[derive(Clone, Debug)]
struct Latest {
    report: Report,
    /// Counts changes.
    version: u64,
    /// The last version that should not wait.
    urgent: u64,
}

impl Reporter {
    /// A reporter, and the work of saying what it is given: a future that ends only when this feeder is dismissed.
    pub fn new<W: StatusWriter>(first: Report, writer: W) -> (Self, impl Future<Output = Dismissed> + Send) {
        let (latest, reports) = watch::channel(Latest {
            report: first,
            version: 1,
            urgent: 1,
        });
        let (accepted, accepted_version) = watch::channel(0);
        let reporter = Self {
            latest: Arc::new(latest),
            accepted: accepted_version,
        };
        (reporter, publish(writer, reports, accepted))
    }

    /// Changes what is to be said. Never waits.
    pub fn update(&self, change: impl FnOnce(&mut Report)) {
        self.latest.send_if_modified(|latest| {
            let before = latest.report.clone();
            change(&mut latest.report);
            if latest.report == before {
                return false;
            }
            latest.version += 1;
            if is_change_of_state(&before.status(), &latest.report.status()) {
                latest.urgent = latest.version;
            }
            true
        });
    }

    /// What was last to be said.
    #[must_use]
    pub fn latest(&self) -> Report {
        self.latest.borrow().report.clone()
    }

    /// Waits until what was last to be said, or something newer, is said; for ever, when this feeder is dismissed.
    pub async fn flush(&self) {
        let mut wanted = 0;
        self.latest.send_modify(|latest| {
            latest.urgent = latest.version;
            wanted = latest.version;
        });
        let mut accepted = self.accepted.clone();
        if accepted.wait_for(|accepted| *accepted >= wanted).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn publish(
    writer: impl StatusWriter,
    mut reports: watch::Receiver<Latest>,
    accepted: watch::Sender<u64>,
) -> Dismissed {
    let mut said: Option<(FeederStatus, Instant)> = None;
    let mut failures = 0;
    loop {
        let Latest {
            report,
            version,
            urgent,
        } = reports.borrow_and_update().clone();
        let status = report.status();
        let is_said = said.as_ref().is_some_and(|(said, _)| *said == status);
        if is_said {
            accepted.send_replace(version);
            wait_for_change(&mut reports).await;
            continue;
        }
        let may_wait = urgent <= *accepted.borrow();
        if let Some((_, at)) = said
            .as_ref()
            .filter(|(_, at)| may_wait && at.elapsed() < PROGRESS_INTERVAL)
        {
            tokio::select! {
                () = sleep_until(*at + PROGRESS_INTERVAL) => {}
                () = wait_for_change(&mut reports) => {}
            }
            continue;
        }
        match writer.write(&status).await {
            Ok(()) => {
                said = Some((status, Instant::now()));
                failures = 0;
                accepted.send_replace(version);
            }
            Err(WriteError::Dismissed(dismissed)) => return dismissed,
            Err(error) => {
                tracing::warn!(error = %super::trouble::chain(&error), "the status could not be written and is tried again");
                failures += 1;
                sleep(backoff(failures, rand::random()).min(LONGEST_PAUSE)).await;
            }
        }
    }
}

async fn wait_for_change(reports: &mut watch::Receiver<Latest>) {
    if reports.changed().await.is_err() {
        // Nobody is left who could say anything, or who waits for it.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
#[path = "reporter_tests.rs"]
mod tests;
