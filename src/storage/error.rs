//! What can go wrong with a store, in words for the job's owner.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use object_store::client::HttpError;

use super::config_map::ConfigMapError;
use super::hints::Hints;
use super::uri::StoreUri;

/// A store's refusal or failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object is not there.
    #[error("`{uri}` does not exist")]
    NotFound {
        /// The object.
        uri: StoreUri,
        /// What the store answered.
        source: Box<object_store::Error>,
    },
    /// The bucket itself is not there.
    #[error("the {} of `{uri}` does not exist: create it, or correct the URI", uri.root().what())]
    BucketNotFound {
        /// The object that was asked for.
        uri: StoreUri,
        /// What the store answered.
        source: Box<object_store::Error>,
    },
    /// The key is wrong, has expired, or may not do this.
    #[error("access to `{uri}` was refused: {hint}")]
    AccessDenied {
        /// The object or prefix.
        uri: StoreUri,
        /// What to check.
        hint: Arc<str>,
        /// What the store answered.
        source: Box<object_store::Error>,
    },
    /// The clocks differ by more than the store allows: S3 takes requests of the last and next 15 minutes.
    #[error("the store of `{uri}` refuses requests of this clock: {clocks}")]
    ClockSkew {
        /// The object or prefix.
        uri: StoreUri,
        /// Both clocks, as far as they are known.
        clocks: String,
        /// What the store answered.
        source: Box<object_store::Error>,
    },
    /// The volume, bucket or quota has no room left.
    #[error("there is no room left for `{uri}`")]
    Full {
        /// The object.
        uri: StoreUri,
        /// What the store answered.
        source: Box<object_store::Error>,
    },
    /// A ConfigMap has no room for the object, and never will.
    #[error("there is no room for `{uri}`: {what}")]
    TooLarge {
        /// The object.
        uri: StoreUri,
        /// How large it would be, and may be.
        what: String,
        /// What the store answered.
        source: Box<object_store::Error>,
    },
    /// The ConfigMap of an output is somebody else's.
    #[error("`{uri}` cannot be used: {what}")]
    NotOurs {
        /// The object.
        uri: StoreUri,
        /// Whose it may be, and what to do about it.
        what: String,
        /// What the store answered.
        source: Box<object_store::Error>,
    },
    /// The store lacks something that an output needs.
    #[error("the store of `{uri}` cannot do what is needed: {what}")]
    Unsupported {
        /// The object.
        uri: StoreUri,
        /// What it cannot do, and what to do about it.
        what: &'static str,
        /// What the store answered.
        source: Box<object_store::Error>,
    },
    /// An object that was just written is not there, or is another one.
    #[error("`{uri}` was written, but what is read there is something else")]
    NotAsWritten {
        /// The object.
        uri: StoreUri,
    },
    /// Anything else, after the retries of [`super::open_output`]: worth trying again later.
    #[error("the store of `{uri}` failed")]
    Unavailable {
        /// The object or prefix.
        uri: StoreUri,
        /// What the store answered.
        source: Box<object_store::Error>,
    },
}

impl Error {
    /// Sorts what the store answered about `uri`; `hints` say what to check.
    pub(super) fn new(uri: StoreUri, hints: &Hints, source: object_store::Error) -> Self {
        let source = Box::new(source);
        let of_config_map = chain(&source).find_map(|error| error.downcast_ref::<ConfigMapError>());
        if let Some(error) = of_config_map {
            let what = error.to_string();
            return match error {
                ConfigMapError::TooLarge { .. } => Self::TooLarge { uri, what, source },
                ConfigMapError::NotOurs { .. } => Self::NotOurs { uri, what, source },
                _ => Self::Unavailable { uri, source },
            };
        }
        // Some of these are answered with a status that means a refusal elsewhere.
        if let Some(clocks) = skewed_clocks(&source) {
            return Self::ClockSkew { uri, clocks, source };
        }
        if is_full(&source) {
            return Self::Full { uri, source };
        }
        if let Some(what) = missing_ability(&source) {
            return Self::Unsupported { uri, what, source };
        }
        if let Some(hint) = hints.region(&source) {
            return Self::AccessDenied { uri, hint, source };
        }
        if is_refused(&source) {
            let hint = hints.refused();
            return Self::AccessDenied { uri, hint, source };
        }
        if is_no_upload(&source) {
            return Self::Unavailable { uri, source };
        }
        if NO_BUCKET.iter().any(|code| chain_says(&source, code)) {
            return Self::BucketNotFound { uri, source };
        }
        match *source {
            object_store::Error::NotFound { .. } => Self::NotFound { uri, source },
            _ => Self::Unavailable { uri, source },
        }
    }

