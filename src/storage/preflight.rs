//! Tries what an output will need, before anything costs.

use std::time::SystemTime;

use super::error::Error;
use super::store::{Put, Store};

/// Says to whoever finds it what it is.
const PROBE: &str = "The batch inference operator wrote this to see whether it can. It may be deleted.\n";

/// What a store can do besides writing and reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preflight {
    /// Whether the store refuses to create what is there. One that does not ignores `If-None-Match`.
    pub creates_once: bool,
    /// Whether it lets us delete. If not, the probe stays.
    pub deletes: bool,
    /// When the probe was written, by the store's clock.
    pub written: SystemTime,
}

/// Writes a small object at `key`, reads it, and tries to create it once more. One that an earlier preflight left there serves as
/// well: that the store refuses to create it shows the same.
///
/// # Errors
///
/// [`Error`]: why the output cannot be used, or not now.
pub async fn preflight(store: &Store, key: &str) -> Result<Preflight, Error> {
    let first = store.create(key, PROBE).await?;
    let not_as_written = || Error::NotAsWritten { uri: store.uri_of(key) };
    let read = store.read_dated(key).await?.ok_or_else(not_as_written)?;
    if read.bytes != PROBE {
        return Err(not_as_written());
    }
    let second = match first {
        Put::Created => store.create(key, PROBE).await?,
        Put::AlreadyExists => first,
    };
    let deleted = store.delete(std::iter::once(key.to_owned())).await;
    if let Err(error) = &deleted {
        tracing::info!(%error, "the probe in the output stays, as it cannot be deleted");
    }
    Ok(Preflight {
        creates_once: second == Put::AlreadyExists,
        deletes: deleted.is_ok(),
        written: read.modified,
    })
}
