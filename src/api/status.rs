//! `status`: what is reported, and by whom.
//!
//! The controller owns [`ControllerStatus`], the feeder [`FeederStatus`]: two structs without a shared field, applied with
//! two field managers, so that neither can overwrite the other. The pod that fills a model cache has one field, and a third manager.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{KubeSchema, Resource};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::amount::Amount;
use super::job::BatchInferenceJob;
use super::model_cache::ModelCacheStatus;
use super::phase::Phase;
use super::prices::Prices;
use super::resources::Resources;
use super::server::{Engine, FilledServer};
use super::shutdown::Stopping;

/// Field manager of the controller, for children and for its part of the status. It is API: it never changes.
pub const CONTROLLER_FIELD_MANAGER: &str = "batch-inference-operator";
/// Field manager of the feeder, for its part of the status. It is API: it never changes.
pub const FEEDER_FIELD_MANAGER: &str = "batch-inference-feeder";

/// The observed state of a `BatchInferenceJob`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
pub struct BatchInferenceJobStatus {
    /// What the controller reports.
    #[serde(flatten)]
    pub controller: ControllerStatus,
    /// What the feeder reports.
    #[serde(flatten)]
    pub reported: FeederStatus,
    /// What the pod reports that fills the model cache.
    #[serde(flatten)]
    pub cached: CacheStatus,
}

/// The part of the status that the controller writes.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ControllerStatus {
    /// The generation of the spec that this status was computed from. -1 until the operator has seen the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// A summary of the conditions for people. Programs should read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,

    /// What is true of the job, each with a reason: Validated, ServersReady, GPUsReleased, Suspended, ResultsAvailable, Complete, Failed;
    /// Reconciling and Stalled for tools that judge readiness (kstatus).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// The decision that the job ends before its last row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping: Option<Stopping>,

    /// Since when no feeder runs, while one should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feeder_gone_since: Option<Time>,

    /// What keeps servers from starting and may still pass. When it lasts, it ends the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers_failing: Option<ServersFailing>,

    /// When the operator first took up the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// When the job ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,

    /// What the spec's defaults came to for this job. Decided once: a newer operator does not change a running job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Resolved>,

    /// When what happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Timeline>,

    /// The model servers of this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<ServersStatus>,

    /// What the job has cost, at the prices of `resolved`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostStatus>,
}

/// What keeps servers from starting and may still pass.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServersFailing {
    /// One of the reasons of the conditions.
    pub reason: String,
    /// Since when it is told without a break.
    pub since: Time,
}

/// What the spec's defaults came to.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resolved {
    /// The engine; Custom for an endpoint.
    pub engine: Engine,
    /// The servers' image; none for an endpoint.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// The model as the engine is told: a repository, a path, or the name that an endpoint knows.
    pub model: String,
    /// The revision of the model: as `spec.server.revision` has it, and the commit that it (or else `main`) stands for once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The name under which rows ask for the base model.
    pub served_model_name: String,
    /// The engine's arguments.
    pub args: Vec<String>,
    /// Those among them that are for the adapters which rows name: known once the data set was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapter_args: Vec<String>,
    /// Requests and limits of one server.
    pub resources: Resources,
    /// What tokens and devices cost. Not set for a job that a version of the operator took up which knew no prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// What else the resource profile of `spec.server.resourceProfile` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_profile: Option<ResolvedProfile>,
    /// The most servers that the claim of `spec.server.modelCache` can be mounted by, where that is a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_replicas: Option<i32>,
    /// `spec.server` with what its `from` said when the job was taken up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<FilledServer>,
}

/// What a resource profile said when the job was taken up, beside image and resources: a profile that is changed later does not change
/// a running job.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedProfile {
    /// Its name.
    pub name: String,
    /// Labels of the nodes that servers run on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that do not keep servers away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// The runtime class of the servers' pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_class_name: Option<String>,
}