    /// Whether an upload in parts is no more: it is completed, when the answer that said so was lost, or somebody has given it up.
    pub(super) fn is_no_upload(&self) -> bool {
        matches!(self, Self::Unavailable { source, .. } if is_no_upload(source))
    }

    /// Whether the object, and not its bucket, is missing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the bucket is in another region than the one that was asked. Clients that follow it there are not refused.
    #[must_use]
    pub fn is_in_other_region(&self) -> bool {
        matches!(self, Self::AccessDenied { source, .. } if other_region(source).is_some())
    }
}

/// The scratch disk does not take or give a copy.
#[derive(Debug, thiserror::Error)]
#[error("the scratch disk failed: {0}")]
pub(super) struct ScratchFailed(#[source] pub io::Error);

/// What the scratch disk said, if it is that and not the store that failed.
#[must_use]
pub fn scratch_failure(error: &object_store::Error) -> Option<String> {
    let failed = chain(error).find_map(|error| error.downcast_ref::<ScratchFailed>());
    failed.map(|failed| failed.0.to_string())
}

/// What answers say that mean a refusal, but for those that `object_store` has a variant for. It has none
/// for listings, and S3 answers 400, not 403, to a session token that has expired or is none, and to a key that is none:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
/// The last is how `object_store` (0.14, `aws/client.rs`) tells of a key that a bulk delete, answered with 200, did not delete.
const REFUSALS: [&str; 6] = [
    "status code: 401",
    "status code: 403",
    "<Code>ExpiredToken</Code>",
    "<Code>InvalidToken</Code>",
    MALFORMED,
    "(code: AccessDenied)",
];

/// Both clocks, as far as they are known, when a store refuses requests of this one.
#[must_use]
pub fn skewed_clocks(error: &object_store::Error) -> Option<String> {
    chain_says(error, "<Code>RequestTimeTooSkewed</Code>").then(|| clocks(error, Timestamp::now()))
}

/// Both clocks. Amazon names its own in the answer, other stores may not:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
fn clocks(error: &object_store::Error, here: Timestamp) -> String {
    let here = here.strftime("%Y-%m-%dT%H:%M:%SZ");
    match chain(error).find_map(|error| element(&error.to_string(), "ServerTime")) {
        Some(there) => format!("it is {here} here and {there} there"),
        None => format!("it is {here} here, and another time there"),
    }
}

/// What `object_store` (0.14, `client/retry.rs`) makes of Amazon's `PermanentRedirect`, which has no `Location`.
const REDIRECT: &str = "Received redirect without LOCATION";
/// What Amazon says of a request that is signed for another region, and of one whose key is none:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
const MALFORMED: &str = "<Code>AuthorizationHeaderMalformed</Code>";

/// Whether the bucket is in another region than that which was asked.
fn is_other_region(error: &object_store::Error) -> bool {
    chain_says(error, REDIRECT) || (chain_says(error, MALFORMED) && region(error).is_some())
}

/// The region that an answer names: in an element, and in its message, of which some stores have the latter only (`the region 'us-east-1' is
/// wrong; expecting 'eu-west-1'`).
fn region(error: &object_store::Error) -> Option<String> {
    chain(error).find_map(|error| {
        let text = error.to_string();
        element(&text, "Region")
            .or_else(|| expected(&text))
            .filter(|region| !region.is_empty())
    })
}

/// The word in quotes that an answer expects. Quotes may be escaped, as in any text of XML.
fn expected(text: &str) -> Option<String> {
    let text = text.replace("&apos;", "'").replace("&#39;", "'");
    let (_, rest) = text.split_once("expecting '")?;
    let (word, _) = rest.split_once('\'')?;
    Some(word.to_owned())
}

/// In which region the bucket is, in words, if it is in another one than that which was asked.
pub(super) fn other_region(error: &object_store::Error) -> Option<String> {
    if !is_other_region(error) {
        return None;
    }
    Some(region(error).map_or_else(|| "another region".to_owned(), |name| format!("the region {name}")))
}

/// The text of an element in a store's XML.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once("</")?;
    Some(text.to_owned())
}

