//! Which row goes where, and when: a state machine without I/O or clock.
//!
//! A row *waits* ([`waiting`]) or is *in flight* at one replica ([`replica`]), and is gone when it is finished. A replica that can
//! take a row asks for the next one: among new rows it gets those that it is the best for ([`affinity`]). [`settle`] has what
//! becomes of a row after a verdict.
//!
//! A row that was in flight in several crashes of servers, or lost or refused very often, is a suspect ([`tried`]): it is tried with
//! few others and then alone, at a replica that has finished all else, before it is given up ([`suspects`]). Rows that only shared
//! a server with it are answered then.

mod affinity;
mod replica;
mod rest;
mod settle;
mod suspects;
mod tried;
mod waiting;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::EngineLoad;

use super::replicas::{Address, Readiness, Replicas};

use replica::ReplicaState;
pub use replica::{ReplicaId, Sign};
pub use rest::Rest;
use tried::{Company, Tried};
use waiting::{Asking, Waiting};

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
    pub address: Address,
    /// What.
    pub row: Row,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The row is done: what this request brought, an answer or a failure, is its end.
    Finished,
    /// The row is done: servers crash or hang up when they get it, and it may not be sent any more.
    Poison,
    /// The row will be sent again.
    Again,
    /// The row was taken back before, and this verdict does not count.
    TakenBack,
}

/// A replica that gives no sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    /// To be given to [`Dispatch::probed`].
    pub replica: ReplicaId,
    /// Where it is.
    pub address: Address,
    /// How long it has for an answer.
    pub patience: Duration,
}

/// Requests to be aborted, as their rows were taken back.
pub type Aborted = Vec<RequestId>;

/// All rows that are read and not finished.
#[derive(Debug)]
pub struct Dispatch<Row> {
    max_attempts: u32,
    most_in_flight: usize,
    replicas: BTreeMap<ReplicaId, ReplicaState>,
    waiting: Waiting<Row>,
    in_flight: HashMap<RequestId, InFlight<Row>>,
    next_number: u64,
    /// Whether nothing was left to be sent, so that what comes again is all that comes.
    is_at_the_rest: bool,
}

#[derive(Debug)]
struct InFlight<Row> {
    replica: ReplicaId,
    company: Company,
    sent_at: Instant,
    tried: Tried<Row>,
}

