//! The `BatchInferenceJob` resource.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::dataset::DatasetSpec;
use super::endpoint::EndpointSpec;
use super::feeder::FeederSpec;
use super::output::OutputSpec;
use super::row_policy::RowPolicy;
use super::server::{ServerSpec, immutable};
use super::shutdown::Shutdown;
use super::status::BatchInferenceJobStatus;

/// The wanted state of a `BatchInferenceJob`.
#[expect(
    clippy::duplicated_attributes,
    reason = "each print column repeats the names of its settings"
)]
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "batchinference.dev",
    version = "v1alpha1",
    kind = "BatchInferenceJob",
    namespaced,
    cel,
    status = "BatchInferenceJobStatus",
    shortname = "bij",
    category = "all",
    derive = "PartialEq",
    derive = "Default",
    doc = "Runs a data set of prompts through model servers that exist only for this job, and leaves results with a proof that every row is there exactly once.",
    scale(
        spec_replicas_path = ".spec.server.replicas",
        status_replicas_path = ".status.servers.replicas"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.phase",
        description = "What the job is doing"
    ),
    printcolumn(
        name = "Done",
        type_ = "integer",
        json_path = ".status.progress.completed",
        description = "Rows with a result"
    ),
    printcolumn(
        name = "Failed",
        type_ = "integer",
        json_path = ".status.progress.failed",
        description = "Rows with an error"
    ),
    printcolumn(
        name = "Total",
        type_ = "integer",
        json_path = ".status.progress.total",
        description = "Rows of the data set"
    ),
    printcolumn(
        name = "Percent",
        type_ = "integer",
        json_path = ".status.progress.percent",
        description = "Finished rows of all rows"
    ),
    printcolumn(
        name = "Tokens",
        type_ = "integer",
        json_path = ".status.usage.totalTokens",
        description = "Tokens of prompts and answers"
    ),
    printcolumn(
        name = "Cost",
        type_ = "string",
        json_path = ".status.cost.tokenCost",
        description = "What those tokens cost"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Rows/s",
        type_ = "string",
        json_path = ".status.progress.rowsPerSecond",
        priority = 1
    ),
    printcolumn(
        name = "Completion",
        type_ = "date",
        json_path = ".status.progress.estimatedCompletionTime",
        priority = 1,
        description = "When the last row will be finished, at this pace"
    ),
    printcolumn(
        name = "Servers",
        type_ = "integer",
        json_path = ".status.servers.ready",
        priority = 1,
        description = "Servers that are ready"
    ),
    printcolumn(
        name = "GPU cost",
        type_ = "string",
        json_path = ".status.cost.gpuCost",
        priority = 1,
        description = "What the servers' devices cost, where they have a price"
    ),
    printcolumn(name = "Model", type_ = "string", json_path = ".status.resolved.model", priority = 1),
    printcolumn(
        name = "Engine",
        type_ = "string",
        json_path = ".status.resolved.engine",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.server) != has(self.endpoint)")
    .message("exactly one of server, endpoint says what answers the rows"))]
#[x_kube(validation = Rule::new("!has(self.endpoint) || !has(self.budget) || !has(self.budget.maxGPUCost)")
    .message("budget.maxGPUCost goes with server, as rows that go to an endpoint hold no device of the job: remove it"))]
#[x_kube(validation = immutable("dataset"))]
#[x_kube(validation = immutable("endpoint"))]
#[x_kube(validation = immutable("feeder"))]
#[x_kube(validation = immutable("output"))]
#[x_kube(validation = immutable("rowPolicy"))]
#[x_kube(validation = immutable("budget"))]
#[x_kube(validation = Rule::new(
    "!has(oldSelf.shutdown) || (has(self.shutdown) && (self.shutdown == oldSelf.shutdown || self.shutdown == 'Terminate'))"
).message("shutdown cannot be taken back, and only Stop can become Terminate: delete the job and create it again (finished rows are kept in its output)"))]
pub struct BatchInferenceJobSpec {
    /// The rows to run. Cannot be changed.
    pub dataset: DatasetSpec,

    /// The model servers that are started for the job. Only `replicas` can be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerSpec>,

    /// A server that someone else runs, in place of `server`: nothing is started. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointSpec>,

    /// The CPU pod that sends the rows. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feeder: Option<FeederSpec>,

    /// Where the results go. Default: a folder of the namespace's default store. Cannot be changed.
    #[serde(default)]
    pub output: OutputSpec,

    /// When a row is given up, and when the job is. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_policy: Option<RowPolicy>,

    /// Gives the GPUs back and keeps every finished row; rows in flight are run again later and lose no attempt. A job that is
    /// writing its results finishes that first. Default: false. May be changed at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// Ends the job before its last row: Stop lets the rows in flight finish, Terminate aborts them. What is there becomes the
    /// results. Cannot be taken back, but Stop may become Terminate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<Shutdown>,

    /// How long the job may be active, in seconds, as a batch/v1 Job counts it: from its start, and anew from each time that it is
    /// resumed. Then no more rows are sent, and what is there becomes the results. May be changed at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub active_deadline_seconds: Option<i64>,

    /// How long the job is kept after its end, in seconds; then it is deleted. Its output stays. May be changed at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ttl_seconds_after_finished: Option<i32>,

    /// What the job may use up. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