/// What S3 and Google's store, and what Azure's says of a bucket that is not there.
const NO_BUCKET: [&str; 2] = ["<Code>NoSuchBucket</Code>", "<Code>ContainerNotFound</Code>"];

/// What stores answer that have no room left: MinIO, Ceph, and those that say it by the name of HTTP's status 507.
const FULL: [&str; 3] = [
    "<Code>XMinioStorageFull</Code>",
    "<Code>QuotaExceeded</Code>",
    "<Code>InsufficientStorage</Code>",
];

/// `object_store` (0.14, `aws/client.rs`) sends a completion again whose answer was lost.
fn is_no_upload(error: &object_store::Error) -> bool {
    chain_says(error, "<Code>NoSuchUpload</Code>")
}

fn is_full(error: &object_store::Error) -> bool {
    let no_room = |kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    FULL.iter().any(|code| chain_says(error, code)) || io_errors(error).any(|error| no_room(error.kind()))
}

/// What `link(2)` answers on a file system without hard links: EPERM, ENOSYS (FUSE), EOPNOTSUPP (SMB).
const NO_HARD_LINKS: [i32; 3] = [1, 38, 95];

fn missing_ability(error: &object_store::Error) -> Option<&'static str> {
    // `object_store` 0.14, `local.rs`: how a create-only put says that its last step, the link, has failed.
    let is_link = chain_says(error, "Unable to rename file");
    let refused = |error: &io::Error| error.raw_os_error().is_some_and(|code| NO_HARD_LINKS.contains(&code));
    if is_link && io_errors(error).any(refused) {
        return Some(
            "its file system has no hard links, by which an object is created only once; use a volume that has them \
             (ext4, XFS, NFS, CephFS), or a bucket",
        );
    }
    chain_says(error, "<Code>NotImplemented</Code>")
        .then_some("it knows no conditional puts (If-None-Match); use another store, or a newer version of this one")
}

fn io_errors(error: &object_store::Error) -> impl Iterator<Item = &io::Error> {
    chain(error).filter_map(|error| error.downcast_ref::<io::Error>())
}

/// Whether a store, or the file system, does not let these keys do it.
#[must_use]
pub fn is_refused(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    match error {
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => true,
        E::Generic { .. } => {
            REFUSALS.iter().any(|text| chain_says(error, text))
                || io_errors(error).any(|error| error.kind() == io::ErrorKind::PermissionDenied)
        }
        _ => false,
    }
}

/// What `object_store` (0.14, `client/retry.rs`) says of answers by which a store refuses nothing but to be asked now.
const BUSY: [&str; 3] = ["status code: 5", "status code: 408", "status code: 429"];

/// Whether the store was asked over a network and did not answer, or only that it cannot now. To ask it something else would not tell
/// more, and would wait as long again.
#[must_use]
pub fn is_outage(error: &object_store::Error) -> bool {
    let unanswered = chain(error).any(<dyn StdError>::is::<HttpError>);
    unanswered || BUSY.iter().any(|text| chain_says(error, text))
}

/// The store's error codes reach us only as the XML text of its answer.
fn chain_says(error: &object_store::Error, code: &str) -> bool {
    chain(error).any(|error| error.to_string().contains(code))
}

