//! Stores a [`Ledger`]'s segments while rows keep coming.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use object_store::PutPayload;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::openai::RowNumber;
use crate::storage::{self, Put, Store};

use super::compaction::Piece;
use super::compactor::Compactor;
use super::header::{ModelRows, Tokens};
use super::ledger::{Due, Durable, Ledger};
use super::record::FinishedRow;
use super::segment::Segment;

/// More at once would not make the store faster, and in an outage each holds a segment that could still
/// have taken more rows.
const UPLOADS_IN_FLIGHT: usize = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// With up to as much jitter on top: after an outage of any length, rows are durable again within 10 s.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Takes finished rows and makes them durable in the background. Dropping it stops that at once.
#[derive(Debug)]
pub struct LedgerWriter {
    shared: Arc<Shared>,
    _uploads: AbortOnDropHandle<()>,
}

/// What a [`LedgerWriter`] has reached.
#[derive(Clone, Debug, Default)]
pub struct LedgerStatus {
    /// Durable rows that were answered.
    pub results: u64,
    /// Durable rows that failed.
    pub errors: u64,
    /// Tokens of both.
    pub usage: Tokens,
    /// What each model came to, by name.
    pub models: BTreeMap<String, ModelRows>,
    /// Set while the store does not take segments. The writer keeps trying; whoever sends rows should hold
    /// back before [`LedgerWriter::bytes_in_memory`] is too much.
    pub trouble: Option<Trouble>,
}

/// A store that does not take segments.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// When a put failed first.
    pub since: Instant,
    /// How the last put failed. `AccessDenied` will not pass by waiting, unless somebody repairs it.
    pub error: Arc<storage::Error>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    ledger: Mutex<Ledger>,
    /// A row came, or a flush.
    changed: Notify,
    status: watch::Sender<LedgerStatus>,
}

impl LedgerWriter {
    /// Starts storing what the ledger is given. Needs a tokio runtime.
    #[must_use]
    pub fn start(store: Store, ledger: Ledger) -> Self {
        let shared = Arc::new(Shared {
            store,
            ledger: Mutex::new(ledger),
            changed: Notify::new(),
            status: watch::Sender::default(),
        });
        shared.publish(|_| ());
        let uploads = tokio::spawn(store_segments(Arc::clone(&shared)));
        Self {
            shared,
            _uploads: AbortOnDropHandle::new(uploads),
        }
    }

    /// Takes a finished row; false when there is one of this number already. Never waits.
    pub fn record(&self, row: FinishedRow) -> bool {
        let mut ledger = self.shared.ledger();
        let due_before = ledger.due_at();
        let taken = ledger.record(row, Instant::now());
        // Most rows change nothing for who stores segments, and waking him for each would cost more than the row.
        if ledger.due_at() != due_before {
            self.shared.changed.notify_one();
        }
        taken
    }

    /// All rows that are known to be durable.
    #[must_use]
    pub fn durable(&self) -> Durable {
        self.shared.ledger().durable().clone()
    }

    /// Whether a row is known to be durable.
    #[must_use]
    pub fn is_durable(&self, row: RowNumber) -> bool {
        self.shared.ledger().durable().contains(row)
    }

    /// The memory that rows take until they are durable, in bytes.
    #[must_use]
    pub fn bytes_in_memory(&self) -> usize {
        self.shared.ledger().bytes_in_memory()
    }

    /// What is reached, and every change of it.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<LedgerStatus> {
        self.shared.status.subscribe()
    }

    /// Closes segments at once until every row taken is durable, and waits for that; for ever, while the
    /// store is down.
    pub async fn flush(&self) {
        let settled = {
            let mut ledger = self.shared.ledger();
            ledger.flush();
            ledger.is_settled()
        };
        if settled {
            return;
        }
        let mut status = self.status();
        self.shared.changed.notify_one();
        while !self.shared.ledger().is_settled() {
            // The sender lives in `self`, so waiting cannot fail.
            let _ = status.changed().await;
        }
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Every method of the ledger leaves it whole, so a panic elsewhere in a holder does no harm.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, change: impl FnOnce(&mut LedgerStatus)) {
        let ledger = self.ledger();
        self.status.send_modify(|status| {
            status.results = ledger.durable().results.len();
            status.errors = ledger.durable().errors.len();
            status.usage = ledger.durable().usage;
            status.models.clone_from(&ledger.durable().models);
            change(status);
        });
    }

    fn failed(&self, error: storage::Error) {
        tracing::warn!(%error, "a segment could not be stored and is tried again");
        let error = Arc::new(error);
        self.publish(|status| {
            let since = status.trouble.take().map(|trouble| trouble.since);
            let since = since.unwrap_or_else(Instant::now);
            status.trouble = Some(Trouble { since, error });
        });
    }
}

async fn store_segments(shared: Arc<Shared>) {
    let mut uploads = JoinSet::new();
    let mut compactor = Compactor::new(shared.store.clone());
    loop {
        let free = uploads.len() < UPLOADS_IN_FLIGHT;
        let due_at = if free { shared.ledger().due_at() } else { None };
        tokio::select! {
            () = shared.changed.notified() => {}
            Some(stored) = uploads.join_next() => {
                if let Ok(piece) = stored {
                    compactor.add(piece);
                }
            }
            () = compactor.settle() => {}
            () = sleep_until(due_at.unwrap_or_else(Instant::now)), if due_at.is_some() => {
                let due = shared.ledger().close_due(Instant::now());
                if let Some(due) = due {
                    uploads.spawn(upload(Arc::clone(&shared), due));
                }
            }
        }
    }
}

