//! Rows that share a beginning go to the same replica, whose cache has it: a rendezvous hash with bounded load.
//!
//! Each row has an order of preference among replicas, which depends on nothing but the row and the replicas' names, so that a
//! replica that joins or leaves moves few rows. A replica that has far more than its share is passed over:
//! Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016).

use std::hash::{DefaultHasher, Hash, Hasher};

/// A replica may have this many percent of its share before rows go to their second choice.
const LARGEST_SHARE_PERCENT: usize = 125;

/// A replica that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<Id> {
    /// Returned when it is chosen.
    pub id: Id,
    /// [`seed`] of its name.
    pub seed: u64,
    /// Rows that it has or that wait for it.
    pub rows: usize,
    /// Rows that it can have at once.
    pub limit: usize,
}

/// What a replica's name is worth in the hash.
#[must_use]
pub fn seed(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// The first choice of a row among those that have not too much already. `None` without any.
#[must_use]
pub fn choose<Id: Copy>(affinity: u64, candidates: impl Iterator<Item = Candidate<Id>> + Clone) -> Option<Id> {
    let rows: usize = candidates.clone().map(|candidate| candidate.rows).sum();
    let limits: usize = candidates.clone().map(|candidate| candidate.limit).sum();
    // One of them is always below its share, as all of them together are at it.
    let has_room = |candidate: &Candidate<Id>| {
        candidate.rows * limits * 100 < (rows + 1) * candidate.limit * LARGEST_SHARE_PERCENT
    };
    let preferred = |candidate: &Candidate<Id>| mix(affinity ^ candidate.seed);
    candidates
        .filter(has_room)
        .max_by_key(preferred)
        .map(|candidate| candidate.id)
}

/// The finalizer of SplitMix64: <https://prng.di.unimi.it/splitmix64.c>
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(rows: &[usize]) -> Vec<Candidate<usize>> {
        let named = rows.iter().enumerate().map(|(id, rows)| Candidate {
            id,
            seed: seed(&format!("server-{id}")),
            rows: *rows,
            limit: 64,
        });
        named.collect()
    }

    fn chosen(affinity: u64, rows: &[usize]) -> usize {
        choose(affinity, candidates(rows).into_iter()).unwrap()
    }

    #[test]
    fn rows_that_begin_alike_go_to_one_replica_and_others_spread() {
        let mut counts = [0; 4];
        for affinity in 0..4000 {
            assert_eq!(chosen(affinity, &[9, 9, 9, 9]), chosen(affinity, &[9, 9, 9, 9]));
            counts[chosen(affinity, &[9, 9, 9, 9])] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_replica_that_leaves_moves_only_its_own_rows() {
        for affinity in 0..1000 {
            let among_all = chosen(affinity, &[9, 9, 9]);
            let without_last = chosen(affinity, &[9, 9]);
            assert!(among_all == 2 || among_all == without_last, "{affinity}");
        }
    }

    #[test]
    fn one_beginning_for_all_rows_still_loads_all_replicas() {
        let mut rows = [0; 4];
        for _ in 0..1000 {
            rows[chosen(7, &rows)] += 1;
        }
        assert!(rows.iter().all(|rows| *rows <= 1000 / 4 * 125 / 100 + 1), "{rows:?}");
        assert!(rows.iter().all(|rows| *rows > 0), "{rows:?}");
    }

    #[test]
    fn a_larger_replica_gets_the_larger_share_and_none_gets_none() {
        let mut two = candidates(&[0, 0]);
        two[1].limit = 192;
        for _ in 0..1000 {
            let id = choose(7, two.clone().into_iter()).unwrap();
            two[id].rows += 1;
        }
        assert!(two[1].rows > 600, "{two:?}");
        assert_eq!(choose(7, candidates(&[]).into_iter()), None);
    }
}
