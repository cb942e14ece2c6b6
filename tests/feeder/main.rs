//! The feeder as a process: the real binary, a real S3 and fake model servers, with a small API server in place of Kubernetes.
//!
//! A test makes a [`world::World`] of its own (a folder in the bucket, an API server, model servers), starts feeders in it and
//! looks at what they leave. All share one S3, as that takes seconds to start.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

#[path = "../connect-proxy/mod.rs"]
mod connect_proxy;
#[path = "../fake-model-server/mod.rs"]
mod fake_model_server;
#[path = "../storage/ports.rs"]
mod ports;
#[path = "../proof/mod.rs"]
mod proof;
#[path = "../s3-proxy/mod.rs"]
mod s3_proxy;
#[path = "../s3-proxy/tests.rs"]
mod s3_proxy_tests;
#[path = "../storage/seaweedfs.rs"]
mod seaweedfs;

mod image;
mod kubernetes;
mod output;
mod process;
mod rows;
mod until;
mod world;

mod adapters;
mod adapters_of_hub;
mod bad_data;
mod bytes_kept;
mod compressed;
mod config_map;
mod crash_matrix;
mod default_store;
mod endpoint;
mod failures;
mod full_disk;
mod hung_replica;
mod invalid_rows;
mod killed;
mod large_rows;
mod model;
mod model_cache;
mod ordinary;
mod other_engines;
mod other_jobs;
mod other_output;
mod poison_row;
mod private_hub;
mod same_output;
mod server_faults;
mod servers_leave;
mod shutdown;
mod stopped_early;
mod store_faults;
mod store_without_conditions;
mod superseded;
mod vllm;
mod web;
