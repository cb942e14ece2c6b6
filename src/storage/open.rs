//! Opens the store that a URI and credentials mean.

use std::fmt;
use std::path::Path as Directory;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use reqwest::Url;

use super::clouds::{self, CloudError};
use super::credentials::{self, Credentials, CredentialsError, Keys};
use super::error::Error;
use super::hints::Hints;
use super::store::Store;
use super::uri::{Cloud, Root, StoreUri};
use super::web::{Authorization, Request, Scratch, WebFile};

/// Where `hf://` is, unless `HF_ENDPOINT` says otherwise.
pub(super) const HUB: &str = "https://huggingface.co";

/// Directories of this machine that a store may need.
#[derive(Clone, Copy, Debug, Default)]
pub struct Directories<'a> {
    /// Where its claim is mounted, for `pvc://`.
    pub mount: Option<&'a Directory>,
    /// Where a copy is kept of what a web server gives only as a whole; without it, where the system keeps such things.
    pub scratch: Option<&'a Directory>,
    /// The most that such a copy may take, in bytes; without it, as much as there is room for.
    pub copy_limit: Option<u64>,
}

/// A data set's object, opened.
#[derive(Clone)]
pub struct Dataset {
    /// The store that holds it.
    pub store: Arc<dyn ObjectStore>,
    /// Where it is in the store.
    pub path: Path,
    /// Where it is in words.
    pub uri: StoreUri,
    hints: Hints,
}

impl Dataset {
    /// What its owner should check when the store refuses.
    #[must_use]
    pub fn hints(&self) -> Hints {
        self.hints.clone()
    }

    /// Says in the product's words what the store answered about this data set.
    #[must_use]
    pub fn explain(&self, source: object_store::Error) -> Error {
        Error::new(self.uri.clone(), &self.hints, source)
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Dataset");
        debug.field("uri", &self.uri).finish_non_exhaustive()
    }
}

/// A store that cannot even be asked.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The settings contradict each other.
    #[error("`{uri}` cannot be opened with these settings")]
    Settings {
        /// What was to be opened.
        uri: StoreUri,
        /// What is wrong with them.
        source: Box<object_store::Error>,
    },
    /// The keys cannot work.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A claim that the caller mounted nowhere.
    #[error("`{uri}` cannot be opened: the claim is not mounted")]
    NotMounted {
        /// What was to be opened.
        uri: StoreUri,
    },
}

impl OpenError {
    pub(super) fn of_cloud(error: CloudError, uri: &StoreUri) -> Self {
        match error {
            CloudError::Credentials(error) => error.into(),
            CloudError::Settings(source) => Self::Settings {
                uri: uri.clone(),
                source: Box::new(source),
            },
        }
    }
}

/// Opens a data set.
///
/// # Errors
///
/// [`OpenError`]; the store itself is not asked yet.
pub fn open_dataset(
    uri: &StoreUri,
    credentials: &Credentials,
    directories: Directories<'_>,
) -> Result<Dataset, OpenError> {
    let (store, hints) = open(uri, credentials, directories)?;
    Ok(Dataset {
        store,
        path: uri.path(),
        uri: uri.clone(),
        hints,
    })
}

/// Opens an output. `mount` is where its claim is mounted, for `pvc://`.
///
/// # Errors
///
/// [`OpenError`]; the store itself is not asked yet.
pub fn open_output(uri: &StoreUri, credentials: &Credentials, mount: Option<&Directory>) -> Result<Store, OpenError> {
    let directories = Directories {
        mount,
        ..Directories::default()
    };
    let (store, hints) = open(uri, credentials, directories)?;
    let store = Store::new(store, uri.clone(), hints);
    Ok(match (uri.root(), mount) {
        (Root::Claim(_), Some(mount)) => store.in_directory(&mount.join(uri.key())),
        _ => store,
    })
}

type Opened = (Arc<dyn ObjectStore>, Hints);

fn open(uri: &StoreUri, credentials: &Credentials, directories: Directories<'_>) -> Result<Opened, OpenError> {
    let settings = |source| OpenError::Settings {
        uri: uri.clone(),
        source: Box::new(source),
    };
    match uri.root() {
        Root::Folder(folder) => {
            let store = LocalFileSystem::new_with_prefix(format!("{folder}/")).map_err(settings)?;
            Ok((
                Arc::new(store),
                "check the permissions of the file and its folder".into(),
            ))
        }
        Root::Bucket(cloud, bucket) => {
            open_bucket(*cloud, bucket, credentials).map_err(|error| OpenError::of_cloud(error, uri))
        }
        Root::Web(web) => {
            let keys = credentials.keys(&credentials::WEB)?;
            let url = web.url(uri.key()).ok_or_else(|| settings(no_address()))?;
            open_file(url, &keys, directories).map_err(settings)
        }
        Root::Hub(hub) => {
            let keys = credentials.keys(&credentials::HUB)?;
            let endpoint = keys.endpoint().unwrap_or(HUB);
            let url = hub.url(endpoint, uri.key()).ok_or_else(|| settings(no_address()))?;
            open_file(url, &keys, directories).map_err(settings)
        }
        // No text means one: `open_config_map` opens it by its name.
        Root::ConfigMap(_) => Err(OpenError::NotMounted { uri: uri.clone() }),
        Root::Claim(_) => {
            let mount = directories
                .mount
                .ok_or_else(|| OpenError::NotMounted { uri: uri.clone() })?;
            let store = LocalFileSystem::new_with_prefix(mount).map_err(settings)?;
            // A finished row is promised to survive the node, and a file is only there after fsync.
            let store = store.with_fsync(true);
            let hint = "check that the volume's files are open to the feeder's user (fsGroup)";
            Ok((Arc::new(store), hint.into()))
        }
    }
}

