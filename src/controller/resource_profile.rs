//! Resource profiles: the kinds of nodes that whoever installs the operator has for servers, by name. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::api::Engine;
use crate::api::quantity;
use crate::api::reason::Reason;
use crate::api::resources::Resources;
use crate::api::status::ResolvedProfile;
use crate::api::wait::Wait;

/// One kind of node, and what a server on it gets: the chart's value `resourceProfiles.NAME`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ResourceProfile {
    /// Requests and limits, usually of one device; a job takes them once or several times.
    #[serde(deserialize_with = "multipliable")]
    pub resources: Resources,
    /// The memory of one of its devices, in bytes.
    #[serde(deserialize_with = "bytes")]
    pub device_memory: Option<u64>,
    /// Labels of the nodes.
    pub node_selector: BTreeMap<String, String>,
    /// Their taints that do not keep servers away.
    pub tolerations: Vec<Toleration>,
    /// The runtime class of the servers' pods.
    pub runtime_class_name: Option<String>,
    /// The image of an engine in place of the installation's, as `REPOSITORY:TAG`: its variant for these devices.
    pub image: BTreeMap<Engine, String>,
}

/// The profile that a job names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen<'a> {
    /// Its name.
    name: &'a str,
    /// How many times its resources are wanted, where the job says so.
    pub(super) count: Option<u32>,
    /// What it is.
    pub(super) profile: &'a ResourceProfile,
}

impl<'a> Chosen<'a> {
    /// Finds the profile that a job writes as `NAME` or `NAME:COUNT`.
    ///
    /// # Errors
    /// When there is none of that name; the message has the names there are.
    pub(super) fn find(written: &'a str, profiles: &'a BTreeMap<String, ResourceProfile>) -> Result<Self, Wait> {
        let (name, count) = written
            .split_once(':')
            .map_or((written, None), |(name, count)| (name, count.parse().ok()));
        let Some(profile) = profiles.get(name) else {
            return Err(Wait::new(Reason::ResourceProfileUnknown, unknown(name, profiles)));
        };
        Ok(Self { name, count, profile })
    }

    /// Its part in what is decided for the job.
    pub(super) fn resolved(&self) -> ResolvedProfile {
        ResolvedProfile {
            name: self.name.to_owned(),
            node_selector: self.profile.node_selector.clone(),
            tolerations: self.profile.tolerations.clone(),
            runtime_class_name: self.profile.runtime_class_name.clone(),
        }
    }
}

fn unknown(name: &str, profiles: &BTreeMap<String, ResourceProfile>) -> String {
    let names: Vec<_> = profiles.keys().map(String::as_str).collect();
    let known = if names.is_empty() {
        "the operator was installed without any".to_owned()
    } else {
        format!("there are {}", names.join(", "))
    };
    format!("spec.server.resourceProfile: there is no profile {name:?} in the chart's value resourceProfiles: {known}")
}

impl ResourceProfile {
    /// Its resources, so many times.
    pub(super) fn times(&self, count: u32) -> Resources {
        Resources {
            limits: times(&self.resources.limits, count),
            requests: times(&self.resources.requests, count),
        }
    }
}

/// All quantities can be multiplied: `multipliable` has seen to it.
fn times(quantities: &BTreeMap<String, Quantity>, count: u32) -> BTreeMap<String, Quantity> {
    let product = |(name, quantity): (&String, &Quantity)| Some((name.clone(), quantity::times(quantity, count)?));
    quantities.iter().filter_map(product).collect()
}

fn multipliable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Resources, D::Error> {
    let resources = Resources::deserialize(deserializer)?;
    let mut all = resources.limits.iter().chain(&resources.requests);
    match all.find(|(_, quantity)| quantity::times(quantity, u32::MAX).is_none()) {
        Some((name, quantity)) => Err(D::Error::custom(format!(
            "{name}: {:?} is no quantity, such as 1, 500m or 24Gi",
            quantity.0
        ))),
        None => Ok(resources),
    }
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(written) = Option::<Quantity>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let bytes = quantity::bytes(&written).ok_or_else(|| {
        D::Error::custom(format!(
            "deviceMemory: {:?} is no amount of memory, such as 24Gi",
            written.0
        ))
    })?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn profile(value: Value) -> Result<ResourceProfile, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_profile_is_named_with_or_without_a_count() {
        let profiles = [("nvidia-gpu-l4".to_owned(), ResourceProfile::default())].into();
        for (written, count) in [("nvidia-gpu-l4", None), ("nvidia-gpu-l4:4", Some(4))] {
            let chosen = Chosen::find(written, &profiles).expect("a profile");
            assert_eq!((chosen.name, chosen.count), ("nvidia-gpu-l4", count));
        }
    }

    #[test]
    fn an_unknown_profile_is_refused_with_those_there_are() {
        let one = ResourceProfile::default;
        for (profiles, known) in [
            ([].into(), "the operator was installed without any"),
            (
                [("a100".to_owned(), one()), ("l4".to_owned(), one())].into(),
                "there are a100, l4",
            ),
        ] {
            let refusal = Chosen::find("h100:2", &profiles).expect_err("no profile");
            assert_eq!(refusal.reason, Reason::ResourceProfileUnknown);
            assert_eq!(
                refusal.message,
                format!(
                    "spec.server.resourceProfile: there is no profile \"h100\" in the chart's value resourceProfiles: {known}"
                )
            );
        }
    }

    #[test]
    fn resources_are_multiplied() {
        let profile = profile(json!({
            "resources": {"limits": {"nvidia.com/gpu": 1}, "requests": {"cpu": "1.5", "memory": "24Gi"}},
            "deviceMemory": "24Gi",
        }));
        let profile = profile.expect("a profile");
        let expected = json!({"limits": {"nvidia.com/gpu": "2"}, "requests": {"cpu": "3", "memory": "48Gi"}});
        assert_eq!(serde_json::to_value(profile.times(2)).expect("serialises"), expected);
        assert_eq!(profile.device_memory, Some(24 << 30));
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        for (value, problem) in [
            (json!({"nodeselector": {}}), "unknown field `nodeselector`"),
            (
                json!({"resources": {"limits": {"nvidia.com/gpu": "one"}}}),
                "nvidia.com/gpu: \"one\" is no quantity",
            ),
            (
                json!({"deviceMemory": "24GB"}),
                "deviceMemory: \"24GB\" is no amount of memory",
            ),
            (json!({"image": {"vllm": "a:b"}}), "unknown variant `vllm`"),
        ] {
            let refusal = profile(value).expect_err(problem);
            assert!(refusal.contains(problem), "{refusal}");
        }
    }
}
