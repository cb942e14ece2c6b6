//! An object store that stops working.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::future::{self, BoxFuture};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::storage::{Store, StoreUri};

/// How a store behaves.
#[derive(Clone, Copy, Debug)]
pub(in crate::results) struct Faults {
    /// So many are let through, and then all are refused.
    pub operations: usize,
    /// The first one refused is done all the same, as when a connection breaks after the request.
    pub lose_answers: bool,
    /// A seed: each operation lets others go first, a few times or not at all.
    pub pauses: u64,
    /// It refuses to delete.
    pub keeps: bool,
}

impl Faults {
    /// It works.
    pub const NONE: Self = Self {
        operations: usize::MAX,
        lose_answers: false,
        pauses: 0,
        keeps: false,
    };
}

/// Does what [`Faults`] say.
#[derive(Debug)]
pub(in crate::results) struct FailingStore {
    inner: Arc<InMemory>,
    state: Arc<State>,
    keeps: bool,
}

#[derive(Debug)]
struct State {
    left: Arc<AtomicUsize>,
    lose_answers: bool,
    pauses: AtomicU64,
}

enum Fate {
    Done,
    DoneButLost,
    Refused,
}

impl FailingStore {
    /// A store over `inner` that lets `operations` through.
    pub fn over(inner: &Arc<InMemory>, operations: usize, lose_answers: bool) -> Store {
        let faults = Faults {
            operations,
            lose_answers,
            ..Faults::NONE
        };
        Self::with(inner, faults)
    }

    /// A store over `inner` that never fails.
    pub fn never(inner: &Arc<InMemory>) -> Store {
        Self::with(inner, Faults::NONE)
    }

    /// A store over `inner` that works again once the returned number is raised.
    pub fn until_raised(inner: &Arc<InMemory>) -> (Store, Arc<AtomicUsize>) {
        let left = Arc::new(AtomicUsize::new(0));
        (Self::store(inner, Faults::NONE, Arc::clone(&left)), left)
    }

    /// A store over `inner` that refuses to delete.
    pub fn that_keeps(inner: &Arc<InMemory>) -> Store {
        let faults = Faults {
            keeps: true,
            ..Faults::NONE
        };
        Self::with(inner, faults)
    }

    /// A store over `inner` with any faults.
    pub fn with(inner: &Arc<InMemory>, faults: Faults) -> Store {
        Self::store(inner, faults, Arc::new(AtomicUsize::new(faults.operations)))
    }

    fn store(inner: &Arc<InMemory>, faults: Faults, left: Arc<AtomicUsize>) -> Store {
        let state = State {
            left,
            lose_answers: faults.lose_answers,
            pauses: AtomicU64::new(faults.pauses),
        };
        let store = Self {
            inner: Arc::clone(inner),
            state: Arc::new(state),
            keeps: faults.keeps,
        };
        let uri = StoreUri::parse_prefix("s3://bucket/run").unwrap();
        Store::new(Arc::new(store), uri, "".into())
    }
}

impl State {
    fn fate(&self, lose_answers: bool) -> Fate {
        let before = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        match before {
            Ok(1) if lose_answers => Fate::DoneButLost,
            Ok(_) => Fate::Done,
            Err(_) => Fate::Refused,
        }
    }

    async fn pause(&self) {
        let before = self.pauses.load(Ordering::SeqCst);
        // A linear congruential generator; zero stays zero.
        let next = before.wrapping_mul(6_364_136_223_846_793_005);
        self.pauses.store(next, Ordering::SeqCst);
        for _ in 0..next >> 61 {
            tokio::task::yield_now().await;
        }
    }

    async fn run<T>(self: Arc<Self>, operation: BoxFuture<'_, Result<T>>) -> Result<T> {
        self.pause().await;
        match self.fate(self.lose_answers) {
            Fate::Done => operation.await,
            Fate::DoneButLost => {
                let _ = operation.await;
                Err(gone())
            }
            Fate::Refused => Err(gone()),
        }
    }
}

fn gone() -> Error {
    Error::Generic {
        store: "failing",
        source: "gone".into(),
    }
}

impl FailingStore {
    fn run<'a, T: Send + 'a>(&self, operation: BoxFuture<'a, Result<T>>) -> BoxFuture<'a, Result<T>> {
        Box::pin(Arc::clone(&self.state).run(operation))
    }
}

impl fmt::Display for FailingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failing")
    }
}

#[async_trait]
impl ObjectStore for FailingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.run(self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let state = Arc::clone(&self.state);
        let started = self.run(self.inner.put_multipart_opts(location, options));
        let upload = FailingUpload {
            inner: started.await?,
            state,
        };
        Ok(Box::new(upload))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.run(self.inner.get_opts(location, options)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        if self.keeps {
            let denied = |location: Path| Error::PermissionDenied {
                path: location.to_string(),
                source: "denied".into(),
            };
            return locations.and_then(move |path| future::ready(Err(denied(path)))).boxed();
        }
        let (inner, state) = (Arc::clone(&self.inner), Arc::clone(&self.state));
        let delete = move |path: Path| {
            let inner = Arc::clone(&inner);
            let deleted = path.clone();
            let delete = async move { inner.delete(&path).await };
            let delete = Arc::clone(&state).run(Box::pin(delete));
            async move { delete.await.map(|()| deleted) }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.state.fate(false) {
            Fate::Refused => stream::iter([Err(gone())]).boxed(),
            _ => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FailingUpload {
    inner: Box<dyn MultipartUpload>,
    state: Arc<State>,
}

#[async_trait]
impl MultipartUpload for FailingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let put = self.inner.put_part(data);
        Box::pin(Arc::clone(&self.state).run(put))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let state = Arc::clone(&self.state);
        state.run(self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        let state = Arc::clone(&self.state);
        state.run(self.inner.abort()).await
    }
}
