//! Stores that cannot do everything.

use std::fmt;

use batch_inference_operator::storage::{Store, StoreUri, preflight};
use futures::future::BoxFuture;
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

// Written out as `async_trait` expands them, for want of the macro among our dependencies.
impl ObjectStore for Limited {
    fn put_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> BoxFuture<'c, Result<PutResult>>
    where
        'a: 'c,
        'b: 'c,
    {
        let options = match self.lacks {
            Lacks::Conditions => PutOptions::default(),
            Lacks::Deletion => options,
        };
        self.inner.put_opts(location, payload, options)
    }

    fn put_multipart_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        options: PutMultipartOptions,
    ) -> BoxFuture<'c, Result<Box<dyn MultipartUpload>>>
    where
        'a: 'c,
        'b: 'c,
    {
        self.inner.put_multipart_opts(location, options)
    }

    fn get_opts<'a, 'b, 'c>(&'a self, location: &'b Path, options: GetOptions) -> BoxFuture<'c, Result<GetResult>>
    where
        'a: 'c,
        'b: 'c,
    {
        self.inner.get_opts(location, options)
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

    fn list_with_delimiter<'a, 'b, 'c>(&'a self, prefix: Option<&'b Path>) -> BoxFuture<'c, Result<ListResult>>
    where
        'a: 'c,
        'b: 'c,
    {
        self.inner.list_with_delimiter(prefix)
    }

    fn copy_opts<'a, 'b, 'c, 'd>(
        &'a self,
        from: &'b Path,
        to: &'c Path,
        options: CopyOptions,
    ) -> BoxFuture<'d, Result<()>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
    {
        self.inner.copy_opts(from, to, options)
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
