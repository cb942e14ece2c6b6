//! What a Deployment's pods have that no field of `spec.server` is for: volumes, devices of a driver, and where they may run.

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::{Value, json};

use super::{Problem, volumes};
use crate::api::names::SERVER_CONTAINER;
use crate::api::resources::PodTemplate;
use crate::api::server::ServerSpec;
use crate::engine::found::FoundServer;

/// What servers of a job need of the pod that no field is for.
///
/// # Errors
/// When they need a volume that something else fills.
pub(super) fn template(
    pod: &PodSpec,
    container: &Container,
    found: &FoundServer,
    given: &ServerSpec,
) -> Result<Option<PodTemplate>, Problem> {
    let (volumes, mounts) = volumes::kept(pod, container, found, given)?;
    let of_container = [
        ("command", json!(found.command)),
        ("envFrom", json!(container.env_from)),
        ("resources", claims(container)),
        ("volumeMounts", json!(mounts)),
    ];
    let of_pod = [
        ("affinity", json!(pod.affinity)),
        ("imagePullSecrets", json!(pod.image_pull_secrets)),
        ("nodeSelector", json!(pod.node_selector)),
        ("priorityClassName", json!(pod.priority_class_name)),
        ("resourceClaims", json!(pod.resource_claims)),
        ("runtimeClassName", json!(pod.runtime_class_name)),
        ("tolerations", json!(pod.tolerations)),
        ("volumes", json!(volumes)),
    ];
    let mut spec = said(of_pod);
    let mut server = said(of_container);
    if !server.is_empty() {
        server.insert("name".into(), SERVER_CONTAINER.into());
        spec.insert("containers".into(), json!([server]));
    }
    Ok((!spec.is_empty()).then(|| PodTemplate(json!({"spec": spec}))))
}

/// Devices of a driver (Dynamic Resource Allocation), which no field of `spec.server` is for.
fn claims(container: &Container) -> Value {
    let claims = container
        .resources
        .as_ref()
        .and_then(|resources| resources.claims.as_ref());
    let claims = claims.filter(|claims| !claims.is_empty());
    json!(claims.map(|claims| json!({"claims": claims})))
}

/// Those fields that say something.
fn said<const N: usize>(fields: [(&str, Value); N]) -> serde_json::Map<String, Value> {
    let is_said = |value: &Value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    };
    let said = fields.into_iter().filter(|(_, value)| is_said(value));
    said.map(|(name, value)| (name.to_owned(), value)).collect()
}
