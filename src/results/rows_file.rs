//! One of the two files while it is written: gathered into blocks, hashed beside the merge, uploaded in parts.

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::storage::{ObjectWriter, Store};

use super::checksum::{Checksum, Hasher};
use super::error::Error;
use super::manifest::OutputFile;

/// Handed on at once: large enough that a row costs a copy and nothing else.
const BLOCK_BYTES: usize = 128 << 10;
/// Blocks that wait to be hashed.
const BLOCKS_WAITING: usize = 4;

/// A file while it is written.
pub(super) struct RowsFile {
    key: &'static str,
    writer: ObjectWriter,
    block: BytesMut,
    hashing: mpsc::Sender<Bytes>,
    hashed: AbortOnDropHandle<Checksum>,
    rows: u64,
    bytes: u64,
}

/// A file with its last byte, not visible yet.
pub(super) struct WrittenFile {
    writer: ObjectWriter,
    /// As a manifest describes it.
    pub described: OutputFile,
}

impl RowsFile {
    /// Begins a file of about `expected` bytes. Needs a tokio runtime.
    pub fn new(store: &Store, key: &'static str, expected: u64) -> Self {
        let (hashing, mut blocks) = mpsc::channel::<Bytes>(BLOCKS_WAITING);
        let hashed = tokio::spawn(async move {
            let mut hasher = Hasher::default();
            while let Some(block) = blocks.recv().await {
                hasher.update(&block);
            }
            hasher.finish()
        });
        Self {
            key,
            writer: store.overwrite(key, expected),
            block: BytesMut::new(),
            hashing,
            hashed: AbortOnDropHandle::new(hashed),
            rows: 0,
            bytes: 0,
        }
    }

    /// Adds a line with its line break.
    pub async fn write(&mut self, line: &[u8]) -> Result<(), Error> {
        if self.block.len() + line.len() > BLOCK_BYTES {
            self.hand_on().await?;
        }
        if self.block.capacity() == 0 {
            self.block.reserve(BLOCK_BYTES.max(line.len()));
        }
        self.block.extend_from_slice(line);
        self.rows += 1;
        self.bytes += line.len() as u64;
        Ok(())
    }

    async fn hand_on(&mut self) -> Result<(), Error> {
        let block = std::mem::take(&mut self.block).freeze();
        if block.is_empty() {
            return Ok(());
        }
        // It ends with the sender only; should it panic, so does `finish`.
        let _ = self.hashing.send(block.clone()).await;
        Ok(self.writer.put(block).await?)
    }

    /// Writes the rest.
    pub async fn finish(mut self) -> Result<WrittenFile, Error> {
        if let Err(error) = self.hand_on().await {
            self.abort().await;
            return Err(error);
        }
        drop(self.hashing);
        let sha256 = match self.hashed.await {
            Ok(sha256) => sha256,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime ends, and nothing after this is polled.
            Err(_) => std::future::pending().await,
        };
        Ok(WrittenFile {
            writer: self.writer,
            described: OutputFile {
                key: self.key.to_owned(),
                rows: self.rows,
                bytes: self.bytes,
                sha256,
            },
        })
    }

    /// Leaves what is in the store as it is.
    pub async fn abort(self) {
        self.writer.abort().await;
    }
}

impl WrittenFile {
    /// Makes it visible, in place of any that is there.
    pub async fn publish(self) -> Result<(), Error> {
        Ok(self.writer.finish().await?)
    }

    /// Leaves what is in the store as it is.
    pub async fn abort(self) {
        self.writer.abort().await;
    }
}
