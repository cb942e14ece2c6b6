//! The field `format`, with which every JSON object in an output begins.

use serde::de::Error as _;

/// Refuses an object of another format, or of another version of it: it is never guessed at.
pub(super) fn check(found: &str, expected: &str) -> serde_json::Result<()> {
    if found == expected {
        return Ok(());
    }
    let reason = format!("its format is {found}, not {expected}");
    Err(serde_json::Error::custom(reason))
}
