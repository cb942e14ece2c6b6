//! Rows that are in no request now.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

use super::Affine;
use super::affinity::{Candidate, choose};
use super::replica::ReplicaId;

/// Crashes of servers after which a row that was in flight in all of them is tried alone.
pub const CRASHES_OF_A_SUSPECT: u32 = 2;

/// A row, and what it has been through.
#[derive(Debug)]
pub struct Tried<Row> {
    /// The row.
    pub row: Row,
    /// Attempts that count.
    pub attempts: u32,
    /// Requests, whether they count or not.
    pub tries: u32,
    /// Crashes of servers with the row in flight, since its last answer.
    pub crashes: u32,
    /// Those of them in which it was the only row.
    pub crashes_alone: u32,
}

impl<Row> Tried<Row> {
    fn new(row: Row) -> Self {
        Self {
            row,
            attempts: 0,
            tries: 0,
            crashes: 0,
            crashes_alone: 0,
        }
    }

    /// Whether the row may be what crashes servers.
    pub fn is_suspect(&self) -> bool {
        self.crashes >= CRASHES_OF_A_SUSPECT
    }
}

/// All of them, by what they wait for.
#[derive(Debug)]
pub struct Waiting<Row> {
    /// New rows at the replica that should have them.
    homes: BTreeMap<ReplicaId, VecDeque<Row>>,
    /// New rows that came while there was no replica.
    homeless: VecDeque<Row>,
    new: usize,
    due_again: VecDeque<Tried<Row>>,
    suspects: VecDeque<Tried<Row>>,
    /// By when they are due; the number tells apart what is due at once.
    delayed: BTreeMap<(Instant, u64), Tried<Row>>,
    next_number: u64,
    due_ones_turn: bool,
}

impl<Row> Default for Waiting<Row> {
    fn default() -> Self {
        Self {
            homes: BTreeMap::new(),
            homeless: VecDeque::new(),
            new: 0,
            due_again: VecDeque::new(),
            suspects: VecDeque::new(),
            delayed: BTreeMap::new(),
            next_number: 0,
            due_ones_turn: false,
        }
    }
}

impl<Row: Affine> Waiting<Row> {
    /// Takes a new row. Candidates are all replicas, with the rows that they have in flight.
    pub fn add(&mut self, row: Row, candidates: impl Iterator<Item = Candidate<ReplicaId>> + Clone) {
        self.new += 1;
        let homes = &self.homes;
        let candidates = candidates.map(|candidate| Candidate {
            rows: candidate.rows + homes.get(&candidate.id).map_or(0, VecDeque::len),
            ..candidate
        });
        match choose(row.affinity(), candidates) {
            Some(home) => self.homes.entry(home).or_default().push_back(row),
            None => self.homeless.push_back(row),
        }
    }

    /// How many rows wait that were sent before.
    pub fn tried_rows(&self) -> usize {
        self.due_again.len() + self.suspects.len() + self.delayed.len()
    }

    /// Takes a row that may be sent again at once.
    pub fn add_again(&mut self, tried: Tried<Row>) {
        if tried.is_suspect() {
            self.suspects.push_back(tried);
        } else {
            self.due_again.push_back(tried);
        }
    }

    /// Takes a row that may be sent again later.
    pub fn delay(&mut self, tried: Tried<Row>, due: Instant) {
        self.next_number += 1;
        self.delayed.insert((due, self.next_number), tried);
    }

    /// Finds new homes for all new rows.
    pub fn set_candidates(&mut self, candidates: impl Iterator<Item = Candidate<ReplicaId>> + Clone) {
        let rows: Vec<_> = std::mem::take(&mut self.homeless)
            .into_iter()
            .chain(std::mem::take(&mut self.homes).into_values().flatten())
            .collect();
        self.new = 0;
        for row in rows {
            self.add(row, candidates.clone());
        }
    }

    /// The next row for a replica. New rows and rows that are due again take turns, so that neither starves the other.
    pub fn take(&mut self, replica: ReplicaId, now: Instant) -> Option<Tried<Row>> {
        self.wake(now);
        let taken = if self.due_ones_turn {
            self.due_again.pop_front().or_else(|| self.take_new(replica))
        } else {
            self.take_new(replica).or_else(|| self.due_again.pop_front())
        };
        // Only a row takes a turn: looking for one in vain does not.
        self.due_ones_turn ^= taken.is_some();
        taken
    }

    /// The next row that is to be tried alone.
    pub fn take_suspect(&mut self, now: Instant) -> Option<Tried<Row>> {
        self.wake(now);
        self.suspects.pop_front()
    }

    /// Whether a row is to be tried alone now.
    pub fn has_suspects(&mut self, now: Instant) -> bool {
        self.wake(now);
        !self.suspects.is_empty()
    }

    /// How many new rows wait.
    pub fn new_rows(&self) -> usize {
        self.new
    }

    /// Whether no row waits.
    pub fn is_empty(&self) -> bool {
        self.new == 0 && self.due_again.is_empty() && self.suspects.is_empty() && self.delayed.is_empty()
    }

    /// Whether a row could be sent now, if a replica took it.
    pub fn has_due(&self, now: Instant) -> bool {
        let delayed_due = self.delayed.keys().next().is_some_and(|(due, _)| *due <= now);
        self.new > 0 || !self.due_again.is_empty() || !self.suspects.is_empty() || delayed_due
    }

    /// When the next delayed row is due, if that is later than `now`.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        let due = self.delayed.keys().next().map(|(due, _)| *due);
        due.filter(|due| *due > now)
    }

    fn wake(&mut self, now: Instant) {
        while let Some(first) = self.delayed.first_entry() {
            if first.key().0 > now {
                return;
            }
            let tried = first.remove();
            self.add_again(tried);
        }
    }

    /// From its own rows first, then from whoever has most.
    fn take_new(&mut self, replica: ReplicaId) -> Option<Tried<Row>> {
        let own = self.homes.get_mut(&replica).and_then(VecDeque::pop_front);
        let row = own.or_else(|| self.homeless.pop_front()).or_else(|| {
            let longest = self.homes.values_mut().max_by_key(|rows| rows.len());
            longest.and_then(VecDeque::pop_front)
        })?;
        self.new -= 1;
        Some(Tried::new(row))
    }
}
