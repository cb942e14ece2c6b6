//! The last rows: when no new ones come, replicas that have nothing to do are given back, and busy ones are not.

use super::{Affine, Dispatch, ReplicaState};

/// Rows that wait for this many more than fit are worth another replica.
const ROWS_OF_A_REPLICA: usize = 64;

/// What the last rows need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// So many replicas; at least one while a row is left.
    pub replicas: usize,
    /// Pods that get no more rows, as they are not among them.
    pub given_back: Vec<String>,
}

impl<Row: Affine> Dispatch<Row> {
    /// Gives back what the rows that are left do not need, from when nothing was left to be sent. Only when no new rows come. A replica
    /// that was given back is taken again if it is needed and still there.
    pub fn give_back(&mut self) -> Option<Rest> {
        self.is_at_the_rest |= self.waiting.is_empty();
        if !self.is_at_the_rest {
            return None;
        }
        let wanted = self.wanted_replicas();
        let mut states: Vec<_> = self.replicas.values_mut().collect();
        // Busy ones first, then those that rows are kept for.
        states.sort_by_key(|state| {
            let is_of_no_use = state.is_hung() || state.is_unready();
            (state.in_flight == 0, !state.is_reserved(), is_of_no_use, state.id)
        });
        let mut has_changed = false;
        for (place, state) in states.into_iter().enumerate() {
            let is_given_back = place >= wanted && state.in_flight == 0;
            has_changed |= state.is_given_back != is_given_back;
            state.is_given_back = is_given_back;
        }
        if has_changed {
            self.find_homes();
        }
        let given_back = self.replicas.values().filter(|state| state.is_given_back);
        Some(Rest {
            replicas: wanted,
            given_back: given_back.map(|state| state.replica.pod.clone()).collect(),
        })
    }

    fn wanted_replicas(&self) -> usize {
        let busy = || self.replicas.values().filter(|state| state.in_flight > 0);
        let room: usize = busy().map(ReplicaState::room).sum();
        let waiting = self.waiting.new_rows() + self.waiting.tried_rows();
        let more = waiting.saturating_sub(room).div_ceil(ROWS_OF_A_REPLICA);
        (busy().count() + more).max(usize::from(!self.is_empty()))
    }
}
