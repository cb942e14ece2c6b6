//! ConfigMaps as an object store, for results so small that no other store is worth the trouble.
//!
//! Two of them: the one that the job names holds what a person reads; what is only on its way to that, one folder of objects, fills and
//! empties another beside it, as both together may be more than one ConfigMap takes. Each put reads the ConfigMap and replaces it, if
//! nobody else has meanwhile (`resourceVersion`): so an object is created only once. `objects` is what one of them holds, pure; this file
//! is the conversation with the API server.

mod as_object_store;
mod objects;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client};
use object_store::path::Path;
use object_store::{
    Attributes, Error, Extensions, GetOptions, GetResult, GetResultPayload, ObjectMeta, PutMode, PutResult, Result,
};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

use objects::{Map, Objects};

use super::store::Store;
use super::uri::StoreUri;
use crate::api::output::OutputConfigMap;
use crate::api::status::FEEDER_FIELD_MANAGER;

/// A request that is not answered by then has failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Only another feeder can be in the way, and it writes every few seconds.
const TRIES: usize = 8;
/// Each takes a whole ConfigMap into memory, some three mebibytes while it is taken apart.
const READS_AT_ONCE: usize = 4;
const STORE: &str = "ConfigMap";

/// A ConfigMap that cannot be used, or not now.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigMapError {
    /// One that the operator did not make, or made for something else.
    #[error(
        "ConfigMap {name} was not made by the operator for this: choose another name in spec.output.configMap, or delete it"
    )]
    NotOurs {
        /// Its name.
        name: String,
    },
    /// Kubernetes would not take it.
    #[error(
        "ConfigMap {name} would have {bytes} bytes, and may have {most}: name a store or a claim in spec.output.uri"
    )]
    TooLarge {
        /// Its name.
        name: String,
        /// All its values.
        bytes: usize,
        /// What they may have together.
        most: usize,
    },
    /// Others were faster each time.
    #[error("ConfigMap {name} is changed by others all the time")]
    Contended {
        /// Its name.
        name: String,
    },
    /// No answer.
    #[error("the API server did not answer within {} s", ANSWER_WITHIN.as_secs())]
    TimedOut,
    /// A refusal, or no connection.
    #[error("the API server did not take or give the ConfigMap")]
    Api(#[source] Box<kube::Error>),
}

/// Opens an output in ConfigMaps of `namespace`. Objects of the folder `on_its_way` (`segments/`) are in the one beside it. The API
/// server is not asked yet.
#[must_use]
pub fn open_config_map(client: Client, namespace: &str, output: &OutputConfigMap, on_its_way: &'static str) -> Store {
    let objects = ConfigMapStore {
        api: Api::namespaced(client, namespace),
        results: Map::of_results(&output.name),
        on_its_way: Map::on_its_way(&output.segments()),
        folder: on_its_way,
        writing: Arc::default(),
        reading: Arc::new(Semaphore::new(READS_AT_ONCE)),
    };
    let hint = "check that the Role of the feeder's service account is there";
    Store::new(Arc::new(objects), StoreUri::of_config_map(&output.name), hint.into())
}

#[derive(Clone)]
struct ConfigMapStore {
    api: Api<ConfigMap>,
    results: Map,
    on_its_way: Map,
    /// The folder whose objects are on their way.
    folder: &'static str,
    /// Held while one is written, so that this process is never in its own way.
    writing: Arc<Mutex<()>>,
    reading: Arc<Semaphore>,
}

impl ConfigMapStore {
    fn map_of(&self, path: &Path) -> &Map {
        if path.as_ref().starts_with(self.folder) {
            return &self.on_its_way;
        }
        &self.results
    }

    async fn read(&self, map: &Map) -> Result<Option<Objects>> {
        // It is never closed.
        let _permit = self.reading.acquire().await;
        let found = in_time(self.api.get_opt(&map.name)).await.map_err(failed)?;
        let objects = found.map(|found| Objects::of(found, map)).transpose();
        objects.map_err(failed)
    }

    /// Changes one, and reads it anew for as long as others change it at the same time.
    async fn change(&self, map: &Map, mut change: impl FnMut(&mut Objects) -> Result<()>) -> Result<()> {
        let _alone = self.writing.lock().await;
        for _ in 0..TRIES {
            let found = self.read(map).await?;
            let mut objects = found.unwrap_or_else(|| Objects::none(map));
            change(&mut objects)?;
            if self.write(map, objects).await? {
                return Ok(());
            }
        }
        let name = map.name.clone();
        Err(failed(ConfigMapError::Contended { name }))
    }

