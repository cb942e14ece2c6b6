//! What of a Deployment gives way to what a job says in fields of its own.

use k8s_openapi::api::core::v1::Container;

use crate::api::server::ServerSpec;
use crate::controller::server_resources::is_device;
use crate::controller::{pod_template, server_container};

/// Whether a container has devices of a driver (Dynamic Resource Allocation).
pub(super) fn has_claims(container: &Container) -> bool {
    let resources = container.resources.as_ref();
    let claims = resources.and_then(|resources| resources.claims.as_ref());
    claims.is_some_and(|claims| !claims.is_empty())
}

/// Whether a job says itself which devices its servers have.
pub(super) fn names_devices(given: &ServerSpec) -> bool {
    if given.resource_profile.is_some() {
        return true;
    }
    // A template that cannot be read is refused where it is merged.
    let template = given.pod_template.as_ref();
    let template = template.and_then(|template| pod_template::parse(template, "spec.server.podTemplate").ok());
    let container = server_container::find(template.as_ref());
    let resources = server_container::resources(given.resources.clone().unwrap_or_default(), container);
    let mut names = resources.limits.keys().chain(resources.requests.keys());
    container.is_some_and(has_claims) || names.any(|name| is_device(name))
}
