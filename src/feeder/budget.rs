//! How much of `spec.budget` is used up. Pure.

use crate::api::amount::Amount;
use crate::api::prices::Prices;
use crate::openai::Usage;
use crate::results::StopReason;

use super::failures::Halt;

/// Servers need not say what an answer cost.
const NOT_COUNTED: &str = "the servers' answers have no `usage`, so that no tokens are counted, and spec.budget.maxTotalTokens and maxTokenCost do not \
    end this job: set spec.activeDeadlineSeconds, or spec.budget.maxGPUCost where servers hold devices";

/// What a job may use up of tokens.
#[derive(Clone, Debug, Default)]
pub struct TokenBudget {
    /// `spec.budget.maxTotalTokens`.
    pub most: Option<u64>,
    /// `spec.budget.maxTokenCost`, and the prices that it is counted at.
    pub most_cost: Option<(Amount, Prices)>,
}

impl TokenBudget {
    /// What to say where so many rows have a result and used so many tokens, if the budget will never be used up.
    #[must_use]
    pub fn warning(&self, results: u64, tokens: u64) -> Option<&'static str> {
        let is_set = self.most.is_some() || self.most_cost.is_some();
        (is_set && results > 0 && tokens == 0).then_some(NOT_COUNTED)
    }
}

/// Tokens used, and how many there may be.
#[derive(Clone, Debug)]
pub struct Spending {
    budget: TokenBudget,
    used: u64,
}

impl Spending {
    /// For a job with that budget, whose finished rows used `used` tokens.
    #[must_use]
    pub fn new(budget: TokenBudget, used: u64) -> Self {
        Self { budget, used }
    }

    /// Takes the tokens of a row.
    pub fn spend(&mut self, usage: Usage) -> Option<Halt> {
        self.used = self.used.saturating_add(usage.total());
        self.too_much()
    }

    /// Whether more is used than may be.
    #[must_use]
    pub fn too_much(&self) -> Option<Halt> {
        let message = self.too_many_tokens().or_else(|| self.too_expensive())?;
        Some(Halt {
            reason: StopReason::BudgetExceeded,
            message,
        })
    }

    fn too_many_tokens(&self) -> Option<String> {
        let used = self.used;
        let most = self.budget.most.filter(|most| used > *most)?;
        Some(format!(
            "spec.budget.maxTotalTokens is {most}, and {used} tokens are used"
        ))
    }

    fn too_expensive(&self) -> Option<String> {
        let (most, prices) = self.budget.most_cost.as_ref()?;
        let cost = prices.of_tokens(self.used);
        let (used, currency) = (self.used, &prices.currency);
        (cost > *most).then(|| {
            format!("spec.budget.maxTokenCost is {most} {currency}, and the {used} tokens used cost {cost} {currency}")
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

    fn tokens(most: u64) -> TokenBudget {
        TokenBudget {
            most: Some(most),
            most_cost: None,
        }
    }

    fn cost(most: &str, price: &str) -> TokenBudget {
        let prices = Prices {
            per_million_tokens: price.parse().unwrap(),
            ..Prices::default()
        };
        TokenBudget {
            most: None,
            most_cost: Some((most.parse().unwrap(), prices)),
        }
    }

    #[test]
    fn one_token_more_than_may_be_stops_the_job() {
        let mut spending = Spending::new(tokens(100), 70);
        assert_eq!(spending.spend(usage(10, 20)), None);
        let halt = spending.spend(usage(0, 1)).unwrap();
        assert_eq!(halt.reason, StopReason::BudgetExceeded);
        assert_eq!(
            halt.message,
            "spec.budget.maxTotalTokens is 100, and 101 tokens are used"
        );
        assert_eq!(Spending::new(tokens(100), 101).too_much(), Some(halt));
        assert_eq!(Spending::new(TokenBudget::default(), u64::MAX).spend(usage(1, 1)), None);
    }

    #[test]
    fn tokens_that_cost_more_than_they_may_stop_the_job() {
        let mut spending = Spending::new(cost("0.01", "5"), 1000);
        assert_eq!(spending.spend(usage(400, 600)), None, "all of it may be used up");
        let halt = spending.spend(usage(0, 1)).unwrap();
        assert_eq!(halt.reason, StopReason::BudgetExceeded);
        assert_eq!(
            halt.message,
            "spec.budget.maxTokenCost is 0.01 USD, and the 2001 tokens used cost 0.010005 USD"
        );
        for (most, price, used, stops) in [
            ("0", "0", u64::MAX, false),
            ("0", "0.50", 0, false),
            ("0", "0.50", 1, true),
            ("9223372036854.775807", "0.50", u64::MAX, true),
            ("9223372036854.775808", "0.50", u64::MAX, false),
        ] {
            let spending = Spending::new(cost(most, price), used);
            assert_eq!(spending.too_much().is_some(), stops, "{used} at {price} of {most}");
        }
    }

    #[test]
    fn a_budget_that_nothing_is_counted_for_is_warned_of() {
        for (budget, results, used, is_warned) in [
            (tokens(100), 1, 0, true),
            (cost("1", "1"), 1, 0, true),
            (tokens(100), 1, 1, false),
            (tokens(100), 0, 0, false),
            (TokenBudget::default(), 1, 0, false),
        ] {
            assert_eq!(
                budget.warning(results, used).is_some(),
                is_warned,
                "{budget:?} {results} {used}"
            );
        }
    }

    #[test]
    fn what_is_used_up_first_stops_the_job() {
        let budget = TokenBudget {
            most: Some(100),
            ..cost("1", "10000")
        };
        let stopped = |used| Spending::new(budget.clone(), used).too_much().map(|halt| halt.message);
        assert_eq!(stopped(100), None);
        let message = stopped(101).unwrap();
        assert!(message.starts_with("spec.budget.maxTotalTokens"), "{message}");
    }
}
