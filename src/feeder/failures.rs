//! Whether failed rows say that the job should stop. Pure.

use serde_json::Value;

use crate::results::StopReason;

/// So many answers that all fail alike say that the others will too.
const FIRST_ANSWERS: u64 = 100;
/// Of a failure's words, this many bytes are compared and quoted.
const LONGEST_QUOTE: usize = 300;

/// What failures have come to.
#[derive(Debug)]
pub struct Failures {
    most: Option<u64>,
    failed: u64,
    first: First,
}

/// The first answers.
#[derive(Debug)]
enum First {
    /// All were failures, and so many of this kind.
    Alike { count: u64, failure: Option<Failure> },
    /// They differ.
    Mixed,
}

/// A way to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    kind: String,
    quote: String,
}

/// Why a job should stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// The end that it comes to.
    pub reason: StopReason,
    /// In words.
    pub message: String,
}

impl Failures {
    /// For a job in which at most `most` rows may fail, and of which earlier feeders finished some.
    #[must_use]
    pub fn new(most: Option<u64>, results: u64, errors: u64) -> Self {
        // Of failures that an earlier feeder saw it is not known how they failed: they are not counted among the first.
        let first = if results == 0 {
            First::Alike {
                count: 0,
                failure: None,
            }
        } else {
            First::Mixed
        };
        Self {
            most,
            failed: errors,
            first,
        }
    }

    /// Takes a row that was answered well.
    pub fn succeeded(&mut self) {
        self.first = First::Mixed;
    }

    /// Takes a row that failed; `failure` is only asked for while it matters.
    pub fn failed(&mut self, failure: impl FnOnce() -> Failure) -> Option<Halt> {
        self.unsent().or_else(|| self.alike(failure))
    }

    /// Takes a row that failed and was not sent, which says nothing of how others will be answered.
    pub fn unsent(&mut self) -> Option<Halt> {
        self.failed += 1;
        self.too_many()
    }

    /// Whether more rows have failed than may.
    #[must_use]
    pub fn too_many(&self) -> Option<Halt> {
        let most = self.most.filter(|most| self.failed > *most)?;
        Some(Halt {
            reason: StopReason::TooManyFailedRows,
            message: format!("{} rows failed, and rowPolicy.maxFailedRows allows {most}", self.failed),
        })
    }

    fn alike(&mut self, failure: impl FnOnce() -> Failure) -> Option<Halt> {
        let First::Alike { count, failure: known } = &mut self.first else {
            return None;
        };
        let new = failure();
        if known.as_ref().is_some_and(|known| known.kind != new.kind) {
            self.first = First::Mixed;
            return None;
        }
        *count += 1;
        let message = (*count == FIRST_ANSWERS).then(|| {
            let quote = &new.quote;
            format!("the first {FIRST_ANSWERS} rows all failed the same way: {quote}")
        });
        *known = Some(new);
        Some(Halt {
            reason: StopReason::RowsFailAlike,
            message: message?,
        })
    }
}

impl Failure {
    /// Of a row that has no answer.
    #[must_use]
    pub fn without_answer(code: &str) -> Self {
        Self {
            kind: code.to_owned(),
            quote: code.to_owned(),
        }
    }

    /// Of an answer. Numbers in its words, such as a row's length, make no other kind.
    #[must_use]
    pub fn answered(status: u16, body: &[u8]) -> Self {
        let words = words_of(body);
        let words = &words[..words.floor_char_boundary(LONGEST_QUOTE)];
        let quote = format!("{status} {words}");
        Self {
            kind: quote.replace(|character: char| character.is_ascii_digit(), ""),
            quote,
        }
    }
}

/// What an error's body says for people, where the servers put it; else its beginning, on one line.
fn words_of(body: &[u8]) -> String {
    let json = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let places = ["/error/message", "/message", "/error", "/detail"];
    let message = places.iter().find_map(|place| json.pointer(place)?.as_str());
    let text = message.map_or_else(
        || String::from_utf8_lossy(&body[..body.len().min(LONGEST_QUOTE)]).into_owned(),
        ToOwned::to_owned,
    );
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn too_long(tokens: u64) -> Failure {
        let body = format!(r#"{{"error":{{"message":"{tokens} tokens\n are too many","code":400}}}}"#);
        Failure::answered(400, body.as_bytes())
    }

    fn halts(failures: &mut Failures, rows: u64) -> Vec<Halt> {
        (0..rows)
            .filter_map(|row| failures.failed(|| too_long(9000 + row)))
            .collect()
    }

    #[test]
    fn a_row_that_is_not_sent_counts_and_says_nothing_of_the_others() {
        let mut failures = Failures::new(Some(200), 0, 0);
        let halts: Vec<_> = (0..201).filter_map(|_| failures.unsent()).collect();
        assert_eq!(halts.len(), 1);
        assert_eq!(halts[0].reason, StopReason::TooManyFailedRows);
    }

    #[test]
    fn a_hundred_first_rows_that_fail_alike_stop_the_job_and_are_quoted() {
        let mut failures = Failures::new(None, 0, 0);
        assert_eq!(halts(&mut failures, 99), []);
        let halt = failures.failed(|| too_long(7)).unwrap();
        assert_eq!(halt.reason, StopReason::RowsFailAlike);
        assert_eq!(
            halt.message,
            "the first 100 rows all failed the same way: 400 7 tokens are too many"
        );
    }

    #[test]
    fn one_other_answer_among_the_first_lets_the_job_go_on() {
        let mut one_good = Failures::new(None, 0, 0);
        halts(&mut one_good, 50);
        one_good.succeeded();
        assert_eq!(halts(&mut one_good, 1000), []);
        let mut another_failure = Failures::new(None, 0, 0);
        halts(&mut another_failure, 50);
        another_failure.failed(|| Failure::answered(400, b"oops"));
        assert_eq!(halts(&mut another_failure, 1000), []);
        assert_eq!(
            halts(&mut Failures::new(None, 1, 0), 1000),
            [],
            "an earlier start had a result"
        );
    }

    #[test]
    fn failures_of_an_earlier_start_do_not_let_the_rest_fail_alike() {
        let mut failures = Failures::new(None, 0, 60);
        assert_eq!(halts(&mut failures, 99), []);
        assert_eq!(halts(&mut failures, 1)[0].reason, StopReason::RowsFailAlike);
    }

    #[test]
    fn one_failed_row_more_than_may_stops_the_job() {
        let mut failures = Failures::new(Some(3), 10, 1);
        assert_eq!(halts(&mut failures, 2), []);
        assert_eq!(failures.too_many(), None);
        let halt = failures.failed(|| too_long(1)).unwrap();
        assert_eq!(halt.reason, StopReason::TooManyFailedRows);
        assert_eq!(halt.message, "4 rows failed, and rowPolicy.maxFailedRows allows 3");
        assert_eq!(Failures::new(Some(3), 0, 4).too_many(), Some(halt));
    }

    #[test]
    fn words_are_found_where_servers_put_them() {
        for (body, words) in [
            (r#"{"error":{"message":"a b"}}"#, "a b"),
            (r#"{"error":"a","error_type":"generation"}"#, "a"),
            (r#"{"object":"error","message":"a"}"#, "a"),
            (r#"{"detail":"Not Found"}"#, "Not Found"),
            ("<html>\n oops", "<html> oops"),
            ("[1]", "[1]"),
        ] {
            assert_eq!(words_of(body.as_bytes()), words, "{body}");
        }
    }
}
