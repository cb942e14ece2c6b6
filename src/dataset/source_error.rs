use std::sync::Arc;

use super::Undecodable;
use crate::storage::{Hints, is_refused, scratch_failure, skewed_clocks};

/// A data set's object cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The object or its bucket is not there.
    #[error(
        "the data set `{object}` does not exist; correct `spec.dataset`, or upload it and create the job again{}",
        besides(hint.as_deref())
    )]
    NotFound {
        /// The object, as its owner calls it.
        object: Arc<str>,
        /// What else to do, at a store that hides what it does not show.
        hint: Option<Arc<str>>,
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
    /// The clocks differ by more than the store allows.
    #[error("the store of the data set `{object}` refuses requests of this clock: {clocks}")]
    ClockSkew {
        /// The object, as its owner calls it.
        object: Arc<str>,
        /// Both clocks, as far as they are known.
        clocks: String,
        /// What the store answered.
        source: object_store::Error,
    },
    /// The object must be copied, and there is no room for it.
    #[error(
        "the server of the data set `{object}` gives it only as a whole, and it cannot be kept on the scratch disk ({what}); \
         spec.feeder.scratch.sizeLimit may be too small"
    )]
    Scratch {
        /// The object, as its owner calls it.
        object: Arc<str>,
        /// What the disk said.
        what: String,
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
    pub(super) fn new(object: &Arc<str>, hints: &Hints, source: object_store::Error) -> Self {
        use object_store::Error as E;
        let (object, hint) = (Arc::clone(object), hints.refused());
        // A clock is put right while the job waits, though the answer's status is that of a refusal.
        if let Some(clocks) = skewed_clocks(&source) {
            return Self::ClockSkew { object, clocks, source };
        }
        if let Some(what) = scratch_failure(&source) {
            return Self::Scratch { object, what };
        }
        if let Some(hint) = hints.region(&source) {
            return Self::PermissionDenied { object, hint, source };
        }
        match source {
            E::NotFound { .. } => Self::NotFound {
                object,
                hint: hints.not_found(),
                source,
            },
            E::PermissionDenied { .. } => Self::PermissionDenied { object, hint, source },
            E::Unauthenticated { .. } => Self::Unauthenticated { object, hint, source },
            E::Precondition { .. } => Self::Changed {
                object,
                what: "it was written again".to_owned(),
            },
            source if is_refused(&source) => Self::PermissionDenied { object, hint, source },
            source => Self::Unavailable { object, source },
        }
    }
}

fn besides(hint: Option<&str>) -> String {
    hint.map(|hint| format!("; {hint}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn message(source: object_store::Error) -> String {
        let hints = Hints::from("check the Secret `keys`");
        SourceError::new(&"s3://bucket/rows.jsonl".into(), &hints, source).to_string()
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
        let generic = |source: &str| {
            message(E::Generic {
                store: "S3",
                source: source.into(),
            })
        };
        assert!(generic("answer").contains("cannot be read just now"));
        assert!(generic("400: <Code>ExpiredToken</Code>").contains("is not permitted"));
        assert!(generic("403: <Code>RequestTimeTooSkewed</Code>").contains("of this clock: it is "));
    }
}
