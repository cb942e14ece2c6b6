//! `spec.server.adapters`: the LoRA adapters that rows may name beside the base model.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reference::LocalReference;

/// LoRA adapters of the base model. A row names one in its `body.model`; rows of the base and of any number of adapters may stand in one
/// data set.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.source != 'PBase' || has(self.credentialsSecretRef)")
    .message("source PBase needs credentialsSecretRef: a Secret with PREDIBASE_API_TOKEN"))]
#[x_kube(validation = Rule::new("!has(self.credentialsSecretRef) || self.source == 'S3' || self.source == 'PBase'")
    .message("credentialsSecretRef goes with source S3 or PBase; the hub's token is hfTokenSecretRef"))]
#[x_kube(validation = Rule::new(
    "!has(self.location) || (self.source == 'Local' ? self.location.startsWith('/') \
     : self.source == 'S3' && self.location.startsWith('s3://'))"
).message("location is an absolute directory for source Local, s3://BUCKET/PREFIX for source S3, and goes with no other source"))]
#[x_kube(validation = Rule::new("self.source != 'Local' || has(self.location) || has(self.named)")
    .message("source Local needs location, the directory of the adapters in the server's container, or named"))]
pub struct AdaptersSpec {
    /// Where the servers have adapters from. Default: Hub.
    #[serde(default)]
    pub source: AdapterSource,

    /// What the names of adapters stand below: for Local a directory in the server's container (`/adapters`, from its image or a
    /// volume of podTemplate), for S3 `s3://BUCKET/PREFIX`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub location: Option<String>,

    /// The adapters that rows may name, each with where it is. Default: any that `source` has, by the name that it has there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub named: Vec<NamedAdapter>,

    /// A Secret with the keys of the source: for S3 `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, and where they are needed `AWS_REGION` and
    /// `AWS_ENDPOINT_URL`; for PBase `PREDIBASE_API_TOKEN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<LocalReference>,

    /// The largest rank that servers are to have room for. Default: the largest that the hub tells of the adapters in the data set, else
    /// 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 512))]
    pub max_rank: Option<i32>,

    /// What becomes of rows whose adapter is not there or cannot be loaded. `FailRows`: they become rows of `errors.jsonl`, and the
    /// others are run; engine LlamaCpp does not start with a file that is not there or not one of its model, and the job ends all the
    /// same. `FailJob`: the job ends before any row is sent. Default: FailRows.
    #[serde(default)]
    pub on_error: OnAdapterError,
}

/// An adapter by the name that rows have for it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedAdapter {
    /// As rows write it in `body.model`.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Where it is: a repository, a path below `location` or an absolute one, `s3://BUCKET/PATH`, or `REPOSITORY/VERSION` at Predibase.
    /// Default: the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub path: Option<String>,
}

/// Where servers have adapters from.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub enum AdapterSource {
    /// Repositories of a Hugging Face hub, with the servers' token. For VLLM, LoRAX and SGLang.
    #[default]
    Hub,
    /// Objects of an S3 store. For every engine but Custom; GGUF files for LlamaCpp.
    S3,
    /// Files in the server's container. For every engine; GGUF files for LlamaCpp; for Custom, what its server serves by that name.
    Local,
    /// Adapters at Predibase. For LoRAX.
    PBase,
}

impl AdapterSource {
    /// Every source.
    pub const ALL: [Self; 4] = [Self::Hub, Self::S3, Self::Local, Self::PBase];
}

impl std::fmt::Display for AdapterSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Hub => "Hub",
            Self::S3 => "S3",
            Self::Local => "Local",
            Self::PBase => "PBase",
        })
    }
}

/// What becomes of rows whose adapter is not there or cannot be loaded.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub enum OnAdapterError {
    /// They become error rows.
    #[default]
    FailRows,
    /// The job ends before any row is sent.
    FailJob,
}
