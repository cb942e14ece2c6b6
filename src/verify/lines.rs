//! A file as lines, with what its bytes come to.

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use crate::dataset::{Compression, Decoder, Line, LineSplitter, LineTooLong, Undecodable};
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

/// The lines of a file, and the checksum of all its bytes as they are stored.
pub struct Lines {
    chunks: Chunks,
    decoder: Decoder,
    text: Bytes,
    undecodable: Option<Undecodable>,
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
    /// Splits a file that is stored in that way; `limit` bounds a line, in bytes.
    pub fn new(chunks: Chunks, compression: Compression, limit: usize) -> Self {
        Self {
            chunks,
            decoder: Decoder::new(compression),
            text: Bytes::new(),
            undecodable: None,
            splitter: Some(LineSplitter::new(limit)),
            hasher: Hasher::default(),
            bytes: 0,
        }
    }

    /// The next line; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Result<Line, LineTooLong>>, Error> {
        while let Some(splitter) = &mut self.splitter {
            if let Some(line) = splitter.next_in(&mut self.text) {
                return Ok(Some(line));
            }
            match self.decoder.next_text() {
                Ok(Some(text)) => self.text = text,
                Ok(None) => match self.next_chunk().await? {
                    Some(chunk) => self.decoder.feed(chunk),
                    None => return Ok(self.last_line()),
                },
                Err(error) => {
                    self.undecodable = Some(error);
                    self.splitter = None;
                    // For the checksum.
                    while self.next_chunk().await?.is_some() {}
                }
            }
        }
        Ok(None)
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let chunk = self.chunks.try_next().await?;
        if let Some(chunk) = &chunk {
            self.hasher.update(chunk);
            self.bytes += chunk.len() as u64;
        }
        Ok(chunk)
    }

    /// What has come of a line of a file that is cut off within is no line.
    fn last_line(&mut self) -> Option<Result<Line, LineTooLong>> {
        let last = self.splitter.take().and_then(LineSplitter::finish);
        self.undecodable = self.decoder.finish().err();
        last.filter(|_| self.undecodable.is_none())
    }

    /// Why there are no more lines, when that is not the end of the file.
    pub fn undecodable(&self) -> Option<&Undecodable> {
        self.undecodable.as_ref()
    }

    /// What all bytes came to. To be asked when the file has ended.
    pub fn sum(self) -> Sum {
        Sum {
            bytes: self.bytes,
            sha256: self.hasher.finish(),
        }
    }
}
