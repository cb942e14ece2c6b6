//! Reads the rows that are left, ahead of their sending, within a bound on memory.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};

use crate::dataset::{Block, BlockReader, DatasetRow, Index, RequestRead, SkippedRow, Source};
use crate::openai::{CustomId, Endpoint, RequestBody, RowNumber};
use crate::results::{Durable, FinishedRow};

use super::adapters::{AdapterTable, OfRow, RowAdapters};
use super::dispatch::Affine;
use super::finished::Lines;
use super::memory::{Held, Memory};
use super::patience::Patience;
use super::report::Place;
use super::trouble::Stop;

/// What a row takes besides its request.
const ROW_BYTES: usize = 512;
/// Rows are handed over together, as each time costs a change of threads.
const ROWS_TOGETHER: usize = 128;
/// And not more than this at a time, so that large rows are not held back for company.
const BYTES_TOGETHER: usize = 256 << 10;
/// The same where rows are put in the order of their adapters first.
const ROWS_SORTED: usize = 1024;
/// And of those.
const BYTES_SORTED: usize = 2 << 20;
/// Handed over before they are asked for.
const AHEAD: usize = 2;

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
    /// The adapter that it is for; none for the base.
    pub adapter: Option<Arc<str>>,
    affinity: u64,
    _memory: Held,
}

impl Affine for Arc<Row> {
    fn affinity(&self) -> u64 {
        self.affinity
    }
}

/// A row that was read.
#[derive(Debug)]
pub enum ReadRow {
    /// It is to be sent.
    ToSend(Arc<Row>),
    /// It cannot be sent, as was known before any server, and this is its end.
    Invalid(FinishedRow),
    /// It must not be sent, as something else would answer it, and this is its end: a failure.
    Missed(FinishedRow),
}

impl ReadRow {
    fn adapter(&self) -> Option<&str> {
        match self {
            Self::ToSend(row) => row.adapter.as_deref(),
            Self::Invalid(_) | Self::Missed(_) => None,
        }
    }
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
    /// The name that rows of the base are sent with.
    pub model: String,
    /// How rows of adapters are sent.
    pub adapters: RowAdapters,
    /// Writes down rows that cannot be sent.
    pub lines: Lines,
    /// What rows may take.
    pub memory: Memory,
    /// Waits for the store.
    pub patience: Patience,
}

/// Some rows, or why no more come.
type Batch = Result<Vec<ReadRow>, Stop>;

/// Rows in order, some at a time, those that are too long for any block first; an error is the last that comes.
pub type Rows = mpsc::Receiver<Batch>;

impl RowReader {
    /// Starts reading. Dropping the receiver ends it.
    #[must_use]
    pub fn start(self) -> Rows {
        let (sender, rows) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            let read = tokio::select! {
                read = self.read(&sender) => read,
                () = sender.closed() => return,
            };
            if let Err(stop) = read {
                // Without a receiver, nobody needs to know.
                let _ = sender.send(Err(stop)).await;
            }
        });
        rows
    }

    async fn read(&self, sender: &mpsc::Sender<Batch>) -> Result<(), Stop> {
        let adapters = self.adapters.known().await;
        let mut together = Together::new(sender, Window::of(&self.index));
        let too_long = self.index.skipped.too_long.iter();
        for row in too_long.filter(|row| !self.durable.contains(row.row)) {
            together.add(self.invalid(&SkippedRow::from(*row))).await;
        }
        // Each try goes on with the same reader, where the one before it failed.
        let reader = Mutex::new(BlockReader::new(&self.source));
        for block in self.index.blocks.iter().filter(|block| !self.is_done(block)) {
            let read = || async { Ok(reader.lock().await.rows(block, &self.index.skipped).await?) };
            let rows = self.patience.until_done(Place::Dataset, read).await?;
            for row in rows.into_iter().filter(|row| !self.durable.contains(row.number())) {
                let row = match row {
                    DatasetRow::Request(row) => self.prepare(row, &adapters, &mut together).await,
                    DatasetRow::Skipped(row) => self.invalid(&row),
                };
                together.add(row).await;
            }
        }
        together.hand_over().await;
        Ok(())
    }

    fn is_done(&self, block: &Block) -> bool {
        let first = block.first_row.0;
        self.durable.rows_in(first..first + block.rows) == block.rows
    }

    fn invalid(&self, row: &SkippedRow) -> ReadRow {
        ReadRow::Invalid(self.lines.invalid(row))
    }

    async fn prepare(&self, row: RequestRead, adapters: &AdapterTable, together: &mut Together<'_>) -> ReadRow {
        let request = &row.request;
        let (body, adapter) = match adapters.of_row(request.body.model()) {
            OfRow::Base => (request.body.with_model(&self.model), None),
            OfRow::Sent(name, call) => {
                let body = request.body.with_model_and(&call.model, call.members());
                (body, Some(Arc::clone(name)))
            }
            OfRow::Refused(name, bad) => {
                let finished = self.lines.refused(row.number, &request.custom_id, name, bad);
                return ReadRow::Invalid(finished);
            }
        };
        if let Some(problem) = adapters.misses(request) {
            let finished = self.lines.missed(row.number, &request.custom_id, adapter, &problem);
            return ReadRow::Missed(finished);
        }
        let bytes = body.len() + row.request.custom_id.as_str().len() + ROW_BYTES;
        let memory = if let Some(memory) = self.memory.try_for_request(bytes) {
            memory
        } else {
            // What is held back here could be what has the memory.
            together.hand_over().await;
            self.memory.for_request(bytes).await
        };
        ReadRow::ToSend(Arc::new(Row {
            number: row.number,
            affinity: affinity(&row.request.body),
            custom_id: row.request.custom_id,
            endpoint: row.request.endpoint,
            body,
            adapter,
            _memory: memory,
        }))
    }
}