/// The model servers of this moment.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServersStatus {
    /// Server pods that exist.
    pub replicas: i32,
    /// Server pods that are ready for rows.
    pub ready: i32,
    /// How long devices were held, in seconds by resource name, from when each pod was scheduled to when it was gone: two pods of
    /// four GPUs each hold eight GPU seconds a second. As of `countedAt`; exact once all pods are gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub device_seconds: BTreeMap<String, i64>,
    /// When the devices were last counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_at: Option<Time>,
    /// Those of `deviceSeconds` whose pods are gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ended_device_seconds: BTreeMap<String, i64>,
    /// The pods that hold devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub held: Vec<HeldDevices>,
}

/// What a job has cost, as of `countedAt`; exact once the job has ended and its GPUs are released.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CostStatus {
    /// What the tokens of `usage` cost.
    pub token_cost: Amount,
    /// What the devices of `servers.deviceSeconds` cost, where devices have a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_cost: Option<Amount>,
    /// The currency of both.
    pub currency: String,
    /// When it was last counted.
    pub counted_at: Time,
}

/// A pod and the devices that it holds.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldDevices {
    /// The pod's uid.
    pub uid: String,
    /// Since when.
    pub since: Time,
    /// How many, by resource name.
    pub devices: BTreeMap<String, i64>,
}

/// When what happened first; of the last row, when it happened last.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// The data set was known to be good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validated_at: Option<Time>,
    /// A server had a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<Time>,
    /// A server had its image, and ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pulled_at: Option<Time>,
    /// A server was ready for rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers_ready_at: Option<Time>,
    /// A row was durable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_row_at: Option<Time>,
    /// The last row was durable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_row_at: Option<Time>,
    /// Nothing of the servers was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus_released_at: Option<Time>,
}

/// The part of the status that the pod writes which fills the model cache.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheStatus {
    /// How far the filling of the model cache has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_cache: Option<ModelCacheStatus>,
}

/// The part of the status that the feeder writes.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeederStatus {
    /// What the feeder is doing, and what it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feeder: Option<FeederState>,

    /// What the hub said of the base model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelStatus>,

    /// What inspection found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetStatus>,

    /// The adapters that rows name, where the job takes any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapters: Option<AdaptersStatus>,

    /// Rows finished. Only rows whose result is durable count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,

    /// Tokens of the finished rows, as the servers counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageStatus>,

    /// Where the results are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<ResultsStatus>,
}

/// What the feeder is doing.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub enum FeederStage {
    /// Reading and checking the data set.
    Inspecting,
    /// Sending rows, or waiting for servers to send them to.
    Feeding,
    /// Writing results, errors and the manifest from what is durable.
    Finalizing,
    /// Ended; the reason says how.
    Ended,
}

/// What the feeder is doing, and what it needs.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeederState {
    /// Counts the feeder's starts. A feeder of a lower attempt never overwrites what a higher one wrote.
    pub attempt: i64,
    /// What the feeder is doing.
    pub state: FeederStage,
    /// Whether rows are left that need a model server.
    pub servers_needed: bool,
    /// How many servers the last rows need, once no other rows are left to be sent. Not set before: then all are needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers_wanted: Option<i32>,
    /// Pods of servers that the last rows do not need.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub idle_servers: Vec<String>,
    /// Why the feeder waits or how it ended: one of the reasons of the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The reason in words, with what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What is not as it should be, though the work goes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub warnings: Vec<String>,
    /// When a result last became durable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_durable_at: Option<Time>,
    /// Pods of servers that have rows, answer none of them, and did not answer a request for one token either. They get no more
    /// rows until they answer one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub hung_servers: Vec<String>,
}

/// What the hub said of the base model, once.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelStatus {
    /// The commit that `spec.server.revision` stands for, or `main` where none is given; the revision as it was given, when the hub did not
    /// say. Not set for Custom, nor for LlamaCpp without `spec.server.revision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// How many parameters it has, as far as the hub says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<i64>,
}

