//! Makes sense of the spec: defaults are resolved and templates read, or the job is refused with a reason.

use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::pod_template::{self, PodTemplateError};
use super::settings::{EngineSettings, HubSettings, Settings, with_tag};
use super::{base_model, revision, server_container};
use crate::api::reason::Reason;
use crate::api::resources::{ComputeDefaults, Resources};
use crate::api::server::ServerSpec;
use crate::api::status::Resolved;
use crate::api::wait::Wait;
use crate::api::{BatchInferenceJob, Engine};
use crate::engine::conflicts::{self, conflict};
use crate::engine::{AcceptedNames, BaseModel, Launch, LaunchError, LaunchInput};
use crate::storage::{Root, StoreUri, UriError};

/// The device that a server asks for when its job names none.
const DEFAULT_DEVICE: &str = "nvidia.com/gpu";

/// A job whose every field has a meaning.
#[derive(Clone, Debug)]
pub struct ValidatedJob {
    /// The job.
    pub job: BatchInferenceJob,
    /// What its defaults came to; the first decision stays.
    pub resolved: Resolved,
    /// What the engine needs around its arguments: port, probes, volumes.
    pub launch: Launch,
    /// What whoever installed the operator adds to its servers.
    pub engine: EngineSettings,
    /// How its pods reach the hub.
    pub hub: HubSettings,
    /// The most parameters that its model may have.
    pub max_parameters: u64,
    /// The person's template for the feeder.
    pub feeder_template: Option<PodTemplateSpec>,
    /// The person's template for the servers.
    pub server_template: Option<PodTemplateSpec>,
    /// The claim that the data set is on.
    pub dataset_claim: Option<String>,
    /// The claim that the results go to.
    pub output_claim: Option<String>,
}

/// Validates a job.
///
/// # Errors
/// The reason for which it can never run, with a message that names the field.
pub fn validate(job: &BatchInferenceJob, settings: &Settings) -> Result<ValidatedJob, Wait> {
    let server = &job.spec.server;
    let feeder = job.spec.feeder.clone().unwrap_or_default();
    let read = |template: &Option<_>, field| {
        template
            .as_ref()
            .map(|template| pod_template::parse(template, field))
            .transpose()
            .map_err(refuse_template)
    };
    let server_template = read(&server.pod_template, "spec.server.podTemplate")?;
    let container = server_container::find(server_template.as_ref());
    let resources = server_resources(server, container);
    let model = base_model::read(server, &settings.models)?;
    let launch = launch(server, &model, container, devices(&resources))?;
    let decided = job
        .status
        .as_ref()
        .and_then(|status| status.controller.resolved.clone());
    let resolved = match decided {
        Some(resolved) => revision::pinned(resolved, revision::told(job)),
        None => Resolved {
            engine: server.engine,
            image: image(server, container, settings)?,
            model: model.location().name().to_owned(),
            revision: server.revision.clone(),
            served_model_name: launch.served_name.clone(),
            args: launch.args.clone(),
            resources,
        },
    };
    base_model::refuse_architecture(&model, server.engine, &resolved.image)?;
    Ok(ValidatedJob {
        resolved,
        launch,
        engine: settings.engine(server.engine),
        hub: settings.hub.clone(),
        max_parameters: settings.models.max_parameters,
        feeder_template: read(&feeder.pod_template, "spec.feeder.podTemplate")?,
        server_template,
        dataset_claim: dataset_claim(job)?,
        output_claim: output_claim(job)?,
        job: job.clone(),
    })
}

