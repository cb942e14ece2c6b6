//! The phase: one word for people, computed from the conditions and never the other way round.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::{ConditionType, is_true, reason_of};
use super::reason::Reason;

/// A summary of the conditions.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub enum Phase {
    /// The feeder has not run yet.
    Pending,
    /// The data set is being read and checked.
    Validating,
    /// The data set is good; no model server is ready.
    Provisioning,
    /// Rows are sent to model servers.
    Running,
    /// The last answer is in; results are being written.
    Finalizing,
    /// Ended, with results.
    Completed,
    /// Suspended: no server runs, and finished rows are kept.
    Suspended,
    /// Ended, as somebody asked for it.
    Cancelled,
    /// Ended without success; the Failed condition says why.
    Failed,
}

impl Phase {
    /// The phase that these conditions amount to.
    #[must_use]
    pub fn of(conditions: &[Condition]) -> Self {
        let holds = |kind| is_true(conditions, kind);
        if holds(ConditionType::Failed) {
            let cancelled = reason_of(conditions, ConditionType::Failed) == Some(Reason::Cancelled.as_str());
            return if cancelled { Self::Cancelled } else { Self::Failed };
        }
        if holds(ConditionType::Complete) {
            return Self::Completed;
        }
        if holds(ConditionType::Suspended) {
            return Self::Suspended;
        }
        if !holds(ConditionType::Validated) {
            let feeder_ran = !holds(ConditionType::Reconciling);
            return if feeder_ran { Self::Validating } else { Self::Pending };
        }
        if holds(ConditionType::ServersReady) {
            return Self::Running;
        }
        let servers = reason_of(conditions, ConditionType::ServersReady);
        if servers == Some(Reason::ServersNotNeeded.as_str()) {
            return Self::Finalizing;
        }
        Self::Provisioning
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::condition::{ConditionUpdate, merge};

    type Given<'a> = &'a [(ConditionType, bool, Reason)];

    fn conditions(list: Given) -> Vec<Condition> {
        let updates: Vec<_> = list
            .iter()
            .map(|&(kind, status, reason)| ConditionUpdate::new(kind, status, reason, ""))
            .collect();
        merge(&[], &updates, 1, k8s_openapi::jiff::Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn phase_follows_the_conditions() {
        use ConditionType::{Complete, Failed, Reconciling, ServersReady, Validated};
        let cases: &[(Given, Phase)] = &[
            (&[(Reconciling, true, Reason::FeederStarting)], Phase::Pending),
            (&[(Reconciling, false, Reason::FeederRunning)], Phase::Validating),
            (
                &[
                    (Validated, true, Reason::DatasetValid),
                    (ServersReady, false, Reason::ServersStarting),
                ],
                Phase::Provisioning,
            ),
            (
                &[
                    (Validated, true, Reason::DatasetValid),
                    (ServersReady, true, Reason::ServersReady),
                ],
                Phase::Running,
            ),
            (
                &[
                    (Validated, true, Reason::DatasetValid),
                    (ServersReady, false, Reason::ServersNotNeeded),
                ],
                Phase::Finalizing,
            ),
            (
                &[
                    (Validated, true, Reason::DatasetValid),
                    (Complete, true, Reason::AllRowsSucceeded),
                ],
                Phase::Completed,
            ),
            (&[(Failed, true, Reason::DatasetInvalid)], Phase::Failed),
        ];
        for (given, want) in cases {
            assert_eq!(Phase::of(&conditions(given)), *want, "{given:?}");
        }
    }
}
