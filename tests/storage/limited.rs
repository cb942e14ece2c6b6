//! Stores that cannot do everything.

use std::fmt;

use async_trait::async_trait;
use batch_inference_operator::storage::{Store, StoreUri, preflight};
use futures::stream::{self, BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::contract;

/// What a store lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lacks {
    /// It takes every put, whatever its condition.
    Conditions,
    /// The right to delete.
    Deletion,
}

#[derive(Debug)]
struct Limited {
    inner: InMemory,
    lacks: Lacks,
}

fn limited(lacks: Lacks) -> Store {
    let inner = InMemory::new();
    let uri = StoreUri::parse_prefix("s3://bucket/run").unwrap();
    Store::new(std::sync::Arc::new(Limited { inner, lacks }), uri, "".into())
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("limited")
    }
}

#[async_trait]
impl ObjectStore for Limited {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let options = match self.lacks {
            Lacks::Conditions => PutOptions::default(),
            Lacks::Deletion => options,
        };
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.lacks {
            Lacks::Conditions => self.inner.delete_stream(locations),
            Lacks::Deletion => stream::iter([Err(Error::PermissionDenied {
                path: String::new(),
                source: "AccessDenied".into(),
            })])
            .boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_found_and_one_feeder_after_another_is_right_there_too() {
    let store = limited(Lacks::Conditions);
    let found = preflight(&store, "preflight/uid").await.unwrap();
    assert!(!found.creates_once && found.deletes, "{found:?}");
    contract::rows_become_results(&store).await;
}

#[tokio::test]
async fn without_the_right_to_delete_one_probe_stays_and_serves_again() {
    let store = limited(Lacks::Deletion);
    for _ in 0..3 {
        let found = preflight(&store, "preflight/uid").await.unwrap();
        assert!(found.creates_once && !found.deletes, "{found:?}");
        assert_eq!(store.list("").await.unwrap().len(), 1);
    }
    contract::rows_become_results(&store).await;
}
