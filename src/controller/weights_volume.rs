//! Whether a server keeps the weights that it downloads in a volume of its job's own, so that they take no disk of the node. Pure, a part of
//! [`super::server_resources`].

use std::path::Path;

use k8s_openapi::api::core::v1::{EnvVar, PodTemplateSpec};

use super::server_container;
use crate::api::server::ServerSpec;
use crate::engine::{download_directory, weights_cache};

/// Variables that say where they are (huggingface_hub, `constants.py`; llama-server run).
const PLACES: [&str; 4] = ["HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "LLAMA_CACHE"];

/// Whether the template mounts something where the engine keeps what it downloads, or where the job says that it is kept.
pub(super) fn has_weights(server: &ServerSpec, template: Option<&PodTemplateSpec>) -> bool {
    let container = server_container::find(template);
    let mounts = container.and_then(|container| container.volume_mounts.as_deref());
    let is_mounted = |path: &str| {
        let mut mounts = mounts.unwrap_or_default().iter();
        mounts.any(|mount| {
            let (path, mounted) = (Path::new(path), Path::new(&mount.mount_path));
            path.starts_with(mounted) || mounted.starts_with(path)
        })
    };
    let of_template = container.and_then(|container| container.env.as_deref());
    let variables = server.env.iter().chain(of_template.unwrap_or_default());
    // One that comes from elsewhere says a place that is not known.
    let is_elsewhere = |variable: &EnvVar| variable.value.as_deref().is_none_or(is_mounted);
    let by_engine = weights_cache(server.engine).into_iter();
    let by_argument = download_directory(server.engine, &server.args).into_iter();
    by_engine.chain(by_argument).any(is_mounted)
        || variables
            .filter(|variable| PLACES.contains(&variable.name.as_str()))
            .any(is_elsewhere)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn weights_are_in_a_volume_where_the_job_says_so() {
        let variable = |name: &str, value: &str| json!({"env": [{"name": name, "value": value}]});
        let from_elsewhere =
            json!({"env": [{"name": "HF_HOME", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}]});
        for (server, mount, expected) in [
            (json!({}), "/home/vllm/.cache", true),
            (json!({}), "/home/vllm/.cache/huggingface", true),
            (json!({}), "/home/vllm/.cache2", false),
            (json!({}), "/data", false),
            (variable("HF_HOME", "/data"), "/data", true),
            (variable("HF_HOME", "/data/huggingface"), "/data/", true),
            (variable("HF_HUB_CACHE", "/data"), "/data", true),
            (variable("HF_HOME", "/tmp"), "/data", false),
            (variable("OTHER", "/data"), "/data", false),
            (from_elsewhere, "/data", true),
            (json!({"args": ["--download-dir", "/data"]}), "/data", true),
            (json!({"args": ["--download-dir=/data2"]}), "/data", false),
            (
                json!({"engine": "LoRAX", "args": ["--huggingface-hub-cache", "/hub"]}),
                "/hub",
                true,
            ),
        ] {
            let template = json!({"spec": {"containers": [
                {"name": "server", "volumeMounts": [{"name": "claim", "mountPath": mount}]},
            ]}});
            let template: PodTemplateSpec = serde_json::from_value(template).expect("a template");
            let spec: ServerSpec = serde_json::from_value(server.clone()).expect("a server");
            assert_eq!(has_weights(&spec, Some(&template)), expected, "{server} {mount}");
        }
    }

    #[test]
    fn a_variable_of_the_template_says_it_too() {
        let template = json!({"spec": {"containers": [{
            "name": "server",
            "env": [{"name": "HF_HOME", "value": "/data"}],
            "volumeMounts": [{"name": "claim", "mountPath": "/data"}],
        }]}});
        let template: PodTemplateSpec = serde_json::from_value(template).expect("a template");
        assert!(has_weights(&ServerSpec::default(), Some(&template)));
        assert!(!has_weights(&ServerSpec::default(), None));
    }
}
