//! Whether an object already is as wanted, so that nothing need be sent.

use serde::Serialize;
use serde_json::Value;

/// Fields whose values are quantities, which the API server rewrites (`1000m` becomes `1`).
const QUANTITY_MAPS: [&str; 4] = ["requests", "limits", "capacity", "hard"];
/// Single fields of the same kind.
const QUANTITY_FIELDS: [&str; 3] = ["sizeLimit", "divisor", "storage"];

/// Whether `observed` has every field that `wanted` sets, with the same value. What the API server filled in beyond that does
/// not count.
#[must_use]
pub fn is_unchanged<K: Serialize>(wanted: &K, observed: &K) -> bool {
    match (serde_json::to_value(wanted), serde_json::to_value(observed)) {
        (Ok(wanted), Ok(observed)) => covers(&wanted, Some(&observed)),
        _ => false,
    }
}

fn covers(wanted: &Value, observed: Option<&Value>) -> bool {
    match (wanted, observed) {
        (Value::Null, _) => true,
        (Value::Object(fields), None) => fields.values().all(|value| covers(value, None)),
        (Value::Array(items), None) => items.is_empty(),
        (_, None) => false,
        (Value::Object(wanted), Some(Value::Object(observed))) => wanted.iter().all(|(name, value)| {
            let observed = observed.get(name);
            if QUANTITY_MAPS.contains(&name.as_str()) {
                return covers_quantities(value, observed);
            }
            if QUANTITY_FIELDS.contains(&name.as_str()) && value.is_string() {
                return same_quantity(value, observed);
            }
            covers(value, observed)
        }),
        (Value::Array(wanted), Some(Value::Array(observed))) => {
            wanted.len() == observed.len()
                && wanted
                    .iter()
                    .zip(observed)
                    .all(|(wanted, observed)| covers(wanted, Some(observed)))
        }
        (wanted, Some(observed)) => wanted == observed,
    }
}

fn covers_quantities(wanted: &Value, observed: Option<&Value>) -> bool {
    let Some(wanted) = wanted.as_object() else {
        return covers(wanted, observed);
    };
    wanted
        .iter()
        .all(|(name, value)| same_quantity(value, observed.and_then(|observed| observed.get(name))))
}

fn same_quantity(wanted: &Value, observed: Option<&Value>) -> bool {
    let Some(observed) = observed else { return false };
    if wanted == observed {
        return true;
    }
    match (
        wanted.as_str().and_then(thousandths),
        observed.as_str().and_then(thousandths),
    ) {
        (Some(wanted), Some(observed)) => wanted == observed,
        _ => false,
    }
}

/// A quantity in thousandths, as `resource.Quantity` of Kubernetes reads it; sub-thousandths are not told apart.
fn thousandths(quantity: &str) -> Option<i128> {
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
    let (number, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| quantity.strip_suffix(suffix).map(|number| (number, *factor)))
        .unwrap_or((quantity, 1000));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = i32::try_from(fraction.len()).ok().filter(|digits| *digits <= 9)?;
    let value: i128 = format!("{whole}{fraction}").parse().ok()?;
    Some(value * factor / 10_i128.pow(digits.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::is_unchanged;

    #[test]
    fn what_the_server_filled_in_is_no_change() {
        let wanted = json!({"spec": {"replicas": 1, "containers": [{"name": "a"}], "empty": {}}});
        let observed =
            json!({"spec": {"replicas": 1, "containers": [{"name": "a", "policy": "Always"}]}, "status": {}});
        assert!(is_unchanged(&wanted, &observed));
    }

    #[test]
    fn a_changed_missing_or_added_value_is_a_change() {
        let wanted = json!({"spec": {"replicas": 1, "containers": [{"name": "a"}]}});
        for observed in [
            json!({"spec": {"replicas": 2, "containers": [{"name": "a"}]}}),
            json!({"spec": {"containers": [{"name": "a"}]}}),
            json!({"spec": {"replicas": 1, "containers": [{"name": "a"}, {"name": "b"}]}}),
        ] {
            assert!(!is_unchanged(&wanted, &observed), "{observed}");
        }
    }

    #[test]
    fn quantities_compare_by_value_only_where_quantities_are() {
        let same = [
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("2", "2"),
        ];
        for (wanted, observed) in same {
            assert!(
                is_unchanged(
                    &json!({"limits": {"cpu": wanted}}),
                    &json!({"limits": {"cpu": observed}})
                ),
                "{wanted}"
            );
            assert!(
                is_unchanged(&json!({"sizeLimit": wanted}), &json!({"sizeLimit": observed})),
                "{wanted}"
            );
        }
        assert!(!is_unchanged(
            &json!({"limits": {"cpu": "1"}}),
            &json!({"limits": {"cpu": "2"}})
        ));
        assert!(!is_unchanged(&json!({"value": "1000m"}), &json!({"value": "1"})));
    }
}
