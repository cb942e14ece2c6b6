//! Makes sense of the spec: defaults are resolved and templates read, or the job is refused with a reason.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::pod_template::{self, PodTemplateError};
use super::settings::{Settings, with_tag};
use crate::api::reason::Reason;
use crate::api::resources::{ComputeDefaults, Resources};
use crate::api::server::ServerSpec;
use crate::api::status::Resolved;
use crate::api::wait::Wait;
use crate::api::{BatchInferenceJob, Engine};
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
    let (model, launch) = launch(server)?;
    let decided = job
        .status
        .as_ref()
        .and_then(|status| status.controller.resolved.clone());
    let resolved = decided.unwrap_or_else(|| resolve(server, &model, &launch, settings));
    let feeder = job.spec.feeder.clone().unwrap_or_default();
    let read = |template: &Option<_>, field| {
        template
            .as_ref()
            .map(|template| pod_template::parse(template, field))
            .transpose()
            .map_err(refuse_template)
    };
    Ok(ValidatedJob {
        resolved,
        launch,
        feeder_template: read(&feeder.pod_template, "spec.feeder.podTemplate")?,
        server_template: read(&server.pod_template, "spec.server.podTemplate")?,
        dataset_claim: dataset_claim(job)?,
        output_claim: output_claim(job)?,
        job: job.clone(),
    })
}

fn launch(server: &ServerSpec) -> Result<(BaseModel, Launch), Wait> {
    let refuse = |field: &str, error: &dyn std::error::Error| {
        Wait::new(Reason::SpecInvalid, format!("spec.server.{field}: {error}"))
    };
    let model: BaseModel = server.base_model.parse().map_err(|error| refuse("baseModel", &error))?;
    let names =
        AcceptedNames::new(&model, &server.served_model_names).map_err(|error| refuse("servedModelNames", &error))?;
    let input = LaunchInput {
        model: &model,
        names: &names,
        quantization: server.quantization.as_deref(),
        extra_args: &server.args,
    };
    let launch = crate::engine::launch(server.engine, &input).map_err(|error| match error {
        LaunchError::Quantization(_) => Wait::new(
            Reason::QuantizationUnsupported,
            format!("spec.server.quantization: {error}"),
        ),
        LaunchError::GgufOnVllm { .. } | LaunchError::CatalogOnLlamaCpp { .. } => refuse("baseModel", &error),
    })?;
    Ok((model, launch))
}

fn resolve(server: &ServerSpec, model: &BaseModel, launch: &Launch, settings: &Settings) -> Resolved {
    let default_image = settings.engine_image(server.engine);
    let image = match (&server.image, &server.image_tag) {
        (Some(image), _) => image.clone(),
        (None, Some(tag)) => with_tag(&default_image, tag),
        (None, None) => default_image,
    };
    Resolved {
        engine: server.engine,
        image,
        model: model.repository().unwrap_or_else(|| model.value()).to_owned(),
        served_model_name: launch.served_name.clone(),
        args: launch.args.clone(),
        resources: server_resources(server.engine, server.resources.clone().unwrap_or_default()),
    }
}

/// What one server asks for: what the job says, and for what it does not name, a default.
fn server_resources(engine: Engine, mut given: Resources) -> Resources {
    let names_device = given
        .limits
        .keys()
        .chain(given.requests.keys())
        .any(|name| is_device(name));
    if engine == Engine::VLLM && !names_device {
        given.limits.insert(DEFAULT_DEVICE.into(), Quantity("1".into()));
    }
    given.or_default(&match engine {
        Engine::VLLM => ComputeDefaults {
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
