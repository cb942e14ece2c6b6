//! Waiting for conditions.

use std::time::Duration;

/// The longest that a test waits for something that should come within seconds, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// How soon a server is used once its endpoint is ready, and left alone once that is gone. The feeder promises it, so tests hold it to
/// that, by the clock of the process that writes the endpoint and runs the servers. What it takes is some milliseconds;
/// the second that is promised is for a machine that has nothing else to do.
pub const AT_ONCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until a condition holds, and fails when it does not within [`PATIENCE`].
pub async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    until_within(PATIENCE, what, condition).await;
}

/// Waits until a condition holds, and fails when it does not within `limit`.
pub async fn until_within(limit: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(PAUSE).await;
        }
    };
    let waited = tokio::time::timeout(limit, waiting).await;
    assert!(waited.is_ok(), "{what}: not within {limit:?}");
}
