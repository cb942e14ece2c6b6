//! `spec.shutdown`, and what comes of it, of a deadline and of a budget: `status.stopping`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reason::Reason;

/// How a job is ended before its last row. What it has by then becomes its results.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub enum Shutdown {
    /// No more rows are sent; those that are in flight are waited for.
    Stop,
    /// No more rows are sent, those in flight are aborted, and the servers go at once.
    Terminate,
}

/// Why a job is ended before its last row.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub enum StoppingReason {
    /// `spec.shutdown` asks for it.
    Cancelled,
    /// `spec.activeDeadlineSeconds` are over.
    DeadlineExceeded,
    /// The servers' devices cost more than `spec.budget.maxGPUCost`.
    BudgetExceeded,
}

impl StoppingReason {
    /// The reason of the end that it leads to.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::Cancelled => Reason::Cancelled,
            Self::DeadlineExceeded => Reason::DeadlineExceeded,
            Self::BudgetExceeded => Reason::BudgetExceeded,
        }
    }
}

/// The decision that a job ends before its last row. It is not taken back.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stopping {
    /// Why.
    pub reason: StoppingReason,
    /// How. Only Stop can still become Terminate.
    pub mode: Shutdown,
    /// Why, in words.
    pub message: String,
    /// Since when.
    pub since: Time,
}
