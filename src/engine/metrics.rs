//! What an engine says of its own queue.

/// What an engine does at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineLoad {
    /// Requests that it works on.
    pub running: u64,
    /// Requests that wait for it.
    pub waiting: u64,
    /// Tokens read and written since it started: what moves while it works.
    pub tokens: u64,
}
