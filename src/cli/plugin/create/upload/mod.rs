//! A data set of this machine, brought to its store: by this machine where there are keys ([`direct`]), else through a pod
//! ([`through_pod`]).
//!
//! [`upload`] chooses the way. [`target`] is where a file goes (pure), [`existing`] what is there already, [`pieces`] a file in
//! parts.

mod direct;
mod existing;
mod pieces;
mod target;
mod through_pod;

use std::io;
use std::path::PathBuf;

use serde_json::Value;

use super::super::jobs::Jobs;
use super::super::keys::{NoDefaultStore, NoKeys, default_store, keys};
use super::super::pod::{PodError, RemoteError};
use super::super::reach::{OutOfReach, check_reach};
use super::super::refusal::Refusal;
use super::super::standard_error::tell;
use super::dataset::Rows;
use crate::api::default_store::{DEFAULT_STORE, DEFAULT_STORE_URI, dataset_key};
use crate::storage::{self, Credentials, OpenError, Side, StoreUri, UriError};
use target::{Target, check_ending};

/// What becomes of an object that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and nothing is uploaded. One that is the file already is as good.
    Keep,
    /// It is replaced.
    Replace,
}

/// What is to be uploaded, as flags and job say it.
#[derive(Clone, Copy, Debug)]
pub struct Upload<'a> {
    /// The file of this machine.
    pub file: &'a str,
    /// Where the job reads it.
    pub to: &'a Rows,
    /// The Secret with the store's keys, if it is not the default store.
    pub secret: Option<&'a str>,
    /// The service account that the store may know.
    pub service_account: Option<&'a str>,
    /// The pod template of the job's feeder.
    pub feeder: Option<&'a Value>,
    /// What becomes of an object that is there already.
    pub existing: Existing,
    /// Also when there are keys here.
    pub is_through_cluster: bool,
    /// The image of the pod, if it is not to be found.
    pub image: Option<&'a str>,
}

/// Why a data set is not uploaded.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// No bucket.
    #[error("`{uri}` is no place to upload to: write s3://BUCKET/KEY, gs://BUCKET/KEY or az://CONTAINER/KEY")]
    NoBucket {
        /// What was given.
        uri: StoreUri,
    },
    /// Its reader would not know how it is stored.
    #[error(
        "`{file}` and `{place}` end as differently compressed files do: let both end in .gz, in .zst, or in neither"
    )]
    OtherCompression {
        /// The file.
        file: String,
        /// Where it would be.
        place: String,
    },
    /// There is no default store.
    #[error(
        "there is no Secret {DEFAULT_STORE} in namespace `{namespace}`: create it, with the store's keys and, as {DEFAULT_STORE_URI}, its \
         place (s3://BUCKET/PREFIX/), or say by --dataset-uri s3://BUCKET/KEY where the data set is to be uploaded"
    )]
    NoDefaultStore {
        /// Where it was looked for.
        namespace: String,
    },
    /// There is another one.
    #[error(
        "`{uri}` is there already, with other bytes: --overwrite replaces it, or choose another --dataset-name or --dataset-uri"
    )]
    Exists {
        /// The object.
        uri: StoreUri,
    },
    /// The file of this machine.
    #[error("`{}` cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// By the person who began it.
    #[error("the upload of `{uri}` was interrupted, and no job was created: start it again")]
    Interrupted {
        /// The object.
        uri: StoreUri,
    },
    /// By the person who began it, before it was known where it goes.
    #[error("the upload was interrupted before it began, and no job was created: start it again")]
    NotBegun,
    /// What is in the store is not what was sent.
    #[error(
        "`{uri}` is not as it was sent, and no job was created: does somebody else write there? Start it again with --overwrite"
    )]
    NotAsSent {
        /// The object.
        uri: StoreUri,
    },
    /// Nothing here opens the store, and no pod could be started that does.
    #[error("`{file}` cannot be uploaded from here, nor through a pod: {advice}")]
    NoPod {
        /// The file.
        file: String,
        /// What to do instead.
        advice: String,
        /// Why there is no pod.
        source: Box<PodError>,
    },
    /// The pod refused or failed.
    #[error(transparent)]
    Pod(#[from] RemoteError),
    /// The Secret of the store.
    #[error(transparent)]
    Keys(#[from] Box<NoKeys>),
    /// The Secret of the default store.
    #[error(transparent)]
    DefaultStore(NoDefaultStore),
    /// A wrong URI.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// The store cannot be asked with these keys.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] storage::Error),
}

/// Whether a file may go there at all: nothing else need be done, if not.
///
/// # Errors
///
/// [`UploadError`] when it may not.
pub fn check(file: &str, to: &Rows) -> Result<(), UploadError> {
    match to {
        Rows::Uri(uri) => Target::parse(file, uri).map(drop),
        Rows::Name(name) => check_ending(file, &dataset_key(name)),
    }
}

/// Uploads a file. The object is there as a whole, or not at all.
///
/// # Errors
///
/// [`UploadError`].
pub async fn upload(jobs: &Jobs, wanted: &Upload<'_>) -> Result<(), UploadError> {
    let here = if wanted.is_through_cluster {
        Err(OutOfReach::Wish)
    } else {
        from_here(jobs, wanted).await?
    };
    match here {
        Ok((target, credentials)) => direct::upload(wanted.file, &target, &credentials, wanted.existing).await,
        Err(why) => Box::pin(through_pod::upload(jobs, wanted, &why)).await,
    }
}

fn tell_uploaded(file: &str, uri: &StoreUri, bytes: u64) {
    tell(format_args!("{file} is uploaded to {uri} ({bytes} bytes)"));
}

fn tell_same(file: &str, uri: &StoreUri) {
    tell(format_args!("{file} is at {uri} already, with the same bytes"));
}

/// Where it goes, and the keys that there are here, if it can be asked from here with them.
type Here = Result<(Target, Credentials), OutOfReach>;

async fn from_here(jobs: &Jobs, wanted: &Upload<'_>) -> Result<Here, UploadError> {
    let (target, credentials, secret) = match wanted.to {
        Rows::Uri(uri) => {
            let target = Target::parse(wanted.file, uri)?;
            let credentials = match keys(jobs, Side::Dataset, wanted.secret, target.uri()).await {
                Err(NoKeys {
                    why: Refusal::Forbidden { .. },
                    ..
                }) => return Ok(Err(OutOfReach::NoSecret)),
                credentials => credentials.map_err(Box::new)?,
            };
            (target, credentials, wanted.secret)
        }
        Rows::Name(name) => {
            let (prefix, credentials) = match default_store(jobs, Side::Dataset).await {
                Ok(found) => found,
                Err(NoDefaultStore::Refused(Refusal::Forbidden { .. })) => return Ok(Err(OutOfReach::NoSecret)),
                Err(NoDefaultStore::Refused(Refusal::NoSuchSecret { namespace, .. })) => {
                    return Err(UploadError::NoDefaultStore { namespace });
                }
                Err(error) => return Err(UploadError::DefaultStore(error)),
            };
            let uri = prefix.join(&dataset_key(name)).to_string();
            (Target::parse(wanted.file, &uri)?, credentials, Some(DEFAULT_STORE))
        }
    };
    // The store may know the pod's service account.
    let reach = check_reach(Side::Dataset, &credentials, target.uri(), secret).await;
    Ok(reach.map(|()| (target, credentials)))
}
