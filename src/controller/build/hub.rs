//! What pods need to reach the Hugging Face Hub, or what stands in for it.

use k8s_openapi::api::core::v1::{ConfigMapVolumeSource, EnvVar, Volume, VolumeMount};

use super::mount;
use crate::api::names::{CERTIFICATES_MOUNT_PATH, MODEL_ENV_PREFIX};
use crate::controller::settings::HubSettings;

const VOLUME: &str = "certificates";

/// Where trusted certificates are looked for: by OpenSSL, and with it llama-server and Python's `ssl`, and by rustls-native-certs, the feeder's;
/// Python's `requests` has a name of its own (<https://requests.readthedocs.io/en/latest/user/advanced/#ssl-cert-verification>).
const CERTIFICATES: [&str; 2] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"];

/// What the servers know of the hub that the feeder, which asks it before they are there, has to know too
/// (<https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables>).
const OF_MODEL: [&str; 5] = [
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
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
        .map(|(name, value)| EnvVar {
            name: name.into(),
            value: Some(value),
            value_from: None,
        })
        .collect()
}

/// Those variables of the servers that say how they get their model, for the feeder to ask the hub as they will. Each has a prefix: the data
/// set may come from a hub with another token.
pub(super) fn of_model(servers: Vec<EnvVar>) -> impl Iterator<Item = EnvVar> {
    servers
        .into_iter()
        .filter(|variable| OF_MODEL.contains(&variable.name.as_str()))
        .map(|variable| EnvVar {
            name: format!("{MODEL_ENV_PREFIX}{}", variable.name),
            ..variable
        })
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
