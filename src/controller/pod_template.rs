//! A person's pod template: read strictly, and merged over the operator's.

use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use serde_json::Value;

use crate::api::resources::PodTemplate;

/// What is wrong with a pod template.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PodTemplateError {
    /// A value has the wrong type.
    #[error("{field}: {problem}")]
    Malformed {
        /// The template's place in the spec.
        field: String,
        /// What the reader said.
        problem: String,
    },
    /// A field that pods do not have.
    #[error("{0}: a pod has no such field; correct its name or remove it")]
    UnknownField(String),
}

/// Reads a template strictly: a field that a pod does not have is refused, not dropped.
///
/// # Errors
/// Names the field by its full path, beginning with `field`.
pub fn parse(template: &PodTemplate, field: &str) -> Result<PodTemplateSpec, PodTemplateError> {
    let parsed: PodTemplateSpec =
        serde_json::from_value(template.0.clone()).map_err(|error| PodTemplateError::Malformed {
            field: field.to_owned(),
            problem: error.to_string(),
        })?;
    // What the types do not know is missing when they are written out again.
    let known = serde_json::to_value(&parsed).unwrap_or_default();
    match first_unknown(&template.0, &known, field) {
        Some(path) => Err(PodTemplateError::UnknownField(path)),
        None => Ok(parsed),
    }
}

fn first_unknown(given: &Value, known: &Value, path: &str) -> Option<String> {
    match given {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !is_empty(value))
            .find_map(|(name, value)| {
                let path = format!("{path}.{name}");
                match known.get(name) {
                    Some(known) => first_unknown(value, known, &path),
                    None => Some(path),
                }
            }),
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            first_unknown(
                item,
                known.get(index).unwrap_or(&Value::Null),
                &format!("{path}[{index}]"),
            )
        }),
        _ => None,
    }
}

/// Null and empty values are left out when the types are written, so they tell nothing about whether a field is known.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// A person's template merged over the operator's: lists with names (containers, volumes, env) by name, as `kubectl patch` does.
/// Where entries have no names, a person's come before the operator's.
#[must_use]
pub fn merge(base: PodTemplateSpec, over: Option<&PodTemplateSpec>) -> PodTemplateSpec {
    let Some(over) = over else { return base };
    let mut merged = base.clone();
    merged.merge_from(over.clone());
    if let (Some(merged), Some(ours)) = (&mut merged.spec, base.spec) {
        keep_unnamed(merged, ours);
    }
    merged
}

/// A merge replaces lists without names as a whole, and with them the device's toleration and the stores' keys.
fn keep_unnamed(merged: &mut PodSpec, ours: PodSpec) {
    append_missing(&mut merged.tolerations, ours.tolerations);
    for ours in ours.containers {
        let same_name = merged.containers.iter_mut().find(|theirs| theirs.name == ours.name);
        if let Some(container) = same_name {
            append_missing(&mut container.env_from, ours.env_from);
        }
    }
}

fn append_missing<T: PartialEq>(list: &mut Option<Vec<T>>, ours: Option<Vec<T>>) {
    for item in ours.into_iter().flatten() {
        let list = list.get_or_insert_default();
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(json: Value) -> PodTemplate {
        PodTemplate(json)
    }

    #[test]
    fn an_unknown_field_is_named_by_its_path() {
        let template = template(serde_json::json!({
            "spec": {"containers": [{"name": "server", "imagee": "x"}]}
        }));
        let error = parse(&template, "spec.server.podTemplate").expect_err("imagee is no field");
        assert_eq!(
            error,
            PodTemplateError::UnknownField("spec.server.podTemplate.spec.containers[0].imagee".into())
        );
    }

    #[test]
    fn a_wrong_type_is_refused() {
        let template = template(serde_json::json!({"spec": {"nodeSelector": "gpu"}}));
        assert!(matches!(parse(&template, "t"), Err(PodTemplateError::Malformed { .. })));
    }

    #[test]
    fn containers_merge_by_name() {
        let base: PodTemplateSpec = serde_json::from_value(serde_json::json!({
            "spec": {"containers": [{"name": "server", "image": "a", "env": [{"name": "A", "value": "1"}]}]}
        }))
        .expect("a template");
        let over = template(serde_json::json!({
            "metadata": {"annotations": {"x": "y"}},
            "spec": {"containers": [{"name": "server", "env": [{"name": "B", "value": "2"}]}, {"name": "side", "image": "b"}]}
        }));
        let merged = merge(base, Some(&parse(&over, "t").expect("valid")));
        let containers = merged.spec.expect("a spec").containers;
        assert_eq!(containers.len(), 2);
        assert_eq!(containers[0].image.as_deref(), Some("a"));
        assert_eq!(containers[0].env.as_ref().map(Vec::len), Some(2));
    }

    #[test]
    fn a_person_s_tolerations_and_env_from_do_not_replace_ours() {
        let ours = serde_json::json!({"spec": {
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "containers": [{"name": "feeder", "envFrom": [{"prefix": "OUTPUT_", "secretRef": {"name": "keys"}}]}],
        }});
        let base: PodTemplateSpec = serde_json::from_value(ours).expect("a template");
        let over = template(serde_json::json!({"spec": {
            "tolerations": [{"key": "spot"}, {"key": "nvidia.com/gpu", "operator": "Exists"}],
            "containers": [{"name": "feeder", "envFrom": [{"configMapRef": {"name": "proxy"}}]}],
        }}));
        let merged = merge(base, Some(&parse(&over, "t").expect("valid")));
        let merged = serde_json::to_value(merged).expect("serialises");
        let want = serde_json::json!([{"key": "spot"}, {"key": "nvidia.com/gpu", "operator": "Exists"}]);
        assert_eq!(merged["spec"]["tolerations"], want);
        let want = serde_json::json!([
            {"configMapRef": {"name": "proxy"}},
            {"prefix": "OUTPUT_", "secretRef": {"name": "keys"}},
        ]);
        assert_eq!(merged["spec"]["containers"][0]["envFrom"], want);
    }
}
