//! A job's manifest, as a person would write it.

use serde_json::{Value, json};

use super::tenant::Tenant;

/// The fake model server's image.
pub const FAKE_SERVER: &str = "localhost/fake-model-server:test";
/// The same under the name and a tag of vLLM's, so that it is started as the operator's own image.
pub const FAKE_VLLM: &str = "localhost/vllm-openai:v0.32.0";
/// The path by which jobs name the fake server's model.
pub const MODEL: &str = "/models/model.gguf";

/// A manifest, in the making.
#[derive(Clone, Debug)]
pub struct Job(pub Value);

impl Job {
    /// A job over the tenant's `rows.jsonl` on one fake llama-server without a device, which works on 64 rows at a time.
    pub fn new(tenant: &Tenant, name: &str) -> Self {
        let keys = json!({"name": "store-keys"});
        Self(json!({
            "apiVersion": "batchinference.dev/v1alpha1",
            "kind": "BatchInferenceJob",
            "metadata": {"name": name},
            "spec": {
                "dataset": {"uri": tenant.uri("rows.jsonl"), "credentialsSecretRef": keys},
                "server": {
                    "engine": "LlamaCpp",
                    "baseModel": MODEL,
                    "image": FAKE_SERVER,
                    "env": [
                        {"name": "FAKE_RECORDER", "value": tenant.recorder_url()},
                        {"name": "FAKE_SLOTS", "value": "64"},
                        // The cluster has no way to a hub.
                        {"name": "HF_HUB_OFFLINE", "value": "1"},
                    ],
                    "resources": {"requests": {"cpu": "20m", "memory": "16Mi"}, "limits": {"memory": "256Mi"}},
                },
                "feeder": {"resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}}},
                "output": {"uri": tenant.uri(&format!("{name}/")), "credentialsSecretRef": keys},
            },
        }))
    }

    /// Sets a value by its JSON pointer below `spec`; `null` removes it.
    pub fn set(mut self, pointer: &str, value: Value) -> Self {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        let parent = self.0["spec"].pointer_mut(parent).expect("a parent that is there");
        let fields = parent.as_object_mut().expect("an object");
        match value {
            Value::Null => _ = fields.remove(key),
            value => _ = fields.insert(key.to_owned(), value),
        }
        self
    }

    /// On a fake vLLM that takes one GPU, and little of the disk that a real one would ask for.
    pub fn on_vllm(self) -> Self {
        self.set("/server/engine", json!("VLLM"))
            .set("/server/baseModel", json!("qwen3-8b"))
            .set("/server/image", json!(FAKE_VLLM))
            .set("/server/resources/requests/ephemeral-storage", json!("16Mi"))
            .set(
                "/server/resources/limits",
                json!({"memory": "256Mi", "nvidia.com/gpu": 1}),
            )
    }

    /// With rows in the object itself.
    pub fn inline(self, rows: &str) -> Self {
        self.set("/dataset", json!({"inline": rows}))
    }

    /// With so many servers.
    pub fn replicas(self, replicas: u32) -> Self {
        self.set("/server/replicas", json!(replicas))
    }
}
