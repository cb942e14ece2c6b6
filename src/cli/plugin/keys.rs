//! The keys of a store: a person's own, else those of a Secret, which the person may be allowed to read, else who that person is to a cloud.
//! Where the store is, the Secret says for all.

use std::collections::BTreeMap;
use std::fs;

use super::identity::with_login;
use super::jobs::Jobs;
use super::reach::is_somebody;
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

/// A person's environment, as far as it may say who that is.
struct Person {
    vars: Vec<(String, String)>,
    /// The same with who is logged in to a cloud here.
    with_login: Vec<(String, String)>,
}

impl Person {
    fn here() -> Self {
        Self {
            vars: environment().collect(),
            with_login: environment_with_login(),
        }
    }

    /// Own keys, where there are some. Then the Secret still says which store is meant: the cloud may have a bucket of the same name.
    /// A Secret that says no more than that leaves it to the person to be somebody.
    fn or_secret(
        self,
        side: Side,
        secret: BTreeMap<String, String>,
        of_secret: Credentials,
        uri: &StoreUri,
    ) -> Credentials {
        let own = Credentials::of_person_at(side, secret.clone(), self.vars);
        if own.identify(uri) {
            return own;
        }
        if of_secret.identify(uri) {
            return of_secret;
        }
        Credentials::of_person_at(side, secret, self.with_login)
    }
}

/// The environment, with who is logged in to a cloud here.
pub fn environment_with_login() -> Vec<(String, String)> {
    with_login(environment().collect(), |path| fs::read_to_string(path).ok())
}

/// The keys for a URI. Without a Secret, those of the environment, be they there or not: a store may be open to everybody.
///
/// # Errors
///
/// [`NoKeys`] when the Secret cannot be read.
pub async fn keys(jobs: &Jobs, side: Side, secret: Option<&str>, uri: &StoreUri) -> Result<Credentials, NoKeys> {
    let person = Person::here();
    let Some(name) = secret else {
        return Ok(Credentials::of_person(side, person.with_login));
    };
    match jobs.secret(name).await {
        Ok(secret) => {
            let of_secret = of_secret(side, name, &secret, &person.vars);
            Ok(person.or_secret(side, secret, of_secret, uri))
        }
        Err(why) => {
            let own = Credentials::of_person(side, person.with_login);
            if is_somebody(&own, uri) {
                return Ok(own);
            }
            Err(NoKeys {
                uri: uri.clone(),
                advice: Credentials::advice(uri),
                why,
            })
        }
    }
}

/// The keys of a Secret. No field of a job names that of the default store, and so no message does.
fn of_secret(side: Side, name: &str, secret: &BTreeMap<String, String>, vars: &[(String, String)]) -> Credentials {
    if name == DEFAULT_STORE
        && let Ok((_, credentials)) = default_store_of_secret(side, secret.clone(), vars.to_vec())
    {
        return credentials;
    }
    Credentials::of_secret(side, secret.clone(), vars.to_vec())
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
    let person = Person::here();
    let (uri, of_secret) = default_store_of_secret(side, secret.clone(), person.vars.clone())?;
    let credentials = person.or_secret(side, secret, of_secret, &uri);
    Ok((uri, credentials))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(vars: &[(&str, &str)]) -> Vec<(String, String)> {
        vars.iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    }

    const PLACE: (&str, &str) = ("AWS_ENDPOINT_URL", "https://s3.example");
    const KEY: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "key")];

    fn chosen(name: &str, secret: &[(&str, &str)], own: &[(&str, &str)]) -> String {
        let uri = StoreUri::parse_prefix("s3://bucket/run/").unwrap();
        let secret: BTreeMap<_, _> = vars(secret).into_iter().collect();
        let person = Person {
            vars: vars(own),
            with_login: vars(own),
        };
        let of_secret = of_secret(Side::Output, name, &secret, &person.vars);
        format!("{:?}", person.or_secret(Side::Output, secret, of_secret, &uri))
    }

    #[test]
    fn own_keys_count_where_there_are_some() {
        let secret = [PLACE, KEY[0], KEY[1]];
        let own = chosen("store-keys", &secret, &KEY);
        assert!(own.contains("Person") && own.contains("AWS_ENDPOINT_URL"), "{own}");
        let theirs = chosen("store-keys", &secret, &[("AWS_REGION", "eu-west-1")]);
        assert!(theirs.contains("Secret(Output)"), "{theirs}");
    }

    #[test]
    fn a_secret_that_says_only_where_the_store_is_leaves_it_to_the_person_to_be_somebody() {
        let role = [
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/rows"),
        ];
        let own = chosen("store-keys", &[PLACE], &role);
        assert!(own.contains("Person") && own.contains("AWS_ENDPOINT_URL"), "{own}");
        // Keys were put there on purpose; an identity is there for whatever runs here.
        let theirs = chosen("store-keys", &[PLACE, KEY[0], KEY[1]], &role);
        assert!(theirs.contains("Secret(Output)"), "{theirs}");
    }

    #[test]
    fn the_secret_of_the_default_store_is_called_so() {
        let uri = ("uri", "s3://bucket/team/");
        let of_default = chosen(DEFAULT_STORE, &[uri, KEY[0], KEY[1]], &[]);
        assert!(of_default.contains("DefaultStore(Output)"), "{of_default}");
        let of_job = chosen("store-keys", &[uri, KEY[0], KEY[1]], &[]);
        assert!(of_job.contains("Secret(Output)"), "{of_job}");
    }

    #[test]
    fn a_login_counts_where_neither_environment_nor_secret_has_a_key() {
        let uri = StoreUri::parse_prefix("gs://bucket/run/").unwrap();
        let key = ("GOOGLE_SERVICE_ACCOUNT_KEY", "{}");
        for (secret, giver) in [(&[][..], "Person"), (&[key], "Secret(Output)")] {
            let secret: BTreeMap<_, _> = vars(secret).into_iter().collect();
            let person = Person {
                vars: Vec::new(),
                with_login: vars(&[("GOOGLE_APPLICATION_CREDENTIALS", "/login.json")]),
            };
            let of_secret = of_secret(Side::Output, "store-keys", &secret, &person.vars);
            let credentials = person.or_secret(Side::Output, secret, of_secret, &uri);
            assert!(credentials.identify(&uri));
            assert!(format!("{credentials:?}").contains(giver), "{giver}: {credentials:?}");
        }
    }
}
