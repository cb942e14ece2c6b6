//! One file of an output, read in ranges from any place on, with the checksum of all of it.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::error::FetchError;
use crate::results::{Hasher, OutputFile};
use crate::storage::{self, Store};

/// Of one request: each can be tried again by itself.
const RANGE_BYTES: u64 = 4 << 20;
/// So that latency does not count.
const RANGES_IN_FLIGHT: usize = 4;

/// A file that is being read.
pub struct StoredFile {
    store: Store,
    file: OutputFile,
    /// Bytes that were read or are known.
    at: u64,
    hasher: Hasher,
    /// Not asked for before the first read.
    ranges: Option<BoxStream<'static, Result<Bytes, storage::Error>>>,
    /// Read, but not given as a line yet.
    pending: BytesMut,
}

impl StoredFile {
    /// A file that the manifest describes.
    ///
    /// # Errors
    ///
    /// [`FetchError::Changed`] when it has another size, or is not there.
    pub async fn open(store: &Store, file: &OutputFile) -> Result<Self, FetchError> {
        let opened = Self {
            store: store.clone(),
            file: file.clone(),
            at: 0,
            hasher: Hasher::default(),
            ranges: None,
            pending: BytesMut::new(),
        };
        if store.size(&file.key).await? != Some(file.bytes) {
            return Err(opened.changed());
        }
        Ok(opened)
    }

    /// The next bytes are these: they need not be read. Only before the first read.
    pub fn skip(&mut self, known: &[u8]) {
        self.hasher.update(known);
        self.at += known.len() as u64;
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`FetchError`] when the store fails.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        let (store, file, at) = (&self.store, &self.file, self.at);
        let ranges = self.ranges.get_or_insert_with(|| {
            let reads = ranges(at..file.bytes).map({
                let (store, key) = (store.clone(), file.key.clone());
                move |range| read(store.clone(), key.clone(), range)
            });
            stream::iter(reads).buffered(RANGES_IN_FLIGHT).boxed()
        });
        let Some(chunk) = ranges.try_next().await? else {
            return Ok(None);
        };
        self.hasher.update(&chunk);
        self.at += chunk.len() as u64;
        Ok(Some(chunk))
    }

    /// The next line, with its line break.
    ///
    /// # Errors
    ///
    /// [`FetchError::Changed`] when there is none.
    pub async fn line(&mut self) -> Result<Bytes, FetchError> {
        let mut searched = 0;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.pending[searched..]) {
                return Ok(self.pending.split_to(searched + end + 1).freeze());
            }
            searched = self.pending.len();
            let Some(chunk) = self.chunk().await? else {
                return Err(self.changed());
            };
            self.pending.extend_from_slice(&chunk);
        }
    }

    /// Compares what was read, which must be all of it, with the manifest's checksum.
    ///
    /// # Errors
    ///
    /// [`FetchError::Changed`].
    pub fn check(self) -> Result<(), FetchError> {
        if self.pending.is_empty() && self.hasher.clone().finish() == self.file.sha256 {
            return Ok(());
        }
        Err(self.changed())
    }

    fn changed(&self) -> FetchError {
        FetchError::Changed {
            uri: self.store.uri_of(&self.file.key),
        }
    }
}

async fn read(store: Store, key: String, range: Range<u64>) -> Result<Bytes, storage::Error> {
    store.read_range(&key, range).await
}

fn ranges(bytes: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let starts = (0..).map(move |number| bytes.start + number * RANGE_BYTES);
    let end = bytes.end;
    starts
        .take_while(move |start| *start < end)
        .map(move |start| start..end.min(start + RANGE_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Checksum;

    const TEXT: &str = "one\ntwo\nthree\n";

    async fn stored(content: &str, described: &str) -> Result<StoredFile, FetchError> {
        let store = Store::in_memory();
        store.create("results.jsonl", content.to_owned()).await.unwrap();
        let file = OutputFile {
            key: "results.jsonl".into(),
            rows: 3,
            bytes: described.len() as u64,
            sha256: Checksum::of(described.as_bytes()),
        };
        StoredFile::open(&store, &file).await
    }

    #[tokio::test]
    async fn lines_are_read_from_any_place_on() {
        for known in ["", "one\n", "one\ntwo\n", TEXT] {
            let mut file = stored(TEXT, TEXT).await.unwrap();
            file.skip(known.as_bytes());
            let mut read = known.to_owned();
            while read.len() < TEXT.len() {
                read.push_str(str::from_utf8(&file.line().await.unwrap()).unwrap());
            }
            assert_eq!(read, TEXT);
            file.check().unwrap();
        }
    }

    #[tokio::test]
    async fn a_change_is_noticed_by_size_by_content_and_by_what_is_left() {
        assert!(stored("one\n", TEXT).await.is_err_and(|error| error.is_change()));
        let mut file = stored("one\ntwo\nthrew\n", TEXT).await.unwrap();
        while file.chunk().await.unwrap().is_some() {}
        assert!(file.check().is_err_and(|error| error.is_change()));

        let mut file = stored(TEXT, TEXT).await.unwrap();
        file.line().await.unwrap();
        assert!(file.check().is_err_and(|error| error.is_change()));
    }

    #[tokio::test]
    async fn a_line_that_is_not_there_is_a_change() {
        let mut file = stored("one\ntwo", "one\ntwo").await.unwrap();
        file.line().await.unwrap();
        assert!(file.line().await.is_err_and(|error| error.is_change()));
    }

    #[test]
    fn ranges_cover_every_byte_once() {
        for (start, end) in [(0, 0), (0, 1), (5, RANGE_BYTES + 5), (5, 3 * RANGE_BYTES)] {
            let all: Vec<_> = ranges(start..end).collect();
            let total: u64 = all.iter().map(|range| range.end - range.start).sum();
            assert_eq!(total, end - start);
            assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }
}
