//! The container `server` of a person's pod template: what it says of the server, before it is merged over the operator's. Pure.

use k8s_openapi::api::core::v1::{Container, PodTemplateSpec, Probe};

use crate::api::names::{SERVER_CONTAINER, SERVER_PORT_NAME};
use crate::api::resources::Resources;
use crate::engine::GivenContainer;

/// The container, where the template has one of that name.
#[must_use]
pub fn find(template: Option<&PodTemplateSpec>) -> Option<&Container> {
    let containers = &template?.spec.as_ref()?.containers;
    containers.iter().find(|container| container.name == SERVER_CONTAINER)
}

/// What a launch depends on.
#[must_use]
pub fn given(container: Option<&Container>) -> GivenContainer {
    let Some(container) = container else {
        return GivenContainer::default();
    };
    GivenContainer {
        port: port(container),
        has_readiness_probe: container.readiness_probe.as_ref().is_some_and(asks_something),
        has_args: container.args.as_ref().is_some_and(|args| !args.is_empty()),
    }
}

/// The port named `http`, else the first.
fn port(container: &Container) -> Option<u16> {
    let ports = container.ports.as_deref()?;
    let is_http = |name: &Option<String>| name.as_deref() == Some(SERVER_PORT_NAME);
    let port = ports
        .iter()
        .find(|port| is_http(&port.name))
        .or_else(|| ports.first())?;
    u16::try_from(port.container_port).ok()
}

/// Whether it has devices of a driver (Dynamic Resource Allocation). A claim of the pod is a device of those containers only that name it, such as a
/// network adapter of a container beside the server.
#[must_use]
pub fn has_claims(container: &Container) -> bool {
    let resources = container.resources.as_ref();
    let claims = resources.and_then(|resources| resources.claims.as_ref());
    claims.is_some_and(|claims| !claims.is_empty())
}

fn asks_something(probe: &Probe) -> bool {
    probe.http_get.is_some() || probe.tcp_socket.is_some() || probe.exec.is_some() || probe.grpc.is_some()
}

/// These resources with those of the container over them, as the merged pod will have them.
#[must_use]
pub fn resources(mut resources: Resources, container: Option<&Container>) -> Resources {
    let Some(over) = container.and_then(|container| container.resources.clone()) else {
        return resources;
    };
    resources.limits.extend(over.limits.unwrap_or_default());
    resources.requests.extend(over.requests.unwrap_or_default());
    resources
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(container: &serde_json::Value) -> PodTemplateSpec {
        serde_json::from_value(
            json!({"spec": {"containers": [{"name": "side", "ports": [{"containerPort": 1}]}, container]}}),
        )
        .expect("a template")
    }

    #[test]
    fn the_port_is_the_one_named_http_else_the_first() {
        for (ports, port) in [
            (json!([]), None),
            (json!([{"containerPort": 9000}]), Some(9000)),
            (
                json!([{"containerPort": 9000, "name": "grpc"}, {"containerPort": 8000, "name": "http"}]),
                Some(8000),
            ),
            (json!([{"containerPort": 9000}, {"containerPort": 8000}]), Some(9000)),
        ] {
            let template = template(&json!({"name": "server", "ports": ports}));
            assert_eq!(given(find(Some(&template))).port, port, "{ports}");
        }
    }

    #[test]
    fn a_probe_that_asks_nothing_is_none() {
        for (probe, asks) in [
            (json!({"httpGet": {"path": "/health", "port": 8000}}), true),
            (json!({"exec": {"command": ["true"]}}), true),
            (json!({"tcpSocket": {"port": 8000}}), true),
            (json!({"periodSeconds": 3}), false),
        ] {
            let template = template(&json!({"name": "server", "readinessProbe": probe}));
            assert_eq!(given(find(Some(&template))).has_readiness_probe, asks, "{probe}");
        }
    }

    #[test]
    fn another_container_says_nothing() {
        let template = template(&json!({"name": "other", "args": ["x"]}));
        assert_eq!(find(Some(&template)), None);
        assert_eq!(given(None), GivenContainer::default());
    }

    #[test]
    fn a_claim_of_the_pod_is_the_servers_where_its_container_names_it() {
        for (resources, has) in [
            (json!({"claims": [{"name": "gpu"}]}), true),
            (json!({"claims": []}), false),
            (json!({"limits": {"nvidia.com/gpu": "1"}}), false),
        ] {
            let template = template(&json!({"name": "server", "resources": resources}));
            assert_eq!(find(Some(&template)).is_some_and(has_claims), has, "{resources}");
        }
        let beside = template(&json!({"name": "other", "resources": {"claims": [{"name": "nic"}]}}));
        assert!(!find(Some(&beside)).is_some_and(has_claims));
    }
}
