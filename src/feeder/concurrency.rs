//! How many rows a replica should have at once.

use std::time::Duration;

use tokio::time::Instant;

use crate::engine::EngineLoad;

/// One replica's bound.
#[derive(Debug, Default)]
pub struct Concurrency;

impl Concurrency {
    /// At least 1.
    pub fn limit(&self) -> usize {
        64
    }

    /// A row was answered; `in_flight` counts it too.
    pub fn answered(&mut self, _now: Instant, _latency: Duration, _in_flight: usize) {}

    /// The engine told its queue.
    pub fn observed(&mut self, _now: Instant, _load: EngineLoad, _in_flight: usize) {}

    /// The server said that it has no room.
    pub fn refused(&mut self, _now: Instant) {}
}
