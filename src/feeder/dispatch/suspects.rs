//! Where suspects are tried: one replica at a time, that has finished all else and has just shown that it works.
//!
//! It shows that by finishing other rows. Where there are none, it is asked for one token first ([`Dispatch::to_probe`]).

use tokio::time::Instant;

use super::tried::{Company, Tried, group};
use super::{Affine, Dispatch, ReplicaId, ReplicaState};

/// What a replica is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// How closely those are looked at that it is kept for.
    pub suspicion: usize,
    /// How many of them are tried together.
    pub size: usize,
    /// How many of them were sent.
    pub sent: usize,
}

impl<Row: Affine> Dispatch<Row> {
    /// Keeps a replica for the suspects that are due, or sees to it that one becomes fit for that.
    pub(super) fn reserve_for_suspects(&mut self, now: Instant) {
        let Some((suspicion, suspects)) = self.waiting.suspects(now) else {
            return;
        };
        self.replicas.values_mut().for_each(|state| state.keep_reserved(now));
        if self.replicas.values().any(ReplicaState::is_reserved) {
            return;
        }
        let has_ordinary = self.waiting.has_ordinary();
        let usable = self.replicas.values_mut().filter(|state| state.is_usable(now));
        let fewest = usable.min_by_key(|state| (!state.is_proven(), state.in_flight));
        let Some(state) = fewest else { return };
        if state.is_proven() {
            state.reserve(Reserved {
                suspicion,
                size: group(suspicion, suspects),
                sent: 0,
            });
        } else if !has_ordinary {
            state.ask_for_proof();
        }
    }

    /// A suspect for the replica that is kept for it.
    pub(super) fn take_suspect(&mut self, id: ReplicaId) -> Option<(Company, Tried<Row>)> {
        let reserved = self.replicas.get_mut(&id)?.reserved.as_mut()?;
        let tried = self.waiting.take_suspect(reserved.suspicion)?;
        reserved.sent += 1;
        let company = if reserved.size == 1 {
            Company::Nobody
        } else {
            Company::Suspects
        };
        Some((company, tried))
    }
}
