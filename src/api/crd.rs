//! The CustomResourceDefinition, made from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};
use kube::CustomResourceExt;

use super::job::BatchInferenceJob;

/// The CustomResourceDefinition as it is installed.
///
/// The status starts as `observedGeneration: -1`, so that tools that judge by kstatus see a job which the operator has not
/// taken up yet as in progress, and not as done.
#[must_use]
pub fn definition() -> CustomResourceDefinition {
    let mut crd = BatchInferenceJob::crd();
    for version in &mut crd.spec.versions {
        let status = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
            .and_then(|root| root.properties.as_mut())
            .and_then(|properties| properties.get_mut("status"));
        if let Some(status) = status {
            status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
        }
    }
    crd
}

/// The definition as YAML, as it is committed.
///
/// # Errors
/// Never in practice: the definition holds nothing that YAML cannot express.
pub fn manifest() -> Result<String, serde_yaml::Error> {
    serde_yaml::to_string(&definition())
}
