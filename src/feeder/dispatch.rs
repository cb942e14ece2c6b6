//! Which row goes where, and when: a state machine without I/O or clock.
//!
//! A row waits as *new*, as *due again*, or *delayed* until it is due; it is *in flight* at one replica; and it is gone when it is
//! finished. New rows and rows that are due again take turns, so that neither starves the other.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::{RetryReason, Verdict};

use super::backoff::{backoff, retry_after};
use super::replicas::{Replica, Replicas};

/// Requests that a replica has at most at once: more than the batch of most engines, and few enough that a queue stays short.
/// Thin: a fixed number, until concurrency is found from the engine's own queue.
pub const CONCURRENCY_PER_REPLICA: usize = 64;
/// How often a row is answered with a failure before it has failed. Faults that are no answer do not count.
pub const MAX_ATTEMPTS: u32 = 5;

/// Names one request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A row that is to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment<Row> {
    /// To be given to [`Dispatch::settle`] with the verdict.
    pub request: RequestId,
    /// Where to.
    pub replica: Replica,
    /// What.
    pub row: Row,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The row is done: what this request brought, an answer or a failure, is its end.
    Finished,
    /// The row will be sent again.
    Again,
    /// The row was taken back before, and this verdict does not count.
    TakenBack,
}

/// All rows that are read and not finished.
#[derive(Debug)]
pub struct Dispatch<Row> {
    replicas: BTreeMap<Replica, Load>,
    new: VecDeque<Row>,
    due_again: VecDeque<Tried<Row>>,
    /// By when they are due; the number tells apart what is due at once.
    delayed: BTreeMap<(Instant, u64), Tried<Row>>,
    in_flight: BTreeMap<RequestId, InFlight<Row>>,
    next_number: u64,
    due_ones_turn: bool,
}

/// A row, and what it has been through.
#[derive(Debug)]
struct Tried<Row> {
    row: Row,
    /// Attempts that count.
    attempts: u32,
    /// Requests, whether they count or not.
    tries: u32,
}

#[derive(Debug)]
struct InFlight<Row> {
    replica: Replica,
    tried: Tried<Row>,
}

/// How a replica does.
#[derive(Debug, Default)]
struct Load {
    in_flight: usize,
    /// Failures in a row, of the server as a whole.
    failures: u32,
    paused_until: Option<Instant>,
}

impl Load {
    fn may_take(&self, now: Instant) -> bool {
        // After a failure, one row at a time finds out whether the server is back.
        let limit = if self.failures > 0 { 1 } else { CONCURRENCY_PER_REPLICA };
        self.in_flight < limit && self.paused_until.is_none_or(|until| until <= now)
    }

    fn pause(&mut self, now: Instant, pause: Duration) {
        self.paused_until = self.paused_until.max(Some(now + pause));
    }

    /// The rows in flight fail together: that is one failure.
    fn failed(&mut self, now: Instant, jitter: f64) {
        if self.paused_until.is_some_and(|until| until > now) {
            return;
        }
        self.failures += 1;
        self.pause(now, backoff(self.failures, jitter));
    }
}

impl<Row> Default for Dispatch<Row> {
    fn default() -> Self {
        Self {
            replicas: BTreeMap::new(),
            new: VecDeque::new(),
            due_again: VecDeque::new(),
            delayed: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            next_number: 0,
            due_ones_turn: false,
        }
    }
}

impl<Row: Clone> Dispatch<Row> {
    /// Takes a new row.
    pub fn add(&mut self, row: Row) {
        self.new.push_back(row);
    }

    /// Whether more new rows are wanted: enough to fill every replica once more, and no more, as rows are memory.
    #[must_use]
    pub fn wants_rows(&self) -> bool {
        self.new.len() < CONCURRENCY_PER_REPLICA * self.replicas.len().max(1)
    }