/// What inspection found.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatasetStatus {
    /// Rows, blank lines not counted.
    pub rows: i64,
    /// Size in bytes.
    pub bytes: i64,
    /// The store's version of the object that was read.
    pub version: String,
    /// SHA-256 of the data set, hexadecimal.
    pub sha256: String,
    /// Rows that cannot be run, and became errors, as `invalidRows: Skip` asks for. They count in `rows`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_rows: Option<i64>,
    /// The first ten rows that cannot be run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub invalid_rows: Vec<InvalidRow>,
    /// The first ten fields of rows, beside custom_id, method, url and body, that mean nothing here and are not sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub unknown_fields: Vec<UnknownField>,
}

/// The adapters that rows name, and how their rows do.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdaptersStatus {
    /// How many different ones servers are to have: of those that cannot be used, the ones that only a server refuses count.
    pub count: i64,
    /// The largest rank of them, as far as the hub tells; where it does not tell all, at least 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rank: Option<i64>,
    /// A hundred: first those that cannot be used, then those that most rows name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub most_used: Vec<AdapterStatus>,
}

/// An adapter that rows name.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdapterStatus {
    /// As rows name it.
    pub name: String,
    /// Rows that name it.
    pub rows: i64,
    /// Those with a result.
    pub completed: i64,
    /// Those with an error.
    pub failed: i64,
    /// Tokens of the prompts of its rows with a result.
    pub prompt_tokens: i64,
    /// Tokens of their answers.
    pub completion_tokens: i64,
    /// Its commit, where the hub told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Set where it cannot be used: AdapterNotFound or AdapterNotLoaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same in words: its rows have this error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl AdaptersStatus {
    /// The same without what changes with each row.
    #[must_use]
    pub fn without_progress(mut self) -> Self {
        for adapter in &mut self.most_used {
            (adapter.completed, adapter.failed) = (0, 0);
            (adapter.prompt_tokens, adapter.completion_tokens) = (0, 0);
        }
        self
    }
}

/// A field of rows that is not sent.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnknownField {
    /// Its name, shortened.
    pub name: String,
    /// How many rows have it.
    pub rows: i64,
}

/// A row that cannot be run.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvalidRow {
    /// Line in the data set, counted from 1.
    pub line: i64,
    /// What is wrong with it.
    pub reason: String,
}

/// Rows finished. Only rows whose result is durable count.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Rows of the data set.
    pub total: i64,
    /// Rows with a result.
    pub completed: i64,
    /// Rows with an error.
    pub failed: i64,
    /// Finished rows of all rows, rounded down.
    pub percent: i64,
    /// Rows finished per second of late, as a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_per_second: Option<String>,
    /// When the last row will be finished, at this pace. Within 20 % from a tenth of the job and 500 rows on; none in the first ten seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_completion_time: Option<Time>,
}

/// Tokens of the finished rows, as the servers counted them.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageStatus {
    /// Tokens of the prompts.
    pub prompt_tokens: i64,
    /// Tokens of the answers.
    pub completion_tokens: i64,
    /// Both.
    pub total_tokens: i64,
}

/// Where the results are.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResultsStatus {
    /// The rows with a result, in input order.
    pub uri: String,
    /// The rows with an error, in input order.
    pub errors_uri: String,
    /// Counts, checksums and the proof that each row is there once.
    pub manifest_uri: String,
    /// Rows with a result.
    pub rows: i64,
    /// Rows with an error.
    pub errors: i64,
}

/// A server-side apply of one writer's part of the status.
///
/// It always carries the job's uid, so that a job of the same name that was created later is never written to; with a
/// `resource_version` it is refused when anything changed since that version was read.
#[must_use]
pub fn patch<S: Serialize>(name: &str, uid: &str, resource_version: Option<&str>, status: &S) -> serde_json::Value {
    let mut metadata = serde_json::json!({"name": name, "uid": uid});
    if let Some(version) = resource_version {
        metadata["resourceVersion"] = version.into();
    }
    serde_json::json!({
        "apiVersion": BatchInferenceJob::api_version(&()),
        "kind": BatchInferenceJob::kind(&()),
        "metadata": metadata,
        "status": status,
    })
}
