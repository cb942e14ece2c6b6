//! What the controller decides of a job while it runs: that it ends before its last row.

use std::pin::pin;

use futures::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, ResourceExt};
use tokio::sync::watch;

use crate::api::BatchInferenceJob;
use crate::api::shutdown::{Stopping, StoppingReason};
use crate::results::StopReason;

use super::failures::Halt;
use super::report::End;

/// Follows the decision on the job of that name and uid, for ever.
pub async fn watch_stopping(
    jobs: Api<BatchInferenceJob>,
    name: &str,
    uid: &str,
    tell: watch::Sender<Option<Stopping>>,
) {
    let mut changes = pin!(watch_object(jobs, name).default_backoff());
    while let Some(change) = changes.next().await {
        // A job that is gone is noticed by the reporter, which ends all this.
        let Ok(Some(job)) = change else { continue };
        if job.uid().as_deref() != Some(uid) {
            continue;
        }
        let decided = job.status.and_then(|status| status.controller.stopping);
        tell.send_if_modified(|known| {
            let is_new = *known != decided;
            *known = decided;
            is_new
        });
    }
}

/// As the feeder carries it out.
#[must_use]
pub fn halt(stopping: &Stopping) -> Halt {
    let reason = match stopping.reason {
        StoppingReason::Cancelled => StopReason::Cancelled,
        StoppingReason::DeadlineExceeded => StopReason::DeadlineExceeded,
        StoppingReason::BudgetExceeded => StopReason::BudgetExceeded,
    };
    Halt {
        reason,
        message: stopping.message.clone(),
    }
}

/// The end of a job that waits for another one's output meanwhile: it has no rows of its own there.
#[must_use]
pub fn end_without_turn(stopping: &Stopping) -> End {
    let message = format!(
        "{}, while another job worked on the same rows in the output; there are no results of this one",
        stopping.message
    );
    End::new(stopping.reason.reason(), message)
}
