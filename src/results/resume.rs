//! What earlier attempts made durable.

use futures::TryStreamExt;

use crate::storage::Store;

use super::SEGMENTS;
use super::error::Error;
use super::ledger::{Durable, Ledger};
use super::segment::Segment;
use super::segment_id::SegmentId;
use super::stored_segment::{self, StoredSegment};

/// The highest attempt that left segments in the output; 0 without any. Reads names only.
///
/// # Errors
///
/// [`Error`] when the store fails.
pub async fn highest_attempt(store: &Store) -> Result<u32, Error> {
    let entries = store.list(SEGMENTS).await?;
    let ids = entries.iter().filter_map(|entry| SegmentId::from_key(&entry.key));
    Ok(ids.map(|id| id.attempt).max().unwrap_or(0))
}

/// A ledger for this attempt that knows the rows of all segments in the output. It reads headers only,
/// but for segments that share rows with others: which of a row's tokens count, only the rows tell.
///
/// # Errors
///
/// [`Error`] when the store fails or a segment is damaged.
pub async fn resume(store: &Store, attempt: u32) -> Result<Ledger, Error> {
    stored_segment::while_compacted(async || read_all(store, attempt).await).await
}

async fn read_all(store: &Store, attempt: u32) -> Result<Ledger, Error> {
    let pieces = stored_segment::visible(store).await?;
    let mut durable = Durable::default();
    let mut next_number = 0;
    // In the finaliser's order, so that a row counts as what it will be in the end.
    let mut segments = stored_segment::headers(store, &pieces);
    while let Some(StoredSegment { header, .. }) = segments.try_next().await? {
        if header.id.attempt == attempt {
            next_number = header.id.last_number() + 1;
        }
        if durable.is_disjoint(&header) {
            durable.add(&header);
            continue;
        }
        for row in read(store, header.id).await? {
            durable.add_row(&row);
        }
    }
    Ok(Ledger::new(attempt, next_number, durable))
}

async fn read(store: &Store, id: SegmentId) -> Result<Vec<super::FinishedRow>, Error> {
    let key = id.key();
    let uri = || store.uri_of(&key);
    let object = store.read(&key).await?;
    let Some(object) = object else {
        // A read of a range says in the store's words that nothing is there.
        store.read_range(&key, 0..1).await?;
        return Err(Error::Vanished { uri: uri() });
    };
    Segment::decode(&object)
        .and_then(|segment| segment.rows())
        .map_err(|source| Error::Damaged { uri: uri(), source })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{error_row, id, put_segment, row};
    use super::*;
    use crate::openai::RowNumber;

    #[tokio::test]
    async fn an_empty_output_has_nothing_done() {
        let ledger = resume(&Store::in_memory(), 1).await.unwrap();
        assert_eq!(ledger.durable(), &Durable::default());
    }

    #[tokio::test]
    async fn rows_of_all_attempts_are_done_and_shared_ones_count_once() {
        let store = Store::in_memory();
        let segments = [
            Segment::new(id(1, 0), vec![row(0, "a"), error_row(1, "a")]),
            Segment::new(id(1, 1), vec![row(2, "a")]),
            Segment::new(id(2, 0), vec![row(1, "b"), row(2, "b"), row(3, "b")]),
        ];
        for segment in &segments {
            put_segment(&store, segment).await;
        }
        let ledger = resume(&store, 3).await.unwrap();
        let results: Vec<_> = ledger.durable().results.iter().map(|row| row.0).collect();
        assert_eq!(results, [0, 2, 3]);
        assert!(ledger.durable().errors.contains(RowNumber(1)));
        assert_eq!(ledger.durable().usage.prompt_tokens, 30);
    }

    #[tokio::test]
    async fn the_highest_attempt_is_read_from_names() {
        let store = Store::in_memory();
        assert_eq!(highest_attempt(&store).await.unwrap(), 0);
        for (attempt, number) in [(2, 0), (11, 3), (9, 1)] {
            put_segment(&store, &Segment::new(id(attempt, number), vec![row(0, "a")])).await;
        }
        store.create("segments/other", "theirs").await.unwrap();
        assert_eq!(highest_attempt(&store).await.unwrap(), 11);
    }

    #[tokio::test]
    async fn the_same_attempt_goes_on_counting() {
        let store = Store::in_memory();
        put_segment(&store, &Segment::new(id(1, 4), vec![row(0, "a")])).await;
        let mut ledger = resume(&store, 1).await.unwrap();
        let now = tokio::time::Instant::now();
        ledger.record(row(1, "b"), now);
        ledger.flush();
        assert_eq!(ledger.close_due(now).map(|due| due.id), Some(id(1, 5)));
    }
}
