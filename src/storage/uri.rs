//! Where data sets and outputs live, as users write it.

use std::fmt;
use std::str::FromStr;

use object_store::path::Path;
use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};

use super::address::{self, Hub, Web};
use super::uri_error::{FORMS, OUTPUT_FORMS, UriError};

/// The place of an object (`s3://bucket/rows.jsonl`) or of a prefix (`s3://bucket/run-1/`).
///
/// A prefix is the root or ends with `/`; an object is neither.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoreUri {
    root: Root,
    key: String,
}

/// Whose bucket it is: what its requests and its keys look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cloud {
    /// S3, Amazon's or another.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage, where buckets are called containers.
    Azure,
}

impl Cloud {
    const ALL: [Self; 3] = [Self::S3, Self::Google, Self::Azure];

    /// What stands before `://`.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }

    /// What holds its objects.
    #[must_use]
    pub fn bucket(self) -> &'static str {
        match self {
            Self::S3 | Self::Google => "bucket",
            Self::Azure => "container",
        }
    }

    fn of(scheme: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cloud| cloud.scheme() == scheme)
    }
}

/// What holds the keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Root {
    /// A bucket, or an Azure container.
    Bucket(Cloud, String),
    /// A web server, of a data set only.
    Web(Web),
    /// A repository of a Hugging Face hub, of a data set only.
    Hub(Hub),
    /// A `PersistentVolumeClaim` in the job's own namespace.
    Claim(String),
    /// A ConfigMap in the job's own namespace, which `spec.output.configMap` names. No URI of a job means one.
    ConfigMap(String),
    /// A folder of this machine, as a person at it wrote it. No URI of a job means one.
    Folder(String),
}

impl StoreUri {
    /// Parses the place of one object, as `spec.dataset.uri` has it.
    ///
    /// # Errors
    ///
    /// [`UriError`], also when the URI names a prefix.
    pub fn parse_object(text: &str) -> Result<Self, UriError> {
        let uri = Self::parse(text, FORMS)?;
        if uri.is_prefix() {
            return Err(UriError::NoObject {
                uri: text.to_owned(),
                what: uri.root.what(),
            });
        }
        Ok(uri)
    }

    /// Parses the place of an output, as `spec.output.uri` has it: a missing slash at the end is
    /// added, and the root of a bucket is allowed.
    ///
    /// # Errors
    ///
    /// [`UriError`].
    pub fn parse_prefix(text: &str) -> Result<Self, UriError> {
        let mut uri = Self::parse(text, OUTPUT_FORMS)?;
        if let Some(scheme) = uri.root.read_only() {
            let uri = text.to_owned();
            return Err(UriError::ReadOnly { uri, scheme });
        }
        if !uri.is_prefix() {
            uri.key.push('/');
        }
        Ok(uri)
    }

    /// The root of a bucket, for stores that tests make.
    pub(super) fn bucket_root(name: &str) -> Self {
        Self {
            root: Root::Bucket(Cloud::S3, name.to_owned()),
            key: String::new(),
        }
    }

    /// A ConfigMap as a whole.
    pub(super) fn of_config_map(name: &str) -> Self {
        Self {
            root: Root::ConfigMap(name.to_owned()),
            key: String::new(),
        }
    }

    /// `key` in a folder of this machine; an empty key is the folder itself.
    pub(super) fn in_folder(folder: &str, key: &str) -> Self {
        Self {
            root: Root::Folder(folder.trim_end_matches('/').to_owned()),
            key: key.to_owned(),
        }
    }

    /// The bucket, claim or folder.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The key below the root, without a leading slash; empty or ending with `/` for a prefix.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether this names a prefix rather than one object.
    #[must_use]
    pub fn is_prefix(&self) -> bool {
        self.key.is_empty() || self.key.ends_with('/')
    }

    /// The URI of `key` under this prefix.
    #[must_use]
    pub fn join(&self, key: &str) -> Self {
        Self {
            root: self.root.clone(),
            key: format!("{}{key}", self.key),
        }
    }

