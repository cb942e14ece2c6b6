//! Makes sense of the spec: defaults are resolved and templates read, or the job is refused with a reason.

use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};

use super::cost::refuse_unpriced;
use super::from_deployment::with_origin;
use super::resource_profile::Chosen;
use super::server_resources::{self, Asked, devices};
use super::settings::{EngineSettings, HubSettings, Settings, with_tag};
use super::{
    adapters, base_model, endpoint, foreign_devices, model_cache, pod_template, revision, server_conflicts,
    server_container, spread,
};
use crate::api::BatchInferenceJob;
use crate::api::reason::Reason;
use crate::api::resources::PodTemplate;
use crate::api::server::{FilledServer, ServerSpec};
use crate::api::status::Resolved;
use crate::api::wait::Wait;
use crate::engine::{AcceptedNames, BaseModel, Devices, Launch, LaunchError, LaunchInput, Version};
use crate::storage::{Root, StoreUri, UriError};

/// A job whose every field has a meaning.
#[derive(Clone, Debug)]
pub struct ValidatedJob {
    /// The job.
    pub job: BatchInferenceJob,
    /// What its defaults came to; the first decision stays.
    pub resolved: Resolved,
    /// The servers that are started for it; none where its rows go to `spec.endpoint`.
    pub servers: Option<ValidatedServers>,
    /// How its pods reach the hub.
    pub hub: HubSettings,
    /// The most parameters that its model may have.
    pub max_parameters: u64,
    /// The person's template for the feeder.
    pub feeder_template: Option<PodTemplateSpec>,
    /// The claim that the data set is on.
    pub dataset_claim: Option<String>,
    /// The claim that the results go to.
    pub output_claim: Option<String>,
}

/// Servers whose every field has a meaning.
#[derive(Clone, Debug)]
pub struct ValidatedServers {
    /// What is wanted of them.
    pub spec: ServerSpec,
    /// What the engine needs around its arguments: port, probes, volumes.
    pub launch: Launch,
    /// What whoever installed the operator adds to them.
    pub engine: EngineSettings,
    /// The person's template for them.
    pub template: Option<PodTemplateSpec>,
    /// The operator's own image, which fetches adapters for them.
    pub operator_image: String,
}

/// Validates a job. Of one that takes its server from a Deployment, what [`super::from_deployment`] has filled in.
///
/// # Errors
/// The reason for which it can never run, with a message that names the field.
pub fn validate(job: &BatchInferenceJob, settings: &Settings) -> Result<ValidatedJob, Wait> {
    let decided = job
        .status
        .as_ref()
        .and_then(|status| status.controller.resolved.clone());
    let (resolved, servers) = match (&job.spec.server, &job.spec.endpoint) {
        (Some(server), None) => {
            let template = read_template(server.pod_template.as_ref(), "spec.server.podTemplate")
                .map_err(|refusal| with_origin(refusal, server))?;
            let decided = decided.map(|resolved| {
                let resolved = revision::pinned(resolved, revision::told(job));
                let resolved = model_cache::pinned(resolved, job);
                let devices = server_resources::devices(&resolved.resources, template.as_ref());
                adapters::equipped(resolved, server, devices, adapters::told(job))
            });
            let (resolved, servers) = validate_servers(server, template, decided, settings)
                .map_err(|refusal| with_origin(refusal, server))?;
            refuse_unpriced(job, &resolved, servers.template.as_ref())?;
            (resolved, Some(servers))
        }
        (None, Some(endpoint)) => (endpoint::resolve(endpoint, decided, settings)?, None),
        _ => {
            let message = "exactly one of spec.server and spec.endpoint says what answers the rows";
            return Err(Wait::new(Reason::SpecInvalid, message));
        }
    };
    let feeder_template = job.spec.feeder.as_ref().and_then(|feeder| feeder.pod_template.as_ref());
    Ok(ValidatedJob {
        resolved,
        servers,
        hub: settings.hub.clone(),
        max_parameters: settings.models.max_parameters,
        feeder_template: read_template(feeder_template, "spec.feeder.podTemplate")?,
        dataset_claim: dataset_claim(job)?,
        output_claim: output_claim(job)?,
        job: job.clone(),
    })
}

fn validate_servers(
    server: &ServerSpec,
    template: Option<PodTemplateSpec>,
    decided: Option<Resolved>,
    settings: &Settings,
) -> Result<(Resolved, ValidatedServers), Wait> {
    let container = server_container::find(template.as_ref());
    let model = match &decided {
        Some(resolved) => BaseModel::resolved(resolved.engine, &server.base_model, &resolved.model),
        None => base_model::read(server, &settings.models)?,
    };
    // A job that was taken up keeps its profile, whatever became of it since.
    let profile = match (&decided, &server.resource_profile) {
        (None, Some(written)) => Some(Chosen::find(written, &settings.resource_profiles)?),
        _ => None,
    };
    let resources = if let Some(resolved) = &decided {
        resolved.resources.clone()
    } else {
        let resources = server_resources::resolve(&Asked {
            server,
            model: &model,
            template: template.as_ref(),
            profile,
        })?;
        spread::refuse_uneven(server, &resources, template.as_ref())?;
        resources
    };
    let image = if let Some(resolved) = &decided {
        resolved.image.clone()
    } else {
        let image = image(server, container, profile, settings)?;
        foreign_devices::refuse(server.engine, &image, &resources)?;
        image
    };
    let devices = devices(&resources, template.as_ref());
    let engine = settings.engine(server.engine);
    let env = server_conflicts::names_of_all(server, container, &engine.env);
    let launch = launch(server, &model, container, &env, devices, &image)?;
    if decided.is_none() {
        server_conflicts::refuse_of_others(server, &launch, devices, container, &engine.env)?;
        adapters::refuse_conflict(server, container, &engine.env)?;
        model_cache::refuse(server, &model, container, &engine.env)?;
    }
    let resolved = match decided {
        Some(resolved) => resolved,
        None => Resolved {
            engine: server.engine,
            image,
            model: model.location().name().to_owned(),
            revision: server.revision.clone(),
            served_model_name: launch.served_name.clone(),
            args: launch.args.clone(),
            adapter_args: Vec::new(),
            resources,
            prices: Some(settings.prices.clone()),
            resource_profile: profile.map(|chosen| chosen.resolved()),
            most_replicas: None,
            server: server.from.is_some().then(|| FilledServer(Box::new(server.clone()))),
        },
    };
    // Nothing where the model was decided before: it comes without an entry then.
    base_model::refuse_architecture(&model, server.engine, &resolved.image)?;
    let servers = ValidatedServers {
        spec: server.clone(),
        launch,
        engine,
        template,
        operator_image: settings.feeder_image.clone(),
    };
    Ok((resolved, servers))
}

