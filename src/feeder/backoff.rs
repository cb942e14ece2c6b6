//! How long to wait before trying again: arithmetic without a clock.

use std::time::{Duration, SystemTime};

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// A server that asks for more is asked again after this time all the same: it may have been replaced since.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(1);

/// The wait after the try of that number, counted from 1: half a second that doubles up to 30 s, and of it at least the half.
/// `jitter`, from 0 to 1, spreads those who failed together.
#[must_use]
pub fn backoff(tries: u32, jitter: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << tries.saturating_sub(1).min(10));
    doubled.min(LONGEST).mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
}

/// What the header `Retry-After` says: seconds, or a date (RFC 9110, section 10.2.3).
#[must_use]
pub fn read_retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// What a server's `Retry-After` comes to.
#[must_use]
pub fn retry_after(asked: Duration) -> Duration {
    asked.min(LONGEST_RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_are_at_least_half_of_it() {
        let millis = |tries, jitter| backoff(tries, jitter).as_millis();
        assert_eq!(
            [1, 2, 3, 6, 7, 8, u32::MAX].map(|tries| millis(tries, 1.0)),
            [500, 1000, 2000, 16_000, 30_000, 30_000, 30_000]
        );
        assert_eq!([0, 1, 7].map(|tries| millis(tries, 0.0)), [250, 250, 15_000]);
    }

    #[test]
    fn a_server_asks_for_seconds_or_names_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        let read = |header| read_retry_after(header, now);
        assert_eq!(read(" 120 "), Some(Duration::from_mins(2)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:20 GMT"), Some(Duration::ZERO));
        assert_eq!((read("soon"), read("-1"), read("")), (None, None, None));
    }

    #[test]
    fn what_a_server_asks_for_is_bounded() {
        assert_eq!(retry_after(Duration::from_secs(7)), Duration::from_secs(7));
        assert_eq!(retry_after(Duration::from_hours(24)), LONGEST_RETRY_AFTER);
    }
}
