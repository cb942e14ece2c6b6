//! Fills a model cache: a pod without devices brings what a job's model needs onto a claim, before any server starts.
//!
//! May use `storage` and what is below it; the controller starts this as a Job of its own and knows it by `status.modelCache` only. It is
//! no part of the feeder, whose pod stays for all of the job and would hold a ReadWriteOnce claim on its node.
//! Start with [`run`](run()), which talks to Kubernetes, then `fill`, which has the order of the work and runs in tests without a
//! cluster; `limits` refuses a model that may not be run, `download` brings one file, `folder` knows where everything lies, `snapshot`
//! what somebody else has brought, `lock` lets one job fill at a time, `error` says what a failure means.

mod download;
mod error;
mod fill;
mod folder;
mod hasher;
mod limits;
mod lock;
mod marker;
mod meter;
mod run;
mod snapshot;
mod status;

pub use run::{Arguments, run};