fn chain<'a>(error: &'a object_store::Error) -> impl Iterator<Item = &'a (dyn StdError + 'static)> + 'a {
    let first: &(dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |error| (**error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        let uri = StoreUri::parse_object("s3://bucket/key").unwrap();
        let source = object_store::Error::Generic {
            store: "test",
            source: source.into(),
        };
        Error::new(uri, &"check the key".into(), source)
    }

    /// As `object_store` says that the last step of a create-only put has failed.
    #[derive(Debug, thiserror::Error)]
    #[error("Unable to rename file: {source}")]
    struct LinkFailed {
        source: io::Error,
    }

    #[test]
    fn clocks_that_differ_are_told_with_both_times() {
        let answer =
            |rest: &str| format!("status code: 403 Forbidden: <Error><Code>RequestTimeTooSkewed</Code>{rest}</Error>");
        let error = told(answer("<ServerTime>2026-11-24T10:00:00Z</ServerTime>"));
        assert!(matches!(error, Error::ClockSkew { .. }), "{error:?}");
        assert!(
            error.to_string().ends_with(" here and 2026-11-24T10:00:00Z there"),
            "{error}"
        );
        assert!(told(answer("")).to_string().ends_with(" here, and another time there"));
    }

    #[test]
    fn a_malformed_header_is_of_another_region_only_where_the_answer_names_one() {
        let answer = |rest: &str| {
            let body = format!("<Error><Code>AuthorizationHeaderMalformed</Code>{rest}</Error>");
            told(format!("status code: 400 Bad Request: {body}"))
        };
        for (rest, want) in [
            ("<Region>eu-west-1</Region>", Some("the region eu-west-1")),
            (
                "<Message>the region 'us-east-1' is wrong; expecting 'eu-west-1'</Message>",
                Some("the region eu-west-1"),
            ),
            (
                "<Message>the region is wrong; expecting &apos;eu-west-1&apos;</Message>",
                Some("the region eu-west-1"),
            ),
            ("<Region></Region>", None),
            (
                "<Message>a non-empty Access Key (AKID) must be provided in the credential.</Message>",
                None,
            ),
        ] {
            let Error::AccessDenied { source, hint, .. } = answer(rest) else {
                panic!("{rest} is no refusal");
            };
            assert_eq!(other_region(&source).as_deref(), want, "{rest}");
            assert_eq!(&*hint, "check the key");
        }
    }

    #[test]
    fn an_upload_that_is_no_more_is_tried_again_and_no_missing_bucket() {
        let source = object_store::Error::NotFound {
            path: "key".into(),
            source: "status code: 404 Not Found: <Error><Code>NoSuchUpload</Code></Error>".into(),
        };
        let uri = StoreUri::parse_object("s3://bucket/key").unwrap();
        let error = Error::new(uri, &"check the key".into(), source);
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    }

    #[test]
    fn a_full_volume_and_a_used_up_quota_are_no_refusals() {
        let full = told(io::Error::from_raw_os_error(28));
        assert!(matches!(full, Error::Full { .. }), "{full:?}");
        let quota = told("status code: 403 Forbidden: <Code>QuotaExceeded</Code>");
        assert!(matches!(quota, Error::Full { .. }), "{quota:?}");
    }

    #[test]
    fn a_file_system_without_hard_links_is_told_from_a_missing_permission() {
        for code in NO_HARD_LINKS {
            let source = io::Error::from_raw_os_error(code);
            let error = told(LinkFailed { source });
            assert!(error.to_string().contains("no hard links"), "{error}");
        }
        let denied = told(io::Error::from_raw_os_error(1));
        assert!(matches!(denied, Error::AccessDenied { .. }), "{denied:?}");
        let denied = told(LinkFailed {
            source: io::Error::from_raw_os_error(13),
        });
        assert!(matches!(denied, Error::AccessDenied { .. }), "{denied:?}");
    }
}
