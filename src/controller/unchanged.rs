//! Whether an object already is as wanted, so that nothing need be sent.

use serde::Serialize;
use serde_json::Value;

use crate::api::quantity::thousandths;

/// Fields whose values are quantities, which the API server rewrites (`1000m` becomes `1`).
const QUANTITY_MAPS: [&str; 4] = ["requests", "limits", "capacity", "hard"];
/// Single fields of the same kind.
const QUANTITY_FIELDS: [&str; 3] = ["sizeLimit", "divisor", "storage"];
/// Fields in which `false` or `0` is kept when written, and is not the same as nothing.
const NEVER_DROPPED: [&str; 6] = [
    "allowPrivilegeEscalation",
    "automountServiceAccountToken",
    "enableServiceLinks",
    "runAsUser",
    "runAsGroup",
    "tolerationSeconds",
];

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
        (Value::Object(fields), None | Some(Value::Object(_))) => fields
            .iter()
            .all(|(name, value)| covers_field(name, value, observed.and_then(|observed| observed.get(name)))),
        (Value::Array(items), None) => items.is_empty(),
        (wanted, None) => is_dropped(wanted),
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

fn covers_field(name: &str, wanted: &Value, observed: Option<&Value>) -> bool {
    if QUANTITY_MAPS.contains(&name) {
        return covers_quantities(wanted, observed);
    }
    if QUANTITY_FIELDS.contains(&name) && wanted.is_string() {
        return same_quantity(wanted, observed);
    }
    if NEVER_DROPPED.contains(&name) && observed.is_none() {
        return wanted.is_null();
    }
    covers(wanted, observed)
}

/// Whether the API server leaves a value out when it writes an object, as the same as nothing.
fn is_dropped(value: &Value) -> bool {
    match value {
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        _ => false,
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
    fn a_value_that_the_api_server_drops_is_no_change_when_it_is_missing() {
        for wanted in [
            json!({"env": [{"name": "A", "value": ""}]}),
            json!({"env": [{"name": "A", "readOnly": false, "initialDelaySeconds": 0}]}),
        ] {
            assert!(is_unchanged(&wanted, &json!({"env": [{"name": "A"}]})), "{wanted}");
        }
        for wanted in [
            json!({"value": "x"}),
            json!({"readOnly": true}),
            json!({"port": 1}),
            json!({"securityContext": {"allowPrivilegeEscalation": false}}),
            json!({"securityContext": {"runAsUser": 0}}),
        ] {
            assert!(!is_unchanged(&wanted, &json!({})), "{wanted}");
        }
        assert!(!is_unchanged(&json!({"readOnly": false}), &json!({"readOnly": true})));
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
