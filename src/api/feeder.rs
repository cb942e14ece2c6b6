//! `spec.feeder`: the CPU pod that reads the data set, sends the rows and writes the results.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::quantity::bytes;
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
    /// The most that scratch files may take: about 24 bytes a row, used above 131,072 rows, and a copy of a data set whose web
    /// server gives no ranges, for which seven eighths of it are. Default: 2Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "size_limit")]
    pub size_limit: Option<Quantity>,
}

/// Of `sizeLimit`.
const DEFAULT_SIZE_LIMIT: &str = "2Gi";

impl FeederSpec {
    /// The most that the feeder's scratch files may take.
    #[must_use]
    pub fn scratch_limit(&self) -> Quantity {
        let given = self.scratch.as_ref().and_then(|scratch| scratch.size_limit.clone());
        given.unwrap_or_else(|| Quantity(DEFAULT_SIZE_LIMIT.to_owned()))
    }

    /// The most that a copy of the data set may take of it, in bytes. What is left is for the rows' ids: beyond the limit, kubelet evicts
    /// the feeder, and the next one begins anew. None for a limit that is written with an exponent.
    #[must_use]
    pub fn copy_limit(&self) -> Option<u64> {
        bytes(&self.scratch_limit()).map(|limit| limit - limit / 8)
    }
}

fn size_limit(_: &mut SchemaGenerator) -> Schema {
    quantity_schema()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_leaves_an_eighth_of_the_scratch_disk() {
        let of = |size_limit: Option<&str>| {
            let size_limit = size_limit.map(|limit| Quantity(limit.to_owned()));
            let feeder = FeederSpec {
                scratch: Some(ScratchSpec { size_limit }),
                ..FeederSpec::default()
            };
            feeder.copy_limit()
        };
        assert_eq!(of(Some("800")), Some(700));
        assert_eq!(of(None), Some(7 << 28));
        assert_eq!(FeederSpec::default().copy_limit(), Some(7 << 28));
        assert_eq!(of(Some("1e9")), None);
    }
}
