//! Which children are known to be as they are wanted, by their version: what is not changed since need not be read again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::Resource;
use serde::Serialize;

/// What was found or written, by the job's uid and the kind of the child.
#[derive(Default)]
pub struct AsWanted(Mutex<HashMap<String, Vec<Child>>>);

struct Child {
    kind: String,
    version: Box<str>,
    wanted: u64,
}

impl AsWanted {
    /// Whether the child of that version is what is wanted now.
    #[must_use]
    pub fn holds<K>(&self, job: &str, version: Option<&str>, wanted: &K) -> bool
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        let (kind, wanted) = (K::kind(&()), digest(wanted));
        let known = self.lock();
        let child = known
            .get(job)
            .and_then(|children| children.iter().find(|child| child.kind == kind));
        child.is_some_and(|child| Some(&*child.version) == version && Some(child.wanted) == wanted)
    }

    /// Notes that it is.
    pub fn note<K>(&self, job: &str, version: &str, wanted: &K)
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        let Some(wanted) = digest(wanted) else { return };
        let kind = K::kind(&()).into_owned();
        let mut known = self.lock();
        let children = known.entry(job.to_owned()).or_default();
        children.retain(|child| child.kind != kind);
        children.push(Child {
            kind,
            version: version.into(),
            wanted,
        });
    }

    /// A job of which nothing more is wanted.
    pub fn forget(&self, job: &str) {
        self.lock().remove(job);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Child>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest<K: Serialize>(wanted: &K) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    serde_json::to_vec(wanted).ok()?.hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Service, ServiceAccount};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_child_holds_while_neither_it_nor_what_is_wanted_changes() {
        let account = |name: &str| -> ServiceAccount {
            serde_json::from_value(json!({"metadata": {"name": name}})).expect("an account")
        };
        let known = AsWanted::default();
        assert!(!known.holds("j", Some("1"), &account("a")));
        known.note("j", "1", &account("a"));
        assert!(known.holds("j", Some("1"), &account("a")));
        assert!(!known.holds("j", Some("2"), &account("a")), "someone else changed it");
        assert!(!known.holds("j", None, &account("a")), "someone deleted it");
        assert!(!known.holds("j", Some("1"), &account("b")), "another one is wanted");
        assert!(!known.holds("k", Some("1"), &account("a")));
        assert!(!known.holds("j", Some("1"), &Service::default()));
        known.note("j", "2", &account("b"));
        assert!(known.holds("j", Some("2"), &account("b")));
        assert!(!known.holds("j", Some("1"), &account("a")));
        known.forget("j");
        assert!(!known.holds("j", Some("2"), &account("b")));
    }
}
