use std::{error::Error as StdError, io, sync::Arc};

use super::Undecodable;

/// A data set's object cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The object or its bucket is not there.
    #[error("the data set `{object}` does not exist; correct `spec.dataset`, or upload it and create the job again")]
    NotFound {
        /// The object, as its owner calls it.
        object: Arc<str>,
        /// What the store answered.
        source: object_store::Error,
    },
    /// The store knows the key, and does not let it read.
    #[error("reading the data set `{object}` is not permitted: {hint}")]
    PermissionDenied {
        /// The object, as its owner calls it.
        object: Arc<str>,
        /// What to check.
        hint: Arc<str>,
        /// What the store answered.
        source: object_store::Error,
    },
    /// The store does not know the key.
    #[error("the store of the data set `{object}` does not accept the credentials: {hint}")]
    Unauthenticated {
        /// The object, as its owner calls it.
        object: Arc<str>,
        /// What to check.
        hint: Arc<str>,
        /// What the store answered.
        source: object_store::Error,
    },
    /// The object is not the one that was there before.
    #[error("the data set `{object}` has changed while it was in use ({what}); create a new job for the new data")]
    Changed {
        /// The object, as its owner calls it.
        object: Arc<str>,
        /// What shows it.
        what: String,
    },
    /// The object is not what the end of its name says.
    #[error("the data set `{object}` is {error}")]
    Undecodable {
        /// The object, as its owner calls it.
        object: Arc<str>,
        /// What is wrong, and where.
        error: Undecodable,
    },
    /// Anything else; trying again may help.
    #[error("the data set `{object}` cannot be read just now")]
    Unavailable {
        /// The object, as its owner calls it.
        object: Arc<str>,
        /// What the store answered.
        source: object_store::Error,
    },
}

impl SourceError {
    /// Says in the product's words what a store answered about `object`.
    pub(super) fn new(object: &Arc<str>, hint: &Arc<str>, source: object_store::Error) -> Self {
        use object_store::Error as E;
        let (object, hint) = (Arc::clone(object), Arc::clone(hint));
        match source {
            E::NotFound { .. } => Self::NotFound { object, source },
            E::PermissionDenied { .. } => Self::PermissionDenied { object, hint, source },
            E::Unauthenticated { .. } => Self::Unauthenticated { object, hint, source },
            E::Precondition { .. } => Self::Changed {
                object,
                what: "it was written again".to_owned(),
            },
            source if is_permission_denied(&source) => Self::PermissionDenied { object, hint, source },
            source => Self::Unavailable { object, source },
        }
    }
}

/// `object_store`'s local files report a refusal of the file system as a generic error (0.14, `local.rs`).
fn is_permission_denied(error: &object_store::Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(source: object_store::Error) -> String {
        let hint: Arc<str> = "check the Secret `keys`".into();
        SourceError::new(&"s3://bucket/rows.jsonl".into(), &hint, source).to_string()
    }

    #[test]
    fn each_refusal_names_the_object_and_what_to_check() {
        use object_store::Error as E;
        let (path, source) = (String::new(), || "answer".into());
        assert_eq!(
            message(E::NotFound {
                path: path.clone(),
                source: source()
            }),
            "the data set `s3://bucket/rows.jsonl` does not exist; \
             correct `spec.dataset`, or upload it and create the job again"
        );
        assert_eq!(
            message(E::PermissionDenied {
                path: path.clone(),
                source: source()
            }),
            "reading the data set `s3://bucket/rows.jsonl` is not permitted: check the Secret `keys`"
        );
        assert_eq!(
            message(E::Unauthenticated {
                path: path.clone(),
                source: source()
            }),
            "the store of the data set `s3://bucket/rows.jsonl` does not accept the credentials: \
             check the Secret `keys`"
        );
        assert!(message(E::Precondition { path, source: source() }).contains("has changed while it was in use"));
        let denied = io::Error::from(io::ErrorKind::PermissionDenied).into();
        assert!(
            message(E::Generic {
                store: "LocalFileSystem",
                source: denied
            })
            .contains("is not permitted")
        );
        assert!(
            message(E::Generic {
                store: "S3",
                source: source()
            })
            .contains("cannot be read just now")
        );
    }
}
