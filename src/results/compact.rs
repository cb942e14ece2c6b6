//! Merges small segments into larger ones while a job runs. Rows are durable without it, so it may fail, or stop anywhere.

use futures::{StreamExt, TryStreamExt, stream};

use crate::storage::{self, Put, Store};

use super::compaction::{Group, Piece, plan, visible};
use super::error::Error;
use super::header::Damage;
use super::segment::Segment;
use super::stored_segment;

/// Segments that are merged at once while rows come in.
pub(super) const RADIX: u32 = 8;
/// At the end whatever fits is merged.
const RADIX_AT_THE_END: u32 = 2;
const GROUPS_IN_FLIGHT: usize = 2;

/// Makes one segment of a group, create-only; `None` when it is left alone: somebody else has removed what it would be made from, or
/// rows are in it twice, which the finaliser must see.
pub(super) async fn compact(store: &Store, group: &Group) -> Result<Option<Piece>, Error> {
    let mut rows = Vec::new();
    for piece in &group.pieces {
        let key = piece.id.key();
        let damaged = |source| Error::Damaged {
            uri: store.uri_of(&key),
            source,
        };
        let Some(object) = store.read(&key).await? else {
            return Ok(None);
        };
        let segment = Segment::decode(&object).map_err(damaged)?;
        if segment.header().id != piece.id {
            return Err(damaged(Damage::Name(segment.header().id)));
        }
        rows.append(&mut segment.rows().map_err(damaged)?);
    }
    let copies = rows.len() as u64;
    let segment = Segment::new(group.id, rows);
    if segment.header().rows() != copies {
        return Ok(None);
    }
    put(store, &segment).await
}

async fn put(store: &Store, segment: &Segment) -> Result<Option<Piece>, Error> {
    let id = segment.header().id;
    let key = id.key();
    let uri = || store.uri_of(&key);
    let pieces = segment.encode().map_err(|source| Error::Json { uri: uri(), source })?;
    let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
    let put = store
        .create(&key, pieces.into_iter().collect::<object_store::PutPayload>())
        .await?;
    // Whoever made it made it from the same rows.
    let is_there = put == Put::Created || store.size(&key).await? == Some(bytes);
    Ok(is_there.then_some(Piece { id, bytes }))
}

/// Removes what a compacted segment, which must be durable, stands for.
pub(super) async fn remove_replaced(store: &Store, group: &Group) -> Result<(), storage::Error> {
    store.delete(group.pieces.iter().map(|piece| piece.id.key())).await
}

/// Removes what compacted segments stand for that an earlier feeder had no time to remove.
pub(super) async fn remove_all_replaced(store: &Store) -> Result<(), Error> {
    let all = stored_segment::all(store).await?;
    let seen = visible(all.clone());
    let replaced = all.into_iter().filter(|piece| !seen.contains(piece));
    let keys: Vec<_> = replaced.map(|piece| piece.id.key()).collect();
    if !keys.is_empty() {
        store.delete(keys.into_iter()).await?;
    }
    Ok(())
}

/// Makes few segments of many before they are merged into the results.
pub(super) async fn compact_all(store: &Store, pieces: Vec<Piece>) -> Result<(), Error> {
    let groups = plan(pieces, RADIX_AT_THE_END);
    tracing::info!(
        segments = groups.len(),
        "small segments are merged into larger ones first"
    );
    stream::iter(groups)
        .map(|group| async move { compact(store, &group).await.map(drop) })
        .buffer_unordered(GROUPS_IN_FLIGHT)
        .try_collect()
        .await
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::segment_id::SegmentId;
    use super::super::testing::{error_row, id, put_segment, row};
    use super::*;
    use crate::openai::RowNumber;

    /// What two segments of an attempt are merged into. Feeders of another version may read it, or make it once more.
    const GOLDEN: &[u8] = include_bytes!("golden/a000002-00000000-00000001.seg");

    #[tokio::test]
    async fn what_a_compacted_segment_stands_for_is_removed_by_the_next_feeder() {
        let store = Store::in_memory();
        let group = two_segments(&store).await;
        compact(&store, &group).await.unwrap();
        assert_eq!(stored_segment::all(&store).await.unwrap().len(), 3);
        super::super::remove_leftovers(&store).await;
        let left = stored_segment::all(&store).await.unwrap();
        assert_eq!(left.iter().map(|piece| piece.id).collect::<Vec<_>>(), [group.id]);
    }

    async fn two_segments(store: &Store) -> Group {
        let segments = [
            Segment::new(id(2, 0), vec![row(5, "a"), error_row(1, "a")]),
            Segment::new(id(2, 1), vec![row(0, "b")]),
        ];
        let mut pieces = Vec::new();
        for segment in &segments {
            put_segment(store, segment).await;
            let (id, bytes) = (segment.header().id, segment.encode().unwrap().concat().len() as u64);
            pieces.push(Piece { id, bytes });
        }
        let id = SegmentId::compacted(2, 0, 1);
        Group { id, pieces }
    }

    #[tokio::test]
    async fn the_golden_file_is_made_byte_for_byte_and_one_that_is_there_is_taken() {
        let store = Store::in_memory();
        let group = two_segments(&store).await;
        for _ in 0..2 {
            let piece = compact(&store, &group).await.unwrap().unwrap();
            assert_eq!((piece.id, piece.bytes), (group.id, GOLDEN.len() as u64));
            let made = store.read(&group.id.key()).await.unwrap().unwrap();
            assert_eq!(String::from_utf8_lossy(&made), String::from_utf8_lossy(GOLDEN));
        }
    }

    #[test]
    fn the_golden_file_is_read() {
        let segment = Segment::decode(&Bytes::from_static(GOLDEN)).unwrap();
        assert_eq!(segment.header().id, SegmentId::compacted(2, 0, 1));
        let rows: Vec<_> = segment.rows().unwrap().into_iter().map(|row| row.row).collect();
        assert_eq!(rows, [0, 1, 5].map(RowNumber));
    }
}
