//! What tokens and devices cost.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::amount::Amount;

/// Tokens are priced by the million.
const MILLION: u64 = 1_000_000;
/// Devices are priced by the hour, and counted by the second.
const HOUR: u64 = 3600;

/// What whoever installed the operator asks for tokens and devices.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prices {
    /// The currency of all amounts.
    pub currency: String,
    /// Of a million tokens, those of prompts and those of answers alike.
    pub per_million_tokens: Amount,
    /// Of an hour of one device, by resource name. Devices that are not named are not counted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub per_gpu_hour: BTreeMap<String, Amount>,
}

impl Default for Prices {
    /// 0.50 USD for a million tokens. What a device costs is not known.
    fn default() -> Self {
        Self {
            currency: "USD".into(),
            per_million_tokens: Amount::of([(Amount::ONE, 1)], 2),
            per_gpu_hour: BTreeMap::new(),
        }
    }
}

impl Prices {
    /// What so many tokens cost.
    #[must_use]
    pub fn of_tokens(&self, tokens: u64) -> Amount {
        Amount::of([(self.per_million_tokens, tokens)], MILLION)
    }

    /// What devices cost that were held for so many seconds, by resource name; `None` when no device has a price.
    #[must_use]
    pub fn of_devices(&self, seconds: &BTreeMap<String, i64>) -> Option<Amount> {
        (!self.per_gpu_hour.is_empty()).then(|| Amount::of(self.priced(seconds), HOUR))
    }

    /// For how many seconds `devices`, counted by resource name, are to be had for an amount; `None` when they cost nothing.
    #[must_use]
    pub fn seconds_of(&self, devices: &BTreeMap<String, i64>, amount: Amount) -> Option<u64> {
        amount.buys(Amount::of(self.priced(devices), 1), HOUR)
    }

    fn priced(&self, devices: &BTreeMap<String, i64>) -> impl Iterator<Item = (Amount, u64)> {
        devices.iter().filter_map(|(name, count)| {
            let price = self.per_gpu_hour.get(name)?;
            Some((*price, u64::try_from(*count).unwrap_or(0)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices(per_gpu_hour: &[(&str, &str)]) -> Prices {
        let priced = per_gpu_hour
            .iter()
            .map(|(name, price)| ((*name).to_owned(), price.parse().expect("a price")));
        Prices {
            per_gpu_hour: priced.collect(),
            ..Prices::default()
        }
    }

    fn devices(counts: &[(&str, i64)]) -> BTreeMap<String, i64> {
        counts
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    }

    #[test]
    fn tokens_cost_half_a_dollar_a_million_unless_it_is_said() {
        let prices = Prices::default();
        assert_eq!(
            serde_json::to_value(&prices).expect("serialises"),
            serde_json::json!({"currency": "USD", "perMillionTokens": "0.50"})
        );
        assert_eq!(prices.of_tokens(3_000_000).to_string(), "1.50");
    }

    #[test]
    fn devices_are_counted_that_have_a_price() {
        let held = devices(&[("nvidia.com/gpu", 5400), ("example.com/nic", 5400)]);
        let cost = |per_gpu_hour| prices(per_gpu_hour).of_devices(&held).map(|cost| cost.to_string());
        for (per_gpu_hour, want) in [
            (&[][..], None),
            (&[("nvidia.com/gpu", "2")], Some("3.00")),
            (&[("nvidia.com/gpu", "0")], Some("0.00")),
            (&[("nvidia.com/gpu", "2"), ("example.com/nic", "0.10")], Some("3.15")),
            (&[("amd.com/gpu", "2")], Some("0.00")),
        ] {
            assert_eq!(cost(per_gpu_hour).as_deref(), want, "{per_gpu_hour:?}");
        }
    }

    #[test]
    fn time_is_bought_for_all_devices_at_once() {
        let prices = prices(&[("nvidia.com/gpu", "3.60"), ("free.example/gpu", "0")]);
        let seconds = |held, amount: &str| prices.seconds_of(&devices(held), amount.parse().expect("an amount"));
        assert_eq!(seconds(&[("nvidia.com/gpu", 4)], "1"), Some(250));
        assert_eq!(seconds(&[("nvidia.com/gpu", 4)], "0.0039"), Some(0));
        assert_eq!(seconds(&[("nvidia.com/gpu", 0)], "1"), None);
        assert_eq!(seconds(&[("free.example/gpu", 8)], "1"), None);
        assert_eq!(seconds(&[], "1"), None);
    }
}
