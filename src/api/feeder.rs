//! `spec.feeder`: the CPU pod that reads the data set, sends the rows and writes the results.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::resources::{PodTemplate, Resources, quantity_schema};

/// The feeder: one CPU pod which checks the data set, sends every row and writes the results.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeederSpec {
    /// A ServiceAccount of the job's namespace to run the feeder under, for stores that give access by identity (IRSA,
    /// workload identity). Default: one is made for the job. Either way it is allowed to read and report on this job only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,

    /// Requests and limits of the feeder's container. Default: 250m CPU and 256Mi memory asked for, 1Gi memory at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// The feeder's scratch disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch: Option<ScratchSpec>,

    /// Anything that a pod can have, merged over the operator's own template. The container is named `feeder`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

/// Scratch disk of the feeder, an `emptyDir`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScratchSpec {
    /// The most that scratch files may take: about 24 bytes a row, used above 131,072 rows. Default: 2Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "size_limit")]
    pub size_limit: Option<Quantity>,
}

fn size_limit(_: &mut SchemaGenerator) -> Schema {
    quantity_schema()
}
