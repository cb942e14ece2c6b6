//! The keys of a store, as its Secret names them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Which store is meant: two Secrets with the same keys must not collide in one environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `spec.dataset`.
    Dataset,
    /// `spec.output`.
    Output,
}

impl Side {
    /// What stands before each key of the Secret in the feeder's environment (`envFrom.prefix`).
    #[must_use]
    pub fn env_prefix(self) -> &'static str {
        match self {
            Self::Dataset => "DATASET_",
            Self::Output => "OUTPUT_",
        }
    }

    /// The field that names the Secret.
    #[must_use]
    pub fn secret_field(self) -> &'static str {
        match self {
            Self::Dataset => "spec.dataset.credentialsSecretRef",
            Self::Output => "spec.output.credentialsSecretRef",
        }
    }
}

/// Who gave the keys: what messages call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Giver {
    /// The Secret of a job's field.
    Secret(Side),
    /// A person, who set them in the environment of a command.
    Person(Side),
}

impl Giver {
    fn side(self) -> Side {
        let (Self::Secret(side) | Self::Person(side)) = self;
        side
    }
}

impl fmt::Display for Giver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(side) => write!(f, "the Secret of {}", side.secret_field()),
            Self::Person(_) => f.write_str("the environment"),
        }
    }
}

/// Keys as the store's SDK names them (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, ...). `Debug` shows
/// their names only.
#[derive(Clone)]
pub struct Credentials {
    giver: Giver,
    values: BTreeMap<String, String>,
    /// Whether the keys had the side's prefix.
    prefixed: bool,
}

/// Keys that cannot work, found without asking the store.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// One half of the key is missing.
    #[error("{giver} has {present} but no {missing}: add it")]
    Incomplete {
        /// Who gave it.
        giver: Giver,
        /// The key that is there.
        present: &'static str,
        /// The key that is not.
        missing: &'static str,
    },
    /// The address of the store is no URL.
    #[error("{giver} has {key} that is not an http:// or https:// URL")]
    BadEndpoint {
        /// Who gave it.
        giver: Giver,
        /// The key that holds it.
        key: &'static str,
    },
}

const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";
/// The more special name wins, as in every AWS SDK:
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];

impl Credentials {
    /// Takes one side's keys from environment variables.
    ///
    /// When the prefixed variables hold no access key, the process's own `AWS_*` variables (a web
    /// identity, for one) count as well, below the prefixed ones. With an access key they do
    /// not: half of one identity and half of another is neither.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`] for a Secret that cannot work.
    pub fn from_env(side: Side, vars: impl IntoIterator<Item = (String, String)>) -> Result<Self, CredentialsError> {
        Self::read(Giver::Secret(side), vars)
    }

    /// The same from the environment of a command that a person typed: there the `AWS_*` variables are the usual ones,
    /// and prefixed ones are for a data set and an output in different stores.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`] for keys that cannot work.
    pub fn of_person(side: Side, vars: impl IntoIterator<Item = (String, String)>) -> Result<Self, CredentialsError> {
        Self::read(Giver::Person(side), vars)
    }

    fn read(giver: Giver, vars: impl IntoIterator<Item = (String, String)>) -> Result<Self, CredentialsError> {
        let side = giver.side();
        let mut secret = BTreeMap::new();
        let mut process = BTreeMap::new();
        for (name, value) in vars {
            // `echo KEY | base64` leaves a line break, which no key of a store has.
            let value = value.trim().to_owned();
            if value.is_empty() {
                continue;
            }
            if let Some(name) = name.strip_prefix(side.env_prefix()) {
                secret.insert(name.to_owned(), value);
            } else if name.starts_with("AWS_") {
                process.insert(name, value);
            }
        }
        let prefixed = secret.contains_key(KEY_ID) || secret.contains_key(SECRET_KEY);
        let mut values = if prefixed { BTreeMap::new() } else { process };
        values.extend(secret);
        let credentials = Self {
            giver,
            values,
            prefixed,
        };
        credentials.check()?;
        Ok(credentials)
    }

