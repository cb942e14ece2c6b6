//! The keys of a store: a person's own, else those of the job's Secret, which the person may be allowed to read.

use super::jobs::Jobs;
use super::refusal::Refusal;
use crate::cli::environment::environment;
use crate::storage::{Credentials, Side, StoreUri};

/// Neither gives keys.
#[derive(Debug, thiserror::Error)]
#[error("no keys for `{uri}`: {why}. Or set them in the environment: {advice}")]
pub struct NoKeys {
    /// What was to be opened.
    uri: StoreUri,
    /// Names of keys.
    advice: &'static str,
    /// Why the cluster gives none.
    why: Refusal,
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
