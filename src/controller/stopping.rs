//! Jobs that are suspended, or end before their last row: pure, a part of [`super::decide`].
//!
//! An end before the last row is decided once, in `status.stopping`, and carried out by the feeder: it sends no more rows and writes
//! what is there as results. Only where the data set is not even checked yet, or where no feeder can run, the controller ends the
//! job itself.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::cost::GpuBudget;
use super::decide::View;
use crate::api::condition::ConditionType;
use crate::api::reason::Reason;
use crate::api::shutdown::{Shutdown, Stopping, StoppingReason};
use crate::api::status::FeederStage;
use crate::api::wait::Wait;

/// A job that ends before its last row has so long for a feeder to run that writes its results.
const FEEDER_RUNS_WITHIN: SignedDuration = SignedDuration::from_mins(10);

impl View<'_> {
    /// Whether the job is to hold still. What is about to end, ends first.
    pub(super) fn is_suspended(&self, stopping: Option<&Stopping>) -> bool {
        self.job.spec.suspend == Some(true) && stopping.is_none() && !self.is_finalizing()
    }

    /// Whether the status tells how fast rows are finished though none are: the feeder takes that back when it is told to end, but not
    /// one that was killed, or whose node is lost.
    pub(super) fn tells_old_pace(&self, is_suspended: bool) -> bool {
        let status = self.job.status.as_ref();
        let progress = status.and_then(|status| status.reported.progress.as_ref());
        let tells_pace = progress
            .is_some_and(|progress| progress.rows_per_second.is_some() || progress.estimated_completion_time.is_some());
        is_suspended && tells_pace && self.feeder_back_at().is_none()
    }

    /// The decision that the job ends before its last row: the one that stands, or a new one.
    pub(super) fn stopping(&self, gpu_budget: Option<&GpuBudget>) -> Option<Stopping> {
        let status = self.job.status.as_ref();
        if let Some(stopping) = status.and_then(|status| status.controller.stopping.clone()) {
            let mode = match self.job.spec.shutdown {
                Some(Shutdown::Terminate) => Shutdown::Terminate,
                _ => stopping.mode,
            };
            return Some(Stopping { mode, ..stopping });
        }
        if self.is_finalizing() {
            return None;
        }
        let decided = |reason, mode, message| Stopping {
            reason,
            mode,
            message,
            since: Time(self.now),
        };
        if let Some(mode) = self.job.spec.shutdown {
            let message = format!("spec.shutdown is {mode:?}");
            return Some(decided(StoppingReason::Cancelled, mode, message));
        }
        if self.active_deadline().is_some_and(|deadline| self.now >= deadline) {
            let seconds = self.job.spec.active_deadline_seconds.unwrap_or_default();
            let message = format!("the job was active for the {seconds} s of spec.activeDeadlineSeconds");
            return Some(decided(StoppingReason::DeadlineExceeded, Shutdown::Terminate, message));
        }
        let message = gpu_budget?.exceeded()?;
        Some(decided(StoppingReason::BudgetExceeded, Shutdown::Terminate, message))
    }

    /// When the job has been active for as long as it may be: the clock starts anew when it is resumed, as that of a batch/v1 Job does
    /// (`pkg/controller/job/job_controller.go` of Kubernetes 1.34, `syncJob`).
    pub(super) fn active_deadline(&self) -> Option<Timestamp> {
        let allowed = SignedDuration::from_secs(self.job.spec.active_deadline_seconds?);
        if self.job.spec.suspend == Some(true) {
            return None;
        }
        let started = self.job.status.as_ref()?.controller.start_time.as_ref()?.0;
        let suspended = self.condition(ConditionType::Suspended);
        if suspended.is_some_and(|condition| condition.status == "True") {
            // It is resumed by this very decision.
            return None;
        }
        let resumed = suspended.map_or(started, |condition| condition.last_transition_time.0);
        started.max(resumed).checked_add(allowed).ok()
    }

    /// The end of a job that is to end before its last row, where no feeder will write results.
    pub(super) fn end_without_feeder(&self, stopping: &Stopping) -> Option<Wait> {
        if self.is_finalizing() {
            return None;
        }
        if !self.was_validated() {
            let message = format!("{}, before a row was sent; there are no results", stopping.message);
            return Some(Wait::new(stopping.reason.reason(), message));
        }
        let deadline = self.feeder_deadline(stopping)?;
        (self.now >= deadline).then(|| {
            let message = format!(
                "{}, and no feeder could run for ten minutes to write the results: finished rows are kept as segments in the output",
                stopping.message
            );
            Wait::new(Reason::ResultsNotFinalized, message)
        })
    }

    /// Until when a feeder has to run that writes results; none while one runs.
    pub(super) fn feeder_deadline(&self, stopping: &Stopping) -> Option<Timestamp> {
        if self.feeder_back_at().is_some() {
            return None;
        }
        let since = self.feeder_gone_since()?.max(stopping.since.0.min(self.now));
        since.checked_add(FEEDER_RUNS_WITHIN).ok()
    }

    /// Whether the data set was once known to be good, so that there may be rows.
    fn was_validated(&self) -> bool {
        let feeding = |stage| matches!(stage, FeederStage::Feeding | FeederStage::Finalizing);
        self.condition(ConditionType::Validated)
            .is_some_and(|condition| condition.status == "True")
            || self.feeder().is_some_and(|feeder| feeding(feeder.state))
    }

    /// Whether every row has its end, and only files are left to be written.
    fn is_finalizing(&self) -> bool {
        self.feeder()
            .is_some_and(|feeder| matches!(feeder.state, FeederStage::Finalizing | FeederStage::Ended))
    }
}

#[cfg(test)]
#[path = "stopping_tests.rs"]
mod tests;
