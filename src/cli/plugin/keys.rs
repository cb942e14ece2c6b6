//! The keys of a store: a person's own, else those of a Secret, which the person may be allowed to read. Where the store is, the Secret says
//! for both.

use std::collections::BTreeMap;

use super::jobs::Jobs;
use super::refusal::Refusal;
use crate::api::default_store::DEFAULT_STORE;
use crate::cli::environment::environment;
use crate::storage::{Credentials, DefaultStoreError, Side, StoreUri, default_store_of_secret};

/// Neither gives keys.
#[derive(Debug, thiserror::Error)]
#[error("no keys for `{uri}`: {why}. Or set them in the environment: {advice}")]
pub struct NoKeys {
    /// What was to be opened.
    uri: StoreUri,
    /// Names of keys.
    advice: &'static str,
    /// Why the cluster gives none.
    pub why: Refusal,
}

/// The keys for a URI. Without a Secret, those of the environment, be they there or not: a store may be open to everybody.
///
/// # Errors
///
/// [`NoKeys`] when the Secret cannot be read.
pub async fn keys(jobs: &Jobs, side: Side, secret: Option<&str>, uri: &StoreUri) -> Result<Credentials, NoKeys> {
    let own = Credentials::of_person(side, environment());
    let Some(secret) = secret else {
        return Ok(own);
    };
    match jobs.secret(secret).await {
        Ok(secret) => Ok(own_or_of_secret(side, secret, environment().collect(), uri)),
        Err(_) if own.identify(uri) => Ok(own),
        Err(why) => Err(NoKeys {
            uri: uri.clone(),
            advice: Credentials::advice(uri),
            why,
        }),
    }
}

/// A person's own keys, where there are some. Then the Secret still says which store is meant: the cloud may have a bucket of the same name.
fn own_or_of_secret(
    side: Side,
    secret: BTreeMap<String, String>,
    vars: Vec<(String, String)>,
    uri: &StoreUri,
) -> Credentials {
    let own = Credentials::of_person_at(side, secret.clone(), vars.clone());
    if own.identify(uri) {
        return own;
    }
    Credentials::of_secret(side, secret, vars)
}

/// It is not known where the namespace's default store is.
#[derive(Debug, thiserror::Error)]
pub enum NoDefaultStore {
    /// Its Secret cannot be read.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Its Secret does not say.
    #[error(transparent)]
    Wrong(#[from] DefaultStoreError),
}

/// Where the namespace's default store is, and the keys for it.
///
/// # Errors
///
/// [`NoDefaultStore`]: only its Secret says where it is.
pub async fn default_store(jobs: &Jobs, side: Side) -> Result<(StoreUri, Credentials), NoDefaultStore> {
    let secret = jobs.secret(DEFAULT_STORE).await?;
    let (uri, of_secret) = default_store_of_secret(side, secret.clone(), environment())?;
    let own = Credentials::of_person_at(side, secret, environment());
    if own.identify(&uri) {
        return Ok((uri, own));
    }
    Ok((uri, of_secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(vars: &[(&str, &str)]) -> Vec<(String, String)> {
        vars.iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    }

    #[test]
    fn own_keys_count_where_there_are_some() {
        let uri = StoreUri::parse_prefix("s3://bucket/run/").unwrap();
        let secret = || {
            vars(&[
                ("AWS_ACCESS_KEY_ID", "theirs"),
                ("AWS_ENDPOINT_URL", "https://s3.example"),
            ])
        };
        let chosen = |own: &[(&str, &str)]| {
            let secret = secret().into_iter().collect();
            format!("{:?}", own_or_of_secret(Side::Output, secret, vars(own), &uri))
        };
        let own = chosen(&[("AWS_ACCESS_KEY_ID", "mine"), ("AWS_SECRET_ACCESS_KEY", "mine")]);
        assert!(own.contains("Person") && own.contains("AWS_ENDPOINT_URL"), "{own}");
        assert!(chosen(&[("AWS_REGION", "eu-west-1")]).contains("Secret"));
    }
}
