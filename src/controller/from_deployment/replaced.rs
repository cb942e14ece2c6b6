//! What of a Deployment gives way to what a job says in fields of its own.

use k8s_openapi::api::core::v1::Container;

use crate::api::Engine;
use crate::api::server::ServerSpec;
use crate::controller::pod_template;
use crate::controller::server_container::{self, has_claims};
use crate::controller::server_resources::is_device;
use crate::engine::found::{FoundServer, Part};
use crate::engine::{BaseModel, Catalog};

/// The word by which a job says that a checkpoint is taken as it is.
const NONE: &str = "none";

/// A server as it was found, without what the job says itself.
pub(super) fn left(found: FoundServer, container: &Container, given: &ServerSpec, catalog: &Catalog) -> FoundServer {
    let parts = [
        (Part::Devices, has_other_devices(container, given)),
        (Part::Adapters, given.adapters.is_some()),
        (
            Part::Revision,
            given.revision.is_some() || is_other_model(&found, given, catalog),
        ),
        (Part::Quantization, is_quantized_otherwise(&found, given, catalog)),
        (
            Part::NumberType,
            given.quantization.as_deref().is_some_and(|word| word != NONE),
        ),
    ];
    let replaced = parts.into_iter().filter(|(_, is_replaced)| *is_replaced);
    replaced.fold(found, |found, (part, _)| found.without(part))
}

/// Whether how a model is quantized is for the job to say, and said by its field alone: SGLang is given the format with the word.
fn is_quantized_otherwise(found: &FoundServer, given: &ServerSpec, catalog: &Catalog) -> bool {
    let is_said = found.engine == Engine::SGLang && found.quantization.is_some();
    given.quantization.is_some() || is_said || is_other_model(found, given, catalog)
}

/// Whether a job names another model than the Deployment's: a short name is the repository that it stands for.
pub(super) fn is_other_model(found: &FoundServer, given: &ServerSpec, catalog: &Catalog) -> bool {
    let location = |value: &str| match BaseModel::read(catalog, found.engine, value) {
        Ok(model) => model.location().name().to_owned(),
        // It is refused later, or it is a Deployment's own.
        Err(_) => value.to_owned(),
    };
    let of_deployment = found.model.as_ref().ok().map(|model| location(model));
    !given.base_model.is_empty() && of_deployment != Some(location(&given.base_model))
}

/// Whether servers of a job have other devices than the Deployment's.
fn has_other_devices(container: &Container, given: &ServerSpec) -> bool {
    names_devices(given) || (given.resources.is_some() && !has_claims(container))
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
