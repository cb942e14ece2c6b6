//! `kubectl bij` as a person runs it: the real binary, in a pipe and in a terminal, before a small API server; what it uploads and
//! downloads, with a real S3.
//!
//! [`api_server`] is what it asks (its [`connections`] can be made to end badly), [`pods`] runs the operator's program where a pod would, [`plugin`] runs the plugin, [`terminal`] is a
//! terminal without a window.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

#[path = "../connect-proxy/mod.rs"]
mod connect_proxy;
#[path = "../fake-model-server/connections.rs"]
mod connections;
#[path = "../storage/ports.rs"]
mod ports;
#[path = "../s3-proxy/mod.rs"]
mod s3_proxy;
#[path = "../storage/seaweedfs.rs"]
mod seaweedfs;

mod api_server;
mod plugin;
mod pods;
mod store;
mod terminal;
mod until;

mod changing;
mod checking;
mod creating;
mod fetching;
mod fetching_through_a_pod;
mod following;
mod looking;
mod messages;
mod proxies;
mod uploading;
mod without_uri;
