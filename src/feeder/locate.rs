//! Where data set and output are, and the keys for them: as the job says, or as the namespace's default store does, whose Secret came
//! into the feeder's environment. Pure.

use kube::ResourceExt;

use crate::api::BatchInferenceJob;
use crate::api::default_store::{dataset_key, output_folder};
use crate::api::reason::Reason;
use crate::storage::{Credentials, Side, StoreUri, default_store};

use super::report::End;

/// A place in a store, and the keys for it.
#[derive(Clone, Debug)]
pub struct Located {
    /// The object, or the prefix.
    pub uri: StoreUri,
    /// Of its Secret, with the identity of the pod.
    pub credentials: Credentials,
}

/// The data set, when it is neither in the job nor in a ConfigMap.
///
/// # Errors
///
/// [`End`]: what the job or the Secret says is no place of a data set.
pub fn dataset(
    job: &BatchInferenceJob,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Located, End> {
    let dataset = &job.spec.dataset;
    if let Some(name) = &dataset.name {
        let key = dataset_key(name);
        return in_default_store(Side::Dataset, Reason::DatasetAccessDenied, &key, environment);
    }
    let uri = StoreUri::parse_object(dataset.uri.as_deref().unwrap_or_default());
    Ok(Located {
        uri: uri.map_err(|error| invalid("spec.dataset.uri", &error))?,
        credentials: Credentials::from_env(Side::Dataset, environment),
    })
}

/// The output that the job names.
///
/// # Errors
///
/// [`End`]: it is no place for an output.
pub fn output(uri: &str, environment: impl IntoIterator<Item = (String, String)>) -> Result<Located, End> {
    Ok(Located {
        uri: StoreUri::parse_prefix(uri).map_err(|error| invalid("spec.output.uri", &error))?,
        credentials: Credentials::from_env(Side::Output, environment),
    })
}

/// The output of a job that names none.
///
/// # Errors
///
/// [`End`]: what the Secret says is no place for an output.
pub fn default_output(
    job: &BatchInferenceJob,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Located, End> {
    let folder = output_folder(&job.name_any());
    in_default_store(Side::Output, Reason::OutputNotWritable, &folder, environment)
}

fn in_default_store(
    side: Side,
    reason: Reason,
    key: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Located, End> {
    let found = default_store(side, environment);
    let (prefix, credentials) = found.map_err(|error| End::new(reason, error.to_string()))?;
    Ok(Located {
        uri: prefix.join(key),
        credentials,
    })
}

fn invalid(field: &str, error: &dyn std::error::Error) -> End {
    End::new(Reason::SpecInvalid, format!("{field}: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(dataset: &Value) -> BatchInferenceJob {
        let spec = json!({"dataset": dataset, "server": {"baseModel": "qwen3-8b"}});
        BatchInferenceJob::new("triangles", serde_json::from_value(spec).unwrap())
    }

    fn environment(vars: &[(&str, &str)]) -> Vec<(String, String)> {
        let vars = vars.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        vars.collect()
    }

    #[test]
    fn names_are_places_below_the_prefix_of_the_default_store() {
        for (prefix, dataset_uri, output_uri) in [
            (
                "s3://bucket/team",
                "s3://bucket/team/datasets/rows.jsonl",
                "s3://bucket/team/jobs/triangles/",
            ),
            (
                "az://container/",
                "az://container/datasets/rows.jsonl",
                "az://container/jobs/triangles/",
            ),
        ] {
            let environment = environment(&[("DATASET_uri", prefix), ("OUTPUT_uri", prefix)]);
            let job = job(&json!({"name": "rows"}));
            let found = dataset(&job, environment.clone()).unwrap();
            assert_eq!(found.uri.to_string(), dataset_uri);
            let found = default_output(&job, environment).unwrap();
            assert_eq!(found.uri.to_string(), output_uri);
        }
    }

    #[test]
    fn what_the_job_names_is_not_the_default_store() {
        let job = job(&json!({"uri": "s3://in/rows.jsonl"}));
        let environment = environment(&[("DATASET_uri", "s3://other/"), ("OUTPUT_uri", "s3://other/")]);
        let found = dataset(&job, environment.clone()).unwrap();
        assert_eq!(found.uri.to_string(), "s3://in/rows.jsonl");
        let found = output("s3://out/run", environment).unwrap();
        assert_eq!(found.uri.to_string(), "s3://out/run/");
    }

    #[test]
    fn a_secret_that_names_no_bucket_ends_the_job_and_says_what_to_write() {
        let job = job(&json!({"name": "rows"}));
        let cases: [(&[(&str, &str)], &str); 3] = [
            (&[], "the Secret batch-inference-store has no uri: add it, as s3://"),
            (
                &[("DATASET_uri", "pvc://data/"), ("OUTPUT_uri", "pvc://data/")],
                "key uri of Secret batch-inference-store is no bucket: write s3://",
            ),
            (
                &[
                    ("DATASET_uri", "s3://me:visible@bucket/"),
                    ("OUTPUT_uri", "s3://me:visible@bucket/"),
                ],
                "key uri of Secret batch-inference-store is no bucket: write s3://",
            ),
        ];
        for (vars, words) in cases {
            let end = dataset(&job, environment(vars)).unwrap_err();
            assert_eq!(end.reason, Reason::DatasetAccessDenied);
            assert!(end.message.starts_with(words), "{}", end.message);
            let end = default_output(&job, environment(vars)).unwrap_err();
            assert_eq!(end.reason, Reason::OutputNotWritable);
            assert!(end.message.starts_with(words), "{}", end.message);
            assert!(!end.message.contains("visible"), "{}", end.message);
        }
    }
}
