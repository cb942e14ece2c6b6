//! What one server asks for: what the job says, for what that does not name the job's resource profile, and for the rest an estimate
//! from the model's size. Pure, a part of [`super::validate`].

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::resource_profile::{Chosen, ResourceProfile};
use super::server_container::{self, has_claims};
use super::weights_volume;
use crate::api::Engine;
use crate::api::reason::Reason;
use crate::api::resources::{ComputeDefaults, Resources};
use crate::api::server::ServerSpec;
use crate::api::wait::Wait;
use crate::engine::sizing::{GIBIBYTE, Size, SizingInput};
use crate::engine::{BaseModel, Devices};

/// The device that a server asks for when its job names none.
const DEFAULT_DEVICE: &str = "nvidia.com/gpu";

/// What is in the names of devices that compute (`nvidia.com/gpu`, `gpu.intel.com/i915`, `habana.ai/gaudi`, `aws.amazon.com/neuron`,
/// `google.com/tpu`, `huawei.com/Ascend910`), as <https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/> and the device plugins'
/// own pages have them.
const ACCELERATORS: [&str; 9] = [
    PART_OF_GPU,
    "gpu",
    "i915",
    "gaudi",
    "neuron",
    "tpu",
    "npu",
    "xpu",
    "ascend",
];
/// What is in the names of what belongs to them (`nvidia.com/gpumem`, `nvidia.com/gpucores`, `aliyun.com/gpu-mem`).
const OF_ACCELERATORS: [&str; 2] = ["mem", "cores"];
/// How the names of parts of NVIDIA's devices begin (`nvidia.com/mig-1g.10gb`).
const PART_OF_GPU: &str = "mig-";

/// What decides what a server asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) server: &'a ServerSpec,
    pub(super) model: &'a BaseModel,
    /// The person's template for the servers.
    pub(super) template: Option<&'a PodTemplateSpec>,
    pub(super) profile: Option<Chosen<'a>>,
}

/// What one server asks for.
///
/// # Errors
/// When the model needs more devices of the profile than a server can use.
pub(super) fn resolve(asked: &Asked<'_>) -> Result<Resources, Wait> {
    let server = asked.server;
    let container = server_container::find(asked.template);
    let by_job = server_container::resources(server.resources.clone().unwrap_or_default(), container);
    let job_names_device = names_device(&by_job) || container.is_some_and(has_claims);
    let size = size(asked);
    let count = match asked.profile {
        Some(Chosen { count: None, .. }) if job_names_device => 1,
        Some(chosen) => count(asked, chosen, size)?,
        None => 1,
    };
    let mut by_profile = asked
        .profile
        .map_or_else(Resources::default, |chosen| chosen.profile.times(count));
    // What the profile names is all that its servers have: one without a device is for processors.
    if !job_names_device && by_profile.is_empty() && needs_device(server.engine) {
        by_profile
            .limits
            .insert(DEFAULT_DEVICE.into(), Quantity(count.to_string()));
    }
    if job_names_device {
        by_profile.limits.retain(|name, _| !is_device(name));
        by_profile.requests.retain(|name, _| !is_device(name));
    }
    let named = by_job.or(by_profile);
    let devices = devices(&named, asked.template);
    Ok(match size {
        Some(size) => named.or(estimated(asked, size, devices)),
        None => named.or_default(&defaults(server.engine)),
    })
}

/// The devices that one server is given.
pub(super) fn devices(resources: &Resources, template: Option<&PodTemplateSpec>) -> Devices {
    match counted(resources) {
        0 if server_container::find(template).is_some_and(has_claims) => Devices::Claimed,
        count => Devices::Counted(count),
    }
}

/// Whether a resource is a device: extended resources have a domain in their name, Kubernetes' own do not.
#[must_use]
pub fn is_device(resource: &str) -> bool {
    resource.contains('/')
}

/// Whether a device computes. Others, such as network adapters (`vpc.amazonaws.com/efa`), are of no use to a model.
fn is_accelerator(device: &str) -> bool {
    let kind = kind(device);
    let has = |words: &[&str]| words.iter().any(|word| kind.contains(word));
    has(&ACCELERATORS) && !has(&OF_ACCELERATORS)
}

/// Whether there are parts of devices among these.
pub(super) fn has_parts(resources: &Resources) -> bool {
    let mut names = resources.limits.keys().chain(resources.requests.keys());
    names.any(|name| kind(name).starts_with(PART_OF_GPU))
}

