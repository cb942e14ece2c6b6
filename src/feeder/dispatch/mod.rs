//! Which row goes where, and when: a state machine without I/O or clock.
//!
//! A row *waits* ([`waiting`]) or is *in flight* at one replica ([`replica`]), and is gone when it is finished. A replica that can
//! take a row asks for the next one: among new rows it gets those that it is the best for ([`affinity`]).
//!
//! A row that was in flight in several crashes of servers is tried alone, at a replica that has finished all else, before it is
//! given up as the one that crashes them. Rows that only shared a server with it are answered when they are tried alone.

mod affinity;
mod replica;
mod waiting;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::{EngineLoad, RetryReason, Verdict};

use super::backoff::{backoff, retry_after};
use super::replicas::Replicas;

pub use replica::ReplicaId;
use replica::ReplicaState;
use waiting::{Tried, Waiting};

/// Crashes with a row alone at the server, after which the row has failed. One could still be chance.
const CRASHES_ALONE: u32 = 2;
/// New rows that are read ahead while no replica is there to say how many it takes.
const READ_AHEAD: usize = 64;
/// So many times more rows may wait to be sent again before no new ones are read.
const TRIED_ROWS: usize = 16;

/// A row that can say with which others it belongs.
pub trait Affine: Clone {
    /// Rows of the same number begin alike.
    fn affinity(&self) -> u64;
}

/// Names one request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A row that is to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment<Row> {
    /// To be given to [`Dispatch::settle`] with the verdict.
    pub request: RequestId,
    /// Where to.
    pub replica: ReplicaId,
    /// Where that is.
    pub address: SocketAddr,
    /// What.
    pub row: Row,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The row is done: what this request brought, an answer or a failure, is its end.
    Finished,
    /// The row is done: it crashes servers, and may not be sent any more.
    Poison,
    /// The row will be sent again.
    Again,
    /// The row was taken back before, and this verdict does not count.
    TakenBack,
}

/// A replica that gives no sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent {
    /// To be given to [`Dispatch::probed`].
    pub replica: ReplicaId,
    /// Where it is.
    pub address: SocketAddr,
    /// How long it has for an answer.
    pub patience: Duration,
}

/// Requests to be aborted, as their rows were taken back.
pub type Aborted = Vec<RequestId>;

/// All rows that are read and not finished.
#[derive(Debug)]
pub struct Dispatch<Row> {
    max_attempts: u32,
    replicas: BTreeMap<ReplicaId, ReplicaState>,
    waiting: Waiting<Row>,
    in_flight: HashMap<RequestId, InFlight<Row>>,
    next_number: u64,
}

#[derive(Debug)]
struct InFlight<Row> {
    replica: ReplicaId,
    /// Whether no other row is at the replica.
    is_alone: bool,
    tried: Tried<Row>,
}

impl<Row: Affine> Dispatch<Row> {
    /// A row that was answered with a failure `max_attempts` times has failed. Faults that are no answer do not count.
    #[must_use]
    pub fn new(max_attempts: u32) -> Self {
        Self {
            max_attempts,
            replicas: BTreeMap::new(),
            waiting: Waiting::default(),
            in_flight: HashMap::new(),
            next_number: 0,
        }
    }

    /// Takes a new row.
    pub fn add(&mut self, row: Row) {
        self.waiting
            .add(row, self.replicas.values().map(ReplicaState::candidate));
    }

    /// Whether more new rows are wanted: enough to fill every replica once more, and no more, as rows are memory. None while very
    /// many wait to be sent again.
    #[must_use]
    pub fn wants_rows(&self) -> bool {
        let limits: usize = self.replicas.values().map(ReplicaState::limit).sum();
        let wanted = limits.max(READ_AHEAD);
        self.waiting.new_rows() < wanted && self.waiting.tried_rows() < wanted.saturating_mul(TRIED_ROWS)
    }

    /// Whether no row is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    /// How many requests are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The replicas that take rows.
    pub fn in_use(&self) -> impl Iterator<Item = (ReplicaId, SocketAddr)> {
        let usable = self.replicas.values().filter(|state| !state.is_hung());
        usable.map(|state| (state.id, state.address()))
    }