    /// All keys and values that the S3 client knows or ignores.
    pub(super) fn aws(&self) -> impl Iterator<Item = (&str, &str)> {
        let values = self.values.iter();
        values
            .filter(|(name, _)| name.starts_with("AWS_"))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The address of an S3 other than Amazon's.
    pub(super) fn endpoint(&self) -> Option<&str> {
        ENDPOINTS.into_iter().find_map(|name| self.get(name))
    }

    /// What the owner should check when the store refuses.
    pub(super) fn hint(&self) -> Arc<str> {
        let side = match self.giver {
            Giver::Secret(side) => side,
            Giver::Person(side) => return self.hint_for_person(side).into(),
        };
        let field = side.secret_field();
        if self.prefixed {
            return format!("check {KEY_ID} and {SECRET_KEY} in the Secret of {field}, and what that key may do")
                .into();
        }
        format!(
            "no {KEY_ID} was given by {field}, so the feeder's own identity was used: \
             name a Secret with {KEY_ID} and {SECRET_KEY} there, or allow its service account"
        )
        .into()
    }

    fn hint_for_person(&self, side: Side) -> String {
        let prefix = if self.prefixed { side.env_prefix() } else { "" };
        if self.get(KEY_ID).is_some() {
            return format!(
                "check {prefix}{KEY_ID} and {prefix}{SECRET_KEY} in the environment, and what that key may read"
            );
        }
        format!("set {KEY_ID} and {SECRET_KEY} in the environment, as no key is there")
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    fn check(&self) -> Result<(), CredentialsError> {
        let incomplete = |present, missing| CredentialsError::Incomplete {
            giver: self.giver,
            present,
            missing,
        };
        match (self.get(KEY_ID), self.get(SECRET_KEY)) {
            (Some(_), None) => return Err(incomplete(KEY_ID, SECRET_KEY)),
            (None, Some(_)) => return Err(incomplete(SECRET_KEY, KEY_ID)),
            _ => {}
        }
        for key in ENDPOINTS {
            if self.get(key).is_some_and(|url| !is_http(url)) {
                let giver = self.giver;
                return Err(CredentialsError::BadEndpoint { giver, key });
            }
        }
        Ok(())
    }
}

fn is_http(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("giver", &self.giver)
            .field("keys", &self.values.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(vars: &[(&str, &str)]) -> Result<Credentials, CredentialsError> {
        let vars = vars.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        Credentials::from_env(Side::Output, vars)
    }

    #[test]
    fn a_secret_of_one_side_hides_the_other_and_the_process() {
        let credentials = output(&[
            ("OUTPUT_AWS_ACCESS_KEY_ID", "id\n"),
            ("OUTPUT_AWS_SECRET_ACCESS_KEY", "secret"),
            ("DATASET_AWS_SESSION_TOKEN", "theirs"),
            ("AWS_SESSION_TOKEN", "ours"),
        ])
        .unwrap();
        let aws: Vec<_> = credentials.aws().collect();
        assert_eq!(aws, [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")]);
    }

    #[test]
    fn the_process_identity_serves_an_endpoint_from_a_secret() {
        let credentials = output(&[
            ("OUTPUT_AWS_ENDPOINT_URL", "https://s3.example.org"),
            ("AWS_ENDPOINT_URL", "https://other.example.org"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
            ("AWS_ACCESS_KEY_ID", ""),
        ])
        .unwrap();
        assert_eq!(credentials.endpoint(), Some("https://s3.example.org"));
        assert_eq!(credentials.aws().count(), 2);
        assert!(credentials.hint().contains("own identity"));
    }

    #[test]
    fn the_special_endpoint_wins() {
        let credentials = output(&[
            ("OUTPUT_AWS_ENDPOINT_URL", "http://a:1"),
            ("OUTPUT_AWS_ENDPOINT_URL_S3", "http://b:2"),
        ]);
        assert_eq!(credentials.unwrap().endpoint(), Some("http://b:2"));
    }

    #[test]
    fn half_a_key_and_a_bad_endpoint_are_refused_by_name() {
        let refused = output(&[("OUTPUT_AWS_ACCESS_KEY_ID", "id")]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the Secret of spec.output.credentialsSecretRef has AWS_ACCESS_KEY_ID \
             but no AWS_SECRET_ACCESS_KEY: add it"
        );
        let refused = output(&[("OUTPUT_AWS_ENDPOINT_URL", "seaweedfs:8333")]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the Secret of spec.output.credentialsSecretRef has AWS_ENDPOINT_URL \
             that is not an http:// or https:// URL"
        );
    }

    #[test]
    fn a_person_is_told_which_variable_to_set() {
        let of_person = |vars: &[(&str, &str)]| {
            let vars = vars.iter().map(|(k, v)| ((*k).into(), (*v).into()));
            Credentials::of_person(Side::Output, vars)
        };
        let hint = |vars: &[(&str, &str)]| of_person(vars).unwrap().hint().to_string();
        assert!(hint(&[]).starts_with("set AWS_ACCESS_KEY_ID"));
        let process = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")];
        assert!(hint(&process).starts_with("check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"));
        let prefixed = [
            ("OUTPUT_AWS_ACCESS_KEY_ID", "id"),
            ("OUTPUT_AWS_SECRET_ACCESS_KEY", "secret"),
        ];
        assert!(hint(&prefixed).starts_with("check OUTPUT_AWS_ACCESS_KEY_ID"));
        assert_eq!(
            of_person(&process[..1]).unwrap_err().to_string(),
            "the environment has AWS_ACCESS_KEY_ID but no AWS_SECRET_ACCESS_KEY: add it"
        );
    }

    #[test]
    fn debug_shows_no_value() {
        let credentials = output(&[
            ("OUTPUT_AWS_ACCESS_KEY_ID", "visible-id"),
            ("OUTPUT_AWS_SECRET_ACCESS_KEY", "visible-secret"),
        ]);
        let debug = format!("{:?}", credentials.unwrap());
        assert!(debug.contains("AWS_SECRET_ACCESS_KEY"), "{debug}");
        assert!(!debug.contains("visible"), "{debug}");
    }
}
