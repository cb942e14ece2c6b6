//! The fields of `spec`, as the definition has them.

use std::collections::{BTreeMap, BTreeSet};

use batch_inference_operator::api::crd;
use serde_json::Value;

/// The schema of `spec`.
pub fn spec() -> Value {
    let definition = serde_json::to_value(crd::definition()).expect("the definition as JSON");
    let spec = definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec");
    spec.expect("a schema of spec").clone()
}

/// The paths of all fields that have no fields of their own, with dots between names. One that is in `whole` is taken to have none.
pub fn fields(schema: &Value, whole: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect("", schema, whole, &mut found);
    found
}

fn collect(path: &str, schema: &Value, whole: &BTreeMap<String, String>, found: &mut BTreeSet<String>) {
    let schema = of_items(schema);
    let properties = schema["properties"].as_object().filter(|_| !whole.contains_key(path));
    let Some(properties) = properties else {
        let is_open = schema["type"] == "object" && !whole.contains_key(path);
        assert!(!is_open, "{path} takes any field: say under `whole` why that is right");
        found.insert(path.to_owned());
        return;
    };
    for (name, property) in properties {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        collect(&path, property, whole, found);
    }
}

/// The schema of a list's items; what is no list is as it is.
fn of_items(schema: &Value) -> &Value {
    schema.get("items").unwrap_or(schema)
}

/// The default of a field, if it has one.
pub fn default_of<'a>(schema: &'a Value, field: &str) -> Option<&'a Value> {
    of_field(schema, field).get("default")
}

/// The values that a field may have, where the definition lists them.
pub fn values_of<'a>(schema: &'a Value, field: &str) -> &'a [Value] {
    let values = of_items(of_field(schema, field))["enum"].as_array();
    values.map(Vec::as_slice).unwrap_or_default()
}

fn of_field<'a>(schema: &'a Value, field: &str) -> &'a Value {
    let mut at = schema;
    for name in field.split('.') {
        at = &of_items(at)["properties"][name];
    }
    at
}

#[test]
fn a_field_is_found_below_others_and_in_lists() {
    let text = serde_json::json!({"type": "string"});
    let list = serde_json::json!({"type": "array", "items": {"type": "object", "properties": {"a": text}}});
    let schema = serde_json::json!({"type": "object", "properties": {
        "plain": {"type": "integer", "default": 3, "enum": [3, 4]}, "list": list, "words": {"type": "array", "items": text}, "other": list,
    }});
    let whole = [("other".to_owned(), "as a test wants it".to_owned())].into();
    let found = fields(&schema, &whole);
    assert_eq!(found, ["list.a", "other", "plain", "words"].map(str::to_owned).into());
    assert_eq!(default_of(&schema, "plain"), Some(&serde_json::json!(3)));
    assert_eq!(default_of(&schema, "list.a"), None);
    assert_eq!(values_of(&schema, "plain"), [3, 4]);
    assert!(values_of(&schema, "list.a").is_empty());
}
