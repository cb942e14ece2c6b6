//! The store of an output, opened from here or through a pod.

use super::super::interruption::Interruption;
use super::super::job::Job;
use super::super::jobs::Jobs;
use super::super::keys::{default_store, environment_with_login, keys};
use super::super::pod::{PodError, StorePod};
use super::super::reach::{OutOfReach, check_reach};
use super::super::standard_error::tell;
use super::error::FetchError;
use crate::api::default_store::{DEFAULT_STORE, output_folder};
use crate::api::output::{OutputPlace, OutputSpec};
use crate::cli::output::Place;
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
    /// The wish of whoever began the command that it ends.
    pub interruption: Interruption,
    pod: Option<StorePod>,
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
        Self {
            store,
            interruption: Interruption::watch(),
            pod: None,
        }
    }
}

/// Opens what a person names: a folder, or the URI of an output.
///
/// # Errors
///
/// [`FetchError`]; the store is not asked yet.
pub fn named(text: &str) -> Result<Opened, FetchError> {
    Ok(open_named_folder(text, environment_with_login())?.into())
}

/// Opens the output of a job: with the keys of the environment where they are, else with those of its Secret, else through a pod. A
/// ConfigMap is read as it is, as Kubernetes itself is its store.
///
/// # Errors
///
/// [`FetchError`]; the store is not asked yet.
pub async fn of_job(jobs: &Jobs, job: &Job, way: Way) -> Result<Opened, FetchError> {
    let output = job.output().map_err(FetchError::UnknownOutput)?;
    if let OutputPlace::ConfigMap(map) = output.place() {
        return Ok(jobs.open_config_map(map).await?.into());
    }
    let here = match way {
        Way::Shortest => from_here(jobs, job, &output).await?,
        Way::Cluster => Err(OutOfReach::Wish),
    };
    match here {
        Ok((uri, credentials)) => Ok(open_output(&uri, &credentials, None)?.into()),
        Err(why) => through_pod(jobs, job, &output, &why).await,
    }
}

/// Where the output is, and the keys that there are here.
type Here = Result<(StoreUri, Credentials), OutOfReach>;

async fn from_here(jobs: &Jobs, job: &Job, output: &OutputSpec) -> Result<Here, FetchError> {
    let OutputPlace::Uri(uri) = output.place() else {
        return Ok(default_output(jobs, job).await);
    };
    let uri = StoreUri::parse_prefix(uri)?;
    let credentials = credentials(jobs, output, &uri).await;
    Ok(credentials.map(|credentials| (uri, credentials)))
}

/// A claim has no keys, and a store whose job names no Secret, or one without keys, may know the feeder by its service account.
async fn credentials(jobs: &Jobs, output: &OutputSpec, uri: &StoreUri) -> Result<Credentials, OutOfReach> {
    if matches!(uri.root(), Root::Claim(_)) {
        return Err(OutOfReach::Claim);
    }
    let secret = output.secret();
    let credentials = keys(jobs, Side::Output, secret, uri).await;
    let credentials = credentials.map_err(|_| OutOfReach::NoSecret)?;
    check_reach(Side::Output, &credentials, uri, secret).await?;
    Ok(credentials)
}

/// Where a job that has ended says, else in the namespace's default store: its Secret may name another store by now.
async fn default_output(jobs: &Jobs, job: &Job) -> Here {
    let (uri, credentials) = if let Some(uri) = written(job) {
        let credentials = keys(jobs, Side::Output, Some(DEFAULT_STORE), &uri).await;
        (uri, credentials.map_err(|_| OutOfReach::NoSecret)?)
    } else {
        let found = default_store(jobs, Side::Output).await;
        let (prefix, credentials) = found.map_err(|_| OutOfReach::NoSecret)?;
        (prefix.join(&output_folder(job.name())), credentials)
    };
    check_reach(Side::Output, &credentials, &uri, Some(DEFAULT_STORE)).await?;
    Ok((uri, credentials))
}

/// Where the results of a job are that has some.
fn written(job: &Job) -> Option<StoreUri> {
    let folder = job.text("/status/results/manifestUri")?.strip_suffix(MANIFEST)?;
    StoreUri::parse_prefix(folder).ok()
}

