//! Reads the rows that are left, ahead of their sending, within a bound on memory.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::dataset::{Block, DatasetRow, Index, Source, read_block};
use crate::openai::{CustomId, Endpoint, RowNumber};
use crate::results::Durable;

use super::patience::Patience;
use super::report::Place;
use super::trouble::Stop;

/// Memory for rows that are read and not finished, in bytes. Besides it there is one block that is being read.
const MEMORY: u32 = 64 << 20;
/// What a row takes besides its request.
const ROW_BYTES: u32 = 512;
/// Rows that are read before they are asked for.
const AHEAD: usize = 64;

/// A row that is to be sent. It keeps its memory reserved as long as it lives.
#[derive(Debug)]
pub struct Row {
    /// Its place in the data set.
    pub number: RowNumber,
    /// Its own name.
    pub custom_id: CustomId,
    /// Where it is sent.
    pub endpoint: Endpoint,
    /// What is sent.
    pub body: Bytes,
    _memory: OwnedSemaphorePermit,
}

/// What is read.
#[derive(Debug)]
pub struct RowReader {
    /// The data set.
    pub source: Source,
    /// Where its rows are.
    pub index: Arc<Index>,
    /// Rows that are done.
    pub durable: Durable,
    /// The name that rows are sent with.
    pub model: String,
    /// Waits for the store.
    pub patience: Patience,
}

/// Rows in order; an error is the last that comes.
pub type Rows = mpsc::Receiver<Result<Arc<Row>, Stop>>;

impl RowReader {
    /// Starts reading. Dropping the receiver ends it.
    #[must_use]
    pub fn start(self) -> Rows {
        let (sender, rows) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            if let Err(stop) = self.read(&sender).await {
                // Without a receiver, nobody needs to know.
                let _ = sender.send(Err(stop)).await;
            }
        });
        rows
    }

    async fn read(&self, sender: &mpsc::Sender<Result<Arc<Row>, Stop>>) -> Result<(), Stop> {
        let memory = Arc::new(Semaphore::new(MEMORY as usize));
        for block in self.index.blocks.iter().filter(|block| !self.is_done(block)) {
            let read = || async { Ok(read_block(&self.source, block).await?) };
            let rows = self.patience.until_done(Place::Dataset, read).await?;
            for row in rows {
                if self.durable.contains(row.number) {
                    continue;
                }
                let Ok(row) = self.prepare(row, &memory).await else {
                    return Ok(());
                };
                if sender.send(Ok(Arc::new(row))).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn is_done(&self, block: &Block) -> bool {
        let first = block.first_row.0;
        (first..first + block.rows).all(|row| self.durable.contains(RowNumber(row)))
    }

    async fn prepare(&self, row: DatasetRow, memory: &Arc<Semaphore>) -> Result<Row, tokio::sync::AcquireError> {
        let body = row.request.body.with_model(&self.model);
        let bytes = u32::try_from(body.len()).unwrap_or(MEMORY).saturating_add(ROW_BYTES);
        // A row larger than all memory would wait for ever.
        let permit = Arc::clone(memory).acquire_many_owned(bytes.min(MEMORY)).await?;
        Ok(Row {
            number: row.number,
            custom_id: row.request.custom_id,
            endpoint: row.request.endpoint,
            body,
            _memory: permit,
        })
    }
}
