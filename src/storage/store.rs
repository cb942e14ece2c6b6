//! An output: a place for objects under one prefix.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path as Directory;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use super::error::Error;
use super::hints::Hints;
use super::leftovers;
use super::uri::{Root, StoreUri};
use super::writer::ObjectWriter;

/// Objects under one prefix, named by keys relative to it. Cloning is cheap.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    uri: StoreUri,
    hints: Hints,
    /// Where the prefix is on this machine, for a mounted claim.
    directory: Option<Arc<Directory>>,
}

/// How a create-only put ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is ours and durable.
    Created,
    /// Somebody was here first; perhaps we ourselves, when the answer to an earlier try was lost.
    AlreadyExists,
}

/// A whole object, and its age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dated {
    /// Its content.
    pub bytes: Bytes,
    /// When it was written, by the store's clock. Some stores know the second only.
    pub modified: SystemTime,
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
    /// A store over `objects`, below the prefix that `uri` names; `hints` are what refusals tell the
    /// owner to check.
    pub fn new(objects: Arc<dyn ObjectStore>, uri: StoreUri, hints: Hints) -> Self {
        Self {
            objects,
            uri,
            hints,
            directory: None,
        }
    }

    /// The same store, whose prefix is a directory of this machine.
    pub(super) fn in_directory(self, directory: &Directory) -> Self {
        Self {
            directory: Some(directory.into()),
            ..self
        }
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

    /// Reads a whole small object, with when it was written; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`Error`], never `NotFound`.
    pub async fn read_dated(&self, key: &str) -> Result<Option<Dated>, Error> {
        let read = async {
            let found = self.objects.get(&self.path(key)).await?;
            let modified = found.meta.last_modified.into();
            let bytes = found.bytes().await?;
            Ok(Dated { bytes, modified })
        };
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
        Ok(self.look(key).await?.map(|meta| meta.size))
    }

    /// What a store tells of an object without reading it.
    pub(super) async fn look(&self, key: &str) -> Result<Option<ObjectMeta>, Error> {
        self.found(key, self.objects.head(&self.path(key)).await)
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

    /// Puts a small object in the place of any other of its name.
    ///
    /// # Errors
    ///
    /// [`Error`]; after one, the object may be there all the same.
    pub async fn replace(&self, key: &str, payload: impl Into<PutPayload>) -> Result<(), Error> {
        let put = self.objects.put(&self.path(key), payload.into()).await;
        put.map(drop).map_err(|source| self.write_error(key, source))
    }

    /// Deletes objects; those that are not there are passed over. Nothing that must be done may need this: the right to delete is not
    /// always given.
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

    /// Removes what puts that were cut off have left on a volume, of the objects `keys` and of all in `folders`, and gives their
    /// number; a bucket clears such things by itself.
    ///
    /// # Errors
    ///
    /// What the file system says. Everything works with them there.
    pub async fn remove_leftovers(
        &self,
        keys: &'static [&'static str],
        folders: &'static [&'static str],
    ) -> io::Result<usize> {
        let Some(directory) = self.directory.clone() else {
            return Ok(0);
        };
        let removing = tokio::task::spawn_blocking(move || leftovers::remove(&directory, keys, folders));
        removing.await.map_err(io::Error::other)?
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
            Error::NotFound { uri, source } if matches!(uri.root(), Root::Bucket(..)) => {
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
        Error::new(self.uri_of(key), &self.hints, source)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Store");
        debug.field("uri", &self.uri).finish_non_exhaustive()
    }
}
