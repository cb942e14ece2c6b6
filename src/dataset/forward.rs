//! Reads a compressed data set from its beginning on: there is no other way to a place within it.

use std::fmt;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream::BoxStream};

use super::{Block, Decoder, Source, SourceError, SourceVersion, Undecodable};

/// Hands out blocks in ascending order. After a failure of the store it goes on where it was.
pub(super) struct ForwardReader {
    source: Source,
    version: Option<SourceVersion>,
    stored: Option<BoxStream<'static, Result<Bytes, SourceError>>>,
    /// Stored bytes that the decoder has.
    position: u64,
    decoder: Decoder,
    /// Text that was decompressed and not taken.
    text: Bytes,
    /// Where `text` begins.
    offset: u64,
    /// What has come of a block, and where that begins.
    block: BytesMut,
    block_offset: u64,
}

impl ForwardReader {
    pub(super) fn new(source: Source) -> Self {
        Self {
            decoder: Decoder::new(source.compression()),
            source,
            version: None,
            stored: None,
            position: 0,
            text: Bytes::new(),
            offset: 0,
            block: BytesMut::new(),
            block_offset: 0,
        }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// The bytes of `block`. One that is behind costs reading all anew.
    pub(super) async fn read(&mut self, block: &Block) -> Result<Bytes, SourceError> {
        if self.block_offset != block.offset {
            self.block.clear();
        }
        if block.offset + (self.block.len() as u64) < self.offset {
            *self = Self::new(self.source.clone());
        }
        self.block_offset = block.offset;
        while self.offset < block.offset {
            drop(self.take(block.offset - self.offset).await?);
        }
        while (self.block.len() as u64) < block.length {
            let part = self.take(block.length - self.block.len() as u64).await?;
            self.block.extend_from_slice(&part);
        }
        Ok(self.block.split().freeze())
    }

    /// At least one byte and at most `most`.
    async fn take(&mut self, most: u64) -> Result<Bytes, SourceError> {
        while self.text.is_empty() {
            self.text = self.next_text().await?;
        }
        let taken = usize::try_from(most).map_or(self.text.len(), |most| most.min(self.text.len()));
        self.offset += taken as u64;
        Ok(self.text.split_to(taken))
    }

    async fn next_text(&mut self) -> Result<Bytes, SourceError> {
        loop {
            match self.decoder.next_text() {
                Ok(Some(text)) => return Ok(text),
                Ok(None) => {}
                Err(error) => return Err(self.changed(&error)),
            }
            let Some(stored) = self.next_stored().await? else {
                let end = self.decoder.text_bytes();
                return Err(self
                    .source
                    .changed(format!("its text ends after {end} bytes, and was longer")));
            };
            self.position += stored.len() as u64;
            self.decoder.feed(stored);
        }
    }

    async fn next_stored(&mut self) -> Result<Option<Bytes>, SourceError> {
        let version = match &self.version {
            Some(version) => version,
            None => self.version.insert(self.source.version().await?),
        };
        let stored = self
            .stored
            .get_or_insert_with(|| self.source.stream_from(version, self.position).boxed());
        let next = stored.next().await.transpose();
        if next.is_err() {
            self.stored = None;
        }
        next
    }

    /// All of it could be decompressed when it was inspected.
    fn changed(&self, error: &Undecodable) -> SourceError {
        self.source.changed(error.to_string())
    }
}

impl fmt::Debug for ForwardReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ForwardReader")
            .field("source", &self.source)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}
