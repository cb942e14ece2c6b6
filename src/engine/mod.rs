//! What each model server program needs and how its answers are read: image, arguments, environment, quantization, verdicts; and the catalog of base models.
//!
//! Pure: no I/O, no client, no Kubernetes types; uses only `api` (for [`Engine`], the fields of adapters and what was resolved of a job) and `openai` (for what is JSON). Start with [`launch`], which turns a job's
//! wishes into a [`Launch`]; [`vllm`], [`lorax`], [`sglang`], [`llama_cpp`] and [`custom`] hold what is peculiar to one program; [`conflicts`] refuses
//! arguments that fight a field (`conflict_options` lists them), [`found`] reads how somebody else starts a server, [`endpoint`] where one is; [`model`] reads `spec.server.baseModel`;
//! [`devices`] spreads a model over several devices; [`revision`] puts a commit among arguments; [`sizing`] estimates what it needs; [`repository`] reads what a hub says of a model, [`architecture`] and [`checkpoint`] say
//! which of them an engine loads, [`model_limits`] which a job may run, [`version`] which version an image has, [`model_files`] and [`gguf`] which files of one, [`model_cache`] how it reads them from a volume; [`adapters`] has all that is about LoRA; [`names`] says which `body.model` is the base; [`lorax_bodies`] makes LoRAX speak as the others do; [`classify`] says what to
//! do with a row after an answer or a fault; [`metrics`] reads how much an engine has to do; [`last_words`] says why a server ended.
//!
//! Facts were read in vLLM 0.32.0, predibase/lorax a7394ba, sglang 0.5.23 and llama.cpp 0.7.0 (build 11669); "llama-server run" means observed on that build.

pub mod adapters;
pub mod architecture;
pub mod catalog;
pub mod checkpoint;
pub mod classify;
mod close_names;
mod conflict_options;
pub mod conflicts;
pub mod custom;
pub mod devices;
pub mod endpoint;
pub mod found;
pub mod gguf;
pub mod image;
pub mod last_words;
pub mod launch;
pub mod llama_cpp;
pub mod lorax;
pub mod lorax_bodies;
pub mod metrics;
pub mod model;
pub mod model_cache;
pub mod model_files;
pub mod model_limits;
pub mod model_refusal;
pub mod names;
mod parameters;
pub mod quantization;
pub mod repository;
pub mod repository_file;
pub mod revision;
pub mod sglang;
pub mod sizing;
mod spelling;
pub mod version;
pub mod vllm;
mod vocabulary;
mod weights;

pub use crate::api::Engine;
pub use adapters::AdapterNames;
pub use catalog::{Catalog, CatalogEntry, CatalogError};
pub use classify::{Answer, Fault, Outcome, RetryReason, StopReason, Verdict, classify, lacks_adapter};
pub use conflicts::{Conflict, conflict};
pub use devices::Devices;
pub use endpoint::{EndpointUrl, EndpointUrlError};
pub use image::Image;
pub use last_words::{LastWords, Mistake, last_words};
pub use launch::{
    GivenContainer, Launch, LaunchError, LaunchInput, Readiness, download_directory, launch, weights_cache,
};
pub use metrics::{EngineLoad, engine_load};
pub use model::{BaseModel, Location, ModelError};
pub use model_limits::ModelLimits;
pub use model_refusal::{ModelRefusal, refuse_architecture, refuse_checkpoint, refuse_size};
pub use names::{AcceptedNames, NameError};
pub use version::Version;