    /// Whether a replica takes rows.
    #[must_use]
    pub fn is_in_use(&self, id: ReplicaId) -> bool {
        self.replicas.get(&id).is_some_and(|state| !state.is_hung())
    }

    /// The names of pods that take rows and do nothing with them.
    pub fn hung_pods(&self) -> impl Iterator<Item = &str> {
        let hung = self.replicas.values().filter(|state| state.is_hung());
        hung.map(|state| state.replica.pod.as_str())
    }

    /// Gives the next row to a replica that can take one, the one with the most room, if there are both.
    pub fn next(&mut self, now: Instant) -> Option<Assignment<Row>> {
        self.reserve_for_suspect(now);
        let able = self.replicas.values().filter(|state| state.may_take(now));
        let mut able: Vec<_> = able.map(|state| (state.in_flight, state.id)).collect();
        able.sort_unstable();
        able.into_iter().find_map(|(_, id)| self.next_for(id, now))
    }

    /// Gives the next row to this replica, if it can take one.
    pub fn next_for(&mut self, id: ReplicaId, now: Instant) -> Option<Assignment<Row>> {
        self.reserve_for_suspect(now);
        let state = self.replicas.get_mut(&id)?;
        if !state.may_take(now) {
            return None;
        }
        let is_alone = state.is_reserved;
        let tried = if is_alone {
            self.waiting.take_suspect(now)?
        } else {
            self.waiting.take(id, now)?
        };
        state.sent(now);
        self.next_number += 1;
        let request = RequestId(self.next_number);
        let assignment = Assignment {
            request,
            replica: id,
            address: state.address(),
            row: tried.row.clone(),
        };
        let flight = InFlight {
            replica: id,
            is_alone,
            tried,
        };
        self.in_flight.insert(request, flight);
        Some(assignment)
    }

    /// When [`Self::next`] may find something without anything else happening. Only of use right after it found nothing.
    #[must_use]
    pub fn wakes_at(&self, now: Instant) -> Option<Instant> {
        let has_due = self.waiting.has_due(now);
        let resumes = self.replicas.values().filter(|_| has_due);
        let resumes = resumes.filter_map(|state| state.resumes_at(now));
        self.waiting.next_due(now).into_iter().chain(resumes).min()
    }

    /// Takes the verdict on a request, and how much work the answer was (see [`super::concurrency::work`]). `jitter`, from 0 to 1,
    /// spreads what is sent again.
    pub fn settle(&mut self, request: RequestId, verdict: Verdict, work: u64, now: Instant, jitter: f64) -> Settled {
        let Some(flight) = self.in_flight.remove(&request) else {
            return Settled::TakenBack;
        };
        let InFlight {
            replica,
            is_alone,
            mut tried,
        } = flight;
        tried.tries += 1;
        let pause = backoff(tried.tries, jitter);
        let Some(state) = self.replicas.get_mut(&replica) else {
            self.waiting.add_again(tried);
            return Settled::Again;
        };
        let in_flight = state.in_flight;
        state.over();
        state.is_reserved &= !is_alone;
        match verdict {
            Verdict::Done | Verdict::RowFailed => {
                state.answered(now, work, in_flight);
                return Settled::Finished;
            }
            Verdict::Retry {
                reason,
                counts_as_attempt,
            } => {
                let asked = match reason {
                    RetryReason::Overloaded { retry_after: asked } => {
                        let asked = asked.map(retry_after);
                        state.refused(now, in_flight, asked, jitter);
                        asked
                    }
                    RetryReason::ServerError | RetryReason::BadBody => {
                        state.answered(now, work, in_flight);
                        None
                    }
                    RetryReason::ConnectionLost => {
                        state.in_vain(now, jitter);
                        None
                    }
                    RetryReason::TimedOut => None,
                };
                if !matches!(reason, RetryReason::ConnectionLost) {
                    // The server has outlived the row.
                    (tried.crashes, tried.crashes_alone) = (0, 0);
                }
                tried.attempts += u32::from(counts_as_attempt);
                if tried.attempts >= self.max_attempts {
                    return Settled::Finished;
                }
                self.waiting.delay(tried, now + pause.max(asked.unwrap_or_default()));
            }
            Verdict::ServerCrashed => {
                state.failed(now, jitter);
                tried.crashes += 1;
                tried.crashes_alone += u32::from(is_alone);
                if tried.crashes_alone >= CRASHES_ALONE {
                    return Settled::Poison;
                }
                self.waiting.add_again(tried);
            }
            Verdict::ServerUnhealthy => {
                state.failed(now, jitter);
                self.waiting.add_again(tried);
            }
            Verdict::StopJob(_) => self.waiting.add_again(tried),
        }
        Settled::Again
    }