/// The name within its domain.
fn kind(device: &str) -> String {
    let (_, kind) = device.split_once('/').unwrap_or_default();
    kind.to_ascii_lowercase()
}

/// The model's size, where it can be estimated.
fn size(asked: &Asked<'_>) -> Option<Size> {
    Size::estimate(&SizingInput {
        engine: asked.server.engine,
        model: asked.model,
        parameters: asked.model.entry().map(|entry| entry.parameters),
        quantization: asked.server.quantization.as_deref(),
        args: &asked.server.args,
    })
}

/// How many times the profile's resources are taken: as the job says, else as the model needs.
fn count(asked: &Asked<'_>, chosen: Chosen<'_>, size: Option<Size>) -> Result<u32, Wait> {
    if let Some(count) = chosen.count {
        return Ok(count);
    }
    let each = devices_of(chosen.profile, asked.server.engine);
    let (Some(size), Some(memory)) = (size, chosen.profile.device_memory) else {
        return Ok(1);
    };
    if each == 0 {
        return Ok(1);
    }
    let Some(needed) = size.devices(memory) else {
        return Err(too_large(asked.model, memory));
    };
    Ok(needed.div_ceil(each))
}

fn too_large(model: &BaseModel, memory: u64) -> Wait {
    let message = format!(
        "spec.server.resourceProfile: {:?} is estimated to need more than 8 devices of {} GiB: choose a profile with larger devices or a \
         quantization, or write how many devices there are to be as NAME:COUNT",
        model.value(),
        memory / GIBIBYTE
    );
    Wait::new(Reason::SpecInvalid, message)
}

/// How many devices a profile's resources name once.
fn devices_of(profile: &ResourceProfile, engine: Engine) -> u32 {
    if profile.resources.is_empty() {
        return u32::from(needs_device(engine));
    }
    counted(&profile.resources)
}

/// Whether an engine's image computes on devices only. Of a person's own image nothing is known.
fn needs_device(engine: Engine) -> bool {
    matches!(engine, Engine::VLLM | Engine::LoRAX | Engine::SGLang)
}

fn names_device(resources: &Resources) -> bool {
    let mut names = resources.limits.keys().chain(resources.requests.keys());
    names.any(|name| is_device(name))
}

/// The devices that compute; where none is known to, all.
fn counted(resources: &Resources) -> u32 {
    let requested = |name: &String| !resources.limits.contains_key(name);
    let named = resources
        .limits
        .iter()
        .chain(resources.requests.iter().filter(|(name, _)| requested(name)));
    let devices = named.filter(|(name, _)| is_device(name));
    let (accelerators, others): (Vec<_>, Vec<_>) = devices.partition(|(name, _)| is_accelerator(name));
    let devices = if accelerators.is_empty() { others } else { accelerators };
    let counts = devices
        .iter()
        .map(|(_, quantity)| quantity.0.parse::<u32>().unwrap_or(1));
    counts.fold(0, u32::saturating_add)
}

fn estimated(asked: &Asked<'_>, size: Size, devices: Devices) -> Resources {
    let engine = asked.server.engine;
    let memory = size.memory(devices);
    let is_cached = asked.server.model_cache.is_some();
    let disk = size
        .disk()
        .filter(|_| !is_cached && !weights_volume::has_weights(asked.server, asked.template));
    let disk = disk.map(|bytes| ("ephemeral-storage", gibibytes(bytes)));
    let requests = [
        ("cpu", processors(engine, devices)),
        ("memory", gibibytes(memory.request)),
    ];
    let named = |(name, quantity): (&str, Quantity)| (name.to_owned(), quantity);
    Resources {
        limits: [("memory", gibibytes(memory.limit))].map(named).into(),
        requests: requests.into_iter().chain(disk).map(named).collect(),
    }
}

/// Processors for each device: one that feeds it, one for requests. llama-server without a device takes what is free.
fn processors(engine: Engine, devices: Devices) -> Quantity {
    let each = if engine == Engine::LlamaCpp { 1 } else { 2 };
    Quantity(devices.at_least_one().saturating_mul(each).to_string())
}

/// Whole GiB, rounded up.
fn gibibytes(bytes: u64) -> Quantity {
    Quantity(format!("{}Gi", bytes.div_ceil(GIBIBYTE)))
}

/// For a model of whose size nothing is known.
fn defaults(engine: Engine) -> ComputeDefaults {
    match engine {
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
    }
}

#[cfg(test)]
#[path = "server_resources_tests.rs"]
mod tests;
