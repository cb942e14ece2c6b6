//! How one replica does, as far as its answers tell.

use std::time::Duration;

use tokio::time::Instant;

use crate::engine::EngineLoad;

use super::super::backoff::backoff;
use super::super::concurrency::Concurrency;
use super::super::replicas::{Address, Readiness, Replica};
use super::affinity::{Candidate, seed};
use super::suspects::Reserved;

/// Without an answer and without movement in the engine's own counters for this long, a replica with rows in flight is probed.
const SILENCE: Duration = Duration::from_mins(1);
/// The same where the engine tells no counters: a long answer, without streaming, looks like silence.
const SILENCE_WITHOUT_COUNTERS: Duration = Duration::from_mins(10);
/// The same where it told them, and tells them no more: they may hang with the engine, or wait for a long step of it.
const SILENCE_SINCE_COUNTERS: Duration = Duration::from_mins(3);
/// Rows in vain, without an answer between them, after which one row at a time finds out whether the server is back.
const VAIN_ROWS: u32 = 3;
/// Failures of its own without an answer between them, after which a server that has worked is asked whether it still does.
/// Each time that it does, and the rows are what is wrong, it is asked half as often.
const ERRORS_OF_A_BROKEN: u32 = 8;
/// Counters that were read within this time speak for the engine.
const COUNTERS_ARE_FRESH: Duration = Duration::from_secs(30);
/// A replica that hangs is probed again after this time: it may have been stopped for a while only.
const PROBE_AGAIN: Duration = Duration::from_secs(30);
/// A replica that is not ready keeps the rows that it has for this long: its next readiness probe, ten seconds later, may find it
/// ready again.
const UNREADY_GRACE: Duration = Duration::from_secs(15);

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
    /// Rows that it answered with a failure of its own since it last answered well.
    errors: u32,
    /// It has answered a row well, so that it can do its work.
    has_worked: bool,
    /// So many errors in a row raise the doubt that it still can.
    doubted_after: u32,
    /// Rows that it had no room for, or lost, or failed at while others did not, since its last answer.
    vain: u32,
    proof: Proof,
    paused_until: Option<Instant>,
    /// It takes no other rows.
    pub reserved: Option<Reserved>,
    /// It gets no more rows, as the last ones do not need it.
    pub is_given_back: bool,
    /// Not ready since then: it gets no more rows, but may answer those that it has.
    unready_since: Option<Instant>,
    progress_at: Instant,
    /// A row had no answer in time, and there was no other sign of life: it takes no rows until a probe has found out.
    is_doubted: bool,
    work: Option<(Instant, u64)>,
    probe: Probe,
}

