//! Tells what the ledger reaches.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, interval};

use crate::api::reason::Reason;
use crate::results::LedgerStatus;
use crate::storage;

use super::budget::TokenBudget;
use super::estimate::Estimate;
use super::rate::Rate;
use super::report::{End, Pace, Place};
use super::reporter::Reporter;
use super::trouble::{Stop, wait_for_output};

/// The rate falls also while nothing happens.
const TICK: Duration = Duration::from_secs(5);
/// A store that refuses what it took before, by its keys or as its bucket is gone, is asked for this long; then this start of the feeder
/// ends, as the next one may have keys that were changed.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// Reports progress and trouble of a ledger of `total` rows, until the store has refused it for too long, or will never have room.
pub async fn follow_ledger(
    reporter: &Reporter,
    mut ledger: watch::Receiver<LedgerStatus>,
    total: u64,
    budget: &TokenBudget,
) -> Stop {
    let mut ticks = interval(TICK);
    let mut durable = finished(&ledger.borrow());
    let mut rate = Rate::new(Instant::now(), durable);
    let mut estimate = Estimate::new(durable);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            Ok(()) = ledger.changed() => {}
        }
        let status = ledger.borrow_and_update().clone();
        if let Some(end) = refused_too_long(&status).or_else(|| too_large(&status)) {
            return Stop::Ended(end);
        }
        let now_durable = finished(&status);
        let grown = now_durable > durable;
        durable = now_durable;
        let now = Instant::now();
        rate.sample(now, durable);
        estimate.sample(now, durable);
        let pace = Pace {
            rows_per_second: rate.per_second(),
            ends_at: estimate.left(now, durable, total).and_then(from_now),
        };
        reporter.update(|report| {
            report.set_progress(total, &status, pace);
            if let Some(warning) = budget.warning(status.results, status.usage.total()) {
                report.warn(warning.to_owned());
            }
            if grown {
                report.last_durable_at = Some(Timestamp::now());
            }
            match &status.trouble {
                Some(trouble) => _ = report.waits.insert(Place::Output, wait_for_output(&trouble.error)),
                None => _ = report.waits.remove(&Place::Output),
            }
        });
    }
}

fn from_now(left: Duration) -> Option<Timestamp> {
    let at = Timestamp::now().checked_add(left).ok()?;
    Timestamp::from_second(at.as_second()).ok()
}

fn finished(status: &LedgerStatus) -> u64 {
    status.results + status.errors
}

fn refused_too_long(status: &LedgerStatus) -> Option<End> {
    let trouble = status.trouble.as_ref()?;
    let wait = wait_for_output(&trouble.error);
    let too_long = wait.reason == Reason::OutputNotWritable && trouble.since.elapsed() >= REFUSED_FOR;
    too_long.then(|| End::new(wait.reason, wait.message))
}

/// Waiting makes no room in a ConfigMap.
fn too_large(status: &LedgerStatus) -> Option<End> {
    let trouble = status.trouble.as_ref()?;
    let is_too_large = matches!(*trouble.error, storage::Error::TooLarge { .. });
    is_too_large.then(|| {
        let wait = wait_for_output(&trouble.error);
        End::new(wait.reason, wait.message)
    })
}
