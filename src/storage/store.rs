//! An output: a place for objects under one prefix.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use super::error::Error;
use super::uri::{Root, StoreUri};
use super::writer::ObjectWriter;

/// Objects under one prefix, named by keys relative to it. Cloning is cheap.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    uri: StoreUri,
    hint: Arc<str>,
}

/// How a create-only put ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is ours and durable.
    Created,
    /// Somebody was here first; perhaps we ourselves, when the answer to an earlier try was lost.
    AlreadyExists,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Relative to the store's prefix.
    pub key: String,
    /// In bytes.
    pub size: u64,
}

impl Store {
    /// A store over `objects`, below the prefix that `uri` names; `hint` is what refusals tell the
    /// owner to check.
    pub fn new(objects: Arc<dyn ObjectStore>, uri: StoreUri, hint: Arc<str>) -> Self {
        Self { objects, uri, hint }
    }

    /// A store that forgets everything when dropped, for tests.
    #[must_use]
    pub fn in_memory() -> Self {
        let uri = StoreUri::bucket_root("memory");
        Self::new(Arc::new(InMemory::new()), uri, "".into())
    }

    /// Where `key` is, for messages and for the job's status.
    #[must_use]
    pub fn uri_of(&self, key: &str) -> StoreUri {
        self.uri.join(key)
    }

    /// Puts an object only if there is none yet (`If-None-Match: *`).
    ///
    /// # Errors
    ///
    /// [`Error`]; after one, the object may be there all the same.
    pub async fn create(&self, key: &str, payload: impl Into<PutPayload>) -> Result<Put, Error> {
        let path = self.path(key);
        let put = self.objects.put_opts(&path, payload.into(), PutMode::Create.into());
        match put.await {
            Ok(_) => Ok(Put::Created),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::AlreadyExists),
            Err(source) => Err(self.write_error(key, source)),
        }
    }

    /// Starts an object that replaces any of that name once it is finished. `expected` is about how
    /// many bytes it will have, and must not be far too low: see [`super::part_bytes`].
    #[must_use]
    pub fn overwrite(&self, key: &str, expected: u64) -> ObjectWriter {
        ObjectWriter::new(self.clone(), key, expected)
    }

    /// Reads a whole object; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`Error`], never `NotFound`.
    pub async fn read(&self, key: &str) -> Result<Option<Bytes>, Error> {
        let read = async { self.objects.get(&self.path(key)).await?.bytes().await };
        self.found(key, read.await)
    }

    /// Reads some bytes of an object; fewer than asked for when it ends before.
    ///
    /// # Errors
    ///
    /// [`Error`], `NotFound` too.
    pub async fn read_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        let read = self.objects.get_range(&self.path(key), range).await;
        read.map_err(|source| self.error(key, source))
    }

    /// An object's size in bytes; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`Error`], never `NotFound`.
    pub async fn size(&self, key: &str) -> Result<Option<u64>, Error> {
        let head = self.objects.head(&self.path(key)).await;
        self.found(key, head.map(|meta| meta.size))
    }

    /// All objects under a folder of keys (`segments/`, or an empty text for all), sorted by key.
    ///
    /// # Errors
    ///
    /// [`Error`], never `NotFound`: a folder without objects is empty.
    pub async fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        let path = self.path(folder);
        // Made small one by one, as there may be many.
        let entries = self.objects.list(Some(&path)).try_filter_map(|meta| {
            let key = meta.location.as_ref().strip_prefix(self.uri.key());
            let entry = key.map(|key| Entry {
                key: key.to_owned(),
                size: meta.size,
            });
            future::ready(Ok(entry))
        });
        let listed: Result<Vec<_>, _> = entries.try_collect().await;
        let mut entries = match listed {
            Ok(entries) => entries,
            Err(source) => match self.error(folder, source) {
                error if error.is_not_found() => return Ok(Vec::new()),
                error => return Err(error),
            },
        };
        entries.sort();
        Ok(entries)
    }

    /// Deletes objects; those that are not there are passed over.
    ///
    /// # Errors
    ///
    /// [`Error`] about one of them; others may be gone.
    pub async fn delete(&self, keys: impl Iterator<Item = String>) -> Result<(), Error> {
        let paths: Vec<_> = keys.map(|key| Ok(self.path(&key))).collect();
        let mut deleted = self.objects.delete_stream(stream::iter(paths).boxed());
        let mut refused = None;
        while let Some(one) = deleted.next().await {
            match one.map_err(|source| self.error("", source)) {
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => refused = Some(error),
            }
        }
        refused.map_or(Ok(()), Err)
    }

    pub(super) fn objects(&self) -> &dyn ObjectStore {
        self.objects.as_ref()
    }

    pub(super) fn path(&self, key: &str) -> Path {
        self.uri_of(key).path()
    }

    /// No object needs to be there for a write, so what is missing is the bucket.
    pub(super) fn write_error(&self, key: &str, source: object_store::Error) -> Error {
        match self.error(key, source) {
            Error::NotFound { uri, source } if matches!(uri.root(), Root::Bucket(_)) => {
                Error::BucketNotFound { uri, source }
            }
            error => error,
        }
    }

    fn found<T>(&self, key: &str, read: object_store::Result<T>) -> Result<Option<T>, Error> {
        match read.map_err(|source| self.error(key, source)) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn error(&self, key: &str, source: object_store::Error) -> Error {
        Error::new(self.uri_of(key), &self.hint, source)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Store");
        debug.field("uri", &self.uri).finish_non_exhaustive()
    }
}
