//! A job with what its server takes from a Deployment: once, when it is taken up, and as it was then from there on.

use std::borrow::Cow;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::EnvVar;

use super::{TakeError, Taken, take};
use crate::api::BatchInferenceJob;
use crate::api::reason::Reason;
use crate::api::resources::PodTemplate;
use crate::api::server::{ServerSource, ServerSpec};
use crate::api::wait::Wait;
use crate::controller::resource_profile::Chosen;
use crate::controller::settings::{Settings, with_tag};
use crate::controller::{pod_template, variables};
use crate::engine::model_cache::{is_variable_of_place, without_places};

/// The Deployment that is to be read for a job; none once it was.
#[must_use]
pub fn source_to_read(job: &BatchInferenceJob) -> Option<&ServerSource> {
    let status = job.status.as_ref();
    let is_resolved = status.is_some_and(|status| status.controller.resolved.is_some());
    job.spec.server.as_ref()?.from.as_ref().filter(|_| !is_resolved)
}

/// The job with its whole server: what it says itself, and for the rest what its Deployment says or said.
///
/// # Errors
/// [`Reason::DeploymentMissing`] while there is no such Deployment; else why nothing can be taken from it.
pub fn filled<'a>(
    job: &'a BatchInferenceJob,
    source: Option<&Deployment>,
    settings: &Settings,
) -> Result<Cow<'a, BatchInferenceJob>, Wait> {
    let Some((server, from)) = job
        .spec
        .server
        .as_ref()
        .and_then(|server| Some((server, server.from.as_ref()?)))
    else {
        return Ok(Cow::Borrowed(job));
    };
    let status = job.status.as_ref();
    let resolved = status.and_then(|status| status.controller.resolved.as_ref());
    let server = match (resolved.and_then(|resolved| resolved.server.as_ref()), source) {
        (Some(filled), _) => (*filled.0).clone(),
        (None, Some(source)) => fill(server, source, settings)?,
        (None, None) => {
            let name = &from.deployment.name;
            let message = format!("deployment \"{name}\" of spec.server.from not found");
            return Err(Wait::new(Reason::DeploymentMissing, message));
        }
    };
    let mut job = job.clone();
    job.spec.server = Some(server);
    Ok(Cow::Owned(job))
}

fn fill(given: &ServerSpec, source: &Deployment, settings: &Settings) -> Result<ServerSpec, Wait> {
    let profile = given.resource_profile.as_ref();
    let profile = profile.map(|written| Chosen::find(written, &settings.resource_profiles));
    let refused = |error: TakeError| Wait::new(Reason::SpecInvalid, format!("spec.server.from: {error}"));
    let mut taken = take(source, given, &settings.models.catalog).map_err(refused)?;
    if given.model_cache.is_some() {
        leave_place(&mut taken);
    }
    let (image, image_tag) = image(given, &taken, profile.transpose()?);
    Ok(ServerSpec {
        pod_template: template(given, taken.pod_template.clone())?,
        engine: taken.engine,
        base_model: taken.base_model.clone(),
        served_model_names: or(&given.served_model_names, &taken.served_model_names),
        image,
        image_tag,
        hf_token_secret_ref: taken.hf_token_secret_ref,
        revision: given.revision.clone().or(taken.revision),
        quantization: given.quantization.clone().or(taken.quantization),
        args: or(&given.args, &taken.args),
        env: env(&given.env, taken.env),
        resources: given.resources.clone().or(taken.resources),
        ..given.clone()
    })
}

/// Leaves out where the Deployment's servers keep models: those of the job have theirs in its model cache.
fn leave_place(taken: &mut Taken) {
    taken.args = without_places(taken.engine, std::mem::take(&mut taken.args));
    taken.env.retain(|variable| !is_variable_of_place(&variable.name));
}

/// A refusal with the Deployment that fields are from: the person of the job wrote none of them.
#[must_use]
pub fn with_origin(refusal: Wait, server: &ServerSpec) -> Wait {
    let Some(from) = &server.from else {
        return refusal;
    };
    let message = format!(
        "{}; what the job does not give in spec.server is from the deployment {:?} of spec.server.from",
        refusal.message, from.deployment.name
    );
    Wait { message, ..refusal }
}

/// What is given, unless that is nothing.
fn or<T: Clone + Default + PartialEq>(given: &T, taken: &T) -> T {
    let is_given = *given != T::default();
    if is_given { given.clone() } else { taken.clone() }
}

/// The image, and a tag where that is to be the profile's: it is for the profile's devices, which the Deployment's may not be.
fn image(given: &ServerSpec, taken: &Taken, profile: Option<Chosen<'_>>) -> (Option<String>, Option<String>) {
    let is_of_profile = profile.is_some_and(|chosen| chosen.profile.image.contains_key(&taken.engine));
    match (&given.image, &given.image_tag) {
        (Some(image), _) => (Some(image.clone()), None),
        (None, tag) if is_of_profile => (None, tag.clone()),
        (None, Some(tag)) => (Some(with_tag(&taken.image, tag)), None),
        (None, None) => (Some(taken.image.clone()), None),
    }
}

/// All variables; those of the job go before others of the same name.
fn env(given: &[EnvVar], mut taken: Vec<EnvVar>) -> Vec<EnvVar> {
    for variable in given {
        variables::set(&mut taken, variable.clone());
    }
    taken
}

/// The Deployment's template with the job's over it.
fn template(given: &ServerSpec, taken: Option<PodTemplate>) -> Result<Option<PodTemplate>, Wait> {
    let (Some(given), Some(taken)) = (&given.pod_template, &taken) else {
        return Ok(given.pod_template.clone().or(taken));
    };
    let invalid = |error: pod_template::PodTemplateError| Wait::new(Reason::PodTemplateInvalid, error.to_string());
    let over = pod_template::parse(given, "spec.server.podTemplate").map_err(invalid)?;
    let base = pod_template::parse(taken, "spec.server.from").map_err(invalid)?;
    let merged = pod_template::merge(base, Some(&over));
    Ok(Some(PodTemplate(serde_json::to_value(merged).unwrap_or_default())))
}

#[cfg(test)]
#[path = "fill_tests.rs"]
mod tests;
