//! The feeder: one CPU pod a job, which checks the data set, sends each row to the model servers, makes the answers durable and
//! writes the results.
//!
//! May use everything below `controller`. Decisions are pure (`dispatch`, `report`, `rate`, `backoff`), I/O is around them.
//! Start with [`run`](run()), which talks to Kubernetes, then `steps`, which has the order of the work and runs in tests without a
//! cluster (`before_servers` has what comes before servers are needed, `inspecting` its longest part); `feed` is the loop that sends rows
//! by its `workers`, `dispatch` what it decides by, `concurrency` how many rows a server has at once; `probe` what a silent server is
//! asked; `route` the way to a server, be it a pod or an `endpoint`, and `refusals` what the latter means by refusing; `adapters` has
//! what is other where rows name any; `reporter` says in the status what happens.

mod adapters;
mod backoff;
mod before_servers;
mod budget;
pub mod concurrency;
pub mod dispatch;
mod endpoint;
pub mod engine_load;
mod estimate;
mod failures;
mod feed;
mod feeding;
mod finished;
mod follow;
mod inspected;
mod inspecting;
mod job;
mod job_status;
mod locate;
mod memory;
mod model;
mod open;
mod open_files;
mod outcome;
pub mod patience;
mod preflight;
mod probe;
pub mod rate;
mod refusals;
pub mod replicas;
pub mod report;
pub mod reporter;
mod route;
mod rows;
mod run;
mod send;
pub mod steps;
mod stopping;
mod trouble;
mod turn;
mod workers;

pub use job::Job;
pub use reporter::PROGRESS_INTERVAL;
pub use run::{Arguments, Exit, run};
pub use trouble::chain;