fn launch(server: &ServerSpec, model: &BaseModel, container: Option<&Container>, devices: u32) -> Result<Launch, Wait> {
    let refuse = |field: &str, error: &dyn std::error::Error| {
        Wait::new(Reason::SpecInvalid, format!("spec.server.{field}: {error}"))
    };
    let names =
        AcceptedNames::new(model, &server.served_model_names).map_err(|error| refuse("servedModelNames", &error))?;
    let input = LaunchInput {
        engine: server.engine,
        model,
        names: &names,
        quantization: server.quantization.as_deref(),
        revision: server.revision.as_deref(),
        devices,
        extra_args: &server.args,
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
        LaunchError::RevisionOnEngine { .. } | LaunchError::RevisionOfPath { .. } => refuse("revision", &error),
        LaunchError::CustomWithoutPort | LaunchError::CustomWithoutReadiness => refuse("podTemplate", &error),
        LaunchError::CustomArgsTwice => Wait::new(Reason::EngineFieldConflict, error.to_string()),
    })?;
    refuse_conflict(server, &launch)?;
    Ok(launch)
}

/// Refuses arguments and variables that say what a field says.
fn refuse_conflict(server: &ServerSpec, launch: &Launch) -> Result<(), Wait> {
    let env: Vec<&str> = server.env.iter().map(|variable| variable.name.as_str()).collect();
    let given = conflicts::Given {
        args: &server.args,
        env: &env,
        token_env: server.hf_token_secret_ref.as_ref().map_or(&[], |_| launch.token_env),
        has_quantization: server.quantization.is_some(),
    };
    match conflict(server.engine, &given) {
        Some(conflict) => Err(Wait::new(Reason::EngineFieldConflict, conflict.to_string())),
        None => Ok(()),
    }
}

/// The image that servers will have; one in the template replaces every other.
fn image(server: &ServerSpec, container: Option<&Container>, settings: &Settings) -> Result<String, Wait> {
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
    let default_image = settings.engine_image(engine).ok_or_else(|| {
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

/// What one server asks for: what the job says, and for what it does not name, a default.
fn server_resources(server: &ServerSpec, container: Option<&Container>) -> Resources {
    let mut given = server_container::resources(server.resources.clone().unwrap_or_default(), container);
    let names_device = given
        .limits
        .keys()
        .chain(given.requests.keys())
        .any(|name| is_device(name));
    if needs_device(server.engine) && !names_device {
        given.limits.insert(DEFAULT_DEVICE.into(), Quantity("1".into()));
    }
    given.or_default(&match server.engine {
        Engine::VLLM | Engine::LoRAX | Engine::SGLang | Engine::Custom => ComputeDefaults {
            cpu: "2",
            memory: "8Gi",
            memory_limit: "32Gi",
        },
        Engine::LlamaCpp => ComputeDefaults {
            cpu: "1",
            memory: "1Gi",
            memory_limit: "8Gi",
        },
    })
}

/// Whether an engine's image computes on devices only. Of a person's own image nothing is known.
fn needs_device(engine: Engine) -> bool {
    matches!(engine, Engine::VLLM | Engine::LoRAX | Engine::SGLang)
}

/// How many devices one server is given.
fn devices(resources: &Resources) -> u32 {
    let requested = |name: &String| !resources.limits.contains_key(name);
    let named = resources
        .limits
        .iter()
        .chain(resources.requests.iter().filter(|(name, _)| requested(name)));
    named
        .filter(|(name, _)| is_device(name))
        .map(|(_, quantity)| quantity.0.parse::<u32>().unwrap_or(1))
        .sum()
}

/// Whether a resource is a device: extended resources have a domain in their name, Kubernetes' own do not.
#[must_use]
pub fn is_device(resource: &str) -> bool {
    resource.contains('/')
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
    claim_of("spec.output.uri", StoreUri::parse_prefix(&job.spec.output.uri))
}

fn claim_of(field: &str, uri: Result<StoreUri, UriError>) -> Result<Option<String>, Wait> {
    let uri = uri.map_err(|error| Wait::new(Reason::SpecInvalid, format!("{field}: {error}")))?;
    Ok(match uri.root() {
        Root::Claim(name) => Some(name.clone()),
        Root::Bucket(..) | Root::Web(_) | Root::Hub(_) | Root::Folder(_) => None,
    })
}

fn refuse_template(error: PodTemplateError) -> Wait {
    Wait::new(Reason::PodTemplateInvalid, error.to_string())
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