    /// The prefix that this object is in, and its name there.
    pub(super) fn split(&self) -> (Self, &str) {
        let name = self.key.rfind('/').map_or(0, |slash| slash + 1);
        let prefix = Self {
            root: self.root.clone(),
            key: self.key[..name].to_owned(),
        };
        (prefix, &self.key[name..])
    }

    /// The key as the object store's own type.
    pub(super) fn path(&self) -> Path {
        // Parsing accepted this key once, and keys joined to it are our own constants.
        Path::parse(&self.key).unwrap_or_else(|_| Path::from(self.key.as_str()))
    }
}

impl StoreUri {
    fn parse(text: &str, forms: &'static str) -> Result<Self, UriError> {
        let uri = || text.to_owned();
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| UriError::NoScheme { uri: uri(), forms })?;
        let (root, key) = match scheme {
            "http" | "https" => address::web(text)?,
            "hf" => address::hub(text)?,
            "pvc" => named(rest, |name| Root::Claim(name.to_owned())),
            _ => {
                let cloud = Cloud::of(scheme).ok_or_else(|| UriError::UnknownScheme {
                    uri: uri(),
                    scheme: scheme.to_owned(),
                    forms,
                })?;
                named(rest, |name| Root::Bucket(cloud, name.to_owned()))
            }
        };
        if let Some(name) = root.bad_name() {
            return Err(UriError::BadRoot {
                uri: uri(),
                name: name.to_owned(),
                what: root.what(),
                forms,
            });
        }
        if key.starts_with('/') || Path::parse(key).is_err() {
            return Err(UriError::BadKey { uri: uri() });
        }
        Ok(Self {
            root,
            key: key.to_owned(),
        })
    }
}

impl FromStr for StoreUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::parse(text, FORMS)
    }
}

/// What holds the keys, and the key, of all that is behind `://`.
fn named(rest: &str, root: impl FnOnce(&str) -> Root) -> (Root, &str) {
    let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
    (root(name), key)
}

impl fmt::Display for StoreUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.root {
            Root::Bucket(cloud, name) => write!(f, "{}://{name}/{}", cloud.scheme(), self.key),
            Root::Web(web) => write!(f, "{web}/{}", self.key),
            Root::Hub(hub) => write!(f, "{hub}/{}", self.key),
            Root::Claim(name) => write!(f, "pvc://{name}/{}", self.key),
            Root::ConfigMap(name) => write!(f, "configmap://{name}/{}", self.key),
            Root::Folder(name) => write!(f, "{name}/{}", self.key),
        }
    }
}

impl Serialize for StoreUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StoreUri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Root {
    /// What it is called: bucket, container, claim, ...
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Bucket(cloud, _) => cloud.bucket(),
            Self::Web(_) => "host",
            Self::Hub(_) => "repository",
            Self::Claim(_) => "claim",
            Self::ConfigMap(_) => "ConfigMap",
            Self::Folder(_) => "folder",
        }
    }

    /// The scheme of a place that is never written to.
    fn read_only(&self) -> Option<&'static str> {
        match self {
            Self::Web(web) => Some(web.scheme()),
            Self::Hub(_) => Some("hf"),
            Self::Bucket(..) | Self::Claim(_) | Self::ConfigMap(_) | Self::Folder(_) => None,
        }
    }

    /// Its name, if that is none. Only what would end up elsewhere than meant is refused (a port, a user, a query); the store
    /// and the API server know their own rules better.
    fn bad_name(&self) -> Option<&str> {
        let name = match self {
            Self::Bucket(_, name) | Self::Claim(name) | Self::ConfigMap(name) | Self::Folder(name) => name,
            Self::Web(_) | Self::Hub(_) => return None,
        };
        (!is_name(name)).then_some(name)
    }
}

/// Whether a bucket, claim, or part of a repository may have this name.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
}

#[cfg(test)]
#[path = "uri_tests.rs"]
mod tests;
