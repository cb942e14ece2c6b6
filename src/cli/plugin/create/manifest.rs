//! Flags → job. Pure.

use kube::Resource;
use serde_json::{Value, json};

use super::arguments::{JobFlags, SecretKey};
use super::dataset::{FlagError, Rows};
use crate::api::BatchInferenceJob;

/// The API server adds five letters and digits.
const GENERATED: &str = "batch-";

/// The job. Without a name, the API server makes one.
///
/// # Errors
///
/// [`FlagError::UnusedSecret`].
pub fn manifest(name: Option<&str>, flags: &JobFlags, rows: Option<&Rows>) -> Result<Value, FlagError> {
    check_secret(flags, rows)?;
    let mut spec = json!({"dataset": dataset(rows), "server": {}});
    for (section, field, value) in given(flags, rows) {
        let Some(value) = value else { continue };
        match section {
            "" => spec[field] = value,
            section => spec[section][field] = value,
        }
    }
    let metadata = match name {
        Some(name) => json!({"name": name}),
        None => json!({"generateName": GENERATED}),
    };
    Ok(json!({
        "apiVersion": BatchInferenceJob::api_version(&()),
        "kind": BatchInferenceJob::kind(&()),
        "metadata": metadata,
        "spec": spec,
    }))
}

/// Whoever names a Secret expects it to be used.
fn check_secret(flags: &JobFlags, rows: Option<&Rows>) -> Result<(), FlagError> {
    let stores = [rows_uri(rows), flags.output_uri.as_ref()];
    let is_used = stores.into_iter().flatten().any(|uri| has_keys(uri));
    match &flags.secret {
        Some(secret) if !is_used => Err(FlagError::UnusedSecret { secret: secret.clone() }),
        _ => Ok(()),
    }
}

fn rows_uri(rows: Option<&Rows>) -> Option<&String> {
    match rows {
        Some(Rows::Uri(uri)) => Some(uri),
        Some(Rows::Name(_)) | None => None,
    }
}

/// A claim has none.
fn has_keys(uri: &str) -> bool {
    !uri.starts_with("pvc://")
}

fn dataset(rows: Option<&Rows>) -> Value {
    rows.map_or_else(
        || json!({}),
        |rows| {
            let (field, value) = rows.field();
            json!({field: value})
        },
    )
}

type Field = (&'static str, &'static str, Option<Value>);

/// The fields that only some jobs have: section of the spec (none is the spec itself), name, and value.
fn given(flags: &JobFlags, rows: Option<&Rows>) -> Vec<Field> {
    // The default store's keys are in its own Secret.
    let secret = |uri: Option<&String>| {
        uri.filter(|uri| has_keys(uri))?;
        Some(json!({"name": flags.secret.as_ref()?}))
    };
    let text = |value: Option<&String>| value.map(|text| json!(text));
    let named = |value: Option<&String>| value.map(|name| json!({"name": name}));
    let list = |values: &[String]| (!values.is_empty()).then(|| json!(values));
    let token = |SecretKey { name, key }: &SecretKey| json!({"name": name, "key": key});
    let deployment = named(flags.from_deployment.as_ref()).map(|name| json!({"deployment": name}));
    vec![
        ("dataset", "credentialsSecretRef", secret(rows_uri(rows))),
        ("dataset", "invalidRows", text(flags.invalid_rows.as_ref())),
        ("output", "uri", text(flags.output_uri.as_ref())),
        ("output", "configMap", named(flags.output_config_map.as_ref())),
        ("output", "credentialsSecretRef", secret(flags.output_uri.as_ref())),
        ("feeder", "serviceAccountName", text(flags.service_account.as_ref())),
        ("server", "baseModel", text(flags.model.as_ref())),
        ("server", "from", deployment),
        ("server", "revision", text(flags.revision.as_ref())),
        ("server", "engine", flags.engine.map(|engine| json!(engine))),
        ("server", "servedModelNames", list(&flags.served_model_names)),
        ("server", "imageTag", text(flags.image_tag.as_ref())),
        ("server", "hfTokenSecretRef", flags.hf_token_secret.as_ref().map(token)),
        ("server", "quantization", text(flags.quantization.as_ref())),
        ("server", "adapters", adapters(flags)),
        ("server", "resourceProfile", text(flags.resource_profile.as_ref())),
        ("server", "replicas", flags.replicas.map(|count| json!(count))),
        ("server", "args", list(&flags.args)),
        (
            "rowPolicy",
            "maxFailedRows",
            flags.max_failed_rows.as_deref().map(number_or_share),
        ),
        (
            "budget",
            "maxTotalTokens",
            flags.max_total_tokens.map(|count| json!(count)),
        ),
        ("budget", "maxTokenCost", text(flags.max_token_cost.as_ref())),
        ("budget", "maxGPUCost", text(flags.max_gpu_cost.as_ref())),
        (
            "",
            "activeDeadlineSeconds",
            flags.active_deadline_seconds.map(|count| json!(count)),
        ),
        (
            "",
            "ttlSecondsAfterFinished",
            flags.ttl_seconds_after_finished.map(|count| json!(count)),
        ),
        ("", "suspend", flags.suspend.then_some(Value::Bool(true))),
    ]
}

fn adapters(flags: &JobFlags) -> Option<Value> {
    let source = flags.adapters?;
    let mut adapters = json!({"source": source});
    if let Some(location) = &flags.adapters_location {
        adapters["location"] = json!(location);
    }
    if let Some(secret) = &flags.adapters_secret {
        adapters["credentialsSecretRef"] = json!({"name": secret});
    }
    Some(adapters)
}

fn number_or_share(text: &str) -> Value {
    text.parse::<u32>().map_or_else(|_| json!(text), |number| json!(number))
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
