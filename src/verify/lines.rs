//! A file as lines, with what its bytes come to.

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use crate::dataset::{Line, LineSplitter, LineTooLong};
use crate::results::{Checksum, Hasher};
use crate::storage::{Error, Store};

/// Read in one request. With those ahead of it, a check takes some 64 MiB of memory.
const READ_BYTES: u64 = 4 << 20;
/// Requests that are under way at once, for each file.
const READ_AHEAD: usize = 2;

/// The bytes of a file, in order.
pub type Chunks = BoxStream<'static, Result<Bytes, Error>>;

/// Streams an object; `None` when it is not there.
pub async fn stream_object(store: &Store, key: &str) -> Result<Option<Chunks>, Error> {
    let Some(size) = store.size(key).await? else {
        return Ok(None);
    };
    let (store, key) = (store.clone(), key.to_owned());
    let reads = (0..size.div_ceil(READ_BYTES)).map(move |part| {
        let (store, key, start) = (store.clone(), key.clone(), part * READ_BYTES);
        async move { store.read_range(&key, start..size.min(start + READ_BYTES)).await }
    });
    Ok(Some(stream::iter(reads).buffered(READ_AHEAD).boxed()))
}

/// The lines of a file, and the checksum of all bytes that they were split from.
pub struct Lines {
    chunks: Chunks,
    chunk: Bytes,
    /// Taken when the file has ended.
    splitter: Option<LineSplitter>,
    hasher: Hasher,
    bytes: u64,
}

/// What a file's bytes come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sum {
    /// How many.
    pub bytes: u64,
    /// Of all of them.
    pub sha256: Checksum,
}

impl Lines {
    /// Splits a file; `limit` bounds a line, in bytes.
    pub fn new(chunks: Chunks, limit: usize) -> Self {
        Self {
            chunks,
            chunk: Bytes::new(),
            splitter: Some(LineSplitter::new(limit)),
            hasher: Hasher::default(),
            bytes: 0,
        }
    }

    /// The next line; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Result<Line, LineTooLong>>, Error> {
        while let Some(splitter) = &mut self.splitter {
            if let Some(line) = splitter.next_in(&mut self.chunk) {
                return Ok(Some(line));
            }
            match self.chunks.try_next().await? {
                Some(chunk) => {
                    self.hasher.update(&chunk);
                    self.bytes += chunk.len() as u64;
                    self.chunk = chunk;
                }
                None => return Ok(self.splitter.take().and_then(LineSplitter::finish)),
            }
        }
        Ok(None)
    }

    /// What all bytes came to. To be asked when the file has ended.
    pub fn sum(self) -> Sum {
        Sum {
            bytes: self.bytes,
            sha256: self.hasher.finish(),
        }
    }
}
