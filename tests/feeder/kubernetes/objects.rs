//! The objects, their versions and their changes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Job,
    EndpointSlice,
    ConfigMap,
}

/// A change, as a watch tells it.
#[derive(Clone, Debug)]
pub struct Event {
    pub version: u64,
    pub kind: Kind,
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub change: &'static str,
    pub object: Value,
}

#[derive(Debug, Default)]
pub struct Objects {
    version: u64,
    current: BTreeMap<(Kind, String), Value>,
    events: Vec<Event>,
    /// The fields of a job's status that a field manager has applied.
    applied: BTreeMap<(String, String), BTreeSet<String>>,
}

/// Why a write is refused.
#[derive(Debug)]
pub enum Refusal {
    NotFound,
    AlreadyExists,
    Conflict(&'static str),
}

impl Objects {
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, kind: Kind, name: &str) -> Option<Value> {
        self.current.get(&(kind, name.to_owned())).cloned()
    }

    pub fn list(&self, kind: Kind) -> impl Iterator<Item = &Value> {
        let of_kind = self.current.iter().filter(move |((other, _), _)| *other == kind);
        of_kind.map(|(_, object)| object)
    }

    /// The first change of a kind after a version, of the objects that are asked for.
    pub fn event_after(&self, version: u64, kind: Kind, wanted: impl Fn(&Value) -> bool) -> Option<Event> {
        let mut events = self.events.iter();
        let event = events.find(|event| event.version > version && event.kind == kind && wanted(&event.object));
        event.cloned()
    }

    pub fn put(&mut self, kind: Kind, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        let before = self.current.insert((kind, name), object.clone());
        let change = if before.is_some() { "MODIFIED" } else { "ADDED" };
        self.tell(kind, change, object);
    }

    pub fn delete(&mut self, kind: Kind, name: &str) {
        let object = self
            .current
            .remove(&(kind, name.to_owned()))
            .expect("what is deleted is there");
        self.version += 1;
        self.tell(kind, "DELETED", object);
    }

    /// Creates an object, if there is none of its name.
    pub fn create(&mut self, kind: Kind, object: Value) -> Result<Value, Refusal> {
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        if self.get(kind, &name).is_some() {
            return Err(Refusal::AlreadyExists);
        }
        Ok(self.write(kind, object))
    }

    /// Replaces an object, if it is that of the version that was read.
    pub fn replace(&mut self, kind: Kind, name: &str, object: Value) -> Result<Value, Refusal> {
        let there = self.get(kind, name).ok_or(Refusal::NotFound)?;
        if object["metadata"]["resourceVersion"] != there["metadata"]["resourceVersion"] {
            return Err(Refusal::Conflict("the object has been modified"));
        }
        Ok(self.write(kind, object))
    }

    /// Removes an object, if it is that of the version that was read.
    pub fn remove(&mut self, kind: Kind, name: &str, version: &Value) -> Result<Value, Refusal> {
        let there = self.get(kind, name).ok_or(Refusal::NotFound)?;
        if *version != there["metadata"]["resourceVersion"] {
            return Err(Refusal::Conflict("the object has been modified"));
        }
        self.delete(kind, name);
        Ok(there)
    }

    /// Puts an object, and notes when, as the API server does for each manager of fields.
    fn write(&mut self, kind: Kind, mut object: Value) -> Value {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        object["metadata"]["managedFields"] = json!([{"operation": "Update", "time": now}]);
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        self.put(kind, object);
        self.get(kind, &name).expect("what was just put")
    }

    fn tell(&mut self, kind: Kind, change: &'static str, object: Value) {
        self.events.push(Event {
            version: self.version,
            kind,
            change,
            object,
        });
    }

    pub fn statuses(&self, job: &str) -> Vec<Value> {
        let of_job = |event: &&Event| event.kind == Kind::Job && event.object["metadata"]["name"] == job;
        self.events
            .iter()
            .filter(of_job)
            .map(|event| event.object["status"].clone())
            .collect()
    }

    /// Server-side apply of a part of a job's status. What the manager applied before and leaves out now is removed.
    pub fn apply_status(&mut self, name: &str, manager: &str, patch: &Value) -> Result<Value, Refusal> {
        let mut job = self.get(Kind::Job, name).ok_or(Refusal::NotFound)?;
        for (field, conflict) in [
            ("uid", "the UID is another"),
            ("resourceVersion", "the object has been modified"),
        ] {
            let wanted = &patch["metadata"][field];
            if !wanted.is_null() && *wanted != job["metadata"][field] {
                return Err(Refusal::Conflict(conflict));
            }
        }
        let fields = patch["status"].as_object().expect("a status");
        let names: BTreeSet<String> = fields.keys().cloned().collect();
        let before = self
            .applied
            .insert((name.to_owned(), manager.to_owned()), names)
            .unwrap_or_default();
        let status = job["status"].as_object_mut().expect("a status");
        let unchanged = status.clone();
        status.retain(|field, _| !before.contains(field));
        status.extend(fields.clone());
        if *status != unchanged {
            self.put(Kind::Job, job);
        }
        self.get(Kind::Job, name).ok_or(Refusal::NotFound)
    }
}
