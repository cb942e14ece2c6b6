//! Where data sets and outputs live, as users write it.

use std::fmt;
use std::str::FromStr;

use object_store::path::Path;
use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};

/// What to write, quoted by every refusal.
const FORMS: &str = "s3://BUCKET/KEY or pvc://CLAIM/PATH";

/// Schemes that the design names and this version does not open.
const LATER: [&str; 5] = ["gs", "az", "http", "https", "hf"];

/// The place of an object (`s3://bucket/rows.jsonl`) or of a prefix (`s3://bucket/run-1/`).
///
/// A prefix is the root or ends with `/`; an object is neither.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoreUri {
    root: Root,
    key: String,
}

/// What holds the keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Root {
    /// An S3 bucket.
    Bucket(String),
    /// A `PersistentVolumeClaim` in the job's own namespace.
    Claim(String),
    /// A folder of this machine, as a person at it wrote it. No URI of a job means one.
    Folder(String),
}

/// Why a URI was refused; each message says what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// No `scheme://`.
    #[error("`{uri}` has no scheme: write {FORMS}")]
    NoScheme {
        /// As written.
        uri: String,
    },
    /// A scheme that is planned.
    #[error("`{uri}`: {scheme}:// is not supported yet: write {FORMS}")]
    NotSupportedYet {
        /// As written.
        uri: String,
        /// The part before `://`.
        scheme: String,
    },
    /// A scheme that means nothing here.
    #[error("`{uri}`: unknown scheme {scheme}://: write {FORMS}")]
    UnknownScheme {
        /// As written.
        uri: String,
        /// The part before `://`.
        scheme: String,
    },
    /// The bucket's or claim's name is empty or cannot be one.
    #[error("`{uri}`: `{name}` is not the name of a {what}: write {FORMS}")]
    BadRoot {
        /// As written.
        uri: String,
        /// The name found.
        name: String,
        /// `bucket` or `claim`.
        what: &'static str,
    },
    /// A data set must be one object.
    #[error("`{uri}` names no object: add the key of the data set's file after the {what}")]
    NoObject {
        /// As written.
        uri: String,
        /// `bucket` or `claim`.
        what: &'static str,
    },
    /// Stores disagree on what such keys mean, and a file system must never see `..`.
    #[error("`{uri}`: a key may not hold an empty, `.` or `..` part, nor control characters")]
    BadKey {
        /// As written.
        uri: String,
    },
}

impl StoreUri {
    /// Parses the place of one object, as `spec.dataset.uri` has it.
    ///
    /// # Errors
    ///
    /// [`UriError`], also when the URI names a prefix.
    pub fn parse_object(text: &str) -> Result<Self, UriError> {
        let uri = Self::from_str(text)?;
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
        let mut uri = Self::from_str(text)?;
        if !uri.is_prefix() {
            uri.key.push('/');
        }
        Ok(uri)
    }

