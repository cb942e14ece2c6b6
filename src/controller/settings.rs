//! What whoever installs the operator decides.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::networking::v1::NetworkPolicyIngressRule;

use crate::api::Engine;

/// The operator's settings, from its command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The image of the feeder: the operator's own.
    pub feeder_image: String,
    /// A feeder that is gone for longer gives its servers back until it runs again.
    pub feeder_lost_timeout: Duration,
    /// Who else may talk to the servers: scrapers of metrics.
    pub extra_ingress: Vec<NetworkPolicyIngressRule>,
    /// Images to use for an engine in place of the built-in ones, as `REPOSITORY:TAG`.
    pub engine_images: BTreeMap<Engine, String>,
}

impl Settings {
    /// The image of an engine when the job names none.
    #[must_use]
    pub fn engine_image(&self, engine: Engine) -> String {
        self.engine_images
            .get(&engine)
            .cloned()
            .unwrap_or_else(|| engine.default_image().to_string())
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
