//! `spec.output`: where the results go.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::default_store::DEFAULT_STORE;
use super::reference::LocalReference;

/// A data set of more rows is refused where results go to a ConfigMap. Its 900 KiB are 307 bytes a row then: about what an error takes,
/// or the shortest answer with its ids and token counts.
pub const MOST_ROWS_IN_CONFIG_MAP: u64 = 3000;

/// Where results, errors and the manifest are written. Without `uri` and `configMap`: `jobs/NAME/` in the namespace's default store, which
/// the Secret `batch-inference-store` names.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.uri) && has(self.configMap))")
    .message("give uri or configMap, not both; without either, results go to the namespace's default store"))]
#[x_kube(validation = Rule::new("!has(self.credentialsSecretRef) || (has(self.uri) && !self.uri.startsWith('pvc://'))")
    .message("credentialsSecretRef goes with the uri of a store; remove it"))]
pub struct OutputSpec {
    /// `s3://BUCKET/PREFIX/`, `gs://BUCKET/PREFIX/`, `az://CONTAINER/PREFIX/`, or `pvc://CLAIM/PATH/` for a folder on a
    /// PersistentVolumeClaim of the job's namespace. The prefix belongs to this job: where another job's work is found, nothing is
    /// started. The same work applied again goes on where it stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^(s3|gs|az|pvc)://[^/]+(/.*)?$"))]
    pub uri: Option<String>,

    /// A ConfigMap of the job's namespace, for a first try without any store: at most 3000 rows, and 900 KiB of results. It is made for
    /// this job, stays when the job is deleted, and has the keys `results.jsonl`, `errors.jsonl` and `manifest.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<OutputConfigMap>,

    /// What happens when the output holds the work of a job that was created before this one. `Resume`: the same work
    /// goes on where it stopped, and other work is refused. `Fail`: any is refused.
    #[serde(default)]
    pub if_exists: IfExists,

    /// A Secret with the store's keys, named as its SDK names them: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    /// `AWS_REGION`, `AWS_ENDPOINT_URL`, ...; `GOOGLE_APPLICATION_CREDENTIALS_JSON`; `AZURE_STORAGE_ACCOUNT_NAME`,
    /// `AZURE_STORAGE_ACCOUNT_KEY`, ... Without it, the feeder's service account must be allowed to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<LocalReference>,
}

/// A ConfigMap that results go to.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputConfigMap {
    /// Its name. One of this name that the operator did not make is refused. While the job runs, there is another beside it, named
    /// `NAME-segments`.
    #[schemars(length(min = 1, max = 244), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

impl OutputConfigMap {
    /// The ConfigMap that holds what is finished while the job runs.
    #[must_use]
    pub fn segments(&self) -> String {
        format!("{}-segments", self.name)
    }
}

/// What happens when the output holds the work of an earlier job.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub enum IfExists {
    /// The same work goes on where it stopped.
    #[default]
    Resume,
    /// The job fails as OutputNotEmpty.
    Fail,
}

/// Where results go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputPlace<'a> {
    /// To a store or a claim.
    Uri(&'a str),
    /// To a ConfigMap.
    ConfigMap(&'a OutputConfigMap),
    /// To a folder of the namespace's default store.
    DefaultStore,
}

impl OutputSpec {
    /// Where results go.
    #[must_use]
    pub fn place(&self) -> OutputPlace<'_> {
        match (&self.uri, &self.config_map) {
            (Some(uri), _) => OutputPlace::Uri(uri),
            (None, Some(config_map)) => OutputPlace::ConfigMap(config_map),
            (None, None) => OutputPlace::DefaultStore,
        }
    }

    /// The Secret with the store's keys.
    #[must_use]
    pub fn secret(&self) -> Option<&str> {
        match self.place() {
            OutputPlace::Uri(_) => self.credentials_secret_ref.as_ref().map(|secret| secret.name.as_str()),
            OutputPlace::ConfigMap(_) => None,
            OutputPlace::DefaultStore => Some(DEFAULT_STORE),
        }
    }
}
