//! What the status says of adapters. Pure.

use std::collections::BTreeMap;

use crate::api::status::{AdapterStatus, AdaptersStatus};
use crate::feeder::report::number;
use crate::results::ModelRows;

use super::Known;

/// As many are listed, by the schema.
const LISTED: usize = 100;

/// What is known of adapters before any row is finished.
#[must_use]
pub fn told(adapters: &[Known]) -> AdaptersStatus {
    let there = adapters.iter().filter(|adapter| adapter.bad.is_none());
    let mut by_rows: Vec<_> = adapters.iter().collect();
    by_rows.sort_by_key(|adapter| std::cmp::Reverse(adapter.rows));
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
        max_rank: there.filter_map(|adapter| adapter.rank).max().map(i64::from),
        most_used: listed.collect(),
    }
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