    /// False when somebody else was faster. One without objects is deleted.
    async fn write(&self, map: &Map, objects: Objects) -> Result<bool> {
        let parameters = PostParams {
            field_manager: Some(FEEDER_FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let written = match (objects.version(), objects.is_empty()) {
            (None, true) => return Ok(true),
            (None, false) => {
                let written = objects.written();
                in_time(self.api.create(&parameters, &written)).await.map(drop)
            }
            (Some(_), false) => {
                let written = objects.written();
                in_time(self.api.replace(&map.name, &parameters, &written))
                    .await
                    .map(drop)
            }
            (Some(version), true) => {
                let parameters = DeleteParams::default().preconditions(Preconditions {
                    resource_version: Some(version),
                    uid: None,
                });
                in_time(self.api.delete(&map.name, &parameters)).await.map(drop)
            }
        };
        match written {
            Ok(()) => Ok(true),
            Err(error) if is_overtaken(&error) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    async fn put(&self, path: &Path, bytes: Bytes, mode: PutMode) -> Result<PutResult> {
        let is_create = match mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return Err(not_supported()),
        };
        let put = |objects: &mut Objects| {
            if is_create && objects.get(path).is_some() {
                return Err(Error::AlreadyExists {
                    path: path.to_string(),
                    source: "the ConfigMap has this key".into(),
                });
            }
            objects.insert(path, &bytes).map_err(failed)
        };
        self.change(self.map_of(path), put).await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
            extensions: Extensions::new(),
        })
    }

    async fn get(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let objects = self.read(self.map_of(path)).await?;
        let found = objects.and_then(|objects| Some((objects.get(path)?, objects.modified())));
        let Some((bytes, modified)) = found else {
            return Err(Error::NotFound {
                path: path.to_string(),
                source: "no ConfigMap has this key".into(),
            });
        };
        let size = bytes.len() as u64;
        let meta = ObjectMeta {
            location: path.clone(),
            last_modified: modified.into(),
            size,
            e_tag: None,
            version: None,
        };
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            None => 0..size,
            Some(range) => range.as_range(size).map_err(failed)?,
        };
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = bytes.slice(at(range.start)..at(range.end));
        Ok(GetResult {
            meta,
            range,
            payload: GetResultPayload::Stream(stream::once(async { Ok(bytes) }).boxed()),
            attributes: Attributes::new(),
            extensions: Extensions::new(),
        })
    }

    /// Removes objects, each ConfigMap in one write; those that are not there are passed over.
    async fn remove(&self, paths: &[Path]) -> Result<()> {
        for map in [&self.results, &self.on_its_way] {
            let of_this_map: Vec<_> = paths.iter().filter(|path| self.map_of(path).name == map.name).collect();
            if of_this_map.is_empty() {
                continue;
            }
            let remove = |objects: &mut Objects| {
                for path in &of_this_map {
                    objects.remove(path);
                }
                Ok(())
            };
            self.change(map, remove).await?;
        }
        Ok(())
    }

    /// What is below a prefix.
    async fn entries(&self, prefix: Path) -> Result<Vec<ObjectMeta>> {
        let mut entries = Vec::new();
        for map in [&self.results, &self.on_its_way] {
            let Some(objects) = self.read(map).await? else { continue };
            let modified = objects.modified();
            entries.extend(objects.entries().map(|(location, size)| ObjectMeta {
                location,
                last_modified: modified.into(),
                size,
                e_tag: None,
                version: None,
            }));
        }
        let is_below = |location: &Path| {
            let rest = location.prefix_match(&prefix);
            rest.is_some_and(|mut rest| rest.next().is_some())
        };
        entries.retain(|entry| is_below(&entry.location));
        Ok(entries)
    }
}

async fn in_time<T>(answer: impl Future<Output = kube::Result<T>>) -> std::result::Result<T, ConfigMapError> {
    let answer = timeout(ANSWER_WITHIN, answer).await;
    let answer = answer.map_err(|_| ConfigMapError::TimedOut)?;
    answer.map_err(|error| ConfigMapError::Api(Box::new(error)))
}

/// Whether what was read is not what is there any more: it was changed, deleted, or created by others meanwhile.
fn is_overtaken(error: &ConfigMapError) -> bool {
    let ConfigMapError::Api(error) = error else {
        return false;
    };
    match &**error {
        kube::Error::Api(status) => status.is_conflict() || status.is_already_exists() || status.is_not_found(),
        _ => false,
    }
}

fn failed(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic {
        store: STORE,
        source: Box::new(source),
    }
}

/// Nobody here asks a store for this that holds a mebibyte.
fn not_supported() -> Error {
    Error::NotSupported {
        source: "a ConfigMap is only written whole".into(),
    }
}

#[cfg(test)]
mod tests;
