//! The first step: whether the output can do what the job will need.

use crate::results::PROBES;
use crate::storage::{Preflight, Store, preflight};

use super::patience::Patience;
use super::report::Place;
use super::trouble::Stop;

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
    let key = format!("{PROBES}{job_uid}");
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
