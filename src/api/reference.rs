//! References to objects in the job's own namespace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A reference to a Secret, ConfigMap or Deployment of the job's namespace, by name.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalReference {
    /// Name of the object, in the job's own namespace. It may be created after the job: the job waits for it.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A reference to one key of a Secret or ConfigMap of the job's namespace.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalKeyReference {
    /// Name of the object, in the job's own namespace. It may be created after the job: the job waits for it.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key within the object.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}