impl<Row: Affine> Dispatch<Row> {
    /// A row that was answered with a failure `max_attempts` times has failed. Faults that are no answer do not count. At all
    /// replicas together there are at most `most_in_flight` rows, or one at each.
    #[must_use]
    pub fn new(max_attempts: u32, most_in_flight: usize) -> Self {
        Self {
            max_attempts,
            most_in_flight,
            replicas: BTreeMap::new(),
            waiting: Waiting::default(),
            in_flight: HashMap::new(),
            next_number: 0,
            is_at_the_rest: false,
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
        let wanted = limits.min(self.most_in_flight).max(READ_AHEAD);
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
    pub fn in_use(&self) -> impl Iterator<Item = (ReplicaId, Address)> {
        let usable = self.replicas.values().filter(|state| !state.is_hung());
        usable.map(|state| (state.id, state.address().clone()))
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
        self.reserve_for_suspects(now);
        let share = self.share();
        let able = self.replicas.values().filter(|state| state.may_take(now, share));
        let mut able: Vec<_> = able.map(|state| (state.in_flight, state.id)).collect();
        able.sort_unstable();
        able.into_iter().find_map(|(_, id)| self.next_for(id, now))
    }

    /// Gives the next row to this replica, if it can take one.
    pub fn next_for(&mut self, id: ReplicaId, now: Instant) -> Option<Assignment<Row>> {
        self.reserve_for_suspects(now);
        let share = self.share();
        let state = self.replicas.get(&id).filter(|state| state.may_take(now, share))?;
        let (company, tried) = if state.is_reserved() {
            self.take_suspect(id)?
        } else {
            let is_only_one = !self.others(id).any(|other| other.is_usable(now));
            let asking = Asking {
                replica: id,
                is_only_one,
            };
            (Company::Any, self.waiting.take(asking, now)?)
        };
        self.send(id, company, tried, now)
    }

    fn send(&mut self, id: ReplicaId, company: Company, tried: Tried<Row>, now: Instant) -> Option<Assignment<Row>> {
        let state = self.replicas.get_mut(&id)?;
        state.sent(now);
        self.next_number += 1;
        let request = RequestId(self.next_number);
        let assignment = Assignment {
            request,
            replica: id,
            address: state.address().clone(),
            row: tried.row.clone(),
        };
        let flight = InFlight {
            replica: id,
            company,
            sent_at: now,
            tried,
        };
        self.in_flight.insert(request, flight);
        Some(assignment)
    }

    /// The most rows that one replica may have: all of them may have as many.
    fn share(&self) -> usize {
        (self.most_in_flight / self.replicas.len().max(1)).max(1)
    }

    fn others(&self, id: ReplicaId) -> impl Iterator<Item = &ReplicaState> {
        self.replicas.values().filter(move |state| state.id != id)
    }

    /// When [`Self::next`] may find something without anything else happening. Only of use right after it found nothing.
    #[must_use]
    pub fn wakes_at(&self, now: Instant) -> Option<Instant> {
        let has_due = self.waiting.has_due(now);
        let resumes = self.replicas.values().filter(|_| has_due);
        let resumes = resumes.filter_map(|state| state.resumes_at(now));
        self.waiting.next_due(now).into_iter().chain(resumes).min()
    }

    /// Takes the replicas that are there now. Rows at one that is gone may go to another at once, and are not to blame. One that is
    /// not ready gets no more, and keeps for a while what it has: see [`Self::take_back_from_unready`].
    #[must_use]
    pub fn set_replicas(&mut self, there: &Replicas, now: Instant) -> Aborted {
        let mut new = there.clone();
        self.replicas.retain(|_, state| {
            let readiness = new.remove(&state.replica);
            readiness.inspect(|it| state.seen(*it, now)).is_some()
        });
        for (replica, _) in new.into_iter().filter(|(_, readiness)| *readiness == Readiness::Ready) {
            self.next_number += 1;
            let id = ReplicaId(self.next_number);
            self.replicas.insert(id, ReplicaState::new(id, replica, now));
        }
        self.take_back_from_gone()
    }

    /// Takes the rows back that are at replicas which have not been ready for too long. To be called every second or so.
    #[must_use]
    pub fn take_back_from_unready(&mut self, now: Instant) -> Aborted {
        let known = self.replicas.len();
        self.replicas.retain(|_, state| !state.is_lost(now));
        if self.replicas.len() == known {
            return Aborted::new();
        }
        self.take_back_from_gone()
    }

    fn take_back_from_gone(&mut self) -> Aborted {
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
                address: state.address().clone(),
                patience: state.probe_patience(now),
            })
        });
        silent.collect()
    }

    /// Takes what a probe found. Rows at a replica that hangs are taken back, and are not to blame. `jitter`, from 0 to 1, spreads
    /// when one is probed again.
    #[must_use]
    pub fn probed(&mut self, id: ReplicaId, sign: Sign, now: Instant, jitter: f64) -> Aborted {
        let Some(state) = self.replicas.get_mut(&id) else {
            return Aborted::new();
        };
        state.probed(sign, now, jitter);
        let aborted = if state.is_hung() {
            self.waiting.excuse(id);
            self.take_back(|replica| replica == id)
        } else {
            Aborted::new()
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
            self.release(&flight);
            aborted.push(request);
            self.waiting.add_again(flight.tried);
        }
        aborted
    }

    /// A request is over, however it ended. Returns how many its replica had, with it.
    fn release(&mut self, flight: &InFlight<Row>) -> usize {
        let Some(state) = self.replicas.get_mut(&flight.replica) else {
            return 1;
        };
        let counted = state.in_flight;
        state.over();
        counted
    }

    fn with(&mut self, id: ReplicaId, change: impl FnOnce(&mut ReplicaState)) {
        if let Some(state) = self.replicas.get_mut(&id) {
            change(state);
        }
    }

    fn find_homes(&mut self) {
        self.waiting
            .set_candidates(self.replicas.values().map(ReplicaState::candidate));
    }
}

#[cfg(test)]
mod tests;
