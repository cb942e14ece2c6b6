//! `spec.dataset`: where the rows come from.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reference::{LocalKeyReference, LocalReference};

/// The data set: rows in the OpenAI batch format, one JSON object a line. Exactly one source is given.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.uri), has(self.configMap), has(self.inline)].filter(given, given).size() == 1"
).message("exactly one of uri, configMap, inline names the data set"))]
#[x_kube(validation = Rule::new(
    "!has(self.credentialsSecretRef) || (has(self.uri) && self.uri.startsWith('s3://'))"
).message("credentialsSecretRef goes with an s3:// uri; remove it"))]
pub struct DatasetSpec {
    /// Where the data set is: `s3://BUCKET/KEY` for an object, `pvc://CLAIM/PATH` for a file on a
    /// PersistentVolumeClaim of the job's namespace. A name that ends in `.gz` or `.zst` is that of a compressed file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^(s3|pvc)://[^/]+/.+$"))]
    pub uri: Option<String>,

    /// A key of a ConfigMap that holds the rows, for small data sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<LocalKeyReference>,

    /// The rows themselves, at most 64 KiB, for examples and small GitOps jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub inline: Option<String>,

    /// What becomes of rows that cannot be run: a line that is not as the format says, that is longer than 16 MiB, or whose
    /// `custom_id` an earlier one has. `Fail`: the job ends before any server starts, and says which lines they are. `Skip`: they
    /// become rows of `errors.jsonl`, with their line, and the others are run. A model that nothing serves ends the job in either case.
    #[serde(default)]
    pub invalid_rows: InvalidRows,

    /// A Secret with the store's keys, named as its SDK names them: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    /// `AWS_REGION`, `AWS_ENDPOINT_URL`, ... Without it, the feeder's service account must be allowed to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<LocalReference>,
}

/// What becomes of rows that cannot be run.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub enum InvalidRows {
    /// The job ends before any server starts.
    #[default]
    Fail,
    /// They become error rows.
    Skip,
}
