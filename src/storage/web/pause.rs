//! How long a file is not fetched again after all that came of it had to be thrown away: each try may be gigabytes over the network.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// As long as other failures are waited for at most, at first.
const FIRST: Duration = Duration::from_secs(30);
/// Who makes room, or a smaller file, is waited for no longer than this.
const LONGEST: Duration = Duration::from_mins(10);

/// The time after copies that found no room.
#[derive(Default)]
pub struct Pause(Mutex<Option<Failed>>);

/// The last of those copies.
struct Failed {
    /// What the disk said.
    what: String,
    /// How many there were.
    tries: u32,
    at: Instant,
}

impl Failed {
    /// Half a minute that doubles up to ten.
    fn pause(&self) -> Duration {
        FIRST
            .saturating_mul(1 << self.tries.saturating_sub(1).min(10))
            .min(LONGEST)
    }
}

impl Pause {
    /// What the last copy failed with, while it is too early for another.
    pub fn lasting(&self) -> Option<String> {
        let failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = failed.as_ref().filter(|failed| failed.at.elapsed() < failed.pause());
        failed.map(|failed| failed.what.clone())
    }

    /// Begins now, and is longer than the one before.
    pub fn begin(&self, what: String) {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tries = failed.as_ref().map_or(0, |failed| failed.tries).saturating_add(1);
        *failed = Some(Failed {
            what,
            tries,
            at: Instant::now(),
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_ten_minutes_and_say_what_failed() {
        let pause = Pause::default();
        assert_eq!(pause.lasting(), None);
        for seconds in [30, 60, 120, 240, 480, 600, 600] {
            pause.begin("no room".into());
            advance(Duration::from_secs(seconds - 1)).await;
            assert_eq!(pause.lasting().as_deref(), Some("no room"), "{seconds}");
            advance(Duration::from_secs(1)).await;
            assert_eq!(pause.lasting(), None, "{seconds}");
        }
    }
}
