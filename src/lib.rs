//! The batch inference operator: a Kubernetes controller, and the feeder that it starts for each job.
//!
//! The folders are floors, and imports only go down (`tests/architecture.rs` keeps it so):
//! `controller`, `feeder`, `model_cache`, `verify` → `dataset`, `results` → `storage` → `engine` → `api` → `openai`.
//! `docs/architecture.md` has the picture.

pub mod api;
pub mod cli;
pub mod controller;
pub mod dataset;
pub mod engine;
pub mod feeder;
pub mod model_cache;
pub mod openai;
pub mod results;
pub mod storage;
pub mod verify;
