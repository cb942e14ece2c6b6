//! The controller: makes the cluster match each `BatchInferenceJob`, and says in its status how far that is.
//!
//! It never touches data and reads no Secret. [`reconcile`] is the place to start: it lists the steps, each a file of its own. [`dereference`] reads the cluster
//! ([`cache`] has what watches have brought), [`validate`] makes sense of the spec (`base_model`, `revision` and `adapters` of the model, `model_cache` of the claim that it is kept on, `server_resources` of what a server
//! asks for, `weights_volume` of where it keeps the model, `spread` of how it uses several devices, `foreign_devices` of those that the operator's images do not compute on, `server_conflicts` of arguments that say what a field says, [`resource_profile`] of where it may run), [`decide`] decides
//! (`stopping` has what ends or holds up a job, `conditions` what is said of it, `waiting` why pods do not run, `failing` which of that ends a job, `endpoint`
//! what is other where rows go to a server of somebody else, `lost`, `evicted` and `rejected` which pods do not count, `pod_missing` which are never made, `cost` what was used up) and [`build`] builds (all
//! pure), [`apply`] writes children ([`as_wanted`] knows which need no look, `in_the_way` which names are taken, `server_pods` changes single pods of the servers), [`update_status`] writes the
//! status. [`run`] wires it to the API server ([`api_server`] is how that is reached), [`leader`] sees that one controller works at a time, [`audit`] that no server is left without a job. Several of
//! them share `pod_state`, what a pod's status says, `server_container`, what a person's template says of the server, `variables` of containers, and `exactly`, writes to an object just as
//! it is known. Uses `engine` and `api`, and of `storage` only how a URI is read; never `feeder`, `dataset` or `results`.

mod adapters;
pub mod api_server;
pub mod apply;
pub mod as_wanted;
pub mod audit;
mod base_model;
pub mod build;
mod busy;
pub mod cache;
pub mod children;
mod conditions;
mod cost;
pub mod decide;
pub mod dereference;
mod endpoint;
pub mod events;
mod evicted;
mod exactly;
pub mod expiry;
mod failing;
mod feeder_lost;
mod foreign_devices;
pub mod from_deployment;
mod in_the_way;
pub mod leader;
mod lost;
mod model_cache;
mod pod_missing;
mod pod_state;
pub mod pod_template;
mod pulling;
pub mod reconcile;
mod rejected;
pub mod resource_profile;
mod revision;
pub mod run;
mod scheduling;
pub mod serve;
mod server_conflicts;
mod server_container;
pub mod server_pods;
mod server_resources;
pub mod settings;
mod spread;
mod starting;
mod stopping;
mod timeline;
pub mod unchanged;
pub mod update_status;
pub mod validate;
mod variables;
pub mod waiting;
mod weights_volume;
