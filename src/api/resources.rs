//! Compute resources and pod templates as a person writes them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Requests and limits of a container, as in a pod.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// The most that the container may use, by resource name (`cpu`, `memory`, `nvidia.com/gpu`, ...).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "quantities")]
    pub limits: BTreeMap<String, Quantity>,

    /// What the scheduler sets aside for the container. For a resource that is not named here, its limit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "quantities")]
    pub requests: BTreeMap<String, Quantity>,
}

/// What a container asks for when its job does not say.
#[derive(Clone, Copy, Debug)]
pub struct ComputeDefaults {
    /// Requested processor time.
    pub cpu: &'static str,
    /// Requested memory.
    pub memory: &'static str,
    /// The most memory.
    pub memory_limit: &'static str,
}

impl Resources {
    /// These resources, with defaults for CPU and memory where neither request nor limit names them: a container can then
    /// neither starve its node nor be the first to be evicted.
    #[must_use]
    pub fn or_default(mut self, defaults: &ComputeDefaults) -> Self {
        if !self.names("memory") {
            self.requests.insert("memory".into(), Quantity(defaults.memory.into()));
            self.limits
                .insert("memory".into(), Quantity(defaults.memory_limit.into()));
        }
        if !self.names("cpu") {
            self.requests.insert("cpu".into(), Quantity(defaults.cpu.into()));
        }
        self
    }

    /// These resources, and of others those that are not named here, neither as a request nor as a limit.
    #[must_use]
    pub fn or(mut self, others: Self) -> Self {
        let named: BTreeSet<String> = self.limits.keys().chain(self.requests.keys()).cloned().collect();
        let is_new = |(name, _): &(String, Quantity)| !named.contains(name);
        self.limits.extend(others.limits.into_iter().filter(is_new));
        self.requests.extend(others.requests.into_iter().filter(is_new));
        self
    }

    /// Whether nothing is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty() && self.requests.is_empty()
    }

    fn names(&self, resource: &str) -> bool {
        self.limits.contains_key(resource) || self.requests.contains_key(resource)
    }
}

impl From<Resources> for ResourceRequirements {
    fn from(resources: Resources) -> Self {
        let given = |map: BTreeMap<String, Quantity>| (!map.is_empty()).then_some(map);
        Self {
            limits: given(resources.limits),
            requests: given(resources.requests),
            claims: None,
        }
    }
}

/// A quantity is an integer or a string, as everywhere in Kubernetes: `nvidia.com/gpu: 1` and `memory: 4Gi`.
/// The pattern is the one that controller-gen writes for `resource.Quantity`.
fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": quantity_schema(),
    })
}

/// The schema of one Kubernetes quantity.
pub(super) fn quantity_schema() -> Schema {
    json_schema!({
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
        "x-kubernetes-int-or-string": true,
    })
}

/// A pod template as written, merged over the operator's own.
///
/// It is kept as raw JSON: its fields are those of the cluster's Kubernetes version, and whether each of them exists
/// is checked before anything starts.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(transparent)]
pub struct PodTemplate(pub serde_json::Value);

impl JsonSchema for PodTemplate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PodTemplate".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "properties": {
                "metadata": {
                    "type": "object",
                    "description": "Labels and annotations of the pod.",
                    "x-kubernetes-preserve-unknown-fields": true,
                },
                "spec": {
                    "type": "object",
                    "description": "Any field that a pod's spec can have, merged over the operator's.",
                    "x-kubernetes-preserve-unknown-fields": true,
                },
            },
        })
    }
}
