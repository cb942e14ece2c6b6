//! An object store that stops working.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::{self, BoxFuture};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::storage::{Store, StoreUri};

/// Lets some operations through, then refuses all; with `lose_answers`, the first one refused is done
/// all the same, as when a connection breaks after the request.
#[derive(Debug)]
pub(in crate::results) struct FailingStore {
    inner: Arc<InMemory>,
    left: Arc<AtomicUsize>,
    lose_answers: bool,
    keeps: bool,
}

enum Fate {
    Done,
    DoneButLost,
    Refused,
}

impl FailingStore {
    /// A store over `inner` that lets `operations` through.
    pub fn over(inner: &Arc<InMemory>, operations: usize, lose_answers: bool) -> Store {
        let store = Self {
            inner: Arc::clone(inner),
            left: Arc::new(AtomicUsize::new(operations)),
            lose_answers,
            keeps: false,
        };
        Self::store(Arc::new(store))
    }

    /// A store over `inner` that never fails.
    pub fn never(inner: &Arc<InMemory>) -> Store {
        Self::over(inner, usize::MAX, false)
    }

    /// A store that works again once the returned number is raised.
    pub fn until_raised(inner: &Arc<InMemory>) -> (Store, Arc<AtomicUsize>) {
        let left = Arc::new(AtomicUsize::new(0));
        let store = Self {
            inner: Arc::clone(inner),
            left: Arc::clone(&left),
            lose_answers: false,
            keeps: false,
        };
        (Self::store(Arc::new(store)), left)
    }

    /// A store over `inner` that refuses to delete.
    pub fn that_keeps(inner: &Arc<InMemory>) -> Store {
        let store = Self {
            inner: Arc::clone(inner),
            left: Arc::new(AtomicUsize::new(usize::MAX)),
            lose_answers: false,
            keeps: true,
        };
        Self::store(Arc::new(store))
    }

    fn store(objects: Arc<dyn ObjectStore>) -> Store {
        let uri = StoreUri::parse_prefix("s3://bucket/run").unwrap();
        Store::new(objects, uri, "".into())
    }
}

fn fate(left: &AtomicUsize, lose_answers: bool) -> Fate {
    let before = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    match before {
        Ok(1) if lose_answers => Fate::DoneButLost,
        Ok(_) => Fate::Done,
        Err(_) => Fate::Refused,
    }
}

fn gone() -> Error {
    Error::Generic {
        store: "failing",
        source: "gone".into(),
    }
}

async fn run<T>(left: Arc<AtomicUsize>, lose_answers: bool, operation: BoxFuture<'_, Result<T>>) -> Result<T> {
    match fate(&left, lose_answers) {
        Fate::Done => operation.await,
        Fate::DoneButLost => {
            let _ = operation.await;
            Err(gone())
        }
        Fate::Refused => Err(gone()),
    }
}

impl FailingStore {
    fn run<'a, T: 'a>(&self, operation: BoxFuture<'a, Result<T>>) -> BoxFuture<'a, Result<T>> {
        let run = run(Arc::clone(&self.left), self.lose_answers, operation);
        Box::pin(run)
    }
}

impl fmt::Display for FailingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failing")
    }
}

// Written out as `async_trait` expands them, for want of the macro among our dependencies.
impl ObjectStore for FailingStore {
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
        self.run(self.inner.put_opts(location, payload, options))
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
        let (left, lose_answers) = (Arc::clone(&self.left), self.lose_answers);
        let started = self.run(self.inner.put_multipart_opts(location, options));
        Box::pin(async move {
            let upload = FailingUpload {
                inner: started.await?,
                left,
                lose_answers,
            };
            Ok(Box::new(upload) as Box<dyn MultipartUpload>)
        })
    }

    fn get_opts<'a, 'b, 'c>(&'a self, location: &'b Path, options: GetOptions) -> BoxFuture<'c, Result<GetResult>>
    where
        'a: 'c,
        'b: 'c,
    {
        self.run(self.inner.get_opts(location, options))
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        if self.keeps {
            let denied = |location: Path| Error::PermissionDenied {
                path: location.to_string(),
                source: "denied".into(),
            };
            return locations.and_then(move |path| future::ready(Err(denied(path)))).boxed();
        }
        let (inner, left, lose_answers) = (Arc::clone(&self.inner), Arc::clone(&self.left), self.lose_answers);
        let delete = move |path: Path| {
            let inner = Arc::clone(&inner);
            let deleted = path.clone();
            let delete = async move { inner.delete(&path).await };
            let delete = run(Arc::clone(&left), lose_answers, Box::pin(delete));
            async move { delete.await.map(|()| deleted) }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match fate(&self.left, false) {
            Fate::Refused => stream::iter([Err(gone())]).boxed(),
            _ => self.inner.list(prefix),
        }
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

#[derive(Debug)]
struct FailingUpload {
    inner: Box<dyn MultipartUpload>,
    left: Arc<AtomicUsize>,
    lose_answers: bool,
}

impl MultipartUpload for FailingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let put = self.inner.put_part(data);
        Box::pin(run(Arc::clone(&self.left), self.lose_answers, put))
    }

    fn complete<'a, 'b>(&'a mut self) -> BoxFuture<'b, Result<PutResult>>
    where
        'a: 'b,
    {
        let left = Arc::clone(&self.left);
        Box::pin(run(left, self.lose_answers, self.inner.complete()))
    }

    fn abort<'a, 'b>(&'a mut self) -> BoxFuture<'b, Result<()>>
    where
        'a: 'b,
    {
        let left = Arc::clone(&self.left);
        Box::pin(run(left, self.lose_answers, self.inner.abort()))
    }
}
