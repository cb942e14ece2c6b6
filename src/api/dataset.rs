//! `spec.dataset`: where the rows come from.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::default_store::DEFAULT_STORE;
use super::reference::{LocalKeyReference, LocalReference};

/// The data set: rows in the OpenAI batch format, one JSON object a line. Exactly one source is given.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.uri), has(self.configMap), has(self.inline), has(self.name)].filter(given, given).size() == 1"
).message("exactly one of uri, configMap, inline, name names the data set"))]
#[x_kube(validation = Rule::new(
    "!has(self.credentialsSecretRef) || (has(self.uri) && !self.uri.startsWith('pvc://'))"
).message("credentialsSecretRef goes with the uri of a store, a web server or a hub; remove it"))]
pub struct DatasetSpec {
    /// Where the data set is: `s3://BUCKET/KEY`, `gs://BUCKET/KEY` or `az://CONTAINER/KEY` for an object of a store,
    /// `https://HOST/PATH` for a file of a web server (`http://` inside the cluster), `hf://datasets/ORG/NAME/FILE` or
    /// `.../NAME@REVISION/FILE` for one of a Hugging Face hub, `pvc://CLAIM/PATH` for one on a PersistentVolumeClaim of the
    /// job's namespace. A name that ends in `.gz` or `.zst` is that of a compressed file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 2048),
        regex(pattern = r"^(s3|gs|az|https?|hf|pvc)://[^/]+/.+$")
    )]
    pub uri: Option<String>,

    /// A key of a ConfigMap that holds the rows, for small data sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<LocalKeyReference>,

    /// The rows themselves, at most 64 KiB, for examples and small GitOps jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub inline: Option<String>,

    /// The data set's name in the namespace's default store, which the Secret `batch-inference-store` names: the object
    /// `datasets/NAME.jsonl` there, or `datasets/NAME` when the name ends in `.jsonl`, `.gz` or `.zst`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    )]
    pub name: Option<String>,

    /// What becomes of rows that cannot be run: a line that is not as the format says, that is longer than 16 MiB, or whose
    /// `custom_id` an earlier one has. `Fail`: the job ends before any server starts, and says which lines they are. `Skip`: they
    /// become rows of `errors.jsonl`, with their line, and the others are run. A model that nothing serves ends the job in either case.
    #[serde(default)]
    pub invalid_rows: InvalidRows,

    /// A Secret with the store's keys, named as its SDK names them: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    /// `AWS_REGION`, `AWS_ENDPOINT_URL`, ...; `GOOGLE_APPLICATION_CREDENTIALS_JSON`; `AZURE_STORAGE_ACCOUNT_NAME`,
    /// `AZURE_STORAGE_ACCOUNT_KEY`, ...; `HTTP_BEARER_TOKEN`, or `HTTP_USERNAME` and `HTTP_PASSWORD`; `HF_TOKEN`. Without it, the
    /// feeder's service account must be allowed to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<LocalReference>,
}

impl DatasetSpec {
    /// The Secret with the store's keys.
    #[must_use]
    pub fn secret(&self) -> Option<&str> {
        if self.name.is_some() {
            return Some(DEFAULT_STORE);
        }
        self.credentials_secret_ref.as_ref().map(|secret| secret.name.as_str())
    }
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
