//! A model server without a model: it takes the options of vLLM, LoRAX, SGLang or llama-server and refuses others, answers the OpenAI API
//! with text made from the request, and misbehaves exactly as a row asks it to (`metadata.fake`, see [`script`]).
//!
//! Tests include this folder with `#[path = "fake-model-server/mod.rs"] mod fake_model_server;` and start a
//! [`FakeModelServer`]; in a cluster the same server is the process of `process.rs`. It counts the requests of each row
//! by the body's `user`, in which tests put the `custom_id`; a [`Recorder`] keeps the counts of servers that are gone.

#![allow(
    dead_code,
    unused_imports,
    reason = "each program that includes this folder uses a part of it"
)]

pub mod adapters;
pub mod answers;
pub mod bodies;
pub mod connections;
pub mod control;
pub mod flags;
pub mod in_process;
pub mod metrics;
pub mod moods;
pub mod recorder;
pub mod requests;
pub mod rows;
pub mod script;
pub mod server;
pub mod settings;

pub use flags::{Flags, Refusal};
pub use in_process::FakeModelServer;
pub use moods::Storm;
pub use recorder::{Event, EventKind, Recorder};
pub use requests::{Count, Given};
pub use settings::{LoraLoading, Program, Serves, Settings};
