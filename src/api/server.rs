//! `spec.server`: the model servers that are started for the job.

use k8s_openapi::api::core::v1::EnvVar;
use kube::KubeSchema;
use kube::core::Rule;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::adapters::AdaptersSpec;
use super::model_cache::ModelCache;
use super::reference::{LocalKeyReference, LocalReference};
use super::resources::{PodTemplate, Resources};

/// The model server program that runs the base model.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
pub enum Engine {
    /// vLLM, for GPUs; the model is a Hugging Face repository.
    #[default]
    VLLM,
    /// Predibase's LoRAX, for GPUs; the model is a Hugging Face repository.
    LoRAX,
    /// SGLang, for GPUs; the model is a Hugging Face repository.
    SGLang,
    /// llama.cpp's `llama-server`, for GGUF files, on GPUs and CPUs.
    LlamaCpp,
    /// Any other server of the OpenAI API (NIM, TGI, TensorRT-LLM): its image, command, port and readiness stand in podTemplate.
    Custom,
}

impl Engine {
    /// Every engine.
    pub const ALL: [Self; 5] = [Self::VLLM, Self::LoRAX, Self::SGLang, Self::LlamaCpp, Self::Custom];
}

impl std::fmt::Display for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::VLLM => "VLLM",
            Self::LoRAX => "LoRAX",
            Self::SGLang => "SGLang",
            Self::LlamaCpp => "LlamaCpp",
            Self::Custom => "Custom",
        })
    }
}

/// The model servers, started when the data set is known to be good and removed when the last answer is in.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.image) && has(self.imageTag))")
    .message("give image or imageTag, not both: image replaces the whole reference, imageTag only the tag of the default one"))]
#[x_kube(validation = Rule::new("has(self.from) || has(self.baseModel)")
    .message("give baseModel, or from: a Deployment that runs a model server"))]
#[x_kube(validation = Rule::new("!has(self.from) || self.engine == 'VLLM'")
    .message("the engine is that of the Deployment that from names: leave engine out"))]
#[x_kube(validation = immutable("from"))]
#[x_kube(validation = immutable("engine"))]
#[x_kube(validation = immutable("baseModel"))]
#[x_kube(validation = immutable("revision"))]
#[x_kube(validation = immutable("servedModelNames"))]
#[x_kube(validation = immutable("image"))]
#[x_kube(validation = immutable("imageTag"))]
#[x_kube(validation = immutable("hfTokenSecretRef"))]
#[x_kube(validation = immutable("quantization"))]
#[x_kube(validation = immutable("adapters"))]
#[x_kube(validation = immutable("args"))]
#[x_kube(validation = immutable("env"))]
#[x_kube(validation = immutable("resources"))]
#[x_kube(validation = immutable("resourceProfile"))]
#[x_kube(validation = immutable("modelCache"))]
#[x_kube(validation = immutable("podTemplate"))]
#[x_kube(validation = immutable("startupTimeoutSeconds"))]
pub struct ServerSpec {
    /// A model server that runs already: what is not given here is taken from it, once, when the job is taken up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ServerSource>,

    /// The model server program. Default: VLLM; with `from`, what the Deployment runs, also where VLLM is written here.
    #[serde(default)]
    pub engine: Engine,

    /// The base model: a short name of the catalog (`qwen3-8b`), a Hugging Face repository (`Qwen/Qwen3-8B`), or the absolute
    /// path of a model in the server's image or volumes (`/models/model.gguf`). For engine Custom the name that the server knows
    /// its model by: rows are sent with it. Required without `from`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 512))]
    pub base_model: String,

    /// The revision of the repository: a branch, a tag or a commit. The hub is asked once which commit it stands for, and all servers load
    /// that one. Default: `main`, of which that is asked, too. Not for paths and Custom; for
    /// LlamaCpp only with `modelCache`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$"))]
    pub revision: Option<String>,

    /// More names by which rows may call the base model, such as `gpt-4o-mini` in a file that was made for OpenAI.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub served_model_names: Vec<String>,

    /// The whole image reference. Default: the operator's pinned image for the engine. Engine Custom has none: give it here or in
    /// podTemplate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,

    /// Another tag of the operator's image for the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"))]
    pub image_tag: Option<String>,

    /// The Hugging Face token for gated and private models: a key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hf_token_secret_ref: Option<LocalKeyReference>,

    /// How the weights are quantized: `fp8`, `bitsandbytes-nf4`, `awq`, ..., the same word for every engine that can; for LlamaCpp
    /// with a repository, the file's type such as `Q4_K_M`. Default: as the checkpoint is. What the engine cannot do is refused
    /// before anything starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub quantization: Option<String>,

    /// LoRA adapters that rows may name beside the base model. Default: none, and a row that names one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapters: Option<AdaptersSpec>,

    /// How many servers run at a time. Default: 1. May be changed while the job runs, also by `kubectl scale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: Option<i32>,

    /// More arguments for the engine, added after the operator's own. One that another field decides is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(max = 4096)))]
    pub args: Vec<String>,

    /// More environment variables for the engine, as in a pod. Each name once; one that another field decides is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,

    /// Requests and limits of one server. What is not named here is as the resource profile says, else estimated from the model's
    /// size. A GPU (`nvidia.com/gpu: 1`) is added for the engines VLLM, LoRAX and SGLang when neither this nor the profile nor
    /// podTemplate names a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// A kind of node that the operator was installed with (chart value `resourceProfiles`): its resources, node selector,
    /// tolerations, runtime class and image. `NAME:COUNT` takes its resources so many times. Default count: as many as the model is
    /// estimated to need where the memory of the profile's devices is known, else 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 256),
        regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?(:[1-9][0-9]{0,2})?$")
    )]
    pub resource_profile: Option<String>,

    /// Where the model is kept for other jobs, too, so that no device waits for a download.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_cache: Option<ModelCache>,

    /// Anything that a pod can have, merged over the operator's own template. The container is named `server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,

    /// How long one server may take to become ready, in seconds from the moment its pod is scheduled. A server that takes
    /// longer ends the job. Default: 3600.
    #[serde(default = "default_startup_timeout_seconds")]
    #[schemars(range(min = 1, max = 604_800))]
    pub startup_timeout_seconds: i32,
}

/// Where a job takes from what its server does not say.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerSource {
    /// A Deployment of the job's namespace that runs vLLM, LoRAX, SGLang or llama-server. It is read only, and may be scaled to none.
    pub deployment: LocalReference,
}

/// A job's server with what its `from` says. Its schema is that of `spec.server`, and is not said twice.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(transparent)]
pub struct FilledServer(pub Box<ServerSpec>);

impl JsonSchema for FilledServer {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FilledServer".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
    }
}

/// How long one server may take when the job does not say, in seconds.
pub(crate) fn default_startup_timeout_seconds() -> i32 {
    3600
}

/// A rule that lets a field neither change nor appear nor disappear: `self == oldSelf` alone would allow the last two.
pub(super) fn immutable(field: &str) -> Rule {
    Rule::new(format!(
        "has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"
    ))
    .message(&*format!(
        "{field} cannot be changed once the job exists: delete the job and create it again (finished rows are kept in its output)"
    ))
}