    /// Whether no row is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.due_again.is_empty() && self.delayed.is_empty() && self.in_flight.is_empty()
    }

    /// How many requests are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Gives the next row to the replica with the fewest requests, if there are both.
    pub fn next(&mut self, now: Instant) -> Option<Assignment<Row>> {
        let able = self.replicas.iter().filter(|(_, load)| load.may_take(now));
        let replica = able.min_by_key(|(_, load)| load.in_flight)?.0.clone();
        self.wake(now);
        let tried = self.next_row()?;
        self.replicas.entry(replica.clone()).or_default().in_flight += 1;
        let request = RequestId(self.number());
        let row = tried.row.clone();
        let flight = InFlight {
            replica: replica.clone(),
            tried,
        };
        self.in_flight.insert(request, flight);
        Some(Assignment { request, replica, row })
    }

    /// When [`Self::next`] may find something without anything else happening. Only of use right after it found nothing.
    #[must_use]
    pub fn wakes_at(&self, now: Instant) -> Option<Instant> {
        let due = self.delayed.keys().next().map(|(due, _)| *due);
        let later = due.filter(|due| *due > now);
        let rows_wait = !self.new.is_empty() || !self.due_again.is_empty() || due != later;
        let pauses = self.replicas.values().filter_map(|load| load.paused_until);
        let resumes = pauses.filter(|until| rows_wait && *until > now);
        later.into_iter().chain(resumes).min()
    }

    /// Takes the verdict on a request. `jitter`, from 0 to 1, spreads what is sent again.
    pub fn settle(&mut self, request: RequestId, verdict: Verdict, now: Instant, jitter: f64) -> Settled {
        let Some(InFlight { replica, mut tried }) = self.in_flight.remove(&request) else {
            return Settled::TakenBack;
        };
        let load = self.replicas.entry(replica).or_default();
        load.in_flight = load.in_flight.saturating_sub(1);
        tried.tries += 1;
        match verdict {
            Verdict::Done | Verdict::RowFailed => {
                load.failures = 0;
                return Settled::Finished;
            }
            Verdict::Retry {
                reason,
                counts_as_attempt,
            } => {
                let mut pause = backoff(tried.tries, jitter);
                match reason {
                    RetryReason::Overloaded { retry_after: asked } => {
                        if let Some(asked) = asked.map(retry_after) {
                            load.pause(now, asked);
                            pause = pause.max(asked);
                        }
                    }
                    RetryReason::ServerError | RetryReason::BadBody => load.failures = 0,
                    RetryReason::ConnectionLost | RetryReason::TimedOut => {}
                }
                tried.attempts += u32::from(counts_as_attempt);
                if tried.attempts >= MAX_ATTEMPTS {
                    return Settled::Finished;
                }
                let number = self.number();
                self.delayed.insert((now + pause, number), tried);
            }
            Verdict::ServerUnhealthy => {
                load.failed(now, jitter);
                self.due_again.push_back(tried);
            }
            Verdict::StopJob(_) => self.due_again.push_back(tried),
        }
        Settled::Again
    }

    /// Takes the replicas that are ready now. Rows at one that is gone may go to another at once, and are not to blame; their
    /// requests are returned, to be aborted.
    pub fn set_replicas(&mut self, ready: &Replicas) -> Vec<RequestId> {
        self.replicas.retain(|replica, _| ready.contains(replica));
        for replica in ready {
            self.replicas.entry(replica.clone()).or_default();
        }
        let gone = self
            .in_flight
            .extract_if(.., |_, flight| !ready.contains(&flight.replica));
        let (requests, rows): (Vec<_>, Vec<_>) = gone.map(|(request, flight)| (request, flight.tried)).unzip();
        self.due_again.extend(rows);
        requests
    }

    fn wake(&mut self, now: Instant) {
        while let Some(first) = self.delayed.first_entry() {
            if first.key().0 > now {
                return;
            }
            self.due_again.push_back(first.remove());
        }
    }

    fn next_row(&mut self) -> Option<Tried<Row>> {
        let row = if self.due_ones_turn {
            self.due_again.pop_front().or_else(|| self.new_row())
        } else {
            self.new_row().or_else(|| self.due_again.pop_front())
        };
        // Only a row takes a turn: looking for one in vain does not.
        self.due_ones_turn ^= row.is_some();
        row
    }

    fn new_row(&mut self) -> Option<Tried<Row>> {
        let row = self.new.pop_front()?;
        Some(Tried {
            row,
            attempts: 0,
            tries: 0,
        })
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }
}

#[cfg(test)]
#[path = "dispatch_tests.rs"]
mod tests;