fn read_template(template: Option<&PodTemplate>, field: &str) -> Result<Option<PodTemplateSpec>, Wait> {
    template
        .map(|template| pod_template::parse(template, field))
        .transpose()
        .map_err(|error| Wait::new(Reason::PodTemplateInvalid, error.to_string()))
}

fn refuse(field: &str, error: &dyn std::error::Error) -> Wait {
    Wait::new(Reason::SpecInvalid, format!("spec.server.{field}: {error}"))
}

fn launch(
    server: &ServerSpec,
    model: &BaseModel,
    container: Option<&Container>,
    env: &[&str],
    devices: Devices,
    image: &str,
) -> Result<Launch, Wait> {
    let names =
        AcceptedNames::new(model, &server.served_model_names).map_err(|error| refuse("servedModelNames", &error))?;
    let input = LaunchInput {
        engine: server.engine,
        model,
        names: &names,
        quantization: server.quantization.as_deref(),
        revision: server.revision.as_deref(),
        has_model_cache: server.model_cache.is_some(),
        adapters: server.adapters.as_ref(),
        devices,
        version: Version::of(server.engine, image),
        extra_args: &server.args,
        env,
        container: server_container::given(container),
    };
    let launch = crate::engine::launch(&input).map_err(|error| match error {
        LaunchError::Quantization(_) => Wait::new(
            Reason::QuantizationUnsupported,
            format!("spec.server.quantization: {error}"),
        ),
        LaunchError::Gguf { .. } | LaunchError::CatalogOnLlamaCpp { .. } => {
            Wait::new(Reason::EngineModelMismatch, format!("spec.server.baseModel: {error}"))
        }
        LaunchError::Adapters(_) => Wait::new(Reason::AdaptersUnsupported, format!("spec.server.adapters: {error}")),
        LaunchError::RevisionOnEngine { .. } | LaunchError::RevisionOfPath { .. } => refuse("revision", &error),
        LaunchError::CustomWithoutPort | LaunchError::CustomWithoutReadiness => refuse("podTemplate", &error),
        LaunchError::CustomArgsTwice => Wait::new(Reason::EngineFieldConflict, error.to_string()),
    })?;
    server_conflicts::refuse_of_job(server, &launch, devices)?;
    Ok(launch)
}

/// The image that servers will have; one in the template replaces every other.
fn image(
    server: &ServerSpec,
    container: Option<&Container>,
    profile: Option<Chosen<'_>>,
    settings: &Settings,
) -> Result<String, Wait> {
    let refuse = |message: String| Wait::new(Reason::SpecInvalid, message);
    let in_template = container.and_then(|container| container.image.clone());
    if in_template.is_some() && server.image_tag.is_some() {
        return Err(refuse(
            "spec.server.imageTag: the container `server` of spec.server.podTemplate names a whole image: write its tag there".into(),
        ));
    }
    if let Some(image) = in_template.or_else(|| server.image.clone()) {
        return Ok(image);
    }
    let engine = server.engine;
    let variant = profile.and_then(|chosen| chosen.profile.image.get(&engine).cloned());
    let default_image = variant.or_else(|| settings.engine_image(engine)).ok_or_else(|| {
        refuse(format!(
            "spec.server.image: engine {engine} has no image of its own: write it here, or in the container `server` of \
             spec.server.podTemplate"
        ))
    })?;
    Ok(match &server.image_tag {
        Some(tag) => with_tag(&default_image, tag),
        None => default_image,
    })
}

/// The claim that the data set is on, if it is on one.
fn dataset_claim(job: &BatchInferenceJob) -> Result<Option<String>, Wait> {
    let Some(uri) = &job.spec.dataset.uri else {
        return Ok(None);
    };
    claim_of("spec.dataset.uri", StoreUri::parse_object(uri))
}

/// The claim that the results go to, if they go to one.
fn output_claim(job: &BatchInferenceJob) -> Result<Option<String>, Wait> {
    let Some(uri) = &job.spec.output.uri else {
        return Ok(None);
    };
    claim_of("spec.output.uri", StoreUri::parse_prefix(uri))
}

fn claim_of(field: &str, uri: Result<StoreUri, UriError>) -> Result<Option<String>, Wait> {
    let uri = uri.map_err(|error| Wait::new(Reason::SpecInvalid, format!("{field}: {error}")))?;
    Ok(match uri.root() {
        Root::Claim(name) => Some(name.clone()),
        Root::Bucket(..) | Root::Web(_) | Root::Hub(_) | Root::ConfigMap(_) | Root::Folder(_) => None,
    })
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