fn open_bucket(cloud: Cloud, bucket: &str, credentials: &Credentials) -> Result<Opened, CloudError> {
    let keys = |kind| credentials.keys(kind);
    Ok(match cloud {
        Cloud::S3 => {
            let keys = keys(&credentials::S3)?;
            (Arc::new(clouds::s3(bucket, &keys)?), keys.hints())
        }
        Cloud::Google => {
            let keys = keys(&credentials::GOOGLE)?;
            let hints = keys.hints();
            (Arc::new(clouds::google(bucket, keys)?), hints)
        }
        Cloud::Azure => {
            let keys = keys(&credentials::AZURE)?;
            let hints = keys.hints();
            (Arc::new(clouds::azure(bucket, keys)?), hints)
        }
    })
}

fn open_file(url: Url, keys: &Keys, directories: Directories<'_>) -> object_store::Result<Opened> {
    let token = keys.get("HTTP_BEARER_TOKEN").or(keys.get("HF_TOKEN"));
    let user = keys.get("HTTP_USERNAME").zip(keys.get("HTTP_PASSWORD"));
    let authorization = match (token, user) {
        (Some(token), _) => Authorization::Bearer(token.to_owned()),
        (None, Some((user, password))) => Authorization::Basic(user.to_owned(), password.to_owned()),
        (None, None) => Authorization::None,
    };
    let scratch = Scratch {
        directory: directories.scratch.map_or_else(std::env::temp_dir, Directory::to_owned),
        limit: directories.copy_limit,
    };
    let file = WebFile::new(Request::new(url, authorization)?, scratch);
    Ok((Arc::new(file), keys.hints()))
}

fn no_address() -> object_store::Error {
    object_store::Error::Generic {
        store: "HTTP",
        source: "this makes no URL".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Side;

    fn credentials(vars: &[(&str, &str)]) -> Credentials {
        let vars = vars.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        Credentials::from_env(Side::Output, vars)
    }

    #[test]
    fn no_debug_output_shows_a_key() {
        let credentials = credentials(&[
            ("OUTPUT_AWS_ACCESS_KEY_ID", "visible-id"),
            ("OUTPUT_AWS_SECRET_ACCESS_KEY", "visible-secret"),
            ("OUTPUT_AWS_SESSION_TOKEN", "visible-token"),
        ]);
        let output = StoreUri::parse_prefix("s3://bucket/run").unwrap();
        let object = StoreUri::parse_object("s3://bucket/rows.jsonl").unwrap();
        let store = open_output(&output, &credentials, None).unwrap();
        let dataset = open_dataset(&object, &credentials, Directories::default()).unwrap();
        let debug = format!("{store:?} {dataset:?}");
        assert!(debug.contains("rows.jsonl"), "{debug}");
        assert!(!debug.contains("visible"), "{debug}");
    }

    #[test]
    fn a_region_in_the_secret_wins_over_the_default() {
        let credentials = credentials(&[
            ("OUTPUT_AWS_ENDPOINT_URL", "http://seaweedfs:8333"),
            ("OUTPUT_AWS_REGION", "eu-west-1"),
        ]);
        let keys = credentials.keys(&credentials::S3).unwrap();
        let store = clouds::s3("bucket", &keys).unwrap();
        assert!(format!("{store:?}").contains("eu-west-1"));
    }

    #[test]
    fn a_claim_that_is_mounted_nowhere_is_refused() {
        let uri = StoreUri::parse_prefix("pvc://claim/run").unwrap();
        let refused = open_output(&uri, &credentials(&[]), None).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`pvc://claim/run/` cannot be opened: the claim is not mounted"
        );
    }
    /// Amazon's answer to a request at the wrong region has no `Location`.
    #[tokio::test]
    async fn a_bucket_of_another_region_is_told_with_what_to_set() {
        let moved = axum::Router::new().fallback(async || axum::http::StatusCode::MOVED_PERMANENTLY);
        let endpoint = format!("http://{}", crate::storage::loopback::serve(moved).await);
        let credentials = credentials(&[
            ("OUTPUT_AWS_ENDPOINT_URL", endpoint.as_str()),
            ("OUTPUT_AWS_ACCESS_KEY_ID", "id"),
            ("OUTPUT_AWS_SECRET_ACCESS_KEY", "secret"),
        ]);
        let uri = StoreUri::parse_prefix("s3://bucket/run").unwrap();
        let store = open_output(&uri, &credentials, None).unwrap();
        let told = [
            store.read("job.json").await.unwrap_err(),
            store.create("job.json", "x").await.unwrap_err(),
            store.list("segments/").await.unwrap_err(),
        ];
        for error in told {
            assert!(matches!(error, Error::AccessDenied { .. }), "{error:?}");
            let remedy =
                "its bucket is in another region: set AWS_REGION in the Secret of spec.output.credentialsSecretRef";
            assert!(error.to_string().ends_with(remedy), "{error}");
        }
    }
}
