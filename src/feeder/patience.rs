//! Tries until it works, is pointless, or is not wanted any more, and says meanwhile what is waited for.

use std::future::Future;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::backoff::backoff;
use super::report::Place;
use super::reporter::Reporter;
use super::trouble::{Stop, Trouble};

/// Waits for a store for as long as it takes.
#[derive(Clone, Debug)]
pub struct Patience {
    /// Is told what is waited for.
    pub reporter: Reporter,
    /// Ends the waiting.
    pub shutdown: CancellationToken,
}

impl Patience {
    /// Tries something that needs `place` until it succeeds.
    ///
    /// # Errors
    ///
    /// [`Stop`]: trying again is of no use, or the feeder was asked to stop.
    pub async fn until_done<T, F>(&self, place: Place, mut attempt: impl FnMut() -> F) -> Result<T, Stop>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let mut failures = 0;
        loop {
            let tried = self.unless_stopped(attempt()).await?;
            if failures > 0 && !matches!(tried, Err(Trouble::Passing(_))) {
                self.reporter.update(|report| _ = report.waits.remove(&place));
            }
            match tried {
                Ok(value) => return Ok(value),
                Err(Trouble::Final(stop)) => return Err(stop),
                Err(Trouble::Passing(wait)) => {
                    tracing::warn!(?place, reason = %wait.reason, message = %wait.message, "what fails is tried again");
                    self.reporter.update(|report| _ = report.waits.insert(place, wait));
                    failures += 1;
                    self.unless_stopped(sleep(backoff(failures, rand::random()))).await?;
                }
            }
        }
    }

    /// Does something, unless the feeder is asked to stop.
    ///
    /// # Errors
    ///
    /// [`Stop::Interrupted`].
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        let done = self.shutdown.run_until_cancelled(work).await;
        done.ok_or(Stop::Interrupted)
    }
}
