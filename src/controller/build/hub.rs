//! What pods need to reach the Hugging Face Hub, or what stands in for it.

use k8s_openapi::api::core::v1::{ConfigMapVolumeSource, Container, EnvVar, Volume, VolumeMount};

use super::mount;
use crate::api::names::{CERTIFICATES_MOUNT_PATH, MODEL_ENV_PREFIX, MODEL_TOKEN_UNKNOWN_ENV};
use crate::controller::settings::HubSettings;
use crate::controller::variables;

const VOLUME: &str = "certificates";

/// Where trusted certificates are looked for: by OpenSSL, and with it llama-server and Python's `ssl`, and by rustls-native-certs, the feeder's;
/// Python's `requests` has a name of its own (<https://requests.readthedocs.io/en/latest/user/advanced/#ssl-cert-verification>).
const CERTIFICATES: [&str; 2] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"];

/// What the servers know of the hub that the feeder, which asks it before they are there, has to know too
/// (<https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables>), and whether it is asked at all (`vllm/envs.py`; sglang,
/// `environ.py`; predibase/lorax, `launcher/src/main.rs`).
const OF_MODEL: [&str; 8] = [
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "VLLM_USE_MODELSCOPE",
    "SGLANG_USE_MODELSCOPE",
    "SOURCE",
];

/// Variables of feeders and servers.
pub(super) fn env(hub: &HubSettings) -> Vec<EnvVar> {
    let given = [
        ("HF_ENDPOINT", &hub.endpoint),
        ("HTTPS_PROXY", &hub.https_proxy),
        ("NO_PROXY", &hub.no_proxy),
    ];
    let given = given
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?)));
    let certificates = hub.ca_config_map.iter().flat_map(|reference| {
        let file = format!("{CERTIFICATES_MOUNT_PATH}/{}", reference.key);
        CERTIFICATES.map(|name| (name, file.clone()))
    });
    given
        .chain(certificates)
        .map(|(name, value)| variables::value(name, value))
        .collect()
}

/// Those variables of a server's container that say how it gets its model, for the feeder to ask the hub as it will. Each has a prefix: the data
/// set may come from a hub with another token. Whole Secrets are the server's alone: of them the feeder is told that there are some.
pub(super) fn of_model(server: &Container) -> Vec<EnvVar> {
    let known = server.env.iter().flatten();
    let known = known.filter(|variable| OF_MODEL.contains(&variable.name.as_str()));
    let known = known.map(|variable| EnvVar {
        name: format!("{MODEL_ENV_PREFIX}{}", variable.name),
        ..variable.clone()
    });
    let has_more = server.env_from.as_ref().is_some_and(|sources| !sources.is_empty());
    let more = has_more.then(|| variables::value(MODEL_TOKEN_UNKNOWN_ENV, "1"));
    known.chain(more).collect()
}

/// The trusted certificates, where a pod has them from.
pub(super) fn certificates(hub: &HubSettings) -> Option<(Volume, VolumeMount)> {
    let reference = hub.ca_config_map.as_ref()?;
    let volume = Volume {
        name: VOLUME.into(),
        config_map: Some(ConfigMapVolumeSource {
            name: reference.name.clone(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    };
    let mount = VolumeMount {
        read_only: Some(true),
        ..mount(VOLUME, CERTIFICATES_MOUNT_PATH)
    };
    Some((volume, mount))
}
