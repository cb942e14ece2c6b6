//! What a user does, on a real cluster: each test in a namespace and a part of the bucket of its own.
//!
//! `tests/cluster/with` gives the cluster, `install` what is in it. [`tenant`] is what tests stand on: a namespace with
//! keys, data sets, jobs and results. Tests in `operator` stop or change the operator itself and run one at a time,
//! `permissions` reads in the audit log what all the others did.

mod adapters;
mod answers;
mod audit;
mod bad_data;
mod coming_from_predibase;
mod commands;
mod conflicts;
mod deletion;
mod endpoint;
mod feeder_killed;
mod from_deployment;
mod gitops;
mod inspection_and_finalising;
mod job;
mod least_rights;
mod lifecycle;
mod llama_server_adapters;
mod llama_server_help;
mod messages;
mod missing;
mod model_cache;
mod names;
mod neighbours;
mod operator;
mod output;
mod permissions;
mod plugin;
mod pod_faults;
mod prices;
mod published;
mod quickstart;
mod races;
mod readiness;
mod rows;
mod second_node;
mod server_deleted;
mod spec_changes;
mod stages;
mod store_keys;
mod tail;
mod tenant;
mod troubleshooting;
mod until;
mod volume;
mod without_store;

#[path = "../fake-model-server/mod.rs"]
mod fake_model_server;
#[path = "../proof/mod.rs"]
mod proof;
#[expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]
#[path = "../s3-proxy/mod.rs"]
mod s3_proxy;
