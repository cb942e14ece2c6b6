//! The `BatchInferenceJob` resource: what a person writes, what the status tells, and the names that
//! controller, feeder and cluster agree on.
//!
//! Pure: no I/O, no client; uses only `openai`. [`job`] has the resource itself and is the place to
//! start; [`status`] says what is reported and by whom; [`condition`] and [`reason`] have the words for
//! every wait and every end; [`phase`] sums them up; [`names`] names child objects; [`crd`] makes the
//! manifest that is committed under `crds/`.

pub mod adapters;
pub mod amount;
pub mod budget;
pub mod condition;
pub mod crd;
pub mod dataset;
pub mod default_store;
pub mod endpoint;
pub mod feeder;
pub mod job;
pub mod model_cache;
pub mod names;
pub mod output;
pub mod phase;
pub mod prices;
pub mod quantity;
pub mod reason;
pub mod reference;
pub mod resources;
pub mod row_policy;
pub mod server;
pub mod shutdown;
pub mod status;
pub mod wait;

pub use job::{BatchInferenceJob, BatchInferenceJobSpec};
pub use server::Engine;
