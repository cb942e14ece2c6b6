//! `spec.rowPolicy`: what a row may cost before it, or the job, has failed.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Failures that a row has by default before it has failed.
const MAX_ATTEMPTS: u32 = 5;
/// Time that an attempt has by default.
const ATTEMPT_TIMEOUT: Duration = Duration::from_mins(30);

/// When a row is given up, and when the job is.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!has(self.maxFailedRows) || (type(self.maxFailedRows) == int ? self.maxFailedRows >= 0 \
     : string(self.maxFailedRows).matches('^(100|[0-9]{1,2})%$'))"
).message("maxFailedRows is a number of rows from 0 on, or a share of the rows from 0% to 100%"))]
pub struct RowPolicy {
    /// How often a row is answered with a failure that may pass (a 5xx status, a broken answer, no answer in time) before it has
    /// failed. Lost connections, refusals (429, 503) and lost servers do not count, unless they happen to the row where they happen to no
    /// other. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_attempts: Option<i32>,

    /// How long one attempt may take, in seconds. Default: 1800.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub attempt_timeout_seconds: Option<i32>,

    /// The most rows that may fail, as a number or as a share of those that are sent (`10%`, rounded down). With one more the job
    /// stops, and what is there becomes its results. Rows that `dataset.invalidRows: Skip` leaves out do not count. Default: every row may fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failed_rows: Option<IntOrString>,
}

impl RowPolicy {
    /// Failures that a row may have.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        let attempts = self.max_attempts.and_then(|attempts| u32::try_from(attempts).ok());
        attempts.unwrap_or(MAX_ATTEMPTS).max(1)
    }

    /// How long one attempt may take.
    #[must_use]
    pub fn attempt_timeout(&self) -> Duration {
        let seconds = self
            .attempt_timeout_seconds
            .and_then(|seconds| u64::try_from(seconds).ok());
        seconds.map_or(ATTEMPT_TIMEOUT, Duration::from_secs)
    }

    /// The most of `rows` that may fail; `None` when all may, or the value is none that the schema takes.
    #[must_use]
    pub fn failed_rows(&self, rows: u64) -> Option<u64> {
        match self.max_failed_rows.as_ref()? {
            IntOrString::Int(count) => u64::try_from(*count).ok(),
            IntOrString::String(share) => {
                let percent: u32 = share.strip_suffix('%')?.parse().ok()?;
                u64::try_from(u128::from(rows) * u128::from(percent) / 100).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn most(max_failed_rows: serde_json::Value, rows: u64) -> Option<u64> {
        let policy = serde_json::json!({"maxFailedRows": max_failed_rows});
        let policy: RowPolicy = serde_json::from_value(policy).unwrap();
        policy.failed_rows(rows)
    }

    #[test]
    fn failed_rows_are_a_number_or_a_share_rounded_down() {
        assert_eq!(most(7.into(), 1000), Some(7));
        assert_eq!(most("10%".into(), 1009), Some(100));
        assert_eq!(most("100%".into(), u64::MAX), Some(u64::MAX));
        assert_eq!(most("0%".into(), 5), Some(0));
        assert_eq!(RowPolicy::default().failed_rows(5), None);
    }

    #[test]
    fn what_is_not_given_has_a_default() {
        let policy = RowPolicy::default();
        assert_eq!((policy.attempts(), policy.attempt_timeout().as_secs()), (5, 1800));
    }
}
