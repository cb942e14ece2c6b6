//! How much of `spec.budget` is used up. Pure.

use crate::openai::Usage;
use crate::results::StopReason;

use super::failures::Halt;

/// Tokens used, and how many there may be.
#[derive(Clone, Copy, Debug)]
pub struct Spending {
    most: Option<u64>,
    used: u64,
}

impl Spending {
    /// For a job that may use `most` tokens, and of whose rows the finished ones used `used`.
    #[must_use]
    pub fn new(most: Option<u64>, used: u64) -> Self {
        Self { most, used }
    }

    /// Takes the tokens of a row.
    pub fn spend(&mut self, usage: Usage) -> Option<Halt> {
        self.used = self.used.saturating_add(usage.total());
        self.too_much()
    }

    /// Whether more is used than may be.
    #[must_use]
    pub fn too_much(&self) -> Option<Halt> {
        let most = self.most.filter(|most| self.used > *most)?;
        Some(Halt {
            reason: StopReason::BudgetExceeded,
            message: format!(
                "spec.budget.maxTotalTokens is {most}, and {} tokens are used",
                self.used
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(prompt_tokens: u64, completion_tokens: u64) -> Usage {
        Usage {
            prompt_tokens,
            completion_tokens,
        }
    }

    #[test]
    fn one_token_more_than_may_be_stops_the_job() {
        let mut spending = Spending::new(Some(100), 70);
        assert_eq!(spending.spend(usage(10, 20)), None);
        let halt = spending.spend(usage(0, 1)).unwrap();
        assert_eq!(halt.reason, StopReason::BudgetExceeded);
        assert_eq!(
            halt.message,
            "spec.budget.maxTotalTokens is 100, and 101 tokens are used"
        );
        assert_eq!(Spending::new(Some(100), 101).too_much(), Some(halt));
        assert_eq!(Spending::new(None, u64::MAX).spend(usage(1, 1)), None);
    }
}
