//! What a Deployment's pods have that no field of `spec.server` is for: volumes, devices of a driver, and where they may run.

use k8s_openapi::api::core::v1::{Affinity, Container, PodSpec};
use serde_json::{Value, json};

use super::replaced::names_devices;
use super::{Problem, volumes};
use crate::api::names::SERVER_CONTAINER;
use crate::api::resources::PodTemplate;
use crate::api::server::ServerSpec;
use crate::controller::server_container::has_claims;
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
    // A profile says itself which nodes servers are on.
    let is_placed = given.resource_profile.is_some();
    let claims = claims(container).filter(|_| !names_devices(given));
    let of_container = [
        ("command", json!(found.command)),
        ("envFrom", json!(container.env_from)),
        ("resources", json!(claims)),
        ("volumeMounts", json!(mounts)),
    ];
    let of_pod = [
        ("affinity", json!(affinity(pod, given))),
        ("imagePullSecrets", json!(pod.image_pull_secrets)),
        ("nodeSelector", json!(pod.node_selector.as_ref().filter(|_| !is_placed))),
        ("priorityClassName", json!(pod.priority_class_name)),
        (
            "resourceClaims",
            json!(pod.resource_claims.as_ref().filter(|_| !names_devices(given))),
        ),
        (
            "runtimeClassName",
            json!(pod.runtime_class_name.as_ref().filter(|_| !is_placed)),
        ),
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

/// Which other pods servers keep near, and without a profile, which has its own nodes, also which nodes.
fn affinity(pod: &PodSpec, given: &ServerSpec) -> Option<Affinity> {
    let affinity = pod.affinity.clone()?;
    let node_affinity = affinity.node_affinity.filter(|_| given.resource_profile.is_none());
    Some(Affinity {
        node_affinity,
        ..affinity
    })
}

/// Devices of a driver (Dynamic Resource Allocation), which no field of `spec.server` is for.
fn claims(container: &Container) -> Option<Value> {
    has_claims(container).then(|| json!({"claims": container.resources.as_ref().map(|resources| &resources.claims)}))
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
