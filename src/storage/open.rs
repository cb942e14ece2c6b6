//! Opens the store that a URI and credentials mean.

use std::fmt;
use std::net::IpAddr;
use std::path::Path as Directory;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::credentials::Credentials;
use super::error::Error;
use super::store::Store;
use super::uri::{Root, StoreUri};

/// Long enough for a store to fail over and to be asked politely after a 503, short enough that a
/// real outage is told to the job's owner while he watches.
const RETRY_FOR: Duration = Duration::from_secs(30);
/// With the backoff below, more than fit into [`RETRY_FOR`]: time is the bound that counts.
const RETRIES: usize = 20;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// A request without a byte of answer for this long has failed. It bounds silence, not transfers, so a
/// slow link may still take hours for a data set.
const SILENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);
/// S3 servers that are not Amazon's rarely care for the region, and signing needs one.
const REGION_OF_ENDPOINTS: &str = "us-east-1";
/// `NO_PROXY` for everything: names and both kinds of addresses.
const EVERY_HOST: &str = "*,0.0.0.0/0,::/0";

/// A data set's object, opened.
#[derive(Clone)]
pub struct Dataset {
    /// The store that holds it.
    pub store: Arc<dyn ObjectStore>,
    /// Where it is in the store.
    pub path: Path,
    /// Where it is in words.
    pub uri: StoreUri,
    hint: Arc<str>,
}

impl Dataset {
    /// What its owner should check when the store refuses.
    #[must_use]
    pub fn hint(&self) -> Arc<str> {
        Arc::clone(&self.hint)
    }

    /// Says in the product's words what the store answered about this data set.
    #[must_use]
    pub fn explain(&self, source: object_store::Error) -> Error {
        Error::new(self.uri.clone(), &self.hint, source)
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
    /// A claim that the caller mounted nowhere.
    #[error("`{uri}` cannot be opened: the claim is not mounted")]
    NotMounted {
        /// What was to be opened.
        uri: StoreUri,
    },
}

/// Opens a data set. `mount` is where its claim is mounted, for `pvc://`.
///
/// # Errors
///
/// [`OpenError`]; the store itself is not asked yet.
pub fn open_dataset(
    uri: &StoreUri,
    credentials: &Credentials,
    mount: Option<&Directory>,
) -> Result<Dataset, OpenError> {
    let (store, hint) = open(uri, credentials, mount)?;
    Ok(Dataset {
        store,
        path: uri.path(),
        uri: uri.clone(),
        hint,
    })
}

/// Opens an output. `mount` is where its claim is mounted, for `pvc://`.
///
/// # Errors
///
/// [`OpenError`]; the store itself is not asked yet.
pub fn open_output(uri: &StoreUri, credentials: &Credentials, mount: Option<&Directory>) -> Result<Store, OpenError> {
    let (store, hint) = open(uri, credentials, mount)?;
    let store = Store::new(store, uri.clone(), hint);
    Ok(match (uri.root(), mount) {
        (Root::Claim(_), Some(mount)) => store.in_directory(&mount.join(uri.key())),
        _ => store,
    })
}

fn open(
    uri: &StoreUri,
    credentials: &Credentials,
    mount: Option<&Directory>,
) -> Result<(Arc<dyn ObjectStore>, Arc<str>), OpenError> {
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
        Root::Bucket(bucket) => {
            let store = s3(bucket, credentials).map_err(settings)?;
            Ok((Arc::new(store), credentials.hint()))
        }
        Root::Claim(_) => {
            let mount = mount.ok_or_else(|| OpenError::NotMounted { uri: uri.clone() })?;
            let store = LocalFileSystem::new_with_prefix(mount).map_err(settings)?;
            // A finished row is promised to survive the node, and a file is only there after fsync.
            let store = store.with_fsync(true);
            let hint = "check that the volume's files are open to the feeder's user (fsGroup)";
            Ok((Arc::new(store), hint.into()))
        }
    }
}

fn s3(bucket: &str, credentials: &Credentials) -> object_store::Result<AmazonS3> {
    let endpoint = credentials.endpoint();
    let mut builder = AmazonS3Builder::new()
        .with_client_options(client_options(endpoint))
        .with_retry(retry())
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    if endpoint.is_some() {
        builder = builder.with_region(REGION_OF_ENDPOINTS);
    }
    for (name, value) in credentials.aws() {
        // As `AmazonS3Builder::from_env` reads them; a Secret may hold other keys too.
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    builder.with_bucket_name(bucket).build()
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: FIRST_BACKOFF,
            max_backoff: LONGEST_BACKOFF,
            base: 2.0,
        },
        max_retries: RETRIES,
        retry_timeout: RETRY_FOR,
    }
}

fn client_options(endpoint: Option<&str>) -> ClientOptions {
    let mut options = ClientOptions::new()
        .with_timeout_disabled()
        .with_read_timeout(SILENCE)
        .with_connect_timeout(CONNECT);
    let Some(endpoint) = endpoint else {
        return options;
    };
    options = options.with_allow_http(endpoint.starts_with("http://"));
    if is_inside_cluster(endpoint) {
        // The client has no "no proxy" switch, but a proxy that is excluded everywhere keeps it from
        // taking one from the environment.
        options = options.with_proxy_url(endpoint).with_proxy_excludes(EVERY_HOST);
    }
    options
}

/// Whether a proxy for the way out of the cluster could not find this address.
fn is_inside_cluster(endpoint: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(endpoint) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(ip)) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip.is_unique_local() || ip.is_loopback(),
        Err(_) => {
            let suffix = host.rsplit_once('.').map(|(_, suffix)| suffix);
            suffix.is_none_or(|suffix| matches!(suffix, "svc" | "local" | "localhost"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Side;

    fn credentials(vars: &[(&str, &str)]) -> Credentials {
        let vars = vars.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        Credentials::from_env(Side::Output, vars).unwrap()
    }

    #[test]
    fn services_and_private_addresses_are_inside_the_cluster() {
        for inside in [
            "http://seaweedfs:8333",
            "http://minio.storage.svc:9000",
            "https://minio.storage.svc.cluster.local",
            "http://10.0.0.7:8333",
            "http://127.0.0.1:8333",
            "http://[fd00::1]:8333",
        ] {
            assert!(is_inside_cluster(inside), "{inside}");
        }
        for outside in ["https://s3.eu-west-1.amazonaws.com", "https://192.0.2.1"] {
            assert!(!is_inside_cluster(outside), "{outside}");
        }
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
        let dataset = open_dataset(&object, &credentials, None).unwrap();
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
        let store = s3("bucket", &credentials).unwrap();
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
}
