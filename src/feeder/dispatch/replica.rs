//! How one replica does, as far as its answers tell.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::EngineLoad;

use super::super::backoff::backoff;
use super::super::concurrency::Concurrency;
use super::super::replicas::Replica;
use super::affinity::{Candidate, seed};

/// Without an answer and without movement in the engine's own counters for this long, a replica with rows in flight is probed.
const SILENCE: Duration = Duration::from_mins(1);
/// The same where the engine tells no counters: a long answer, without streaming, looks like silence.
const SILENCE_WITHOUT_COUNTERS: Duration = Duration::from_mins(10);
/// Counters that were read within this time speak for the engine.
const COUNTERS_ARE_FRESH: Duration = Duration::from_secs(30);
/// A replica that hangs is probed again after this time: it may have been stopped for a while only.
const PROBE_AGAIN: Duration = Duration::from_secs(30);

/// Names a replica while it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub u64);

/// One replica.
#[derive(Debug)]
pub(super) struct ReplicaState {
    pub id: ReplicaId,
    pub replica: Replica,
    seed: u64,
    pub in_flight: usize,
    concurrency: Concurrency,
    /// Failures in a row, of the server as a whole.
    failures: u32,
    /// Rows that it had no room for, or lost, since its last answer.
    vain: u32,
    paused_until: Option<Instant>,
    /// It takes one row only, when all others are finished.
    pub is_reserved: bool,
    progress_at: Instant,
    work: Option<(Instant, u64)>,
    probe: Probe,
}

/// Whether a replica still works at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    /// There is no doubt.
    None,
    /// It is being found out.
    Asked { hung: bool },
    /// It does not, and is asked again then.
    Hung { again_at: Instant },
}

impl ReplicaState {
    pub fn new(id: ReplicaId, replica: Replica, now: Instant) -> Self {
        Self {
            id,
            seed: seed(&replica.pod),
            replica,
            in_flight: 0,
            concurrency: Concurrency::default(),
            failures: 0,
            vain: 0,
            paused_until: None,
            is_reserved: false,
            progress_at: now,
            work: None,
            probe: Probe::None,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.replica.address
    }

    /// How many rows it may have at once.
    pub fn limit(&self) -> usize {
        // After a failure, one row at a time finds out whether the server is back.
        let is_doubtful = self.failures > 0 || self.is_reserved;
        if is_doubtful { 1 } else { self.concurrency.limit() }
    }

    pub fn may_take(&self, now: Instant) -> bool {
        self.in_flight < self.limit() && self.is_usable(now)
    }

    pub fn is_usable(&self, now: Instant) -> bool {
        !self.is_hung() && !self.is_paused(now)
    }

    fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| until > now)
    }

    /// When a pause ends, if that is later than `now`.
    pub fn resumes_at(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| *until > now && !self.is_hung())
    }

    pub fn candidate(&self) -> Candidate<ReplicaId> {
        Candidate {
            id: self.id,
            seed: self.seed,
            rows: self.in_flight,
            limit: if self.is_hung() { 0 } else { self.concurrency.limit() },
        }
    }

    pub fn sent(&mut self, now: Instant) {
        if self.in_flight == 0 {
            self.progress_at = now;
        }
        self.in_flight += 1;
    }

    /// A request is over, however it ended.
    pub fn over(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// The server answered. `in_flight` counted the row still.
    pub fn answered(&mut self, now: Instant, work: u64, in_flight: usize) {
        self.failures = 0;
        self.vain = 0;
        self.progress_at = now;
        self.concurrency.answered(now, work, in_flight);
    }

    /// The server has no room. `in_flight` counted the row still.
    pub fn refused(&mut self, now: Instant, in_flight: usize, retry_after: Option<Duration>, jitter: f64) {
        self.progress_at = now;
        self.concurrency.refused(now, in_flight);
        match retry_after {
            Some(pause) => self.pause(now, pause),
            // Not even for one row.
            None if self.concurrency.limit() == 1 => self.in_vain(now, jitter),
            None => {}
        }
    }

    /// It had no room for a single row, or lost one. One in vain says little; several without an answer between them say that the
    /// next would be, too.
    pub fn in_vain(&mut self, now: Instant, jitter: f64) {
        if self.is_paused(now) {
            return;
        }
        if self.vain > 0 {
            self.pause(now, backoff(self.vain, jitter));
        }
        self.vain += 1;
    }

    /// The rows in flight fail together: that is one failure.
    pub fn failed(&mut self, now: Instant, jitter: f64) {
        if self.is_paused(now) {
            return;
        }
        self.failures += 1;
        self.pause(now, backoff(self.failures, jitter));
    }

    fn pause(&mut self, now: Instant, pause: Duration) {
        self.paused_until = self.paused_until.max(Some(now + pause));
    }

    /// What the engine says of itself.
    pub fn observed(&mut self, now: Instant, load: EngineLoad) {
        self.concurrency.observed(now, load, self.in_flight);
        if self.work.is_none_or(|(_, work)| work != load.work) {
            self.progress_at = now;
        }
        self.work = Some((now, load.work));
    }

    pub fn is_hung(&self) -> bool {
        matches!(self.probe, Probe::Hung { .. } | Probe::Asked { hung: true })
    }

    /// Whether the replica has to be probed now; from then on it is being probed.
    pub fn wants_probe(&mut self, now: Instant) -> bool {
        let hung = match self.probe {
            Probe::Hung { again_at } if again_at <= now => true,
            Probe::None if self.is_silent(now) => false,
            Probe::None | Probe::Asked { .. } | Probe::Hung { .. } => return false,
        };
        self.probe = Probe::Asked { hung };
        true
    }

    /// How long a probe has for an answer. One that has to wait for others' long answers first looks like silence too.
    pub fn probe_patience(&self, now: Instant) -> Duration {
        let counters = self
            .work
            .is_some_and(|(at, _)| now.duration_since(at) < COUNTERS_ARE_FRESH);
        if counters { SILENCE } else { SILENCE_WITHOUT_COUNTERS }
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.in_flight > 0 && now.duration_since(self.progress_at) >= self.probe_patience(now)
    }

    /// What a probe found.
    pub fn probed(&mut self, alive: bool, now: Instant) {
        if alive {
            self.probe = Probe::None;
            self.progress_at = now;
        } else {
            self.probe = Probe::Hung {
                again_at: now + PROBE_AGAIN,
            };
        }
    }
}
