//! An error with its causes in words. Pure.

use std::error::Error;

/// The most of a failure's text that is said, in bytes: a store may answer with a page of HTML.
const LONGEST_CHAIN: usize = 1024;

/// An error and its causes on one line, as much of it as a status has room for.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = whole_chain(error);
    line.truncate(line.floor_char_boundary(LONGEST_CHAIN));
    line
}

/// An error and all its causes on one line, however long that is: the last cause may be what matters.
#[must_use]
pub fn whole_chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |error| (*error).source());
    let mut text = error.to_string();
    for cause in causes.map(ToString::to_string) {
        // Some errors repeat their cause in their own words.
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the store failed")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_chain_is_one_short_line_without_repetition() {
        let error = Outer(io::Error::other("no\n  route"));
        assert_eq!(chain(&error), "the store failed: no route");
        let long = Outer(io::Error::other("é".repeat(2000)));
        assert!(chain(&long).len() <= LONGEST_CHAIN);
        let same = io::Error::other(Outer(io::Error::other("why")));
        assert_eq!(chain(&same), "the store failed: why");
    }
}
