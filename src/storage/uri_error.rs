//! Why a place is refused.

/// What to write for a data set, quoted by every refusal.
pub(super) const FORMS: &str = "s3://BUCKET/KEY, gs://BUCKET/KEY, az://CONTAINER/KEY, https://HOST/PATH, \
                     hf://datasets/ORG/NAME/FILE or pvc://CLAIM/PATH";

/// What to write for an output.
pub(super) const OUTPUT_FORMS: &str =
    "s3://BUCKET/PREFIX/, gs://BUCKET/PREFIX/, az://CONTAINER/PREFIX/ or pvc://CLAIM/PATH/";

/// Why a URI was refused; each message says what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// No `scheme://`.
    #[error("`{uri}` has no scheme: write {forms}")]
    NoScheme {
        /// As written.
        uri: String,
        /// What to write.
        forms: &'static str,
    },
    /// A scheme that means nothing here.
    #[error("`{uri}`: unknown scheme {scheme}://: write {forms}")]
    UnknownScheme {
        /// As written.
        uri: String,
        /// The part before `://`.
        scheme: String,
        /// What to write.
        forms: &'static str,
    },
    /// The bucket's or claim's name is empty or cannot be one.
    #[error("`{uri}`: `{name}` is not the name of a {what}: write {forms}")]
    BadRoot {
        /// As written.
        uri: String,
        /// The name found.
        name: String,
        /// `bucket`, `container` or `claim`.
        what: &'static str,
        /// What to write.
        forms: &'static str,
    },
    /// No host, or a port that is none.
    #[error("`{uri}`: `{host}` is not the name of a host: write https://HOST/PATH")]
    BadHost {
        /// As written.
        uri: String,
        /// The host and port found.
        host: String,
    },
    /// A place that is only read.
    #[error("`{uri}`: nothing is written to {scheme}://: write {OUTPUT_FORMS}")]
    ReadOnly {
        /// As written.
        uri: String,
        /// The part before `://`.
        scheme: &'static str,
    },
    /// A query mostly holds a signature, and the URI of a data set stands in the status and in the output.
    #[error(
        "`{uri}`: a query or fragment (`?` or `#` and what follows) is not taken, as a signature in it would be shown to all \
         who read the job: name the store itself, or give the credentials in a Secret; within a name, write %3F or %23"
    )]
    Query {
        /// Without what follows the sign.
        uri: String,
    },
    /// A password in the URI would stand there for all.
    #[error("`{uri}`: a user or password has no place in a URI: give HTTP_USERNAME and HTTP_PASSWORD in a Secret")]
    User {
        /// Without them.
        uri: String,
    },
    /// Whoever is on the way could read and change the rows.
    #[error("`{uri}`: http:// is for servers inside the cluster (a Service, or a private address): write https://")]
    Plain {
        /// As written.
        uri: String,
    },
    /// Not as the hub names files.
    #[error("`{uri}` names no file of a data set: write hf://datasets/ORG/NAME/FILE, or .../NAME@REVISION/FILE")]
    NotOfHub {
        /// As written.
        uri: String,
    },
    /// A data set must be one object.
    #[error("`{uri}` names no object: add the key of the data set's file after the {what}")]
    NoObject {
        /// As written.
        uri: String,
        /// `bucket`, `container`, `claim` or `host`.
        what: &'static str,
    },
    /// Stores disagree on what such keys mean, and a file system must never see `..`.
    #[error("`{uri}`: a key may not hold an empty, `.` or `..` part, nor control characters")]
    BadKey {
        /// As written.
        uri: String,
    },
}
