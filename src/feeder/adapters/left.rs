//! Whether a server is left that may have the adapters that another one refuses. Pure.

use std::collections::BTreeMap;

use crate::feeder::replicas::{Readiness, Replica, Replicas};

/// Where no server is left that has them, adapters are given up when one has refused them so often.
pub const ROUNDS: u32 = 3;

/// How often each server has refused what another one had, since no server that is ready has that. None for one that has not refused
/// anything.
pub type Refusing = BTreeMap<Replica, u32>;

/// The servers that are ready.
pub fn ready(there: &Replicas) -> impl Iterator<Item = &Replica> {
    let ready = there.iter().filter(|(_, readiness)| **readiness == Readiness::Ready);
    ready.map(|(replica, _)| replica)
}

/// Whether one of them is that server. One that is being evicted is not.
pub fn is_ready(there: &Replicas, replica: &Replica) -> bool {
    there.get(replica) == Some(&Readiness::Ready)
}

/// Whether there is any.
pub fn is_any_ready(there: &Replicas) -> bool {
    ready(there).next().is_some()
}

/// Whether every server that is ready refuses what another one had: one that has not, has it, or may turn out to. Servers that are not ready
/// may never be, and meanwhile those that are would hold their devices without a row; where none is ready, none is held.
pub fn is_nobody_else_left(there: &Replicas, refusing: &Refusing) -> bool {
    is_any_ready(there) && ready(there).all(|replica| refusing.contains_key(replica))
}
