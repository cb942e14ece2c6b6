//! One job at a time works in an output: waits for that, and says that this one does.

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::api::reason::Reason;
use crate::api::wait::Wait;
use crate::results::{JobReference, LEASE_RENEWED_EVERY, Lease, Renewed, StoreClock, Term, latest_term};
use crate::storage::Store;

use super::patience::Patience;
use super::report::Place;
use super::trouble::{Stop, chain};

/// A job that wants to work in an output.
#[derive(Debug)]
pub struct Turn<'a> {
    store: &'a Store,
    job: &'a JobReference,
    patience: &'a Patience,
    clock: StoreClock,
}

impl<'a> Turn<'a> {
    /// A job that knows this much of the store's clock.
    pub fn new(store: &'a Store, job: &'a JobReference, patience: &'a Patience, clock: StoreClock) -> Self {
        Self {
            store,
            job,
            patience,
            clock,
        }
    }

    /// Takes the turn, unless another job has it: then the status says so.
    ///
    /// # Errors
    ///
    /// [`Stop`].
    pub async fn take(&mut self) -> Result<Option<Lease>, Stop> {
        loop {
            let look = || async { Ok(latest_term(self.store).await?) };
            let latest = self.patience.until_done(Place::Output, look).await?;
            let theirs = latest.as_ref().filter(|term| term.job().uid != self.job.uid);
            if let Some(term) = theirs {
                self.clock.look_at(term, Instant::now());
                if !term.is_over(&self.clock) {
                    self.report_waiting(term);
                    return Ok(None);
                }
            }
            let begin = || async { Ok(Lease::begin(self.store, self.job, latest.as_ref()).await?) };
            if let Some(lease) = self.patience.until_done(Place::Output, begin).await? {
                self.patience
                    .reporter
                    .update(|report| _ = report.waits.remove(&Place::Turn));
                return Ok(Some(lease));
            }
        }
    }

    fn report_waiting(&self, term: &Term) {
        let message = format!(
            "job {} works on the same rows in `{}`",
            term.job(),
            self.store.uri_of("")
        );
        self.patience.reporter.update(|report| {
            // An earlier start of this feeder may have had them.
            report.servers_needed = false;
            report
                .waits
                .insert(Place::Turn, Wait::new(Reason::OutputInUse, message));
        });
    }
}

/// Renews a lease until another job has taken it.
pub async fn keep(lease: &Lease) -> Stop {
    let mut ticks = interval(LEASE_RENEWED_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match lease.renew().await {
            Ok(Renewed::Yes) => {}
            Ok(Renewed::TakenBy(job)) => {
                return Stop::Restart(format!(
                    "job {job} works in the output by now, as this one was away too long"
                ));
            }
            // Whatever needs the store tells of it.
            Err(error) => tracing::info!(error = %chain(&error), "the lease could not be renewed"),
        }
    }
}
