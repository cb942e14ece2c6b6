//! The namespace's default store: its Secret has the store's keys, and says besides where the store is.

use super::credentials::{Credentials, CredentialsError, Side};
use super::uri::{Root, StoreUri};
use crate::api::default_store::{DEFAULT_STORE, DEFAULT_STORE_URI};

/// A Secret that names no store.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefaultStoreError {
    /// It does not say where the store is.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A claim would have to be mounted, and whoever makes the pod does not read the Secret. What it holds is not repeated.
    #[error(
        "key {DEFAULT_STORE_URI} of Secret {DEFAULT_STORE} is no bucket: write s3://BUCKET/PREFIX/, gs://BUCKET/PREFIX/ or \
         az://CONTAINER/PREFIX/"
    )]
    NoBucket,
}

/// Where it is, and its keys, from an environment that has the Secret with the side's prefix.
///
/// # Errors
///
/// [`DefaultStoreError`].
pub fn default_store(
    side: Side,
    vars: impl IntoIterator<Item = (String, String)>,
) -> Result<(StoreUri, Credentials), DefaultStoreError> {
    let (credentials, uri) = Credentials::of_default_store(side, vars)?;
    let prefix = StoreUri::parse_prefix(&uri).ok();
    let prefix = prefix.filter(|prefix| matches!(prefix.root(), Root::Bucket(..)));
    Ok((prefix.ok_or(DefaultStoreError::NoBucket)?, credentials))
}

/// The same from a Secret that a person has read. As in [`Credentials::of_secret`], the person's environment may give the address.
///
/// # Errors
///
/// [`DefaultStoreError`].
pub fn default_store_of_secret(
    side: Side,
    secret: impl IntoIterator<Item = (String, String)>,
    vars: impl IntoIterator<Item = (String, String)>,
) -> Result<(StoreUri, Credentials), DefaultStoreError> {
    default_store(side, Credentials::as_in_a_pod(side, secret, vars))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(vars: &[(&str, &str)]) -> Vec<(String, String)> {
        let vars = vars.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        vars.collect()
    }

    #[test]
    fn a_secret_says_where_the_store_is_and_who_asks() {
        let secret = vars(&[("uri", "s3://bucket/team"), ("AWS_ACCESS_KEY_ID", "id")]);
        let (uri, credentials) = default_store_of_secret(Side::Output, secret, vars(&[])).unwrap();
        assert_eq!(uri.to_string(), "s3://bucket/team/");
        assert!(credentials.identify(&uri));
        let error = default_store_of_secret(Side::Output, vars(&[("uri", "pvc://claim/")]), vars(&[])).unwrap_err();
        assert_eq!(error, DefaultStoreError::NoBucket);
        let error = default_store_of_secret(Side::Output, vars(&[]), vars(&[("uri", "s3://bucket/")])).unwrap_err();
        assert!(error.to_string().contains("has no uri"), "{error}");
    }
}
