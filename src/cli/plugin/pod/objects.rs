//! The objects of an output as its pod gives them: a store that is only read.

use std::fmt;
use std::ops::Range;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, Extensions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::exec::RemoteError;
use super::remote::Remote;
use crate::cli::output::Listed;
use crate::storage::StoreUri;

/// What a pod gives.
pub struct PodObjects {
    remote: Remote,
    uri: StoreUri,
}

impl PodObjects {
    /// Those of the output at `uri`.
    pub fn new(remote: Remote, uri: StoreUri) -> Self {
        Self { remote, uri }
    }

    /// The key of a path, relative to the output.
    fn key<'a>(&self, path: &'a Path) -> &'a str {
        let path = path.as_ref();
        path.strip_prefix(self.uri.key()).unwrap_or(path)
    }

    async fn size(&self, path: &Path) -> Result<u64> {
        let answer = self.remote.ask(&["size", self.key(path)]).await.map_err(failed)?;
        let size: Option<u64> = serde_json::from_slice(&answer).map_err(|error| failed(error.into()))?;
        size.ok_or_else(|| Error::NotFound {
            path: path.to_string(),
            source: "the pod has none".into(),
        })
    }

    async fn get(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let size = self.size(path).await?;
        let range = if options.head {
            0..0
        } else {
            wanted(options.range.as_ref(), size)
        };
        let bytes = if range.is_empty() {
            Bytes::new()
        } else {
            let (start, end) = (range.start.to_string(), range.end.to_string());
            self.remote
                .ask(&["read", self.key(path), &start, &end])
                .await
                .map_err(failed)?
        };
        Ok(GetResult {
            meta: meta(path.clone(), size),
            range: range.start..range.start + bytes.len() as u64,
            payload: GetResultPayload::Stream(stream::once(async { Ok(bytes) }).boxed()),
            attributes: Attributes::new(),
            extensions: Extensions::new(),
        })
    }
}

fn wanted(range: Option<&GetRange>, size: u64) -> Range<u64> {
    match range {
        Some(GetRange::Bounded(range)) => range.start.min(size)..range.end.min(size),
        Some(GetRange::Offset(start)) => (*start).min(size)..size,
        Some(GetRange::Suffix(length)) => size.saturating_sub(*length)..size,
        None => 0..size,
    }
}

/// The pod does not say when an object was written, and nobody here asks.
fn meta(location: Path, size: u64) -> ObjectMeta {
    ObjectMeta {
        location,
        last_modified: SystemTime::UNIX_EPOCH.into(),
        size,
        e_tag: None,
        version: None,
    }
}

async fn list(remote: Remote, uri: StoreUri, folder: String) -> Result<Vec<ObjectMeta>> {
    let answer = remote.ask(&["list", &folder]).await.map_err(failed)?;
    let listed: Vec<Listed> = serde_json::from_slice(&answer).map_err(|error| failed(error.into()))?;
    let metas = listed.into_iter().map(|entry| {
        let location = Path::parse(format!("{}{}", uri.key(), entry.key))?;
        Ok(meta(location, entry.size))
    });
    metas.collect()
}

fn failed(error: RemoteError) -> Error {
    Error::Generic {
        store: "pod",
        source: Box::new(error),
    }
}

impl fmt::Debug for PodObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PodObjects")
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for PodObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

fn read_only() -> Error {
    Error::NotSupported {
        source: "an output is only read through a pod".into(),
    }
}

#[async_trait]
impl ObjectStore for PodObjects {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.get(location, options).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        // A path has no slash at its end, and a folder's key has one. The root has none.
        let prefix = prefix.filter(|prefix| !prefix.as_ref().is_empty());
        let folder = prefix.map_or_else(String::new, |prefix| format!("{prefix}/"));
        let folder = folder.strip_prefix(self.uri.key()).unwrap_or("").to_owned();
        let listing = list(self.remote.clone(), self.uri.clone(), folder);
        let entries = stream::once(listing).flat_map(|listed| match listed {
            Ok(metas) => stream::iter(metas.into_iter().map(Ok)).boxed(),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        });
        entries.boxed()
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(read_only())
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only())
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        stream::once(async { Err(read_only()) }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(read_only())
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_where_the_object_does() {
        for (range, expected) in [
            (None, 0..10),
            (Some(GetRange::Bounded(2..5)), 2..5),
            (Some(GetRange::Bounded(8..50)), 8..10),
            (Some(GetRange::Bounded(20..50)), 10..10),
            (Some(GetRange::Offset(7)), 7..10),
            (Some(GetRange::Suffix(3)), 7..10),
        ] {
            assert_eq!(wanted(range.as_ref(), 10), expected, "{range:?}");
        }
    }
}