async fn upload(shared: Arc<Shared>, due: Due) -> Piece {
    let mut segment = Segment::new(due.id, due.rows);
    let mut pauses = ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
        .build();
    let bytes = loop {
        match put(&shared.store, &segment).await {
            Ok(Stored::Ours(bytes)) => break bytes,
            Ok(Stored::NameTaken) => {
                let id = shared.ledger().rename(segment.header().id);
                segment = segment.renamed(id);
                continue;
            }
            Ok(Stored::Unclear) => {}
            Err(error) => shared.failed(error),
        }
        sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
    };
    shared.ledger().stored(segment.header());
    shared.publish(|status| status.trouble = None);
    let id = segment.header().id;
    Piece { id, bytes }
}

enum Stored {
    /// Its bytes.
    Ours(u64),
    NameTaken,
    Unclear,
}

async fn put(store: &Store, segment: &Segment) -> Result<Stored, storage::Error> {
    let key = segment.header().id.key();
    let Ok(pieces) = segment.encode() else {
        // A header of ours is always JSON; see `Segment::encode`.
        return Ok(Stored::Unclear);
    };
    let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
    let payload: PutPayload = pieces.clone().into_iter().collect();
    if store.create(&key, payload).await? == Put::Created {
        return Ok(Stored::Ours(bytes));
    }
    // Perhaps it was our own put, whose answer was lost.
    let Some(there) = store.read(&key).await? else {
        // S3 answers 409 to a create that races another one, which may then fail:
        // https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
        return Ok(Stored::Unclear);
    };
    if there == pieces.concat() {
        return Ok(Stored::Ours(bytes));
    }
    Ok(Stored::NameTaken)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use object_store::memory::InMemory;

    use super::super::ledger::{Durable, SEGMENT_AGE};
    use super::super::testing::{FailingStore, error_row, id, put_segment, row, stored};
    use super::*;

    fn start(store: &Store) -> LedgerWriter {
        LedgerWriter::start(store.clone(), Ledger::new(1, 0, Durable::default()))
    }

    async fn until(writer: &LedgerWriter, reached: impl FnMut(&LedgerStatus) -> bool) -> Duration {
        let start = Instant::now();
        writer.status().wait_for(reached).await.unwrap();
        start.elapsed()
    }

    async fn rows_in(store: &Store) -> Vec<u64> {
        let segments = stored(store).await.unwrap();
        segments.iter().map(|s| s.header.rows()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn rows_are_durable_after_the_age_of_a_segment() {
        let store = Store::in_memory();
        let writer = start(&store);
        assert!(writer.record(row(1, "a")));
        assert!(writer.record(error_row(0, "b")));
        assert!(!writer.record(row(1, "again")));
        let took = until(&writer, |status| status.errors == 1).await;
        assert!(took >= SEGMENT_AGE && took < SEGMENT_AGE * 2, "{took:?}");
        let status = writer.status().borrow().clone();
        assert_eq!((status.results, status.errors), (1, 1));
        assert_eq!(status.usage.prompt_tokens, 10);
        assert!(writer.is_durable(RowNumber(0)) && writer.bytes_in_memory() == 0);
        assert_eq!(rows_in(&store).await, [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_does_not_wait_for_the_age() {
        let store = Store::in_memory();
        let writer = start(&store);
        writer.flush().await;
        writer.record(row(0, "a"));
        let before = Instant::now();
        writer.flush().await;
        assert!(before.elapsed() < SEGMENT_AGE);
        assert_eq!(rows_in(&store).await, [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_told_and_survived_and_rows_keep_coming() {
        let memory = Arc::new(InMemory::new());
        let (store, left) = FailingStore::until_raised(&memory);
        let writer = start(&store);
        writer.record(row(0, "before"));
        until(&writer, |status| status.trouble.is_some()).await;
        sleep(Duration::from_mins(10)).await;
        assert!(writer.record(row(1, "during")));
        assert!(writer.bytes_in_memory() > 0);
        let trouble = writer.status().borrow().trouble.clone().unwrap();
        assert!(trouble.since.elapsed() >= Duration::from_mins(10));
        left.store(usize::MAX, Ordering::SeqCst);
        let took = until(&writer, |status| status.results == 2).await;
        assert!(took <= LONGEST_PAUSE * 2, "{took:?}");
        assert!(writer.status().borrow().trouble.is_none());
        assert_eq!(writer.status().borrow().results, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_taken_by_another_is_left_alone() {
        let store = Store::in_memory();
        let theirs = Segment::new(id(1, 0), vec![row(9, "theirs")]);
        put_segment(&store, &theirs).await;
        let writer = start(&store);
        writer.record(row(0, "ours"));
        writer.flush().await;
        let segments = stored(&store).await.unwrap();
        let rows: Vec<_> = segments.iter().map(|s| s.header.results.bitmap.first()).collect();
        assert_eq!(rows, [Some(RowNumber(9)), Some(RowNumber(0))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_put_whose_answer_was_lost_is_not_stored_twice() {
        let memory = Arc::new(InMemory::new());
        let losing = FailingStore::over(&memory, 1, true);
        let store = FailingStore::never(&memory);
        let segment = Segment::new(id(1, 0), vec![row(0, "a")]);
        assert!(put(&losing, &segment).await.is_err());
        assert!(matches!(put(&store, &segment).await, Ok(Stored::Ours(_))));
        assert_eq!(rows_in(&store).await, [1]);
    }
}
