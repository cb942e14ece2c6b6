//! What it means that an endpoint refuses a request: that nobody may send any, or that it does not answer this row. Pure.
//!
//! 403 is both: an answer to a key, and that of providers which look at what is asked, and of firewalls before them.

use crate::engine::{StopReason, Verdict};

use super::report::End;
use super::trouble::Stop;

/// So many rows refused with 403, and none answered well between them, say that it is not the rows.
const MOST_IN_A_ROW: u32 = 100;

/// What an endpoint's answers have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusals {
    /// Whether any row was answered well, by whichever start of the feeder.
    was_allowed: bool,
    /// Whether one was in this start.
    made_progress: bool,
    /// Rows refused with 403 since.
    in_a_row: u32,
}

impl Refusals {
    /// For a job of which earlier feeders got this many results.
    #[must_use]
    pub fn new(results: u64) -> Self {
        Self {
            was_allowed: results > 0,
            made_progress: false,
            in_a_row: 0,
        }
    }

    /// Takes an answer's status, and what it means of a server of the job's own; says what it means of an endpoint.
    pub fn judge(&mut self, status: Option<u16>, verdict: Verdict) -> Verdict {
        match (verdict, status) {
            (Verdict::Done, _) => {
                *self = Self {
                    was_allowed: true,
                    made_progress: true,
                    in_a_row: 0,
                };
                verdict
            }
            // The account has nothing left.
            (_, Some(status @ 402)) => Verdict::StopJob(StopReason::AccessDenied { status }),
            (Verdict::StopJob(_), Some(403)) if self.was_allowed && self.in_a_row < MOST_IN_A_ROW => {
                self.in_a_row += 1;
                Verdict::RowFailed
            }
            _ => verdict,
        }
    }

    /// What becomes of a start that is refused. A key that was good a moment ago may have been replaced: the next start has the Secret's key of
    /// then, and is the last if that gets nothing done.
    #[must_use]
    pub fn stop(self, end: End) -> Stop {
        if self.made_progress {
            return Stop::Restart(end.message);
        }
        Stop::Ended(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::reason::Reason;

    const fn denied(status: u16) -> Verdict {
        Verdict::StopJob(StopReason::AccessDenied { status })
    }

    fn answer(refusals: &mut Refusals, status: u16) -> Verdict {
        let verdict = match status {
            200 => Verdict::Done,
            401 | 403 => denied(status),
            _ => Verdict::RowFailed,
        };
        refusals.judge(Some(status), verdict)
    }

    #[test]
    fn a_row_is_refused_where_others_are_answered_and_else_the_key() {
        for (results, statuses, last) in [
            (0, &[401][..], denied(401)),
            (0, &[403], denied(403)),
            (0, &[402], denied(402)),
            (0, &[200, 403], Verdict::RowFailed),
            (1, &[403], Verdict::RowFailed),
            (1, &[401], denied(401)),
            (0, &[200, 401], denied(401)),
            (0, &[200, 402], denied(402)),
            (0, &[400, 403], denied(403)),
        ] {
            let mut refusals = Refusals::new(results);
            let verdicts = statuses.iter().map(|status| answer(&mut refusals, *status));
            assert_eq!(verdicts.last(), Some(last), "{results} {statuses:?}");
        }
        let mut refusals = Refusals::new(1);
        let fault = Verdict::ServerUnhealthy;
        assert_eq!(refusals.judge(None, fault), fault);
    }

    #[test]
    fn a_hundred_rows_that_are_refused_in_a_row_are_a_key_that_is() {
        let mut refusals = Refusals::new(1);
        for _ in 0..MOST_IN_A_ROW {
            assert_eq!(answer(&mut refusals, 403), Verdict::RowFailed);
        }
        assert_eq!(answer(&mut refusals, 403), denied(403));
        assert_eq!(answer(&mut refusals, 200), Verdict::Done);
        assert_eq!(answer(&mut refusals, 403), Verdict::RowFailed);
    }

    #[test]
    fn another_start_has_another_key_unless_this_one_got_nothing_done() {
        let end = || End::new(Reason::EndpointAccessDenied, "refused");
        let mut refusals = Refusals::new(1);
        assert_eq!(refusals.stop(end()), Stop::Ended(end()));
        answer(&mut refusals, 200);
        assert_eq!(refusals.stop(end()), Stop::Restart("refused".into()));
    }
}
