//! Conditions: `metav1.Condition`, set in one place only.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::reason::Reason;

/// The longest message that `metav1.Condition` allows, in bytes.
const MESSAGE_LIMIT: usize = 32 * 1024;

/// What can be true of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// The data set was read and every row can be run.
    Validated,
    /// At least one model server is ready for rows.
    ServersReady,
    /// No server of this job exists any more: no Deployment, no ReplicaSet, no pod.
    GPUsReleased,
    /// The job is suspended, and no server of it runs.
    Suspended,
    /// Results, errors and the manifest are written.
    ResultsAvailable,
    /// The job ended with results.
    Complete,
    /// The job ended without success.
    Failed,
    /// Work towards the feeder's first run is under way (kstatus).
    Reconciling,
    /// The job cannot go on by itself (kstatus); true exactly when Failed is.
    Stalled,
}

impl ConditionType {
    /// The condition's `type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validated => "Validated",
            Self::ServersReady => "ServersReady",
            Self::GPUsReleased => "GPUsReleased",
            Self::Suspended => "Suspended",
            Self::ResultsAvailable => "ResultsAvailable",
            Self::Complete => "Complete",
            Self::Failed => "Failed",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
        }
    }
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

impl ConditionStatus {
    /// The condition's `status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// What a condition should say from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionUpdate {
    /// Which condition.
    pub kind: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why.
    pub reason: Reason,
    /// Why in words, with what to do.
    pub message: String,
}

impl ConditionUpdate {
    /// An update; the message is cut to what the API allows.
    pub fn new(
        kind: ConditionType,
        status: impl Into<ConditionStatus>,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        let mut message = message.into();
        if message.len() > MESSAGE_LIMIT {
            message.truncate(message.floor_char_boundary(MESSAGE_LIMIT));
        }
        Self {
            kind,
            status: status.into(),
            reason,
            message,
        }
    }
}

/// The conditions after these updates. `lastTransitionTime` moves only when the status changes; conditions that no update
/// names stay as they are.
#[must_use]
pub fn merge(current: &[Condition], updates: &[ConditionUpdate], generation: i64, now: Timestamp) -> Vec<Condition> {
    let mut merged = current.to_vec();
    for update in updates {
        let next = Condition {
            type_: update.kind.as_str().to_owned(),
            status: update.status.as_str().to_owned(),
            reason: update.reason.as_str().to_owned(),
            message: update.message.clone(),
            observed_generation: Some(generation),
            last_transition_time: Time(now),
        };
        match merged.iter_mut().find(|condition| condition.type_ == next.type_) {
            Some(existing) if existing.status == next.status => {
                let since = existing.last_transition_time.clone();
                *existing = Condition {
                    last_transition_time: since,
                    ..next
                };
            }
            Some(existing) => *existing = next,
            None => merged.push(next),
        }
    }
    merged
}

/// Whether a condition is there and `True`.
#[must_use]
pub fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == "True")
}

/// The reason of a condition that is there.
#[must_use]
pub fn reason_of(conditions: &[Condition], kind: ConditionType) -> Option<&str> {
    find(conditions, kind).map(|condition| condition.reason.as_str())
}

/// A condition by type.
#[must_use]
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let at = |seconds| Timestamp::from_second(seconds).expect("in range");
        let update = |status: bool, reason| [ConditionUpdate::new(ConditionType::Validated, status, reason, "")];
        let first = merge(&[], &update(false, Reason::SecretMissing), 1, at(10));
        let same = merge(&first, &update(false, Reason::ClaimMissing), 2, at(20));
        assert_eq!(same[0].last_transition_time, Time(at(10)));
        assert_eq!(same[0].reason, "ClaimMissing");
        assert_eq!(same[0].observed_generation, Some(2));
        let turned = merge(&same, &update(true, Reason::DatasetValid), 2, at(30));
        assert_eq!(turned[0].last_transition_time, Time(at(30)));
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let update = ConditionUpdate::new(ConditionType::Failed, true, Reason::DatasetInvalid, "ä".repeat(20_000));
        assert_eq!(update.message.len(), MESSAGE_LIMIT);
    }
}
