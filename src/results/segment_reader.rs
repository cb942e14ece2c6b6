//! Reads one segment's rows, a chunk ahead of what is taken.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio_util::task::AbortOnDropHandle;

use crate::openai::RowNumber;
use crate::storage::{self, Store};

use super::checksum::Hasher;
use super::error::Error;
use super::header::Damage;
use super::merge_plan::Source;
use super::record::{self, Kind, Record};
use super::segment_id::SegmentId;

/// A chunk, and the checksum so far: it is computed where the chunk comes in, beside the merge.
type Fetch = AbortOnDropHandle<Result<(Bytes, Hasher), storage::Error>>;

/// One segment on its way.
pub(super) struct SegmentReader {
    source: Source,
    store: Store,
    chunk_bytes: u64,
    /// Read and not yet taken apart.
    chunk: Bytes,
    /// Where the chunk that is on its way begins.
    position: u64,
    fetch: Option<Fetch>,
    hasher: Hasher,
    last: Option<RowNumber>,
    results: u64,
    errors: u64,
}

impl SegmentReader {
    /// Begins to read.
    pub fn open(source: Source, store: &Store, chunk_bytes: u64) -> Self {
        let mut reader = Self {
            position: source.body.start,
            source,
            store: store.clone(),
            chunk_bytes,
            chunk: Bytes::new(),
            fetch: None,
            hasher: Hasher::default(),
            last: None,
            results: 0,
            errors: 0,
        };
        reader.fetch_next(Hasher::default());
        reader
    }

    /// Which it is.
    pub fn id(&self) -> SegmentId {
        self.source.id
    }

    /// Its lowest row, by its header.
    pub fn first(&self) -> RowNumber {
        self.source.first
    }

    /// The name of a model.
    pub fn model(&self, index: usize) -> Option<Arc<str>> {
        self.source.models.get(index).cloned()
    }

    /// The first row, which must be the one that the header tells.
    pub async fn first_row(&mut self) -> Result<Record, Error> {
        let record = self.next().await?;
        let record = record.filter(|record| record.row == self.source.first);
        record.ok_or_else(|| self.damaged(Damage::Rows))
    }

    /// The next row; `None` after the last, when every checksum was right.
    pub async fn next(&mut self) -> Result<Option<Record>, Error> {
        let Some(line) = self.next_line().await? else {
            self.check_end().map_err(|damage| self.damaged(damage))?;
            return Ok(None);
        };
        let record = self.take(&line).map_err(|damage| self.damaged(damage))?;
        Ok(Some(record))
    }

    fn take(&mut self, line: &Bytes) -> Result<Record, Damage> {
        let record = record::read(line)?;
        if self.last.replace(record.row).is_some_and(|last| last >= record.row) {
            return Err(Damage::Rows);
        }
        if record.model.is_some_and(|model| model >= self.source.models.len()) {
            return Err(Damage::Row);
        }
        match record.kind {
            Kind::Result => self.results += 1,
            Kind::Error => self.errors += 1,
        }
        Ok(record)
    }

    fn check_end(&mut self) -> Result<(), Damage> {
        if std::mem::take(&mut self.hasher).finish() != self.source.sha256 {
            return Err(Damage::BodyChecksum);
        }
        if (self.results, self.errors) != (self.source.results, self.source.errors) {
            return Err(Damage::Rows);
        }
        Ok(())
    }

    /// The next line with its line break; `None` at the end.
    async fn next_line(&mut self) -> Result<Option<Bytes>, Error> {
        if let Some(at) = memchr::memchr(b'\n', &self.chunk) {
            return Ok(Some(self.chunk.split_to(at + 1)));
        }
        let mut line = BytesMut::from(std::mem::take(&mut self.chunk));
        while let Some(mut chunk) = self.next_chunk().await? {
            if let Some(at) = memchr::memchr(b'\n', &chunk) {
                line.extend_from_slice(&chunk.split_to(at + 1));
                self.chunk = chunk;
                return Ok(Some(line.freeze()));
            }
            line.extend_from_slice(&chunk);
        }
        if line.is_empty() {
            return Ok(None);
        }
        Err(self.damaged(Damage::Row))
    }

    /// The next chunk, while the one after it is fetched; `None` at the end.
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(fetch) = self.fetch.take() else {
            return Ok(None);
        };
        let (chunk, hasher) = match fetch.await {
            Ok(fetched) => fetched?,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime ends, and nothing after this is polled.
            Err(_) => std::future::pending().await,
        };
        if chunk.is_empty() {
            return Err(self.damaged(Damage::BodyChecksum));
        }
        self.position += chunk.len() as u64;
        self.fetch_next(hasher);
        Ok(Some(chunk))
    }

    fn fetch_next(&mut self, mut hasher: Hasher) {
        let body = &self.source.body;
        if self.position >= body.end {
            self.hasher = hasher;
            return;
        }
        let range = self.position..body.end.min(self.position + self.chunk_bytes);
        let (store, key) = (self.store.clone(), self.source.id.key());
        let fetch = async move {
            let chunk = store.read_range(&key, range).await?;
            hasher.update(&chunk);
            Ok((chunk, hasher))
        };
        self.fetch = Some(AbortOnDropHandle::new(tokio::spawn(fetch)));
    }

    fn damaged(&self, source: Damage) -> Error {
        Error::Damaged {
            uri: self.store.uri_of(&self.source.id.key()),
            source,
        }
    }
}
