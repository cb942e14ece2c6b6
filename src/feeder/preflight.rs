//! The first step: whether the output can do what the job will need; and what it means when it refuses something later.

use crate::results::PROBES;
use crate::storage::{Preflight, Store, preflight};

use std::time::Duration;

use tokio::time::sleep;

use crate::api::reason::Reason;
use crate::api::wait::Wait;

use super::patience::Patience;
use super::report::{End, Place};
use super::trouble::Stop;

/// Until the status has been read by somebody, and the Secret may have been corrected. Kubelet's own pauses come on top.
const LOOK_AT_KEYS_AFTER: Duration = Duration::from_secs(15);

/// What is said of a store that replaces what it is asked to create.
const IGNORES_CONDITIONS: &str = "the output's store ignores If-None-Match: results stay complete as long as one feeder works \
    there at a time, and two at once, as after the loss of a node, may spoil each other's files";

/// Tries the output. Each job has a probe of its own, so that without a right to delete only one stays, however often its feeder
/// starts.
///
/// # Errors
///
/// [`Stop`].
pub async fn try_output(store: &Store, job_uid: &str, patience: &Patience) -> Result<Preflight, Stop> {
    let key = probe(job_uid);
    let attempt = || async { Ok(preflight(store, &key).await?) };
    let found = patience.until_done(Place::Output, attempt).await?;
    if !found.creates_once {
        tracing::warn!("{IGNORES_CONDITIONS}");
        patience
            .reporter
            .update(|report| report.warnings.push(IGNORES_CONDITIONS.to_owned()));
    }
    Ok(found)
}

/// What becomes of a start whose output could be tried, and was refused later. The keys may have expired or been changed: the next start
/// has the Secret's keys of then, tries the output anew, and ends the job if it is refused still. But keys that the output still takes
/// would be refused in each start at the same place, and a start that has got nothing done is the last.
pub async fn refused_later(store: &Store, job_uid: &str, end: End, made_progress: bool) -> Stop {
    let key = probe(job_uid);
    if made_progress || preflight(store, &key).await.is_err() {
        return Stop::Restart(end.message);
    }
    let message = format!(
        "{}; `{}` can be written with the same keys, so let them read, list and write everything in `{}`",
        end.message,
        store.uri_of(&key),
        store.uri_of("")
    );
    Stop::Ended(End { message, ..end })
}

/// What becomes of a start that is refused what an earlier start of the same job was given: its keys have expired, and whoever renews
/// them has not yet. It is waited for by name, without servers. Only another start has the Secret's keys of then.
///
/// # Errors
///
/// [`Stop::Interrupted`].
pub async fn refused_at_start(end: End, patience: &Patience) -> Result<Stop, Stop> {
    let place = match end.reason {
        Reason::DatasetAccessDenied => Place::Dataset,
        _ => Place::Output,
    };
    let message = format!(
        "{}; it was allowed before, and the job goes on when it is again",
        end.message
    );
    patience.reporter.update(|report| {
        report.servers_needed = false;
        report.waits.insert(place, Wait::new(end.reason, message.clone()));
    });
    patience.unless_stopped(sleep(LOOK_AT_KEYS_AFTER)).await?;
    Ok(Stop::Restart(message))
}

fn probe(job_uid: &str) -> String {
    format!("{PROBES}{job_uid}")
}
