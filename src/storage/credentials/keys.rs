//! The keys of one store, out of all that were given.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Credentials, CredentialsError, Given, Giver, Kind, has_user, is_http};
use crate::storage::hints::Hints;

/// The keys that count for one store. Values are secrets: there is no `Debug`.
pub struct Keys {
    giver: Giver,
    kind: &'static Kind,
    values: BTreeMap<String, String>,
    /// What says who asks, as it was named.
    identity: Vec<&'static str>,
    /// Whether that had the side's prefix.
    prefixed: bool,
    /// What had it.
    given: Given,
}

impl Credentials {
    /// Those of a kind of store.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`] for keys that cannot work.
    pub(in crate::storage) fn keys(&self, kind: &'static Kind) -> Result<Keys, CredentialsError> {
        let prefixed = kind.identities.iter().any(|name| self.prefixed.contains_key(*name));
        let mut values = BTreeMap::new();
        let of_process = |name: &String| !prefixed || kind.of_installation.contains(&name.as_str());
        let process = self.process.iter().filter(|(name, _)| of_process(name));
        for (name, value) in process.chain(&self.prefixed) {
            if kind.knows(name) {
                values.insert(name.clone(), value.clone());
            }
        }
        let identity = kind.identities.iter().copied();
        let identity = identity.filter(|name| values.contains_key(*name)).collect();
        for (alias, name) in kind.aliases {
            if let Some(value) = values.remove(*alias) {
                values.entry((*name).to_owned()).or_insert(value);
            }
        }
        let keys = Keys {
            giver: self.giver,
            kind,
            values,
            identity,
            prefixed,
            given: self.given(),
        };
        keys.check()?;
        Ok(keys)
    }
}

impl Keys {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Puts a key where there is none.
    pub fn fill(&mut self, name: &str, value: &str) {
        let absent = self.values.entry(name.to_owned());
        absent.or_insert_with(|| value.to_owned());
    }

    /// Takes a key away.
    pub fn remove(&mut self, name: &str) {
        self.values.remove(name);
    }

    /// All names and values, those that the client does not know too.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The address of a store other than the cloud's own. The first name of its kind wins.
    pub fn endpoint(&self) -> Option<&str> {
        self.kind.urls.iter().find_map(|name| self.get(name))
    }

    /// Whether a Secret gave them: then nothing in them can mean a file of this machine.
    pub fn of_secret(&self) -> bool {
        self.prefixed && matches!(self.giver, Giver::Secret(_) | Giver::DefaultStore(_))
    }

    /// What the owner should check, depending on what the store answers.
    pub fn hints(&self) -> Hints {
        let mut hints = Hints::from(self.hint());
        if let Some(region) = self.kind.region {
            hints = hints.with_region(self.to_add(region));
        }
        if let Some(who) = self.kind.shown_to {
            hints = hints.with_not_found(format!("if it is not for all to see, {}", self.to_show(who)));
        }
        hints
    }

    /// How to be shown what is there only for those who have this key.
    fn to_show(&self, key: &str) -> String {
        if self.identity.is_empty() {
            return self.to_add(key);
        }
        format!("see that {key} of {} may read it", self.giver)
    }

    /// How to give a key.
    fn to_add(&self, key: &str) -> String {
        match self.giver {
            Giver::Secret(side) if self.given == Given::Nothing => {
                format!("name a Secret with {key} in {}", side.secret_field())
            }
            _ => format!("set {key} in {}", self.giver),
        }
    }

    /// What the owner should check when the store refuses.
    pub fn hint(&self) -> Arc<str> {
        match self.giver {
            Giver::Secret(side) => {
                let field = side.secret_field();
                self.hint_for_secret(field, &format!("name a Secret with {} there", self.kind.advice))
            }
            Giver::DefaultStore(_) => {
                let add = format!("add {} to it", self.kind.advice);
                self.hint_for_secret(&self.giver.to_string(), &add)
            }
            Giver::Person(side) => self.hint_for_person(side.env_prefix()),
        }
        .into()
    }

    /// `by` is what gave the keys, `remedy` what to do when it gave none.
    fn hint_for_secret(&self, by: &str, remedy: &str) -> String {
        let Kind { advice, besides, .. } = self.kind;
        if self.prefixed {
            let identity = self.identity.join(" and ");
            return format!("check {identity} in {}, and {besides}", self.giver);
        }
        let first = advice.split([' ', ',']).next().unwrap_or(advice);
        if !self.kind.of_pod {
            return format!("no {first} was given by {by}: {remedy}");
        }
        format!(
            "no {first} was given by {by}, so the feeder's own identity was used: {remedy}, or allow its service account"
        )
    }

    fn hint_for_person(&self, prefix: &str) -> String {
        let Kind { advice, besides, .. } = self.kind;
        if self.identity.is_empty() {
            return format!("set {advice} in the environment, as no key is there");
        }
        let prefix = if self.prefixed { prefix } else { "" };
        let identity: Vec<_> = self.identity.iter().map(|name| format!("{prefix}{name}")).collect();
        format!("check {} in the environment, and {besides}", identity.join(" and "))
    }

    pub fn missing(&self, missing: &'static str, why: &'static str) -> CredentialsError {
        CredentialsError::Missing {
            giver: self.giver,
            given: self.given,
            missing,
            why,
        }
    }

    pub fn bad_value(&self, key: &'static str, what: impl Into<String>) -> CredentialsError {
        let (giver, what) = (self.giver, what.into());
        CredentialsError::BadValue { giver, key, what }
    }

    fn check(&self) -> Result<(), CredentialsError> {
        let giver = self.giver;
        for &(present, missing) in self.kind.needs {
            if self.get(present).is_some() && self.get(missing).is_none() {
                return Err(CredentialsError::Incomplete {
                    giver,
                    present,
                    missing,
                });
            }
        }
        for &key in self.kind.urls {
            let Some(url) = self.get(key) else { continue };
            if !is_http(url) {
                return Err(CredentialsError::BadEndpoint { giver, key });
            }
            if has_user(url) {
                return Err(CredentialsError::UserInEndpoint { giver, key });
            }
        }
        Ok(())
    }
}
