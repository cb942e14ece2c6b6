//! An upload through a pod: part by part, each checked on its way and sent again when a connection breaks. What is known of the upload is
//! known here, so that another pod can go on where one is lost.

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::EnvVar;
use serde::Deserialize;
use serde_json::Value;

use super::super::super::interruption::Interruption;
use super::super::super::jobs::Jobs;
use super::super::super::pod::{PodError, RemoteError, StorePod, Surroundings, UploadPod};
use super::super::super::reach::OutOfReach;
use super::super::super::standard_error::tell;
use super::super::dataset::Rows;
use super::existing::{Found, find};
use super::pieces::Pieces;
use super::target::{Target, check_ending};
use super::{Existing, Upload, UploadError, tell_same, tell_uploaded};
use crate::api::default_store::{DEFAULT_STORE, dataset_key};
use crate::api::names::FEEDER_CONTAINER;
use crate::cli::output::Place;
use crate::results::Checksum;
use crate::storage::{Credentials, Side};

/// One is on its way to the pod while another goes from there to the store.
const PARTS_IN_FLIGHT: usize = 2;
/// A pod has each part as it came, and as it is sent.
const COPIES: usize = 2;
/// What Azure's tools call the account of a container.
const ACCOUNT: [&str; 2] = ["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"];

/// Uploads a file.
///
/// # Errors
///
/// [`UploadError`]; then the pod is gone, and what was sent with it.
pub async fn upload(jobs: &Jobs, wanted: &Upload<'_>, why: &OutOfReach) -> Result<(), UploadError> {
    let file = wanted.file;
    let goal = Goal::of(file, wanted.to)?;
    let pieces = Pieces::open(file)?;
    let pod = upload_pod(jobs, wanted, &pieces).await;
    let namespace = jobs.namespace();
    tell(format_args!(
        "uploading {file} through a pod in namespace `{namespace}`, {why}"
    ));
    let interruption = Interruption::watch();
    let started = jobs.start_upload_pod(&pod, goal.place, &interruption).await;
    let pod = started.map_err(|error| no_pod(file, goal.advice, error))?;
    let uri = pod.uri().join(&goal.key);
    let sent = Sending {
        pod: &pod,
        key: &goal.key,
        pieces: &pieces,
        existing: wanted.existing,
    };
    let sent = sent.whole(&interruption).await;
    pod.remove().await;
    match sent? {
        Sent::All => tell_uploaded(file, &uri, pieces.bytes),
        Sent::Nothing => tell_same(file, &uri),
    }
    Ok(())
}

fn no_pod(file: &str, advice: String, error: PodError) -> UploadError {
    let advice = match error {
        PodError::Interrupted => return UploadError::NotBegun,
        PodError::NotStarted { .. } => {
            format!("{advice}, or name the operator's image by --pod-image if that is what is wrong")
        }
        _ => advice,
    };
    UploadError::NoPod {
        file: file.to_owned(),
        advice,
        source: Box::new(error),
    }
}

/// Where a file goes, as the pod knows it.
struct Goal {
    place: Place,
    key: String,
    /// What to do when there is no pod.
    advice: String,
}

impl Goal {
    fn of(file: &str, to: &Rows) -> Result<Self, UploadError> {
        match to {
            Rows::Uri(uri) => {
                let target = Target::parse(file, uri)?;
                let keys = Credentials::advice(target.uri());
                Ok(Self {
                    place: Place::at(target.folder(), Side::Dataset),
                    key: target.name().to_owned(),
                    advice: format!("set the keys of its store in the environment, {keys}"),
                })
            }
            Rows::Name(name) => {
                let key = dataset_key(name);
                check_ending(file, &key)?;
                let (folder, name) = key.rsplit_once('/').unwrap_or(("", key.as_str()));
                Ok(Self {
                    place: Place::in_default_store(&format!("{folder}/"), Side::Dataset),
                    key: name.to_owned(),
                    advice: format!("ask for the right to get the Secret {DEFAULT_STORE}, or for what is missing here"),
                })
            }
        }
    }
}

async fn upload_pod(jobs: &Jobs, wanted: &Upload<'_>, pieces: &Pieces) -> UploadPod {
    let mut surroundings = jobs.surroundings().await.unwrap_or_else(Surroundings::unknown);
    if let Some(image) = wanted.image {
        image.clone_into(&mut surroundings.image);
    }
    let secret = match wanted.to {
        Rows::Uri(_) => wanted.secret,
        Rows::Name(_) => Some(DEFAULT_STORE),
    };
    UploadPod {
        surroundings,
        service_account: wanted.service_account.map(str::to_owned),
        secret: secret.map(str::to_owned),
        account: wanted.feeder.map(account).unwrap_or_default(),
        bytes_at_once: PARTS_IN_FLIGHT * COPIES * pieces.part_bytes(),
    }
}

/// Variables by which the job's own feeder finds an account of Azure that no Secret names: they are in its pod template.
fn account(feeder: &Value) -> Vec<EnvVar> {
    let containers = feeder.pointer("/spec/containers").and_then(Value::as_array);
    let mut containers = containers.into_iter().flatten();
    let container = containers.find(|container| container["name"] == FEEDER_CONTAINER);
    let env = container.and_then(|container| container["env"].as_array());
    // What is no variable is for the API server to refuse.
    let env = env
        .into_iter()
        .flatten()
        .filter_map(|variable| EnvVar::deserialize(variable).ok());
    env.filter(|variable| ACCOUNT.contains(&variable.name.as_str()))
        .collect()
}

