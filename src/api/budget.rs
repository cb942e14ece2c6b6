//! `spec.budget`: what a job may use up.

#![allow(clippy::struct_field_names, reason = "they are the names of the resource")]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::amount::Amount;

/// What a job may use up. Beyond it no more rows are sent, and what is there becomes the results.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// The most tokens, of prompts and answers, as the servers count them. Rows that are in flight when they are used up count too,
    /// so a job may use a little more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_total_tokens: Option<i64>,

    /// The most that the tokens may cost, as a decimal number in the currency of `status.resolved.prices`, such as "25.50". Rows in flight
    /// count as for maxTotalTokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_token_cost: Option<Amount>,

    /// The most that the servers' devices may cost, as maxTokenCost is written. Devices are given back when it is used up, and what they cost until
    /// their pods are gone comes on top. Refused when a device has no price, and with an endpoint, for which there are none.
    #[serde(default, rename = "maxGPUCost", skip_serializing_if = "Option::is_none")]
    pub max_gpu_cost: Option<Amount>,
}