    /// Takes the replicas that are ready now. Rows at one that is gone may go to another at once, and are not to blame.
    #[must_use]
    pub fn set_replicas(&mut self, ready: &Replicas, now: Instant) -> Aborted {
        let mut new = ready.clone();
        self.replicas.retain(|_, state| new.remove(&state.replica));
        for replica in new {
            self.next_number += 1;
            let id = ReplicaId(self.next_number);
            self.replicas.insert(id, ReplicaState::new(id, replica, now));
        }
        let known: Vec<_> = self.replicas.keys().copied().collect();
        let aborted = self.take_back(|replica| !known.contains(&replica));
        self.find_homes();
        aborted
    }

    /// Takes what an engine says of itself.
    pub fn observed(&mut self, replica: ReplicaId, load: EngineLoad, now: Instant) {
        if let Some(state) = self.replicas.get_mut(&replica) {
            state.observed(now, load);
        }
    }

    /// The replicas that give no sign of life and are to be probed now.
    pub fn to_probe(&mut self, now: Instant) -> Vec<Silent> {
        let silent = self.replicas.values_mut().filter_map(|state| {
            state.wants_probe(now).then(|| Silent {
                replica: state.id,
                address: state.address(),
                patience: state.probe_patience(now),
            })
        });
        silent.collect()
    }

    /// Takes what a probe found. Rows at a replica that hangs are taken back, and are not to blame.
    #[must_use]
    pub fn probed(&mut self, id: ReplicaId, alive: bool, now: Instant) -> Aborted {
        let Some(state) = self.replicas.get_mut(&id) else {
            return Aborted::new();
        };
        state.probed(alive, now);
        let aborted = if alive {
            Aborted::new()
        } else {
            self.take_back(|replica| replica == id)
        };
        self.find_homes();
        aborted
    }

    fn take_back(&mut self, is_lost: impl Fn(ReplicaId) -> bool) -> Aborted {
        let lost = self.in_flight.extract_if(|_, flight| is_lost(flight.replica));
        let mut lost: Vec<_> = lost.collect();
        lost.sort_unstable_by_key(|(request, _)| *request);
        let mut aborted = Aborted::new();
        for (request, flight) in lost {
            if let Some(state) = self.replicas.get_mut(&flight.replica) {
                state.over();
                state.is_reserved &= !flight.is_alone;
            }
            aborted.push(request);
            self.waiting.add_again(flight.tried);
        }
        aborted
    }

    fn find_homes(&mut self) {
        self.waiting
            .set_candidates(self.replicas.values().map(ReplicaState::candidate));
    }

    /// One replica at a time is kept for rows that are to be tried alone: the one that will be empty first.
    fn reserve_for_suspect(&mut self, now: Instant) {
        if !self.waiting.has_suspects(now) {
            return;
        }
        for state in self.replicas.values_mut() {
            state.is_reserved &= state.is_usable(now);
        }
        if self.replicas.values().any(|state| state.is_reserved) {
            return;
        }
        let usable = self.replicas.values_mut().filter(|state| state.is_usable(now));
        if let Some(state) = usable.min_by_key(|state| state.in_flight) {
            state.is_reserved = true;
        }
    }
}

#[cfg(test)]
mod tests;