/// Whether a replica has answered a row since it last failed at one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// It has not.
    None,
    /// It has not, and is to be asked.
    Wanted,
    /// It has.
    Given,
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// An answer, as rows get it.
    Answer,
    /// A fault or a refusal: it is not silent, and no more is known.
    Life,
    /// Nothing.
    None,
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
            errors: 0,
            has_worked: false,
            doubted_after: ERRORS_OF_A_BROKEN,
            vain: 0,
            proof: Proof::None,
            paused_until: None,
            reserved: None,
            is_given_back: false,
            unready_since: None,
            progress_at: now,
            is_doubted: false,
            work: None,
            probe: Probe::None,
        }
    }

    pub fn address(&self) -> &Address {
        &self.replica.address
    }

    /// How many rows it may have at once.
    pub fn limit(&self) -> usize {
        // After failures, one row at a time finds out whether the server is back.
        let is_doubtful = self.failures > 0 || self.vain >= VAIN_ROWS;
        if is_doubtful { 1 } else { self.concurrency.limit() }
    }

    /// Whether it takes a row now, of which it may have no more than `share`.
    pub fn may_take(&self, now: Instant, share: usize) -> bool {
        let has_room = match self.reserved {
            None => self.in_flight < self.limit().min(share),
            Some(reserved) if reserved.sent == 0 => self.in_flight == 0,
            Some(reserved) => reserved.sent < reserved.size,
        };
        has_room && self.is_usable(now)
    }

    /// How many more rows it may have at once.
    pub fn room(&self) -> usize {
        let limit = if self.is_unready() { 0 } else { self.limit() };
        limit.saturating_sub(self.in_flight)
    }

    pub fn is_usable(&self, now: Instant) -> bool {
        !self.is_given_back && !self.is_hung() && !self.is_unready() && !self.is_doubted && !self.is_paused(now)
    }

    /// Takes what its readiness probe says.
    pub fn seen(&mut self, readiness: Readiness, now: Instant) {
        self.unready_since = match readiness {
            Readiness::Ready => None,
            Readiness::Unready => self.unready_since.or(Some(now)),
        };
    }

    pub fn is_unready(&self) -> bool {
        self.unready_since.is_some()
    }

    /// Whether it has not been ready for so long that its rows are better taken back.
    pub fn is_lost(&self, now: Instant) -> bool {
        self.unready_since
            .is_some_and(|since| now.duration_since(since) >= UNREADY_GRACE)
    }

    /// Whether it has shown that it works, so that a fault may be put down to a row.
    pub fn is_proven(&self) -> bool {
        self.proof == Proof::Given
    }

    /// Whether it works now, and does not only fail.
    pub fn works(&self, now: Instant) -> bool {
        self.is_proven() && self.vain == 0 && self.errors == 0 && self.is_usable(now)
    }

    /// Has it probed, unless it shows by itself that it works.
    pub fn ask_for_proof(&mut self) {
        self.proof = Proof::Wanted;
    }

    pub fn is_reserved(&self) -> bool {
        self.reserved.is_some()
    }

    pub fn reserve(&mut self, reserved: Reserved) {
        self.reserved = Some(reserved);
    }

    /// Gives up a reservation of which nothing was sent yet, and that it is not fit for any more.
    pub fn keep_reserved(&mut self, now: Instant) {
        let is_fit = self.is_proven() && self.is_usable(now);
        self.reserved = self.reserved.filter(|reserved| reserved.sent > 0 || is_fit);
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
            limit: if self.is_hung() || self.is_unready() || self.is_given_back {
                0
            } else {
                self.concurrency.limit()
            },
        }
    }

    pub fn sent(&mut self, now: Instant) {
        if self.in_flight == 0 {
            self.progress_at = now;
        }
        self.in_flight += 1;
    }

    /// A request is over, however it ended. With the last of a group of suspects the others may come.
    pub fn over(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let is_over = |reserved: &Reserved| reserved.sent > 0 && self.in_flight == 0;
        self.reserved = self.reserved.filter(|reserved| !is_over(reserved));
    }

    /// The server answered. `in_flight` counted the row still.
    pub fn answered(&mut self, now: Instant, work: u64, in_flight: usize) {
        self.shows_life(now);
        (self.failures, self.vain, self.errors) = (0, 0, 0);
        self.proof = Proof::Given;
        (self.has_worked, self.doubted_after) = (true, ERRORS_OF_A_BROKEN);
        self.concurrency.answered(now, work, in_flight);
    }

    /// The server answered that it failed. That may be the row's fault, but hardly where others work (`jitter` is given then): such
    /// a server fails fast, and would get most rows.
    pub fn answered_with_error(&mut self, now: Instant, jitter: Option<f64>) {
        self.shows_life(now);
        self.proof = Proof::None;
        self.failures = 0;
        self.errors += 1;
        self.is_doubted = self.has_worked && self.errors >= self.doubted_after;
        match jitter {
            Some(jitter) => self.in_vain(now, jitter),
            None => self.vain = 0,
        }
    }

    /// The connection was lost.
    pub fn lost(&mut self, now: Instant, jitter: f64) {
        self.proof = Proof::None;
        self.in_vain(now, jitter);
    }

    /// Whether a row that was sent then, and had no answer in time, may have no more to do with it than all others: the server showed
    /// no life for most of that time. It is probed then.
    pub fn was_silent(&mut self, sent_at: Instant, now: Instant) -> bool {
        let waited = now.duration_since(sent_at);
        self.is_doubted |= now.duration_since(self.progress_at) >= waited / 2;
        self.is_doubted
    }

    fn shows_life(&mut self, now: Instant) {
        self.progress_at = now;
        self.is_doubted = false;
    }

    /// The server has no room. `in_flight` counted the row still.
    pub fn refused(&mut self, now: Instant, in_flight: usize, retry_after: Option<Duration>, jitter: f64) {
        self.shows_life(now);
        self.proof = Proof::None;
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
    fn in_vain(&mut self, now: Instant, jitter: f64) {
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
        self.proof = Proof::None;
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
            self.shows_life(now);
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
            Probe::None if self.is_silent(now) || self.is_doubted || self.is_unproven(now) => false,
            Probe::None | Probe::Asked { .. } | Probe::Hung { .. } => return false,
        };
        self.probe = Probe::Asked { hung };
        if self.proof == Proof::Wanted {
            self.proof = Proof::None;
        }
        true
    }

    /// How long a probe has for an answer. One that has to wait for others' long answers first looks like silence too.
    pub fn probe_patience(&self, now: Instant) -> Duration {
        match self.work {
            Some((at, _)) if now.duration_since(at) < COUNTERS_ARE_FRESH => SILENCE,
            Some(_) => SILENCE_SINCE_COUNTERS,
            None => SILENCE_WITHOUT_COUNTERS,
        }
    }

    fn is_unproven(&self, now: Instant) -> bool {
        self.proof == Proof::Wanted && self.is_usable(now)
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.in_flight > 0 && now.duration_since(self.progress_at) >= self.probe_patience(now)
    }

    /// Takes what a probe found.
    pub fn probed(&mut self, sign: Sign, now: Instant, jitter: f64) {
        // One whose device has died is as good as hung, however fast it says that it fails.
        let is_broken = sign == Sign::Life && self.has_worked && self.errors > 0;
        self.probe = if sign == Sign::None || is_broken {
            Probe::Hung {
                again_at: now + PROBE_AGAIN,
            }
        } else {
            Probe::None
        };
        if sign != Sign::None {
            self.shows_life(now);
        }
        match sign {
            Sign::Answer => {
                if self.errors >= self.doubted_after {
                    self.doubted_after = self.doubted_after.saturating_mul(2);
                }
                (self.failures, self.vain, self.errors) = (0, 0, 0);
                self.proof = Proof::Given;
            }
            Sign::Life | Sign::None => self.lost(now, jitter),
        }
    }
}
