//! `spec.output`: where the results go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reference::LocalReference;

/// Where results, errors and the manifest are written.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputSpec {
    /// `s3://BUCKET/PREFIX/`. The prefix belongs to this job: where another job's work is found, nothing is started.
    /// The same work applied again goes on where it stopped.
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^s3://[^/]+(/.*)?$"))]
    pub uri: String,

    /// A Secret with the store's keys, named as its SDK names them: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    /// `AWS_REGION`, `AWS_ENDPOINT_URL`, ... Without it, the feeder's service account must be allowed to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<LocalReference>,
}
