//! Rows that are in no request now.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

use super::Affine;
use super::affinity::{Candidate, choose};
use super::replica::ReplicaId;
use super::tried::Tried;

/// So many rows are looked through for one that the asking replica did not fail at.
const LOOKED_THROUGH: usize = 16;

/// A replica that asks for a row.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// Which.
    pub replica: ReplicaId,
    /// Whether no other takes rows now: then it gets those that it failed at, too.
    pub is_only_one: bool,
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
    /// By how closely they are looked at.
    suspects: BTreeMap<usize, VecDeque<Tried<Row>>>,
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
            suspects: BTreeMap::new(),
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
        let suspects: usize = self.suspects.values().map(VecDeque::len).sum();
        self.due_again.len() + suspects + self.delayed.len()
    }

    /// Takes a row that may be sent again at once.
    pub fn add_again(&mut self, tried: Tried<Row>) {
        match tried.suspicion() {
            Some(suspicion) => self.suspects.entry(suspicion).or_default().push_back(tried),
            None => self.due_again.push_back(tried),
        }
    }

    /// Rows that this replica failed at had not had their chance.
    pub fn excuse(&mut self, replica: ReplicaId) {
        let waiting = self.due_again.iter_mut().chain(self.delayed.values_mut());
        for tried in waiting.filter(|tried| tried.failed_at == Some(replica)) {
            tried.excuse();
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
    pub fn take(&mut self, asking: Asking, now: Instant) -> Option<Tried<Row>> {
        self.wake(now);
        let taken = if self.due_ones_turn {
            self.take_again(asking).or_else(|| self.take_new(asking.replica))
        } else {
            self.take_new(asking.replica).or_else(|| self.take_again(asking))
        };
        // Only a row takes a turn: looking for one in vain does not.
        self.due_ones_turn ^= taken.is_some();
        taken
    }

    /// How closely those suspects are looked at that are tried next, the most suspect first, and how many they are.
    pub fn suspects(&mut self, now: Instant) -> Option<(usize, usize)> {
        self.wake(now);
        let (suspicion, rows) = self.suspects.last_key_value()?;
        Some((*suspicion, rows.len()))
    }

    /// The next suspect that is looked at so closely.
    pub fn take_suspect(&mut self, suspicion: usize) -> Option<Tried<Row>> {
        let rows = self.suspects.get_mut(&suspicion)?;
        let taken = rows.pop_front();
        if rows.is_empty() {
            self.suspects.remove(&suspicion);
        }
        taken
    }

    /// Whether a row that is no suspect could be sent now.
    pub fn has_ordinary(&self) -> bool {
        self.new > 0 || !self.due_again.is_empty()
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
        self.has_ordinary() || !self.suspects.is_empty() || delayed_due
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

    fn take_again(&mut self, asking: Asking) -> Option<Tried<Row>> {
        let is_better_elsewhere = |tried: &Tried<Row>| !asking.is_only_one && tried.failed_at == Some(asking.replica);
        let mut first = self.due_again.iter().take(LOOKED_THROUGH);
        let found = first.position(|tried| !is_better_elsewhere(tried))?;
        self.due_again.remove(found)
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