async fn through_pod(jobs: &Jobs, job: &Job, output: &OutputSpec, why: &OutOfReach) -> Result<Opened, FetchError> {
    let (what, place) = place(job, output)?;
    tell(format_args!(
        "reading {what} through a pod in namespace `{}`, {why}",
        job.namespace()
    ));
    let interruption = Interruption::watch();
    match jobs.start_output_pod(job, place, &interruption).await {
        Ok(pod) => Ok(Opened {
            store: pod.store(),
            interruption,
            pod: Some(pod),
        }),
        Err(PodError::Interrupted) => Err(FetchError::Interrupted),
        Err(source) => Err(FetchError::NoPod {
            what,
            advice: advice(job, output),
            source: Box::new(source),
        }),
    }
}

/// Where a pod finds the output: in words, and as the pod is told.
fn place(job: &Job, output: &OutputSpec) -> Result<(String, Place), FetchError> {
    let uri = match output.place() {
        OutputPlace::Uri(uri) => Some(StoreUri::parse_prefix(uri)?),
        OutputPlace::ConfigMap(_) | OutputPlace::DefaultStore => written(job),
    };
    if let Some(uri) = uri {
        return Ok((format!("`{uri}`"), Place::at(&uri, Side::Output)));
    }
    let folder = output_folder(job.name());
    let place = Place::in_default_store(&folder, Side::Output);
    Ok((format!("`{folder}` of the namespace's default store"), place))
}

fn advice(job: &Job, output: &OutputSpec) -> String {
    let named = output.uri.as_deref().and_then(|uri| StoreUri::parse_prefix(uri).ok());
    match named.or_else(|| written(job)) {
        None => format!("ask for the right to get the Secret {DEFAULT_STORE}"),
        Some(uri) if matches!(uri.root(), Root::Claim(_)) => {
            "mount the claim, copy the folder here (kubectl cp), and give it with --from FOLDER".to_owned()
        }
        Some(uri) => format!(
            "set the keys of its store in the environment, {}",
            Credentials::advice(&uri)
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_job_that_has_ended_says_where_its_results_are() {
        let job = |uri: &str| Job::new(json!({"status": {"results": {"manifestUri": uri}}}));
        let found = written(&job("gs://bucket/jobs/x/manifest.json")).unwrap();
        assert_eq!(found.to_string(), "gs://bucket/jobs/x/");
        assert_eq!(written(&job("configmap://x/manifest.json")), None);
        assert_eq!(written(&Job::new(json!({}))), None);
    }

    #[test]
    fn a_pod_reads_what_the_job_has_written_wherever_the_default_store_is_by_now() {
        let results = json!({"manifestUri": "s3://before/jobs/x/manifest.json"});
        for (output, status, expected) in [
            (json!({"uri": "s3://b/run/"}), json!({}), "--uri s3://b/run/"),
            (json!({}), json!({"results": results}), "--uri s3://before/jobs/x/"),
            (json!({}), json!({}), "--default-store jobs/x/"),
        ] {
            let job = Job::new(json!({"metadata": {"name": "x"}, "spec": {"output": output}, "status": status}));
            let (_, place) = place(&job, &job.output().unwrap()).unwrap();
            assert_eq!(place.words().join(" "), expected);
        }
    }

    #[test]
    fn what_cannot_be_read_has_another_way() {
        let results = json!({"manifestUri": "s3://bucket/jobs/x/manifest.json"});
        for (output, status, expected) in [
            (json!({"uri": "pvc://claim/run/"}), Value::Null, "--from FOLDER"),
            (json!({"uri": "s3://bucket/run/"}), Value::Null, "AWS_ACCESS_KEY_ID and"),
            (json!({}), Value::Null, "the Secret batch-inference-store"),
            (json!({}), json!({"results": results}), "AWS_ACCESS_KEY_ID and"),
        ] {
            let job = Job::new(json!({"spec": {"output": output}, "status": status}));
            let advice = advice(&job, &job.output().unwrap());
            assert!(advice.contains(expected), "{advice}");
        }
    }
}
