//! What can go wrong with a store, in words for the job's owner.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

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
    #[error("the bucket of `{uri}` does not exist: create it, or correct the URI")]
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
    /// Sorts what the store answered about `uri`; `hint` says what to check when it refused.
    pub(super) fn new(uri: StoreUri, hint: &Arc<str>, source: object_store::Error) -> Self {
        let source = Box::new(source);
        if is_refusal(&source) {
            let hint = Arc::clone(hint);
            return Self::AccessDenied { uri, hint, source };
        }
        if chain_says(&source, "<Code>NoSuchBucket</Code>") {
            return Self::BucketNotFound { uri, source };
        }
        match *source {
            object_store::Error::NotFound { .. } => Self::NotFound { uri, source },
            _ => Self::Unavailable { uri, source },
        }
    }

    /// Whether the object, and not its bucket, is missing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// What answers say that mean a refusal, but for those that `object_store` has a variant for. It has none
/// for listings, and S3 answers 400, not 403, to a session token that has expired or is none:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
const REFUSALS: [&str; 4] = [
    "status code: 401",
    "status code: 403",
    "<Code>ExpiredToken</Code>",
    "<Code>InvalidToken</Code>",
];

fn is_refusal(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    match error {
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => true,
        E::Generic { .. } => {
            REFUSALS.iter().any(|text| chain_says(error, text)) || chain(error).any(is_permission_denied)
        }
        _ => false,
    }
}

fn is_permission_denied(error: &(dyn StdError + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// The store's error codes reach us only as the XML text of its answer.
fn chain_says(error: &object_store::Error, code: &str) -> bool {
    chain(error).any(|error| error.to_string().contains(code))
}

fn chain<'a>(error: &'a object_store::Error) -> impl Iterator<Item = &'a (dyn StdError + 'static)> + 'a {
    let first: &(dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |error| (**error).source())
}
