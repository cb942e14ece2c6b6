//! The keys of a store, as its Secret names them: [`Credentials`] holds all that were given, `kind` knows what each kind of store
//! calls its own, and `keys` picks those of one store and checks them.

mod keys;
mod kind;

use std::collections::BTreeMap;
use std::fmt;

use super::uri::StoreUri;
use crate::api::default_store::{DEFAULT_STORE, DEFAULT_STORE_URI};
use crate::api::names::{ADAPTERS_ENV_PREFIX, MODEL_ENV_PREFIX};

pub(super) use keys::Keys;
pub(super) use kind::{AZURE, GOOGLE, HUB, Kind, S3, WEB};

/// Which store is meant: two Secrets with the same keys must not collide in one environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `spec.dataset`.
    Dataset,
    /// `spec.output`.
    Output,
    /// `spec.server`: the hub that its model is from.
    Model,
    /// `spec.server.adapters`.
    Adapters,
}

impl Side {
    /// What stands before each key of the Secret in the feeder's environment (`envFrom.prefix`).
    #[must_use]
    pub fn env_prefix(self) -> &'static str {
        match self {
            Self::Dataset => "DATASET_",
            Self::Output => "OUTPUT_",
            Self::Model => MODEL_ENV_PREFIX,
            Self::Adapters => ADAPTERS_ENV_PREFIX,
        }
    }

    /// The field that names the Secret.
    #[must_use]
    pub fn secret_field(self) -> &'static str {
        match self {
            Self::Dataset => "spec.dataset.credentialsSecretRef",
            Self::Output => "spec.output.credentialsSecretRef",
            Self::Model => "spec.server.hfTokenSecretRef",
            Self::Adapters => "spec.server.adapters.credentialsSecretRef",
        }
    }
}

/// Who gave the keys: what messages call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Giver {
    /// The Secret of a job's field.
    Secret(Side),
    /// The Secret of the namespace's default store.
    DefaultStore(Side),
    /// A person, who set them in the environment of a command.
    Person(Side),
}

/// What a giver gave. A Secret that gave nothing need not be named at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// No key at all.
    Nothing,
    /// Keys, whichever they are.
    Keys,
}

impl Giver {
    fn side(self) -> Side {
        let (Self::Secret(side) | Self::DefaultStore(side) | Self::Person(side)) = self;
        side
    }
}

impl fmt::Display for Giver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(side) => write!(f, "the Secret of {}", side.secret_field()),
            Self::DefaultStore(_) => write!(f, "the Secret {DEFAULT_STORE}"),
            Self::Person(_) => f.write_str("the environment"),
        }
    }
}

/// All that a Secret and the process's own environment say about stores, with keys as each store's SDK names them
/// (`AWS_ACCESS_KEY_ID`, `AZURE_STORAGE_ACCOUNT_NAME`, ...). `Debug` shows their names only.
#[derive(Clone)]
pub struct Credentials {
    giver: Giver,
    /// Those that had the side's prefix, which is taken off.
    prefixed: BTreeMap<String, String>,
    /// Those of the process.
    process: BTreeMap<String, String>,
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
    /// Without it, the store cannot be found.
    #[error("{}, {why}", how_to_add(*giver, *given, missing))]
    Missing {
        /// Who should give it.
        giver: Giver,
        /// What it gave.
        given: Given,
        /// The key that is not there.
        missing: &'static str,
        /// What it is for.
        why: &'static str,
    },
    /// The address of the store is no URL.
    #[error("{giver} has {key} that is not an http:// or https:// URL")]
    BadEndpoint {
        /// Who gave it.
        giver: Giver,
        /// The key that holds it.
        key: &'static str,
    },
    /// The address of the store is shown where the store is at fault, and with it a password in it would be.
    #[error("{giver} has {key} with a user or password in it, which messages would show: write the address without")]
    UserInEndpoint {
        /// Who gave it.
        giver: Giver,
        /// The key that holds it.
        key: &'static str,
    },
    /// A value that is not what its name says.
    #[error("{giver} has {key} that {what}")]
    BadValue {
        /// Who gave it.
        giver: Giver,
        /// The key that holds it.
        key: &'static str,
        /// What it is, and what to give instead.
        what: String,
    },
}

/// How to give a key that is not there.
fn how_to_add(giver: Giver, has: Given, missing: &str) -> String {
    match giver {
        Giver::Secret(side) if has == Given::Nothing => {
            let field = side.secret_field();
            format!("nothing says {missing}: name a Secret with it in {field}")
        }
        _ => format!("{giver} has no {missing}: add it"),
    }
}

impl Credentials {
    /// Takes one side's keys from environment variables.
    ///
    /// When the prefixed variables hold no identity for a kind of store, the process's own (a web identity, for one) count as well,
    /// below the prefixed ones. With one they do not: half of one identity and half of another is neither.
    pub fn from_env(side: Side, vars: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::read(Giver::Secret(side), vars)
    }

