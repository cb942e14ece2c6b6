//! `spec.budget`: what a job may use up.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What a job may use up. Beyond it no more rows are sent, and what is there becomes the results.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// The most tokens, of prompts and answers, as the servers count them. Rows that are in flight when they are used up count too,
    /// so a job may use a little more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_total_tokens: Option<i64>,
}
