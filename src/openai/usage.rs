use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::{json::for_each_member, scan::Scanner};

/// The tokens that an answer cost, as the server counted them; zero where it does not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written. Embeddings write none.
    pub completion_tokens: u64,
}

impl Usage {
    /// Both.
    #[must_use]
    pub fn total(self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }

    /// Reads the JSON text of a `usage` member. What is absent, negative or no integer counts as zero: the row's answer
    /// is worth more than its price.
    pub(super) fn from_json(usage: &str) -> Self {
        let mut read = Self::default();
        if read.scan(usage).is_some() {
            return read;
        }
        let mut read = Self::default();
        let checked = for_each_member(usage, |key, value| read.set(&key, value.get()));
        checked.map_or(Self::default(), |()| read)
    }

    fn scan(&mut self, usage: &str) -> Option<()> {
        let mut scanner = Scanner::new(usage);
        scanner.object(|scanner, key| {
            let value = scanner.value(Scanner::MAX_LEVELS)?;
            self.set(key, value);
            Some(())
        })?;
        scanner.at_end().then_some(())
    }

    fn set(&mut self, key: &str, value: &str) {
        match key {
            "prompt_tokens" => self.prompt_tokens = value.parse().unwrap_or(0),
            "completion_tokens" => self.completion_tokens = value.parse().unwrap_or(0),
            _ => {}
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
    }
}
