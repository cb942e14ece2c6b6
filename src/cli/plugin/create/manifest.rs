//! Flags → job. Pure.

use kube::Resource;
use serde_json::{Value, json};

use super::arguments::{JobFlags, SecretKey};
use crate::api::BatchInferenceJob;

/// The API server adds five letters and digits.
const GENERATED: &str = "batch-";

/// Where the rows are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dataset {
    /// In a file of this machine, which is to be uploaded.
    Local {
        /// Its path.
        file: String,
        /// Where it will be.
        uri: String,
    },
    /// Where the cluster reads them; empty when a file says it.
    Remote(String),
}

/// Flags that contradict each other.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// Nowhere to upload to.
    #[error("`{file}` is a file of this machine: say by --dataset-uri s3://BUCKET/KEY where it is to be uploaded")]
    NoUri {
        /// Its path.
        file: String,
    },
    /// Two places.
    #[error("`{uri}` is where the rows are already: --dataset-uri is only for a file of this machine")]
    TwoUris {
        /// What --dataset has.
        uri: String,
    },
}

impl Dataset {
    /// What the flags name.
    ///
    /// # Errors
    ///
    /// [`FlagError`].
    pub fn of(flags: &JobFlags) -> Result<Self, FlagError> {
        let given = flags.dataset.clone().unwrap_or_default();
        let is_uri = given.contains("://") || given.is_empty();
        match (&flags.dataset_uri, is_uri) {
            (None, true) => Ok(Self::Remote(given)),
            (Some(_), true) => Err(FlagError::TwoUris { uri: given }),
            (Some(uri), false) => Ok(Self::Local {
                file: given,
                uri: uri.clone(),
            }),
            (None, false) => Err(FlagError::NoUri { file: given }),
        }
    }

    /// Where the job reads them.
    #[must_use]
    pub fn uri(&self) -> &str {
        match self {
            Self::Local { uri, .. } | Self::Remote(uri) => uri,
        }
    }
}

/// The job. Without a name, the API server makes one.
#[must_use]
pub fn manifest(name: Option<&str>, flags: &JobFlags, dataset: &str) -> Value {
    let output = flags.output_uri.as_deref().unwrap_or_default();
    let mut spec = json!({
        "dataset": {"uri": dataset},
        "server": {"baseModel": flags.model},
        "output": {"uri": output},
    });
    for (section, field, value) in given(flags, dataset, output) {
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
    json!({
        "apiVersion": BatchInferenceJob::api_version(&()),
        "kind": BatchInferenceJob::kind(&()),
        "metadata": metadata,
        "spec": spec,
    })
}

type Field = (&'static str, &'static str, Option<Value>);

/// The fields that only some jobs have: section of the spec (none is the spec itself), name, and value.
fn given(flags: &JobFlags, dataset: &str, output: &str) -> Vec<Field> {
    let secret = |uri: &str| {
        let secret = flags.secret.as_ref().filter(|_| !uri.starts_with("pvc://"));
        secret.map(|name| json!({"name": name}))
    };
    let list = |values: &[String]| (!values.is_empty()).then(|| json!(values));
    let token = |SecretKey { name, key }: &SecretKey| json!({"name": name, "key": key});
    vec![
        ("dataset", "credentialsSecretRef", secret(dataset)),
        (
            "dataset",
            "invalidRows",
            flags.invalid_rows.as_ref().map(|word| json!(word)),
        ),
        ("output", "credentialsSecretRef", secret(output)),
        ("server", "engine", flags.engine.map(|engine| json!(engine))),
        ("server", "servedModelNames", list(&flags.served_model_names)),
        ("server", "imageTag", flags.image_tag.as_ref().map(|tag| json!(tag))),
        ("server", "hfTokenSecretRef", flags.hf_token_secret.as_ref().map(token)),
        (
            "server",
            "quantization",
            flags.quantization.as_ref().map(|word| json!(word)),
        ),
        ("server", "adapters", adapters(flags)),
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
    Some(adapters)
}

fn number_or_share(text: &str) -> Value {
    text.parse::<u32>().map_or_else(|_| json!(text), |number| json!(number))
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
