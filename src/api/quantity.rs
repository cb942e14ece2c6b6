//! Kubernetes quantities (`500m`, `24Gi`): read and multiplied, in integers.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Suffixes, and what each stands for in thousandths.
const SUFFIXES: [(&str, i128); 13] = [
    ("Ki", 1000 << 10),
    ("Mi", 1000 << 20),
    ("Gi", 1000 << 30),
    ("Ti", 1000 << 40),
    ("Pi", 1000 << 50),
    ("Ei", 1000 << 60),
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000_000),
];

/// A quantity in thousandths, as `resource.Quantity` of Kubernetes reads it; sub-thousandths are not told apart. None when it is no
/// quantity, or one with an exponent.
#[must_use]
pub fn thousandths(quantity: &str) -> Option<i128> {
    let (number, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| quantity.strip_suffix(suffix).map(|number| (number, *factor)))
        .unwrap_or((quantity, 1000));
    let (digits, decimals) = digits(number)?;
    Some(digits.checked_mul(factor)? / 10_i128.pow(decimals))
}

/// A quantity of bytes, rounded down; none when it is no quantity, or a negative one.
#[must_use]
pub fn bytes(quantity: &Quantity) -> Option<u64> {
    u64::try_from(thousandths(&quantity.0)? / 1000).ok()
}

/// So many times a quantity, with its suffix: four times `500m` is `2000m`. None when it is no quantity.
#[must_use]
pub fn times(quantity: &Quantity, count: u32) -> Option<Quantity> {
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-');
    let end = quantity.0.find(|c| !is_number(c)).unwrap_or(quantity.0.len());
    let (number, suffix) = quantity.0.split_at(end);
    let (digits, decimals) = digits(number)?;
    let product = digits.checked_mul(count.into())?;
    let one = 10_i128.pow(decimals);
    let fraction = match product % one {
        0 => String::new(),
        rest => format!(".{:0width$}", rest.abs(), width = decimals as usize),
    };
    Some(Quantity(format!("{}{fraction}{suffix}", product / one)))
}

/// A decimal number as an integer, and how many of its digits stand behind the point: `1.5` is 15 and 1.
fn digits(number: &str) -> Option<(i128, u32)> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let decimals = u32::try_from(fraction.len()).ok().filter(|decimals| *decimals <= 9)?;
    let digits = format!("{whole}{fraction}").parse().ok()?;
    Some((digits, decimals))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(text: &str) -> Quantity {
        Quantity(text.into())
    }

    #[test]
    fn bytes_are_read_with_both_kinds_of_suffixes() {
        for (text, expected) in [
            ("24Gi", Some(24 << 30)),
            ("1.5Gi", Some(3 << 29)),
            ("80G", Some(80_000_000_000)),
            ("1024", Some(1024)),
            ("1500m", Some(1)),
            ("-1", None),
            ("24GB", None),
            ("lots", None),
            ("", None),
        ] {
            assert_eq!(bytes(&quantity(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_product_keeps_its_suffix() {
        for (text, count, expected) in [
            ("1", 4, Some("4")),
            ("24Gi", 2, Some("48Gi")),
            ("500m", 4, Some("2000m")),
            ("1.5Gi", 2, Some("3Gi")),
            ("0.25", 3, Some("0.75")),
            ("1.05", 5, Some("5.25")),
            ("1e3", 2, Some("2e3")),
            ("Gi", 2, None),
            ("", 2, None),
        ] {
            assert_eq!(
                times(&quantity(text), count),
                expected.map(quantity),
                "{count} times {text}"
            );
        }
    }
}
