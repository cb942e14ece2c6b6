//! Rows per second of late.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Rows become durable a segment at a time: over less than some segments the rate would only jump.
const WINDOW: Duration = Duration::from_secs(30);

/// The count of finished rows over the last half minute.
#[derive(Debug)]
pub struct Rate {
    /// Oldest first, never empty.
    samples: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// Begins with rows that were finished before.
    #[must_use]
    pub fn new(now: Instant, finished: u64) -> Self {
        Self {
            samples: [(now, finished)].into(),
        }
    }

    /// Takes the count of now; it never falls.
    pub fn sample(&mut self, now: Instant, finished: u64) {
        self.samples.push_back((now, finished));
        // The last one before the window stays: the window begins between it and the next.
        while self
            .samples
            .get(1)
            .is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW)
        {
            self.samples.pop_front();
        }
    }

    /// As a decimal number with one digit; `None` before a second has passed.
    #[must_use]
    pub fn per_second(&self) -> Option<String> {
        let ((from, before), (to, after)) = (self.samples.front()?, self.samples.back()?);
        let millis = u64::try_from(to.duration_since(*from).as_millis()).ok()?;
        if millis < 1000 {
            return None;
        }
        let tenths = after.saturating_sub(*before).saturating_mul(10_000) / millis;
        Some(format!("{}.{}", tenths / 10, tenths % 10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_of_the_last_half_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rate = Rate::new(start, 1000);
        assert_eq!(rate.per_second(), None);
        rate.sample(at(4), 1010);
        assert_eq!(rate.per_second().as_deref(), Some("2.5"));
        for second in 5..=100 {
            rate.sample(at(second), 1010);
        }
        assert_eq!(rate.per_second().as_deref(), Some("0.0"));
        assert_eq!(rate.samples.len(), 31);
        rate.sample(at(130), 1310);
        assert_eq!(rate.per_second().as_deref(), Some("10.0"));
    }
}
