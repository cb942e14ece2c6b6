//! What whoever installs the operator decides.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::EnvVar;
use k8s_openapi::api::networking::v1::NetworkPolicyIngressRule;
use serde::Deserialize;

use super::resource_profile::ResourceProfile;
use crate::api::Engine;
use crate::api::prices::Prices;
use crate::api::reference::{LocalKeyReference, LocalReference};
use crate::engine::Catalog;

/// Unless it is said, a feeder that is gone for so long gives its servers back, in seconds.
pub const FEEDER_LOST_TIMEOUT_SECONDS: u32 = 15 * 60;

/// The operator's settings, from its command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The image of the feeder: the operator's own.
    pub feeder_image: String,
    /// A feeder that is gone for longer gives its servers back until it runs again.
    pub feeder_lost_timeout: Duration,
    /// Who else may talk to the servers: scrapers of metrics.
    pub extra_ingress: Vec<NetworkPolicyIngressRule>,
    /// What servers of an engine have that their jobs need not say.
    pub engines: BTreeMap<Engine, EngineSettings>,
    /// What tokens and devices cost.
    pub prices: Prices,
    /// The kinds of nodes that servers can be put on, by name.
    pub resource_profiles: BTreeMap<String, ResourceProfile>,
    /// Which models there are short names for, and how large a model may be.
    pub models: ModelSettings,
    /// How feeders and servers reach the Hugging Face Hub.
    pub hub: HubSettings,
}

/// The chart's values `models` and `maxBaseModelParameters`.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSettings {
    /// The built-in catalog with the entries of the installation.
    pub catalog: Catalog,
    /// The most parameters that a base model may have.
    pub max_parameters: u64,
}

/// The most parameters of a base model, where the installation does not say: as with Predibase's batch inference
/// (docs.predibase.com, inference/batch).
pub const DEFAULT_MAX_PARAMETERS: u64 = 16_000_000_000;

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            catalog: Catalog::built_in().clone(),
            max_parameters: DEFAULT_MAX_PARAMETERS,
        }
    }
}

/// How feeders and servers reach the Hugging Face Hub, or what stands in for it: the chart's value `hub`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HubSettings {
    /// Where it is, when that is not `https://huggingface.co`.
    pub endpoint: Option<String>,
    /// The proxy for HTTPS to the outside.
    pub https_proxy: Option<String>,
    /// Hosts for which the proxy is not used.
    pub no_proxy: Option<String>,
    /// A key of a ConfigMap in the job's namespace with all certificates that are trusted, as PEM.
    pub ca_config_map: Option<LocalKeyReference>,
}

/// What servers of one engine have that their jobs need not say: the chart's value `engines.NAME`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EngineSettings {
    /// The image in place of the built-in one, as `REPOSITORY:TAG`.
    pub image: Option<String>,
    /// Secrets in the job's namespace to pull it with.
    pub pull_secrets: Vec<LocalReference>,
    /// More variables; those of a job with the same names replace them.
    pub env: Vec<EnvVar>,
}

impl Settings {
    /// Those of a command line that names no more than the feeder's image.
    #[must_use]
    pub fn new(feeder_image: impl Into<String>) -> Self {
        Self {
            feeder_image: feeder_image.into(),
            feeder_lost_timeout: Duration::from_secs(FEEDER_LOST_TIMEOUT_SECONDS.into()),
            extra_ingress: Vec::new(),
            engines: BTreeMap::new(),
            prices: Prices::default(),
            resource_profiles: BTreeMap::new(),
            models: ModelSettings::default(),
            hub: HubSettings::default(),
        }
    }

    /// What is decided of an engine.
    #[must_use]
    pub fn engine(&self, engine: Engine) -> EngineSettings {
        self.engines.get(&engine).cloned().unwrap_or_default()
    }

    /// The image of an engine when the job names none; none where the operator knows none either.
    #[must_use]
    pub fn engine_image(&self, engine: Engine) -> Option<String> {
        let built_in = || engine.default_image().map(|image| image.to_string());
        let given = self.engines.get(&engine).and_then(|settings| settings.image.clone());
        given.or_else(built_in)
    }
}

/// The same image with another tag: `repository:tag` → `repository:other`. A port in the registry's name is not a tag.
#[must_use]
pub fn with_tag(image: &str, tag: &str) -> String {
    let without_digest = image.split('@').next().unwrap_or(image);
    let name_start = without_digest.rfind('/').map_or(0, |slash| slash + 1);
    let repository = match without_digest[name_start..].find(':') {
        Some(colon) => &without_digest[..name_start + colon],
        None => without_digest,
    };
    format!("{repository}:{tag}")
}

#[cfg(test)]
mod tests {
    use super::with_tag;

    #[test]
    fn a_tag_replaces_tag_and_digest_but_not_a_port() {
        for (image, want) in [
            ("vllm/vllm-openai:v1", "vllm/vllm-openai:new"),
            ("registry.example:5000/vllm", "registry.example:5000/vllm:new"),
            (
                "registry.example:5000/vllm:v1@sha256:abc",
                "registry.example:5000/vllm:new",
            ),
        ] {
            assert_eq!(with_tag(image, "new"), want);
        }
    }
}
