//! What pods need to reach the Hugging Face Hub, or what stands in for it.

use std::path::Path;

use k8s_openapi::api::core::v1::{ConfigMapVolumeSource, Container, EnvVar, Volume, VolumeMount};

use super::{WEIGHTS_VOLUME, mount};
use crate::api::names::{CERTIFICATES_MOUNT_PATH, MODEL_ENV_PREFIX, MODEL_TOKEN_UNKNOWN_ENV};
use crate::controller::settings::HubSettings;
use crate::controller::variables;

const VOLUME: &str = "batch-inference-certificates";

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

/// A variable that says in which file the token is, the file's name where none says so, and the folder that it is in then
/// (<https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables#hftokenpath>).
const TOKEN_PATH: &str = "HF_TOKEN_PATH";
const TOKEN_FILE: &str = "token";
const HOME: &str = "HF_HOME";
/// How the path ends of what may be mounted around that file without [`HOME`].
const DEFAULT_HOMES: [&str; 3] = [".cache", ".cache/huggingface", ".cache/huggingface/token"];

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
/// set may come from a hub with another token. Whole Secrets and volumes are the server's alone: of them the feeder is told that there may be a
/// token in one.
pub(super) fn of_model(server: &Container) -> Vec<EnvVar> {
    let known = server.env.iter().flatten();
    let known = known.filter(|variable| OF_MODEL.contains(&variable.name.as_str()));
    let known = known.map(|variable| EnvVar {
        name: format!("{MODEL_ENV_PREFIX}{}", variable.name),
        ..variable.clone()
    });
    let more = may_have_more(server).then(|| variables::value(MODEL_TOKEN_UNKNOWN_ENV, "1"));
    known.chain(more).collect()
}

/// Whether the server may have a token that is not among its variables.
fn may_have_more(server: &Container) -> bool {
    let has_secrets = server.env_from.as_ref().is_some_and(|sources| !sources.is_empty());
    let has_path = server.env.iter().flatten().any(|variable| variable.name == TOKEN_PATH);
    has_secrets || has_path || has_token_mounted(server)
}

/// Whether a volume that is not the operator's is mounted where a server looks for the file with its token.
fn has_token_mounted(server: &Container) -> bool {
    let home = server.env.iter().flatten().find(|variable| variable.name == HOME);
    let home = home.and_then(|variable| variable.value.as_deref());
    let token = home.map(|home| format!("{}/{TOKEN_FILE}", home.trim_end_matches('/')));
    let is_around = |mount: &VolumeMount| match &token {
        Some(token) => Path::new(token).starts_with(&mount.mount_path),
        // The home of the image's user is not known.
        None => DEFAULT_HOMES
            .iter()
            .any(|end| Path::new(&mount.mount_path).ends_with(end)),
    };
    let mut mounts = server.volume_mounts.iter().flatten();
    mounts.any(|mount| mount.name != WEIGHTS_VOLUME && is_around(mount))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_may_be_in_a_secret_a_file_or_a_volume() {
        let mounted = |name: &str, path: &str| json!({"name": name, "mountPath": path});
        for (env, mount, may_have_more) in [
            (json!([]), json!(null), false),
            (
                json!([{"name": "HF_TOKEN_PATH", "value": "/secrets/token"}]),
                json!(null),
                true,
            ),
            (json!([]), mounted("tokens", "/root/.cache/huggingface"), true),
            (json!([]), mounted("models", "/models"), false),
            (
                json!([{"name": "HF_HOME", "value": "/hf/"}]),
                mounted("models", "/hf"),
                true,
            ),
            (
                json!([{"name": "HF_HOME", "value": "/hf"}]),
                mounted("token", "/hf/token"),
                true,
            ),
            (
                json!([{"name": "HF_HOME", "value": "/hf"}]),
                mounted("models", "/hf/hub"),
                false,
            ),
            (
                json!([{"name": "HF_HOME", "value": "/cache/hf"}]),
                mounted(WEIGHTS_VOLUME, "/cache"),
                false,
            ),
            (
                json!([{"name": "HF_HOME", "value": "/cache/hf"}]),
                mounted("weights", "/cache"),
                true,
            ),
        ] {
            let mounts: Vec<_> = Some(mount.clone())
                .into_iter()
                .filter(|mount| !mount.is_null())
                .collect();
            let server = json!({"name": "server", "env": env.clone(), "volumeMounts": mounts});
            let server: Container = serde_json::from_value(server).expect("a container");
            let told = of_model(&server)
                .iter()
                .any(|variable| variable.name == MODEL_TOKEN_UNKNOWN_ENV);
            assert_eq!(told, may_have_more, "{env} {mount}");
        }
    }
}
