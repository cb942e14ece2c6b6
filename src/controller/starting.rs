//! Servers that are not ready yet: how long they have, and what makes it certain that they never will be. Pure, a part of
//! [`super::decide`].

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::decide::View;
use super::failing::{Failing, failing};
use super::lost::is_taken_away;
use super::pod_state::{condition_time, is_ending, is_ready};
use super::timeline::PodTimes;
use super::waiting::why_pods_wait;
use crate::api::reason::Reason;
use crate::api::server::default_startup_timeout_seconds;
use crate::api::status::Timeline;
use crate::api::wait::Wait;

/// What becomes of servers that are not ready, if nothing changes.
#[derive(Default)]
pub(super) struct Starting {
    /// When the first has had its time.
    pub(super) deadline: Option<Timestamp>,
    /// Why they never will be.
    pub(super) failing: Failing,
}

impl Starting {
    /// When something is to be decided of them.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let failure = self.failing.failure.as_ref().map(|failure| failure.due);
        self.deadline.into_iter().chain(failure).min()
    }
}

impl View<'_> {
    pub(super) fn starting(&self, is_suspended: bool) -> Starting {
        if is_suspended {
            return Starting::default();
        }
        Starting {
            deadline: self.startup_deadline(),
            // What worked once is no mistake: such a server is waited for by name.
            failing: if self.has_been_ready() {
                Failing::default()
            } else {
                let status = self.job.status.as_ref();
                let before = status.and_then(|status| status.controller.servers_failing.as_ref());
                failing(self.server(), &self.observed.server_pods, before, self.now)
            },
        }
    }

    /// Whether a server of the job was ever ready.
    fn has_been_ready(&self) -> bool {
        self.timeline()
            .is_some_and(|timeline| timeline.servers_ready_at.is_some())
    }

    fn timeline(&self) -> Option<&Timeline> {
        self.job.status.as_ref()?.controller.timeline.as_ref()
    }

    /// When the image of the servers was first there, so that one could start.
    fn image_pulled_at(&self) -> Option<Timestamp> {
        let told = self.timeline().and_then(|timeline| timeline.image_pulled_at.as_ref());
        told.map(|time| time.0)
            .or_else(|| PodTimes::of(&self.observed.server_pods).image_pulled)
    }

    /// Whether a pod waits for something that is not the job's, for as long as it takes.
    fn waits_for_others(&self, pod: &Pod) -> bool {
        let wait = why_pods_wait(self.server(), std::slice::from_ref(pod));
        wait.is_some_and(|wait| {
            matches!(
                wait.reason,
                Reason::RegistryUnavailable | Reason::SecretMissing | Reason::ConfigMapMissing
            )
        })
    }

    pub(super) fn startup_timeout(&self) -> Wait {
        let seconds = self.startup_timeout_seconds();
        let cause = why_pods_wait(self.server(), &self.observed.server_pods);
        let cause = cause.map_or_else(|| "it is still loading".to_owned(), |wait| wait.message);
        Wait::new(
            Reason::StartupTimeout,
            format!("a server was not ready {seconds} s after it was scheduled: {cause}"),
        )
    }

    fn startup_timeout_seconds(&self) -> i32 {
        let server = self.job.spec.server.as_ref();
        server.map_or_else(default_startup_timeout_seconds, |server| server.startup_timeout_seconds)
    }

    /// When the first of the servers that are not ready has had its time: from when it was scheduled, from when an image was there to start,
    /// or from when it was last ready. None while another one is ready: rows go on, and what works is no mistake.
    fn startup_deadline(&self) -> Option<Timestamp> {
        if self.ready_servers().next().is_some() {
            return None;
        }
        let allowed = SignedDuration::from_secs(self.startup_timeout_seconds().into());
        let is_starting =
            |pod: &&Pod| !is_ready(pod) && !is_ending(pod) && !is_taken_away(pod) && !self.waits_for_others(pod);
        let pods = self.live_servers().filter(is_starting);
        let since = pods.filter_map(starting_since).min()?;
        // What waited for a registry has its whole time when that is back.
        Some(since.max(self.image_pulled_at().unwrap_or(since)) + allowed)
    }
}

/// Since when a pod has had nothing to wait for but its own start.
fn starting_since(pod: &Pod) -> Option<Timestamp> {
    let scheduled = condition_time(pod, "PodScheduled", "True")?;
    let lost_readiness = condition_time(pod, "Ready", "False").unwrap_or(scheduled);
    Some(scheduled.max(lost_readiness))
}