    /// The root of a bucket, for stores that tests make.
    pub(super) fn bucket_root(name: &str) -> Self {
        Self {
            root: Root::Bucket(name.to_owned()),
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

impl FromStr for StoreUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let uri = || text.to_owned();
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| UriError::NoScheme { uri: uri() })?;
        let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
        let root = match scheme {
            "s3" => Root::Bucket(name.to_owned()),
            "pvc" => Root::Claim(name.to_owned()),
            _ if LATER.contains(&scheme) => {
                return Err(UriError::NotSupportedYet {
                    uri: uri(),
                    scheme: scheme.to_owned(),
                });
            }
            _ => {
                return Err(UriError::UnknownScheme {
                    uri: uri(),
                    scheme: scheme.to_owned(),
                });
            }
        };
        if !root.is_well_named() {
            return Err(UriError::BadRoot {
                uri: uri(),
                name: name.to_owned(),
                what: root.what(),
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

impl fmt::Display for StoreUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.root {
            Root::Bucket(name) => write!(f, "s3://{name}/{}", self.key),
            Root::Claim(name) => write!(f, "pvc://{name}/{}", self.key),
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
    fn what(&self) -> &'static str {
        match self {
            Self::Bucket(_) => "bucket",
            Self::Claim(_) => "claim",
            Self::Folder(_) => "folder",
        }
    }

    /// Only what would end up elsewhere than meant is refused (a port, a user, a query); the store
    /// and the API server know their own rules better.
    fn is_well_named(&self) -> bool {
        let (Self::Bucket(name) | Self::Claim(name) | Self::Folder(name)) = self;
        !name.is_empty()
            && !name.starts_with('.')
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_taken_apart_and_written_back_as_they_were() {
        for text in ["s3://bucket/a/rows.jsonl", "pvc://data/rows.jsonl"] {
            assert_eq!(StoreUri::parse_object(text).unwrap().to_string(), text);
        }
        let uri = StoreUri::parse_object("s3://bucket/a b/r#1.jsonl").unwrap();
        assert_eq!(uri.root(), &Root::Bucket("bucket".into()));
        assert_eq!(uri.key(), "a b/r#1.jsonl");
    }

    #[test]
    fn an_output_gets_its_missing_slash() {
        let written = |text| StoreUri::parse_prefix(text).unwrap().to_string();
        assert_eq!(written("s3://bucket/run"), "s3://bucket/run/");
        assert_eq!(written("s3://bucket/run/"), "s3://bucket/run/");
        assert_eq!(written("s3://bucket"), "s3://bucket/");
        assert_eq!(written("pvc://claim/"), "pvc://claim/");
    }

    #[test]
    fn joined_keys_stand_under_the_prefix() {
        let joined = |text| {
            let prefix = StoreUri::parse_prefix(text).unwrap();
            prefix.join("job.json").to_string()
        };
        assert_eq!(joined("s3://bucket/run"), "s3://bucket/run/job.json");
        assert_eq!(joined("s3://bucket"), "s3://bucket/job.json");
    }

    #[test]
    fn a_refusal_says_what_to_write() {
        let message = |text| StoreUri::parse_object(text).unwrap_err().to_string();
        let forms = "write s3://BUCKET/KEY or pvc://CLAIM/PATH";
        assert_eq!(message("rows.jsonl"), format!("`rows.jsonl` has no scheme: {forms}"));
        assert_eq!(
            message("gs://bucket/rows.jsonl"),
            format!("`gs://bucket/rows.jsonl`: gs:// is not supported yet: {forms}")
        );
        assert_eq!(
            message("ftp://host/rows.jsonl"),
            format!("`ftp://host/rows.jsonl`: unknown scheme ftp://: {forms}")
        );
        assert_eq!(
            message("s3:///rows.jsonl"),
            format!("`s3:///rows.jsonl`: `` is not the name of a bucket: {forms}")
        );
        assert_eq!(
            message("pvc://user@claim/rows.jsonl"),
            format!("`pvc://user@claim/rows.jsonl`: `user@claim` is not the name of a claim: {forms}")
        );
        assert_eq!(
            message("s3://bucket/dir/"),
            "`s3://bucket/dir/` names no object: add the key of the data set's file after the bucket"
        );
    }

    #[test]
    fn keys_that_a_file_system_would_read_otherwise_are_refused() {
        for key in ["a//b", "/a", "../a", "a/./b", "a\nb"] {
            let uri = format!("pvc://claim/{key}");
            let refused = StoreUri::parse_object(&uri).unwrap_err();
            assert_eq!(refused, UriError::BadKey { uri });
        }
    }

    #[test]
    fn serde_writes_the_text_and_refuses_what_parsing_refuses() {
        let uri = StoreUri::parse_prefix("s3://bucket/run").unwrap();
        let json = serde_json::to_string(&uri).unwrap();
        assert_eq!(json, r#""s3://bucket/run/""#);
        assert_eq!(serde_json::from_str::<StoreUri>(&json).unwrap(), uri);
        assert!(serde_json::from_str::<StoreUri>(r#""run""#).is_err());
    }
}
