//! How fast a server answers over a time.

use std::time::Duration;

use tokio::time::Instant;

/// What a server does in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// Work, in tokens.
    pub(super) work: f64,
    /// Rows.
    pub(super) answers: f64,
}

/// A count of answers over a time.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Answers that still belong to what was before.
    skipped: usize,
    /// Whether it does not begin with the first answer of all.
    has_known_begin: bool,
    since: Option<Instant>,
    answers: usize,
    work: u64,
    /// Those that came while all of the bound was used.
    used: usize,
    wanted: usize,
    shortest: Duration,
}

impl Window {
    pub(super) fn new(skipped: usize, since: Option<Instant>, wanted: usize, shortest: Duration) -> Self {
        Self {
            skipped,
            has_known_begin: skipped > 0 || since.is_some(),
            since: since.filter(|_| skipped == 0),
            wanted,
            shortest,
            ..Self::default()
        }
    }

    /// Counts an answer; the pace when there are enough.
    #[expect(clippy::cast_precision_loss, reason = "a count of tokens is far below 2^52")]
    pub(super) fn answered(&mut self, now: Instant, work: u64, used: bool) -> Option<Pace> {
        if self.skipped > 0 {
            self.skipped -= 1;
            return None;
        }
        let since = *self.since.get_or_insert(now);
        self.answers += 1;
        self.work += work;
        self.used += usize::from(used);
        if self.answers < self.wanted {
            return None;
        }
        let time = now.saturating_duration_since(since);
        (time >= self.shortest).then(|| Pace {
            work: self.work as f64 / time.as_secs_f64(),
            answers: self.answers as f64 / time.as_secs_f64(),
        })
    }

    /// Whether it was known when it began: at a moment, or after as many answers as may be of what was before.
    pub(super) fn has_known_begin(&self) -> bool {
        self.has_known_begin
    }

    /// Whether the bound was what kept rows back.
    pub(super) fn is_of_the_bound(&self) -> bool {
        self.used * 2 >= self.answers
    }
}
