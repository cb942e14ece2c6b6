//! `spec.server.modelCache`: a claim on which models are kept from job to job, and what is reported of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Field manager of the pod that fills the model cache, for `status.modelCache`. It is API: it never changes.
pub const MODEL_CACHE_FIELD_MANAGER: &str = "batch-inference-model-cache";

/// Where models are kept from job to job. A pod without devices fills it with what the job's model needs before any server starts, and
/// servers only read it. Not for paths and engine Custom.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelCache {
    /// The claim. With access mode ReadWriteMany any number of servers and jobs share it; with ReadWriteOnce a job has one server.
    pub persistent_volume_claim: ClaimReference,
}

/// A reference to a PersistentVolumeClaim of the job's namespace.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimReference {
    /// Name of the claim, in the job's own namespace. It may be created after the job: the job waits for it.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
}

/// How far the filling of the model cache has come.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub enum ModelCacheState {
    /// Files are downloaded or checked, or something is waited for.
    #[default]
    Filling,
    /// Everything that servers read is there, and its checksums are right.
    Ready,
    /// It cannot be filled; the reason says why.
    Failed,
}

/// The model cache of a job, as the pod reports it that fills it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelCacheStatus {
    /// How far it has come.
    pub state: ModelCacheState,
    /// The commit of the model's repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// How much is there of what servers read, in bytes.
    #[serde(default)]
    pub bytes: i64,
    /// How much servers read, in bytes, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<i64>,
    /// How much was downloaded for this job since its filling last started, in bytes: 0 where another job had left it all.
    #[serde(default)]
    pub downloaded_bytes: i64,
    /// For LlamaCpp, the GGUF file that servers load, below the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// For LlamaCpp, the file with the projector of a model that sees images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projector: Option<String>,
    /// What is waited for, or why it cannot be filled: one of the reasons of the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The reason in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