/// How much is handed over together.
#[derive(Clone, Copy, Debug)]
struct Window {
    rows: usize,
    bytes: usize,
}

impl Window {
    /// Where rows name adapters, those of one adapter stand together in it, so that servers change adapters seldom.
    fn of(index: &Index) -> Self {
        if index.adapters.is_empty() {
            return Self {
                rows: ROWS_TOGETHER,
                bytes: BYTES_TOGETHER,
            };
        }
        Self {
            rows: ROWS_SORTED,
            bytes: BYTES_SORTED,
        }
    }
}

/// Rows on their way to the one who asked for them.
struct Together<'a> {
    rows: Vec<ReadRow>,
    bytes: usize,
    window: Window,
    /// The adapter of the last row that was handed over.
    last: Option<Arc<str>>,
    to: &'a mpsc::Sender<Batch>,
}

impl<'a> Together<'a> {
    fn new(to: &'a mpsc::Sender<Batch>, window: Window) -> Self {
        Self {
            rows: Vec::new(),
            bytes: 0,
            window,
            last: None,
            to,
        }
    }

    async fn add(&mut self, row: ReadRow) {
        self.bytes += match &row {
            ReadRow::ToSend(row) => row.body.len() + row.custom_id.as_str().len(),
            ReadRow::Invalid(row) | ReadRow::Missed(row) => row.line.len(),
        };
        self.rows.push(row);
        if self.rows.len() >= self.window.rows || self.bytes >= self.window.bytes {
            self.hand_over().await;
        }
    }

    async fn hand_over(&mut self) {
        self.bytes = 0;
        let mut rows = std::mem::take(&mut self.rows);
        group(&mut rows, &mut self.last);
        if !rows.is_empty() {
            // Without a receiver the reading is ended from outside.
            let _ = self.to.send(Ok(rows)).await;
        }
    }
}

/// Puts rows of one adapter together, those of the `last` one first, and leaves their order among themselves.
fn group(rows: &mut [ReadRow], last: &mut Option<Arc<str>>) {
    rows.sort_by(|one, other| {
        let is_another = |row: &ReadRow| row.adapter() != last.as_deref();
        (is_another(one), one.adapter()).cmp(&(is_another(other), other.adapter()))
    });
    if let Some(row) = rows.last() {
        *last = row.adapter().map(Arc::from);
    }
}

/// Rows of the same number share what a server keeps: the weights of an adapter, and the beginning of a prompt.
fn affinity(body: &RequestBody) -> u64 {
    let mut hasher = DefaultHasher::new();
    (body.model(), body.beginning()).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
