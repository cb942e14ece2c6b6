//! How long to wait, as kubectl's users write it.

use std::time::Duration;

use jiff::SignedDuration;

/// Reads `30s`, `5m`, `1h30m`, or `0`.
///
/// # Errors
///
/// What to write instead.
pub fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let advice = || "write it as 30s, 5m or 1h30m; 0 only looks".to_owned();
    let read: SignedDuration = text.parse().map_err(|_| advice())?;
    Duration::try_from(read).map_err(|_| advice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_with_a_unit() {
        for (text, seconds) in [("0", 0), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("1h 30m", 5400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "-5m", "soon"] {
            assert!(duration(text).unwrap_err().contains("30s"), "{text}");
        }
    }
}