    /// The same from the Secret of the namespace's default store, which says besides where the store is.
    ///
    /// # Errors
    ///
    /// [`CredentialsError::Missing`], when it does not.
    pub fn of_default_store(
        side: Side,
        vars: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, String), CredentialsError> {
        let giver = Giver::DefaultStore(side);
        let mut credentials = Self::read(giver, vars);
        let uri = credentials.prefixed.remove(DEFAULT_STORE_URI);
        let uri = uri.ok_or(CredentialsError::Missing {
            giver,
            given: Given::Keys,
            missing: DEFAULT_STORE_URI,
            why: "as s3://BUCKET/PREFIX/, gs://BUCKET/PREFIX/ or az://CONTAINER/PREFIX/",
        })?;
        Ok((credentials, uri))
    }

    /// The same from the environment of a command that a person typed: there the store's own variables are the usual ones,
    /// and prefixed ones are for a data set and an output in different stores.
    pub fn of_person(side: Side, vars: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::read(Giver::Person(side), vars)
    }

    /// The same for a store whose Secret the person has read, too: where the environment does not say where the store is, the Secret
    /// does. Its keys do not count.
    pub fn of_person_at(
        side: Side,
        secret: impl IntoIterator<Item = (String, String)>,
        vars: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let mut own = Self::of_person(side, vars);
        let there = Self::of_secret(side, secret, []);
        for kind in Kind::ALL {
            for group in kind.places {
                if own.has_any(group) {
                    continue;
                }
                let names = group.iter().filter(|name| !kind.identities.contains(name));
                let found = names.filter_map(|name| Some(((*name).to_owned(), there.prefixed.get(*name)?.clone())));
                own.prefixed.extend(found);
            }
        }
        own
    }

    /// Those of a Secret that a person has read. The person's own environment may give the address of the store, as that of a Secret
    /// may lead nowhere outside the cluster.
    pub fn of_secret(
        side: Side,
        secret: impl IntoIterator<Item = (String, String)>,
        vars: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        Self::from_env(side, Self::as_in_a_pod(side, secret, vars))
    }

    /// The variables that a pod with this Secret would have, and over them the addresses that `vars` give.
    pub(super) fn as_in_a_pod(
        side: Side,
        secret: impl IntoIterator<Item = (String, String)>,
        vars: impl IntoIterator<Item = (String, String)>,
    ) -> impl Iterator<Item = (String, String)> {
        let is_address = |name: &str| Kind::ALL.iter().any(|kind| kind.urls.contains(&name));
        let addresses = vars.into_iter().filter(move |(name, _)| is_address(name));
        let prefixed = move |(name, value): (String, String)| (format!("{}{name}", side.env_prefix()), value);
        // Of two of a name, the later one counts.
        secret.into_iter().chain(addresses).map(prefixed)
    }

    /// Whether something here says who asks the store of this URI, or that nobody need say.
    #[must_use]
    pub fn identify(&self, uri: &StoreUri) -> bool {
        Kind::of(uri).is_some_and(|kind| self.has_any(kind.identities) || self.ask_as_nobody(kind))
    }

    fn ask_as_nobody(&self, kind: &Kind) -> bool {
        let value = |name: &&str| self.prefixed.get(*name).or_else(|| self.process.get(*name));
        let mut values = kind.nobody.iter().filter_map(value);
        values.any(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0" | "no" | "off"))
    }

    /// The address of the store of this URI, if these keys are for another than the cloud's own.
    #[must_use]
    pub fn address(&self, uri: &StoreUri) -> Option<String> {
        let keys = self.keys(Kind::of(uri)?).ok()?;
        keys.endpoint().map(str::to_owned)
    }

    fn has_any(&self, names: &[&str]) -> bool {
        let mut names = names.iter();
        names.any(|name| self.prefixed.contains_key(*name) || self.process.contains_key(*name))
    }

    /// Which keys to give for the store of this URI, for a message.
    #[must_use]
    pub fn advice(uri: &StoreUri) -> &'static str {
        Kind::of(uri).map_or("none are needed", |kind| kind.advice)
    }

    fn given(&self) -> Given {
        if self.prefixed.is_empty() {
            return Given::Nothing;
        }
        Given::Keys
    }

    fn read(giver: Giver, vars: impl IntoIterator<Item = (String, String)>) -> Self {
        let prefix = giver.side().env_prefix();
        let mut prefixed = BTreeMap::new();
        let mut process = BTreeMap::new();
        for (name, value) in vars {
            // `echo KEY | base64` leaves a line break, which no key of a store has at its end.
            let value = value.trim().to_owned();
            if value.is_empty() {
                continue;
            }
            if let Some(name) = name.strip_prefix(prefix) {
                prefixed.insert(name.to_owned(), value);
            } else if Kind::ALL.iter().any(|kind| kind.knows(&name)) {
                process.insert(name, value);
            }
        }
        Self {
            giver,
            prefixed,
            process,
        }
    }
}

fn is_http(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn has_user(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("giver", &self.giver)
            .field("keys", &self.prefixed.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
