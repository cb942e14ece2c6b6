//! What becomes of a row, and what is thought of its replica, after a verdict.

use tokio::time::Instant;

use crate::engine::{RetryReason, Verdict};

use super::super::backoff::{backoff, retry_after};
use super::tried::{Fault, Judgement};
use super::{Affine, Dispatch, InFlight, RequestId, Settled};

impl<Row: Affine> Dispatch<Row> {
    /// Takes the verdict on a request, and how much work the answer was (see [`super::super::concurrency::work`]). `jitter`, from 0
    /// to 1, spreads what is sent again.
    pub fn settle(&mut self, request: RequestId, verdict: Verdict, work: u64, now: Instant, jitter: f64) -> Settled {
        let Some(mut flight) = self.in_flight.remove(&request) else {
            return Settled::TakenBack;
        };
        flight.tried.tries += 1;
        let counted = self.release(&flight);
        match verdict {
            Verdict::Done | Verdict::RowFailed => {
                self.with(flight.replica, |state| state.answered(now, work, counted));
                Settled::Finished
            }
            Verdict::Retry(reason) => self.settle_retry(flight, reason, counted, now, jitter),
            Verdict::ServerCrashed => {
                let judgement = flight.tried.fault(Fault::Crash, flight.company, self.max_attempts);
                self.with(flight.replica, |state| state.failed(now, jitter));
                self.judged(flight, judgement, None)
            }
            Verdict::ServerUnhealthy => {
                self.with(flight.replica, |state| state.failed(now, jitter));
                self.judged(flight, Judgement::Again, None)
            }
            Verdict::StopJob(_) => self.judged(flight, Judgement::Again, None),
        }
    }

    fn settle_retry(
        &mut self,
        mut flight: InFlight<Row>,
        reason: RetryReason,
        counted: usize,
        now: Instant,
        jitter: f64,
    ) -> Settled {
        let InFlight {
            replica,
            company,
            sent_at,
            ..
        } = flight;
        let tried = &mut flight.tried;
        let mut pause = backoff(tried.tries, jitter);
        let judgement = match reason {
            RetryReason::Overloaded { retry_after: asked } => {
                let asked = asked.map(retry_after);
                pause = pause.max(asked.unwrap_or_default());
                self.with(replica, |state| state.refused(now, counted, asked, jitter));
                tried.fault(Fault::Refusal, company, self.max_attempts)
            }
            RetryReason::ConnectionLost => {
                self.with(replica, |state| state.lost(now, jitter));
                tried.fault(Fault::Loss, company, self.max_attempts)
            }
            RetryReason::ServerError | RetryReason::BadBody => {
                let others_work = self.others(replica).any(|other| other.works(now));
                self.with(replica, |state| {
                    state.answered_with_error(now, others_work.then_some(jitter));
                });
                tried.failed_at = Some(replica);
                tried.failure_of_server(company, self.max_attempts)
            }
            RetryReason::TimedOut => {
                tried.failed_at = Some(replica);
                let state = self.replicas.get_mut(&replica);
                if state.is_some_and(|state| state.was_silent(sent_at, now)) {
                    tried.silence(self.max_attempts)
                } else {
                    tried.failure(self.max_attempts)
                }
            }
        };
        self.judged(flight, judgement, Some(now + pause))
    }

    /// A row that may be sent again waits until it is `due`.
    fn judged(&mut self, flight: InFlight<Row>, judgement: Judgement, due: Option<Instant>) -> Settled {
        match judgement {
            Judgement::Failed => return Settled::Finished,
            Judgement::Poison => return Settled::Poison,
            Judgement::Again => {}
        }
        match due {
            Some(due) => self.waiting.delay(flight.tried, due),
            None => self.waiting.add_again(flight.tried),
        }
        Settled::Again
    }
}
