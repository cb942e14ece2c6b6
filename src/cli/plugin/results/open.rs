//! The store of an output, opened from here or through a pod.

use tokio_util::sync::CancellationToken;

use super::super::job::Job;
use super::super::jobs::Jobs;
use super::super::keys::keys;
use super::super::pod::{OutputPod, PodError};
use super::super::standard_error::tell;
use super::error::FetchError;
use crate::cli::environment::environment;
use crate::results::MANIFEST;
use crate::storage::{Credentials, Root, Side, Store, StoreUri, open_named_folder, open_output};

/// Which way an output is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From here where there are keys, else through a pod.
    Shortest,
    /// Through a pod.
    Cluster,
}

/// An output that is open.
pub struct Opened {
    /// Its objects.
    pub store: Store,
    pod: Option<OutputPod>,
}

impl Opened {
    /// Leaves nothing behind in the cluster.
    pub async fn close(self) {
        if let Some(pod) = self.pod {
            pod.remove().await;
        }
    }
}

impl From<Store> for Opened {
    fn from(store: Store) -> Self {
        Self { store, pod: None }
    }
}

/// Opens what a person names: a folder, or the URI of an output.
///
/// # Errors
///
/// [`FetchError`]; the store is not asked yet.
pub fn named(text: &str) -> Result<Opened, FetchError> {
    Ok(open_named_folder(text, environment())?.into())
}

/// Opens the output of a job: with the keys of the environment where they are, else with those of its Secret, else through a pod.
///
/// # Errors
///
/// [`FetchError`]; the store is not asked yet.
pub async fn of_job(jobs: &Jobs, job: &Job, way: Way, interruption: &CancellationToken) -> Result<Opened, FetchError> {
    let uri = output_uri(job)?;
    if way == Way::Shortest {
        let found = interruption.run_until_cancelled(credentials(jobs, job, &uri)).await;
        if let Some(credentials) = found.ok_or(FetchError::Interrupted)? {
            return Ok(open_output(&uri, &credentials, None)?.into());
        }
    }
    tell(format_args!(
        "reading `{uri}` through a pod in namespace `{}`",
        job.namespace()
    ));
    match jobs.start_output_pod(job, &uri, interruption).await {
        Ok(pod) => Ok(Opened {
            store: pod.store(),
            pod: Some(pod),
        }),
        Err(PodError::Interrupted) => Err(FetchError::Interrupted),
        Err(source) => Err(FetchError::NoPod {
            advice: advice(&uri),
            uri,
            source: Box::new(source),
        }),
    }
}

/// The keys that there are here. A claim has none, and a store whose job names no Secret knows the feeder by its service account.
async fn credentials(jobs: &Jobs, job: &Job, uri: &StoreUri) -> Option<Credentials> {
    if matches!(uri.root(), Root::Claim(_)) {
        return None;
    }
    let own = Credentials::of_person(Side::Output, environment());
    if own.identify(uri) {
        return Some(own);
    }
    let secret = job.text("/spec/output/credentialsSecretRef/name")?;
    keys(jobs, Side::Output, Some(secret), uri).await.ok()
}

fn advice(uri: &StoreUri) -> String {
    match uri.root() {
        Root::Claim(_) => {
            "mount the claim, copy the folder here (kubectl cp), and give it with --from FOLDER".to_owned()
        }
        _ => format!(
            "set the keys of its store in the environment, {}",
            Credentials::advice(uri)
        ),
    }
}

/// Where the job says that its output is; where it does not, where its results are.
fn output_uri(job: &Job) -> Result<StoreUri, FetchError> {
    let written = || job.text("/status/results/manifestUri")?.strip_suffix(MANIFEST);
    let text = job
        .text("/spec/output/uri")
        .or_else(written)
        .ok_or(FetchError::NoOutput)?;
    Ok(StoreUri::parse_prefix(text)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_output_is_where_the_job_says() {
        let given = json!({"spec": {"output": {"uri": "s3://bucket/run"}}});
        let found = json!({"spec": {}, "status": {"results": {"manifestUri": "gs://bucket/jobs/x/manifest.json"}}});
        for (job, expected) in [(given, "s3://bucket/run/"), (found, "gs://bucket/jobs/x/")] {
            assert_eq!(output_uri(&Job::new(job)).unwrap().to_string(), expected);
        }
        let error = output_uri(&Job::new(json!({}))).unwrap_err();
        assert!(matches!(error, FetchError::NoOutput));
    }

    #[test]
    fn what_cannot_be_read_has_another_way() {
        for (uri, expected) in [
            ("pvc://claim/run/", "--from FOLDER"),
            ("s3://bucket/run/", "AWS_ACCESS_KEY_ID and"),
        ] {
            let advice = advice(&StoreUri::parse_prefix(uri).unwrap());
            assert!(advice.contains(expected), "{advice}");
        }
    }
}
