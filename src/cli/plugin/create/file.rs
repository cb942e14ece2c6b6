//! A job in a file.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use kube::Resource;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::cluster::Cluster;
use super::dataset::Rows;
use crate::api::BatchInferenceJob;

/// A file that holds no job to be made.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("`{}` cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Neither YAML nor JSON.
    #[error("`{}` is neither YAML nor JSON", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_yaml::Error,
    },
    /// Nothing, or several things.
    #[error("`{}` holds {found} objects: give a file with one job (`kubectl apply -f` takes more)", path.display())]
    NotOne {
        /// The file.
        path: PathBuf,
        /// How many objects.
        found: usize,
    },
    /// Something else.
    #[error("`{}` holds a {kind}, not a BatchInferenceJob of batchinference.dev/v1alpha1", path.display())]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// As it names itself.
        kind: String,
    },
    /// The file and the flags contradict each other.
    #[error("the job in `{}` names its rows already (spec.dataset.{field}): remove that, or --dataset", path.display())]
    TwoDatasets {
        /// The file.
        path: PathBuf,
        /// The field that names them.
        field: &'static str,
    },
    /// The file and the flag contradict each other.
    #[error("the job is for namespace `{theirs}`, and -n says `{ours}`: remove one of them")]
    OtherNamespace {
        /// That of the file.
        theirs: String,
        /// That of the flag.
        ours: String,
    },
}

/// Reads one job; `-` is standard input.
///
/// # Errors
///
/// [`FileError`].
pub fn read(path: &Path) -> Result<Value, FileError> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    let text = text.map_err(|source| FileError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    parse(&text, path)
}

fn parse(text: &str, path: &Path) -> Result<Value, FileError> {
    let path = || path.to_owned();
    let documents = serde_yaml::Deserializer::from_str(text).map(Value::deserialize);
    let documents: Result<Vec<_>, _> = documents.collect();
    let mut documents = documents.map_err(|source| FileError::Malformed { path: path(), source })?;
    // What stands between two `---` may be nothing.
    documents.retain(|document| !document.is_null());
    let [job] = <[Value; 1]>::try_from(documents).map_err(|documents| FileError::NotOne {
        path: path(),
        found: documents.len(),
    })?;
    let is_job = job["kind"] == BatchInferenceJob::kind(&()).as_ref()
        && job["apiVersion"] == BatchInferenceJob::api_version(&()).as_ref();
    if is_job {
        return Ok(job);
    }
    let text = |field: &str| job[field].as_str().unwrap_or("nothing").to_owned();
    Err(FileError::OtherKind {
        path: path(),
        kind: format!("{} of {}", text("kind"), text("apiVersion")),
    })
}

/// The fields of `spec.dataset` that name rows.
const NAMES_ROWS: [&str; 4] = ["uri", "name", "configMap", "inline"];

/// Puts into a job where its rows are, if flags say it.
///
/// # Errors
///
/// [`FileError::TwoDatasets`] when the job says it, too.
pub fn with_rows(mut job: Value, rows: Option<&Rows>, path: &Path) -> Result<Value, FileError> {
    let Some(rows) = rows else { return Ok(job) };
    // What is no object is refused by the API server, and not here.
    let Some(spec) = job["spec"].as_object_mut() else {
        return Ok(job);
    };
    let dataset = spec.entry("dataset").or_insert_with(|| json!({}));
    if let Some(field) = NAMES_ROWS.into_iter().find(|field| dataset.get(field).is_some()) {
        let path = path.to_owned();
        return Err(FileError::TwoDatasets { path, field });
    }
    if let Some(dataset) = dataset.as_object_mut() {
        let (field, value) = rows.field();
        dataset.insert(field.to_owned(), json!(value));
    }
    Ok(job)
}

/// The job in the namespace that a flag names.
///
/// # Errors
///
/// [`FileError::OtherNamespace`] when the job names another one.
pub fn in_namespace(mut job: Value, ours: Option<&str>) -> Result<Value, FileError> {
    let metadata = job.get_mut("metadata").and_then(Value::as_object_mut);
    let (Some(metadata), Some(ours)) = (metadata, ours) else {
        return Ok(job);
    };
    let theirs = metadata.entry("namespace").or_insert_with(|| ours.into());
    match theirs.as_str() {
        Some(theirs) if theirs != ours => Err(FileError::OtherNamespace {
            theirs: theirs.to_owned(),
            ours: ours.to_owned(),
        }),
        _ => Ok(job),
    }
}

/// The cluster, with the namespace that the job names.
#[must_use]
pub fn in_namespace_of(job: &Value, cluster: Cluster) -> Cluster {
    match job["metadata"]["namespace"].as_str() {
        Some(namespace) => Cluster {
            namespace: namespace.to_owned(),
            ..cluster
        },
        None => cluster,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "apiVersion: batchinference.dev/v1alpha1\nkind: BatchInferenceJob\nmetadata: {name: x}\n";

    fn refusal(text: &str) -> String {
        parse(text, Path::new("job.yaml")).unwrap_err().to_string()
    }

    #[test]
    fn a_job_is_in_the_namespace_of_the_flag() {
        let named = |namespace: Value| json!({"metadata": {"name": "x", "namespace": namespace}});
        let unnamed = || json!({"metadata": {"name": "x"}});
        for (job, flag, expected) in [
            (unnamed(), Some("team"), named("team".into())),
            (unnamed(), None, unnamed()),
            (named("team".into()), Some("team"), named("team".into())),
            (named("team".into()), None, named("team".into())),
            (json!({"metadata": "x"}), Some("team"), json!({"metadata": "x"})),
        ] {
            assert_eq!(in_namespace(job, flag).unwrap(), expected);
        }
        let error = in_namespace(named("other".into()), Some("team")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the job is for namespace `other`, and -n says `team`: remove one of them"
        );
    }

    #[test]
    fn a_file_holds_one_job() {
        for text in [JOB.to_owned(), format!("---\n{JOB}---\n")] {
            let job = parse(&text, Path::new("job.yaml")).unwrap();
            assert_eq!(job["metadata"]["name"], "x");
        }
        assert!(refusal(&format!("{JOB}---\n{JOB}")).starts_with("`job.yaml` holds 2 objects"));
        assert!(refusal("").starts_with("`job.yaml` holds 0 objects"));
        assert!(
            refusal("kind: Job\napiVersion: batch/v1\n").contains("holds a Job of batch/v1, not a BatchInferenceJob")
        );
        assert!(refusal("a: [").contains("neither YAML nor JSON"));
        let error = read(Path::new("/no/such/job.yaml")).unwrap_err();
        assert_eq!(error.to_string(), "`/no/such/job.yaml` cannot be read");
    }

    #[test]
    fn flags_say_where_the_rows_of_a_job_are_if_it_does_not() {
        let rows = Rows::Name("mine".into());
        let with_rows = |spec: Value| with_rows(json!({"spec": spec}), Some(&rows), Path::new("job.yaml"));
        for (spec, expected) in [
            (json!({}), json!({"name": "mine"})),
            (
                json!({"dataset": {"invalidRows": "Skip"}}),
                json!({"invalidRows": "Skip", "name": "mine"}),
            ),
        ] {
            assert_eq!(with_rows(spec).unwrap()["spec"]["dataset"], expected);
        }
        let error = with_rows(json!({"dataset": {"inline": "{}"}})).unwrap_err();
        let expected = "the job in `job.yaml` names its rows already (spec.dataset.inline): remove that, or --dataset";
        assert_eq!(error.to_string(), expected);
        assert_eq!(with_rows(json!("no spec")).unwrap()["spec"], "no spec");
    }
}
