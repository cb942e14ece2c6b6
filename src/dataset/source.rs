use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};

use super::{Compression, Sha256Digest, SourceError, Undecodable};
use crate::storage::{Hints, is_outage};

/// Bytes of one request of a streaming read. Many short requests instead of a long one: each can be retried, and no
/// connection idles while its rows are looked at.
const READ_BYTES: u64 = 1024 * 1024;

/// Requests of a streaming read that are under way at once.
const READ_AHEAD: usize = 4;

/// Where a data set is read from: one object of a bucket, a mounted volume or memory. Cloning is cheap.
#[derive(Clone)]
pub struct Source {
    store: Arc<dyn ObjectStore>,
    path: Path,
    object: Arc<str>,
    hints: Hints,
    read_bytes: u64,
    checksum: Option<Sha256Digest>,
}

/// What an object was when it was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceVersion {
    /// In bytes.
    pub size: u64,
    etag: Option<String>,
    text: String,
    tells_contents_apart: bool,
}

impl Source {
    /// The object at `path`. Messages call it `object` (its URI), and say `hints` when access is refused: which Secret
    /// or permission to check.
    pub fn new(store: Arc<dyn ObjectStore>, path: Path, object: impl Into<Arc<str>>, hints: impl Into<Hints>) -> Self {
        Self {
            store,
            path,
            object: object.into(),
            hints: hints.into(),
            read_bytes: READ_BYTES,
            checksum: None,
        }
    }

    /// Reads streams in requests of `bytes` (at least 1) instead of 1 MiB.
    #[must_use]
    pub fn with_read_bytes(self, bytes: u64) -> Self {
        Self {
            read_bytes: bytes.max(1),
            ..self
        }
    }

    /// Tells versions apart by this checksum of the content, instead of by what the store says: memory says when it was filled.
    #[must_use]
    pub fn with_checksum(self, checksum: Sha256Digest) -> Self {
        Self {
            checksum: Some(checksum),
            ..self
        }
    }

    /// The object as its owner calls it.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.object
    }

    /// How it is stored, by the end of its name.
    #[must_use]
    pub fn compression(&self) -> Compression {
        Compression::of_name(self.path.as_ref())
    }

    /// Looks at the object without reading it.
    ///
    /// # Errors
    ///
    /// The object cannot be looked at.
    pub async fn version(&self) -> Result<SourceVersion, SourceError> {
        match self.store.head(&self.path).await {
            Ok(meta) => Ok(SourceVersion::of(&meta, self.checksum)),
            Err(error @ object_store::Error::NotFound { .. }) => Err(self.error(error)),
            Err(error) if is_outage(&error) => Err(self.error(error)),
            // An answer to HEAD has no body to say why.
            Err(error) => {
                let said = self.store.get_range(&self.path, 0..1).await;
                Err(self.error(said.err().unwrap_or(error)))
            }
        }
    }

    /// Streams the whole object as it was at `version`, in order and in chunks of at most 1 MiB.
    ///
    /// # Errors
    ///
    /// The stream's items fail when the object cannot be read, and with [`SourceError::Changed`] when it is another one
    /// by now. A store without entity tags can hide such a change, unless the object has become shorter.
    pub fn stream(
        &self,
        version: &SourceVersion,
    ) -> impl Stream<Item = Result<Bytes, SourceError>> + Send + Unpin + use<> {
        self.stream_from(version, 0)
    }

    /// Streams the object from the byte `start` on, else as [`stream`](Self::stream) does.
    pub(super) fn stream_from(
        &self,
        version: &SourceVersion,
        start: u64,
    ) -> impl Stream<Item = Result<Bytes, SourceError>> + Send + Unpin + use<> {
        let (source, size, etag) = (self.clone(), version.size, version.etag.clone());
        let parts = size.saturating_sub(start).div_ceil(source.read_bytes);
        let starts = (0..parts).map(move |part| start + part * source.read_bytes);
        let source = self.clone();
        let reads = starts.map(move |start| {
            let (source, etag) = (source.clone(), etag.clone());
            async move { source.get(start..size.min(start + source.read_bytes), etag).await }
        });
        futures::stream::iter(reads).buffered(READ_AHEAD).boxed()
    }

    /// Reads a range of the object as it is now.
    ///
    /// # Errors
    ///
    /// The object cannot be read; [`SourceError::Changed`] when it ends before the range does.
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes, SourceError> {
        self.get(range, None).await
    }

    async fn get(&self, range: Range<u64>, etag: Option<String>) -> Result<Bytes, SourceError> {
        let options = GetOptions::new()
            .with_range(Some(GetRange::Bounded(range.clone())))
            .with_if_match(etag);
        let get = async { self.store.get_opts(&self.path, options).await?.bytes().await };
        match get.await {
            Ok(bytes) if bytes.len() as u64 == range.end - range.start => Ok(bytes),
            Ok(bytes) => Err(self.too_short(range.start + bytes.len() as u64, range.end)),
            // A range that begins behind the end has no error of its own in `object_store`.
            Err(error @ object_store::Error::Generic { .. }) if !is_outage(&error) => {
                match self.version().await?.size {
                    size if size < range.end => Err(self.too_short(size, range.end)),
                    _ => Err(self.error(error)),
                }
            }
            Err(error) => Err(self.error(error)),
        }
    }

    fn too_short(&self, size: u64, expected: u64) -> SourceError {
        self.changed(format!("it has {size} bytes and should have at least {expected}"))
    }

    /// The object is not the one that was there before; `what` shows it.
    pub(super) fn changed(&self, what: String) -> SourceError {
        SourceError::Changed {
            object: Arc::clone(&self.object),
            what,
        }
    }

    pub(super) fn undecodable(&self, error: Undecodable) -> SourceError {
        SourceError::Undecodable {
            object: Arc::clone(&self.object),
            error,
        }
    }

    fn error(&self, error: object_store::Error) -> SourceError {
        SourceError::new(&self.object, &self.hints, error)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Source")
            .field("object", &self.object)
            .finish_non_exhaustive()
    }
}

