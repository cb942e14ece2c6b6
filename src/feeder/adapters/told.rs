//! What the status says of adapters. Pure.

use std::collections::BTreeMap;

use crate::api::status::{AdapterStatus, AdaptersStatus};
use crate::engine::adapters::COMMON_RANK;
use crate::feeder::report::number;
use crate::results::ModelRows;

use super::Known;

/// As many are listed, by the schema.
pub const LISTED: usize = 100;

/// What is known of adapters before any row is finished. Those that cannot be used stand first: the next start of the job is told of them by
/// this.
#[must_use]
pub fn told(adapters: &[Known]) -> AdaptersStatus {
    let there = adapters.iter().filter(|adapter| adapter.bad.is_none());
    let mut by_rows: Vec<_> = adapters.iter().collect();
    by_rows.sort_by_key(|adapter| (adapter.bad.is_none(), std::cmp::Reverse(adapter.rows)));
    let listed = by_rows.into_iter().take(LISTED).map(|adapter| AdapterStatus {
        name: adapter.name.to_string(),
        rows: number(adapter.rows),
        revision: adapter.revision.clone(),
        reason: adapter.bad.as_ref().map(|bad| bad.reason().as_str().to_owned()),
        error: adapter.bad.as_ref().map(|bad| bad.message.clone()),
        ..AdapterStatus::default()
    });
    AdaptersStatus {
        count: number(there.clone().count() as u64),
        max_rank: max_rank(there.map(|adapter| adapter.rank)).map(i64::from),
        most_used: listed.collect(),
    }
}

/// The largest rank, if any is known; where others are not, at least a common one.
fn max_rank(mut ranks: impl Iterator<Item = Option<u32>> + Clone) -> Option<u32> {
    let known = ranks.clone().flatten().max()?;
    let are_all_known = ranks.all(|rank| rank.is_some());
    Some(if are_all_known { known } else { known.max(COMMON_RANK) })
}

/// Takes what the finished rows of each model come to.
pub fn count(told: &mut AdaptersStatus, models: &BTreeMap<String, ModelRows>) {
    for adapter in &mut told.most_used {
        let Some(counted) = models.get(&adapter.name) else {
            continue;
        };
        adapter.completed = number(counted.rows);
        adapter.failed = number(counted.failed);
        adapter.prompt_tokens = number(counted.usage.prompt_tokens);
        adapter.completion_tokens = number(counted.usage.completion_tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_room_for_ranks_that_are_not_known() {
        for (ranks, expected) in [
            (&[][..], None),
            (&[None][..], None),
            (&[Some(8), Some(16)][..], Some(16)),
            (&[Some(8), None][..], Some(64)),
            (&[None, Some(128)][..], Some(128)),
        ] {
            assert_eq!(max_rank(ranks.iter().copied()), expected, "{ranks:?}");
        }
    }
}
