//! A wait: its reason, and the words of whoever makes it wait.

use super::reason::Reason;

/// Why something waits, with the words of whoever makes it wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The reason.
    pub reason: Reason,
    /// In words.
    pub message: String,
}

impl Wait {
    /// A wait.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    /// What happened, and what to do about it when there is something to do.
    #[must_use]
    pub fn explain(&self) -> String {
        let advice = self.reason.advice();
        if advice.starts_with("Nothing to do") {
            return self.message.clone();
        }
        let happened = self.message.trim_end_matches('.');
        if happened.is_empty() {
            return advice.to_owned();
        }
        format!("{happened}. {advice}")
    }
}