/// What had to be sent.
enum Sent {
    All,
    /// The object was there.
    Nothing,
}

/// An upload on its way.
struct Sending<'a> {
    pod: &'a StorePod,
    key: &'a str,
    pieces: &'a Pieces,
    existing: Existing,
}

impl Sending<'_> {
    /// Sends all of it; whatever does not become the object is given up.
    async fn whole(&self, interruption: &Interruption) -> Result<Sent, UploadError> {
        let mut upload = None;
        let sent = tokio::select! {
            sent = self.parts(&mut upload) => sent,
            () = interruption.came() => Err(UploadError::Interrupted { uri: self.pod.uri().join(self.key) }),
        };
        if let (Err(_), Some(upload)) = (&sent, upload) {
            // It may be complete, or the pod may be gone: nothing more can be done.
            let _ = self.pod.send(&["abort", self.key, &flag(&upload)], Bytes::new()).await;
        }
        sent
    }

    /// `upload` is what the upload is known by, as soon as it is.
    async fn parts(&self, upload: &mut Option<String>) -> Result<Sent, UploadError> {
        let uri = || self.pod.uri().join(self.key);
        let store = self.pod.store();
        if self.existing == Existing::Keep {
            match find(&store, self.key, self.pieces).await? {
                Found::Nothing => {}
                Found::Same => return Ok(Sent::Nothing),
                Found::Other => return Err(UploadError::Exists { uri: uri() }),
            }
        }
        let begun = self.pod.send(&["begin", self.key], Bytes::new()).await?;
        let upload = flag(upload.insert(known_by(&begun)?));
        let parts = stream::iter(0..self.pieces.count()).map(|number| self.part(&upload, number));
        let parts: Vec<String> = parts.buffered(PARTS_IN_FLIGHT).try_collect().await?;
        let list = serde_json::to_vec(&parts).map_err(RemoteError::from)?;
        let bytes = format!("--bytes={}", list.len());
        let completed = self
            .pod
            .send(&["complete", self.key, &upload, &bytes], list.into())
            .await;
        let is_there = store.size(self.key).await? == Some(self.pieces.bytes);
        match completed {
            Ok(_) if is_there => Ok(Sent::All),
            Ok(_) => Err(UploadError::NotAsSent { uri: uri() }),
            // A try whose answer was lost may have completed it.
            Err(_) if is_there && self.existing == Existing::Keep => Ok(Sent::All),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends one part, and gives what it is known by.
    async fn part(&self, upload: &str, number: usize) -> Result<String, UploadError> {
        let piece = self.pieces.read(number)?;
        let (number, bytes) = (format!("--number={number}"), format!("--bytes={}", piece.len()));
        let sha256 = format!("--sha256={}", Checksum::of(&piece));
        let words: [&str; 6] = ["part", self.key, upload, &number, &bytes, &sha256];
        let answer = self.pod.send(&words, piece).await?;
        Ok(known_by(&answer)?)
    }
}

/// What an upload or a part is known by, in a pod's answer.
fn known_by(answer: &[u8]) -> Result<String, RemoteError> {
    Ok(serde_json::from_slice(answer)?)
}

/// What an upload is known by may be empty, which no word of its own can be.
fn flag(upload: &str) -> String {
    format!("--upload={upload}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_account_of_the_jobs_own_feeder_is_the_pods() {
        let feeder = json!({"spec": {"containers": [
            {"name": "sidecar", "env": [{"name": "AZURE_STORAGE_ACCOUNT_NAME", "value": "another"}]},
            {"name": "feeder", "env": [
                {"name": "AZURE_STORAGE_ACCOUNT_NAME", "value": "me"},
                {"name": "OTHER", "value": "x"},
                "no variable",
            ]},
        ]}});
        let expected = json!([{"name": "AZURE_STORAGE_ACCOUNT_NAME", "value": "me"}]);
        assert_eq!(serde_json::to_value(account(&feeder)).unwrap(), expected);
        assert_eq!(account(&json!({})), []);
    }

    #[test]
    fn a_file_goes_to_a_folder_of_the_default_store_or_to_that_of_its_uri() {
        let of = |file: &str, rows: Rows| {
            let goal = Goal::of(file, &rows)?;
            Ok::<_, UploadError>((goal.place.words().join(" "), goal.key))
        };
        assert_eq!(
            of("my.jsonl", Rows::Name("rows".into())).unwrap(),
            (
                "--default-store datasets/ --keys-of dataset".into(),
                "rows.jsonl".into()
            )
        );
        assert_eq!(
            of("my.jsonl.gz", Rows::Uri("s3://b/a/rows.gz".into())).unwrap(),
            ("--uri s3://b/a/ --keys-of dataset".into(), "rows.gz".into())
        );
        let error = of("my.jsonl.gz", Rows::Name("rows".into())).unwrap_err().to_string();
        assert!(
            error.contains("`datasets/rows.jsonl` end as differently compressed"),
            "{error}"
        );
    }
}
