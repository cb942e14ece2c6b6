//! The floors of the operator that read a user's bucket, compiled without Kubernetes: in minutes instead of a quarter of an hour.

#![allow(dead_code, unused_imports, reason = "the operator uses what is not used here")]

#[path = "../../src/dataset/mod.rs"]
pub mod dataset;
#[path = "../../src/openai/mod.rs"]
pub mod openai;
#[path = "../../src/results/mod.rs"]
pub mod results;
#[path = "../../src/storage/mod.rs"]
pub mod storage;
