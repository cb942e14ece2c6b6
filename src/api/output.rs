//! `spec.output`: where the results go.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reference::LocalReference;

/// Where results, errors and the manifest are written.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.credentialsSecretRef) || !self.uri.startsWith('pvc://')")
    .message("credentialsSecretRef goes with the uri of a store; remove it"))]
pub struct OutputSpec {
    /// `s3://BUCKET/PREFIX/`, `gs://BUCKET/PREFIX/`, `az://CONTAINER/PREFIX/`, or `pvc://CLAIM/PATH/` for a folder on a
    /// PersistentVolumeClaim of the job's namespace. The prefix belongs to this job: where another job's work is found, nothing is
    /// started. The same work applied again goes on where it stopped.
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^(s3|gs|az|pvc)://[^/]+(/.*)?$"))]
    pub uri: String,

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

/// What happens when the output holds the work of an earlier job.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub enum IfExists {
    /// The same work goes on where it stopped.
    #[default]
    Resume,
    /// The job fails as OutputNotEmpty.
    Fail,
}
