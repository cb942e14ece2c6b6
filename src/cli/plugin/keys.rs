//! The keys of a store: a person's own, else those of a Secret, which the person may be allowed to read.

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
    let Some(secret) = secret.filter(|_| !own.identify(uri)) else {
        return Ok(own);
    };
    match jobs.secret(secret).await {
        Ok(keys) => Ok(Credentials::of_secret(side, keys, environment())),
        Err(why) => Err(NoKeys {
            uri: uri.clone(),
            advice: Credentials::advice(uri),
            why,
        }),
    }
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
    let (uri, of_secret) = default_store_of_secret(side, secret, environment())?;
    let own = Credentials::of_person(side, environment());
    if own.identify(&uri) {
        return Ok((uri, own));
    }
    Ok((uri, of_secret))
}