impl SourceVersion {
    fn of(meta: &ObjectMeta, checksum: Option<Sha256Digest>) -> Self {
        let mut parts = vec![format!("size={}", meta.size)];
        if let Some(checksum) = checksum {
            parts.push(format!("sha256={checksum}"));
        } else {
            parts.push(format!("modified={}", meta.last_modified.to_rfc3339()));
            parts.extend(meta.e_tag.iter().map(|etag| format!("etag={etag}")));
            parts.extend(meta.version.iter().map(|version| format!("version={version}")));
        }
        // Where a web server does not say when a file was changed, that is 1970.
        let has_time = meta.last_modified.timestamp() != 0;
        let tells_contents_apart = checksum.is_some() || has_time || meta.e_tag.is_some() || meta.version.is_some();
        // A weak tag never matches (RFC 9110, section 13.1.1).
        let etag = meta.e_tag.clone().filter(|etag| !etag.starts_with("W/"));
        Self {
            size: meta.size,
            etag,
            text: parts.join(" "),
            tells_contents_apart,
        }
    }

    /// Whether another content of the same size would have another version: some web servers say no more than the size.
    #[must_use]
    pub fn tells_contents_apart(&self) -> bool {
        self.tells_contents_apart
    }
}

impl fmt::Display for SourceVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;
    use crate::dataset::testing::{StoredFile, source_of};

    async fn read_all(source: &Source, version: &SourceVersion) -> Result<Vec<u8>, SourceError> {
        let chunks: Vec<_> = source.stream(version).try_collect().await?;
        Ok(chunks.concat())
    }

    #[tokio::test]
    async fn a_stream_gives_the_whole_object_whatever_the_request_size() {
        for bytes in [1, 3, 10, 11, 1000] {
            let source = source_of("0123456789").await.with_read_bytes(bytes);
            let version = source.version().await.unwrap();
            assert_eq!(read_all(&source, &version).await.unwrap(), b"0123456789", "{bytes}");
        }
        let empty = source_of("").await;
        assert_eq!(read_all(&empty, &empty.version().await.unwrap()).await.unwrap(), b"");
    }

    #[test]
    fn a_size_alone_tells_no_contents_apart() {
        let bare = ObjectMeta {
            location: "rows.jsonl".into(),
            last_modified: std::time::SystemTime::UNIX_EPOCH.into(),
            size: 3,
            e_tag: None,
            version: None,
        };
        let tells = |meta: &ObjectMeta, checksum| SourceVersion::of(meta, checksum).tells_contents_apart();
        assert!(!tells(&bare, None));
        assert!(tells(&bare, Some(Sha256Digest::of(b"abc"))));
        let tagged = ObjectMeta {
            e_tag: Some("a".to_owned()),
            ..bare.clone()
        };
        let dated = ObjectMeta {
            last_modified: std::time::SystemTime::now().into(),
            ..bare
        };
        assert!(tells(&tagged, None) && tells(&dated, None));
    }

    #[tokio::test]
    async fn an_object_written_again_is_seen() {
        let file = StoredFile::new("0123456789").await;
        let version = file.source.version().await.unwrap();
        file.write("9876543210").await;
        assert_ne!(file.source.version().await.unwrap().to_string(), version.to_string());
        assert!(matches!(
            read_all(&file.source, &version).await,
            Err(SourceError::Changed { .. })
        ));
    }

    #[tokio::test]
    async fn a_range_behind_the_end_means_that_the_object_changed() {
        let source = source_of("0123456789").await;
        assert_eq!(source.read(2..5).await.unwrap(), "234");
        for range in [8..11, 10..12, 50..60] {
            let error = source.read(range).await.unwrap_err();
            assert!(
                error.to_string().contains("it has 10 bytes and should have at least"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn a_missing_object_is_not_found() {
        let file = StoredFile::new("0").await;
        file.remove().await;
        assert!(matches!(file.source.version().await, Err(SourceError::NotFound { .. })));
        assert!(matches!(
            file.source.read(0..1).await,
            Err(SourceError::NotFound { .. })
        ));
    }

    #[tokio::test]
    async fn a_file_of_a_mounted_volume_is_read_too() {
        let mount = tempfile::tempdir().unwrap();
        std::fs::write(mount.path().join("rows.jsonl"), "0123456789").unwrap();
        let store = object_store::local::LocalFileSystem::new_with_prefix(mount.path()).unwrap();
        let source = |file: &str| {
            Source::new(
                Arc::new(store.clone()),
                file.into(),
                "pvc://claim/file",
                "check fsGroup",
            )
        };
        let rows = source("rows.jsonl").with_read_bytes(3);
        let version = rows.version().await.unwrap();
        assert_eq!(read_all(&rows, &version).await.unwrap(), b"0123456789");
        assert!(matches!(rows.read(8..12).await, Err(SourceError::Changed { .. })));
        assert!(matches!(rows.read(20..22).await, Err(SourceError::Changed { .. })));
        assert!(matches!(
            source("other.jsonl").version().await,
            Err(SourceError::NotFound { .. })
        ));
    }
}
