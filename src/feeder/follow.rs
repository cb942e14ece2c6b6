//! Tells what the ledger reaches.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, interval};

use crate::api::reason::Reason;
use crate::api::wait::Wait;
use crate::results::LedgerStatus;

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
/// A ConfigMap has no room for a moment while segments that are compacted are there twice.
const TOO_LARGE_FOR: Duration = Duration::from_secs(20);

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
    let mut refusal = Refusal::default();
    let mut has_told = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            Ok(()) = ledger.changed() => {}
        }
        let status = ledger.borrow_and_update().clone();
        let now = Instant::now();
        let wait = status.trouble.as_ref().map(|trouble| wait_for_output(&trouble.error));
        if let Some(end) = refusal.look(wait.as_ref(), now) {
            return Stop::Ended(end);
        }
        let now_durable = finished(&status);
        let grown = now_durable > durable;
        durable = now_durable;
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
            // What others wait for at the output is theirs to take back.
            match wait {
                Some(wait) => _ = report.waits.insert(Place::Output, wait),
                None if has_told => _ = report.waits.remove(&Place::Output),
                None => {}
            }
        });
        has_told = status.trouble.is_some();
    }
}

fn from_now(left: Duration) -> Option<Timestamp> {
    let at = Timestamp::now().checked_add(left).ok()?;
    Timestamp::from_second(at.as_second()).ok()
}

fn finished(status: &LedgerStatus) -> u64 {
    status.results + status.errors
}

/// How long a store has refused what does not pass by itself. An outage before that does not count.
#[derive(Debug, Default)]
struct Refusal {
    since: Option<(Reason, Instant)>,
}

impl Refusal {
    /// Looks at what the output waits for now, and says when that was for too long.
    fn look(&mut self, wait: Option<&Wait>, now: Instant) -> Option<End> {
        let limit = |wait: &&Wait| match wait.reason {
            Reason::OutputNotWritable => Some(REFUSED_FOR),
            Reason::ResultsTooLarge => Some(TOO_LARGE_FOR),
            _ => None,
        };
        let Some((wait, limit)) = wait.and_then(|wait| Some((wait, limit(&wait)?))) else {
            self.since = None;
            return None;
        };
        let since = match self.since {
            Some((reason, since)) if reason == wait.reason => since,
            _ => now,
        };
        self.since = Some((wait.reason, since));
        (now.duration_since(since) >= limit).then(|| End::new(wait.reason, wait.message.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn wait(reason: Reason) -> Wait {
        Wait::new(reason, "in words".to_owned())
    }

    #[test]
    fn a_refusal_counts_from_its_own_beginning_and_an_outage_before_it_does_not() {
        let (mut refusal, begun) = (Refusal::default(), Instant::now());
        let (away, refused) = (wait(Reason::StoreUnavailable), wait(Reason::OutputNotWritable));
        let mut look = |wait: Option<&Wait>, seconds: u32| refusal.look(wait, begun + SECOND * seconds);
        assert_eq!(look(Some(&away), 0), None);
        assert_eq!(look(Some(&away), 600), None);
        assert_eq!(look(Some(&refused), 601), None);
        assert_eq!(look(Some(&refused), 630), None);
        assert_eq!(look(None, 631), None);
        assert_eq!(look(Some(&refused), 632), None);
        assert_eq!(look(Some(&away), 640), None);
        assert_eq!(look(Some(&refused), 650), None);
        let end = look(Some(&refused), 680).map(|end| end.reason);
        assert_eq!(end, Some(Reason::OutputNotWritable));
    }

    #[test]
    fn a_config_map_without_room_is_given_time_to_lose_what_is_there_twice() {
        let (mut refusal, begun) = (Refusal::default(), Instant::now());
        let full = wait(Reason::ResultsTooLarge);
        assert_eq!(refusal.look(Some(&full), begun), None);
        assert_eq!(refusal.look(Some(&full), begun + SECOND * 19), None);
        assert!(refusal.look(Some(&full), begun + SECOND * 20).is_some());
    }
}
