//! Amounts of money as decimal strings.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Places behind the point.
const PLACES: usize = 6;
/// One of the currency, in millionths.
const ONE: u128 = 1_000_000;
/// Digits before the point.
const MOST_DIGITS: usize = 24;
/// The largest amount that can be written.
const MOST: u128 = 10_u128.pow(30) - 1;

/// An amount of money from 0 on, exact to a millionth. Floating point would not hold 0.1.
///
/// What it is multiplied to is rounded to a millionth, half of one up, and is never more than the largest that can be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Amount {
    millionths: u128,
}

/// A text that is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no amount of money: write it as digits with at most six behind a point, such as 0.50")]
pub struct AmountError(String);

impl Amount {
    /// One of the currency.
    pub const ONE: Self = Self { millionths: ONE };

    /// What all of something costs, each `count` of it at its own price for so many: `[(price, count)]` of `per`. It is rounded once.
    #[must_use]
    pub fn of(priced: impl IntoIterator<Item = (Self, u64)>, per: u64) -> Self {
        let products = priced
            .into_iter()
            .map(|(price, count)| price.millionths.saturating_mul(count.into()));
        let sum = products.fold(0, u128::saturating_add);
        let per = u128::from(per.max(1));
        Self {
            millionths: (sum.saturating_add(per / 2) / per).min(MOST),
        }
    }

    /// How many of something are to be had for it, at this price for so many; `None` when they cost nothing.
    #[must_use]
    pub fn buys(self, price: Self, per: u64) -> Option<u64> {
        let count = self
            .millionths
            .saturating_mul(per.into())
            .checked_div(price.millionths)?;
        Some(u64::try_from(count).unwrap_or(u64::MAX))
    }

    /// Without the other, and never less than nothing.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self {
            millionths: self.millionths.saturating_sub(other.millionths),
        }
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let millionths = millionths(text).ok_or_else(|| AmountError(text.to_owned()))?;
        Ok(Self { millionths })
    }
}

fn millionths(text: &str) -> Option<u128> {
    let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
    if !(1..=MOST_DIGITS).contains(&whole.len()) || !(1..=PLACES).contains(&places.len()) {
        return None;
    }
    let digits = format!("{whole}{places:0<PLACES$}");
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

impl fmt::Display for Amount {
    /// With two places at least, as prices are written.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = format!("{:0PLACES$}", self.millionths % ONE);
        write!(
            formatter,
            "{}.{:0<2}",
            self.millionths / ONE,
            places.trim_end_matches('0')
        )
    }
}

impl TryFrom<String> for Amount {
    type Error = AmountError;

    fn try_from(text: String) -> Result<Self, AmountError> {
        text.parse()
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.to_string()
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": format!(r"^[0-9]{{1,{MOST_DIGITS}}}(\.[0-9]{{1,{PLACES}}})?$"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().expect(text)
    }

    #[test]
    fn an_amount_is_written_with_two_places_or_as_many_as_it_has() {
        let largest = format!("{}.999999", "9".repeat(24));
        for (text, written) in [
            ("0", "0.00"),
            ("0.5", "0.50"),
            ("0.000001", "0.000001"),
            ("12.3450", "12.345"),
            ("007", "7.00"),
            (largest.as_str(), largest.as_str()),
        ] {
            assert_eq!(amount(text).to_string(), written);
            assert_eq!(amount(written), amount(text));
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        let too_large = "1".repeat(25);
        for text in [
            "",
            ".",
            ".5",
            "5.",
            "-1",
            "+1",
            "1e3",
            "1,5",
            "0.0000001",
            " 1",
            "1.2.3",
            "٣",
            too_large.as_str(),
        ] {
            let error = text.parse::<Amount>().expect_err(text).to_string();
            assert!(error.starts_with(&format!("`{text}` is no amount of money")), "{error}");
        }
    }

    #[test]
    fn the_schema_takes_what_can_be_read() {
        let schema = serde_json::to_value(schemars::schema_for!(Amount)).expect("a schema");
        assert_eq!(schema["pattern"], r"^[0-9]{1,24}(\.[0-9]{1,6})?$");
    }

    #[test]
    fn costs_are_rounded_to_a_millionth_half_of_one_up() {
        for (price, count, per, cost) in [
            ("0.50", 0, 1_000_000, "0.00"),
            ("0.50", 1, 1_000_000, "0.000001"),
            ("0.49", 1, 1_000_000, "0.00"),
            ("0.50", 2, 1_000_000, "0.000001"),
            ("0.50", 12_345_678, 1_000_000, "6.172839"),
            ("0.10", 3_000_000, 1_000_000, "0.30"),
            ("2.49", 3601, 3600, "2.490692"),
            ("1", 1, 3, "0.333333"),
            ("2", 1, 3, "0.666667"),
            ("0", u64::MAX, 1, "0.00"),
            ("999999999.999999", u64::MAX, 1_000_000, "18446744073709533168255.92629"),
        ] {
            let priced = [(amount(price), count)];
            assert_eq!(
                Amount::of(priced, per).to_string(),
                cost,
                "{count} at {price} for {per}"
            );
        }
    }

    #[test]
    fn sums_are_rounded_once_and_stay_in_range() {
        let third = (amount("1"), 1);
        assert_eq!(Amount::of([third, third, third], 3), amount("1"));
        assert_eq!(Amount::of([], 3600), Amount::default());
        let largest = amount(&format!("{}.999999", "9".repeat(24)));
        assert_eq!(Amount::of([(largest, u64::MAX), (largest, 1)], 3600), largest);
    }

    #[test]
    fn an_amount_buys_what_it_pays_for_in_full() {
        assert_eq!(amount("5").buys(amount("2.50"), 3600), Some(7200));
        assert_eq!(amount("1").buys(amount("3"), 1), Some(0));
        assert_eq!(amount("1").buys(amount("0"), 3600), None);
        assert_eq!(
            amount("1000000000000000000000").buys(amount("0.000001"), 3600),
            Some(u64::MAX)
        );
        assert_eq!(amount("1").less(amount("0.25")), amount("0.75"));
        assert_eq!(amount("1").less(amount("2")), amount("0"));
    }
}
