//! What one ConfigMap holds: objects by their keys. Pure.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use object_store::path::Path;

use super::ConfigMapError;
use crate::api::names::{APPLICATION, LABEL_COMPONENT, LABEL_MANAGED_BY, LABEL_NAME, MANAGED_BY};

/// What the values of a ConfigMap may have together (`MaxSecretSize`, which counts for both):
/// <https://kubernetes.io/docs/concepts/configuration/configmap/#motivation>
const MOST_BYTES: usize = 1 << 20;
/// What is on its way may have less, so that the results that come of it have room beside the manifest.
const MOST_BYTES_ON_THEIR_WAY: usize = 900 << 10;

/// Changes with every write: one that changes nothing leaves the time of the last write as it is.
const ANNOTATION_WRITES: &str = "batchinference.dev/writes";
/// Stands for the slash of a path, which a ConfigMap's key may not have. No path of ours has two dots in a row.
const SLASH: &str = "..";

/// Which ConfigMap, and what for.
#[derive(Clone, Debug)]
pub(super) struct Map {
    pub name: String,
    /// The value of its label, by which one that is for something else is told.
    component: &'static str,
    most_bytes: usize,
}

impl Map {
    pub fn of_results(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            component: "results",
            most_bytes: MOST_BYTES,
        }
    }

    pub fn on_its_way(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            component: "segments",
            most_bytes: MOST_BYTES_ON_THEIR_WAY,
        }
    }

    /// Without `app.kubernetes.io/instance`, by which Argo CD would take it for one of its own and delete it.
    fn labels(&self) -> BTreeMap<String, String> {
        [
            (LABEL_NAME, APPLICATION),
            (LABEL_COMPONENT, self.component),
            (LABEL_MANAGED_BY, MANAGED_BY),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }
}

/// A ConfigMap as it was read, or a new one.
#[derive(Debug)]
pub(super) struct Objects {
    map: ConfigMap,
    most_bytes: usize,
}

impl Objects {
    /// No object, and no ConfigMap yet. Nobody owns it: results outlive their job.
    pub fn none(map: &Map) -> Self {
        let metadata = ObjectMeta {
            name: Some(map.name.clone()),
            labels: Some(map.labels()),
            ..ObjectMeta::default()
        };
        Self {
            map: ConfigMap {
                metadata,
                ..ConfigMap::default()
            },
            most_bytes: map.most_bytes,
        }
    }

    /// Those of a ConfigMap that was read, if it was made for them.
    pub fn of(found: ConfigMap, map: &Map) -> Result<Self, ConfigMapError> {
        let labels = found.metadata.labels.as_ref();
        let has = |(key, value): (&String, &String)| labels.is_some_and(|labels| labels.get(key) == Some(value));
        if !map.labels().iter().all(has) {
            let name = map.name.clone();
            return Err(ConfigMapError::NotOurs { name });
        }
        Ok(Self {
            map: found,
            most_bytes: map.most_bytes,
        })
    }

    /// The version that was read; none of a new one.
    pub fn version(&self) -> Option<String> {
        self.map.metadata.resource_version.clone()
    }

    pub fn is_empty(&self) -> bool {
        self.entries().next().is_none()
    }

    pub fn get(&self, path: &Path) -> Option<Bytes> {
        let key = key_of(path);
        let text = self.map.data.as_ref().and_then(|data| data.get(&key));
        let bytes = self.map.binary_data.as_ref().and_then(|data| data.get(&key));
        text.map(|text| Bytes::copy_from_slice(text.as_bytes()))
            .or_else(|| bytes.map(|bytes| Bytes::copy_from_slice(&bytes.0)))
    }

    /// Puts an object in the place of any other of its name: as text, if it is, so that a person can read it.
    pub fn insert(&mut self, path: &Path, bytes: &Bytes) -> Result<(), ConfigMapError> {
        self.remove(path);
        let key = key_of(path);
        if let Ok(text) = str::from_utf8(bytes) {
            let data = self.map.data.get_or_insert_default();
            data.insert(key, text.to_owned());
        } else {
            let data = self.map.binary_data.get_or_insert_default();
            data.insert(key, ByteString(bytes.to_vec()));
        }
        let (bytes, most) = (self.bytes(), self.most_bytes);
        if bytes > most {
            let name = self.map.metadata.name.clone().unwrap_or_default();
            return Err(ConfigMapError::TooLarge { name, bytes, most });
        }
        Ok(())
    }

    pub fn remove(&mut self, path: &Path) {
        let key = key_of(path);
        if let Some(data) = &mut self.map.data {
            data.remove(&key);
        }
        if let Some(data) = &mut self.map.binary_data {
            data.remove(&key);
        }
    }

    /// Every object with its size in bytes.
    pub fn entries(&self) -> impl Iterator<Item = (Path, u64)> {
        let texts = self.map.data.iter().flatten().map(|(key, text)| (key, text.len()));
        let others = self.map.binary_data.iter().flatten();
        let others = others.map(|(key, bytes)| (key, bytes.0.len()));
        texts.chain(others).map(|(key, size)| (path_of(key), size as u64))
    }

    fn bytes(&self) -> usize {
        let texts = self.map.data.iter().flatten().map(|(_, text)| text.len());
        let others = self.map.binary_data.iter().flatten().map(|(_, bytes)| bytes.0.len());
        texts.chain(others).sum()
    }

    /// When it was last written, by the API server's clock, to the second. It is that of every object in it: one that was not written
    /// itself seems younger than it is, and never older.
    pub fn modified(&self) -> SystemTime {
        let metadata = &self.map.metadata;
        let writes = metadata.managed_fields.iter().flatten();
        let writes = writes.filter_map(|write| write.time.as_ref());
        let times = writes.chain(metadata.creation_timestamp.as_ref()).map(|time| time.0);
        times.max().map_or(SystemTime::UNIX_EPOCH, SystemTime::from)
    }

    /// As it is to be written.
    pub fn written(mut self) -> ConfigMap {
        let annotations = self.map.metadata.annotations.get_or_insert_default();
        let before = annotations
            .get(ANNOTATION_WRITES)
            .and_then(|writes| writes.parse().ok());
        let writes = before.unwrap_or(0_u64).wrapping_add(1);
        annotations.insert(ANNOTATION_WRITES.to_owned(), writes.to_string());
        self.map
    }
}

fn key_of(path: &Path) -> String {
    path.as_ref().replace('/', SLASH)
}

fn path_of(key: &str) -> Path {
    Path::from(key.replace(SLASH, "/"))
}
