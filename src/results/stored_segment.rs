//! Segments as they stand in the store, known by their headers.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};

use crate::storage::Store;

use super::SEGMENTS;
use super::compaction::{self, Piece};
use super::error::Error;
use super::header::{Damage, FIRST_LINE, FirstLine, Header};
use super::manifest::SegmentUsed;
use super::segment_id::SegmentId;

/// Most headers fit, so most need one request; the rest of the bytes are read in a second.
const FIRST_READ: u64 = 8 << 10;
/// Headers are small, so a listing of thousands is bound by the store's latency.
const READS_IN_FLIGHT: usize = 32;
/// How often a reader begins again when segments go while it reads: each time somebody has merged some into fewer.
const TRIES: usize = 8;

/// A segment's header, and where its rows are.
#[derive(Clone, Debug)]
pub(super) struct StoredSegment {
    pub header: Header,
    pub body: Range<u64>,
}

/// All segments in an output by their names, also those that compacted ones stand for.
pub(super) async fn all(store: &Store) -> Result<Vec<Piece>, Error> {
    let entries = store.list(SEGMENTS).await?.into_iter();
    let named = entries.filter_map(|entry| {
        let id = SegmentId::from_key(&entry.key)?;
        // A name of ours has one spelling; an object of another is none that we could read again.
        (id.key() == entry.key).then_some(Piece { id, bytes: entry.size })
    });
    Ok(named.collect())
}

/// Those that hold all rows: no segment that a compacted one stands for. In the finaliser's order.
pub(super) async fn visible(store: &Store) -> Result<Vec<Piece>, Error> {
    Ok(compaction::visible(all(store).await?))
}

/// Those that a manifest was made from, as far as they are there, or what has been compacted from them since: a feeder that woke up
/// late may have added others.
pub(super) async fn used(store: &Store, used: &[SegmentUsed]) -> Result<Vec<Piece>, Error> {
    let there = all(store).await?;
    let ids: BTreeSet<_> = there.iter().map(|piece| piece.id).collect();
    let named = used.iter().filter_map(|segment| SegmentId::from_key(&segment.key));
    let wanted: BTreeSet<_> = named
        .filter_map(|id| {
            let itself = ids.get(&id).copied();
            itself.or_else(|| ids.iter().copied().find(|other| other.replaces(id)))
        })
        .collect();
    let wanted = there.into_iter().filter(|piece| wanted.contains(&piece.id));
    Ok(compaction::visible(wanted.collect()))
}

/// Reads headers, in the order of the pieces.
pub(super) fn headers<'a>(
    store: &'a Store,
    pieces: &'a [Piece],
) -> impl Stream<Item = Result<StoredSegment, Error>> + 'a {
    stream::iter(pieces)
        .map(|piece| open(store, *piece))
        .buffered(READS_IN_FLIGHT)
}

/// Does something that reads segments, once more when some are gone meanwhile: an old feeder may still compact.
pub(super) async fn while_compacted<T>(mut read: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 1..TRIES {
        match read().await {
            Err(Error::Store(error)) if error.is_not_found() => {
                tracing::info!(%error, "segments have been compacted meanwhile and are listed again");
            }
            other => return other,
        }
    }
    read().await
}

async fn open(store: &Store, piece: Piece) -> Result<StoredSegment, Error> {
    let Piece { id, bytes: size } = piece;
    let key = id.key();
    let damaged = |source| Error::Damaged {
        uri: store.uri_of(&key),
        source,
    };
    if size < FIRST_LINE as u64 {
        return Err(damaged(Damage::FirstLine));
    }
    let start = store.read_range(&key, 0..size.min(FIRST_READ)).await?;
    let first = FirstLine::read(&start).map_err(damaged)?;
    let header_at = first.header();
    let end = header_at.end as u64;
    if end > size {
        return Err(damaged(Damage::FirstLine));
    }
    let start = rest_of(store, &key, start, end).await?;
    let json = start.get(header_at).ok_or(Damage::FirstLine);
    let header = json.and_then(|json| Header::decode(first, json)).map_err(damaged)?;
    if header.id != id {
        return Err(damaged(Damage::Name(header.id)));
    }
    let expected = end.saturating_add(header.body.bytes);
    if expected != size {
        let found = size;
        return Err(damaged(Damage::Size { found, expected }));
    }
    Ok(StoredSegment {
        header,
        body: end..size,
    })
}

/// Reads on when the first bytes do not hold the header up to `end`.
async fn rest_of(store: &Store, key: &str, start: Bytes, end: u64) -> Result<Bytes, Error> {
    let have = start.len() as u64;
    if have >= end {
        return Ok(start);
    }
    let rest = store.read_range(key, have..end).await?;
    let mut both = BytesMut::from(start);
    both.extend_from_slice(&rest);
    Ok(both.freeze())
}

#[cfg(test)]
mod tests {
    use super::super::segment::Segment;
    use super::super::testing::{id, put_segment, row};
    use super::*;
    use crate::openai::RowNumber;

    async fn list(store: &Store) -> Result<Vec<StoredSegment>, Error> {
        super::super::testing::stored(store).await
    }

    #[tokio::test]
    async fn headers_larger_than_the_first_read_are_read_whole() {
        let store = Store::in_memory();
        // One row in each container of the bitmap makes it large.
        let rows = (0..4000).map(|n| row(n << 16, "x")).collect();
        put_segment(&store, &Segment::new(id(1, 0), rows)).await;
        let listed = list(&store).await.unwrap();
        assert!(listed[0].body.start > FIRST_READ);
        assert_eq!(listed[0].header.results.bitmap.len(), 4000);
    }

    #[tokio::test]
    async fn other_objects_are_passed_over_and_the_order_is_the_finalisers() {
        let store = Store::in_memory();
        for (attempt, number) in [(10, 0), (2, 1), (2, 0)] {
            let rows = vec![row(u64::from(attempt), "x")];
            put_segment(&store, &Segment::new(id(attempt, number), rows)).await;
        }
        store.create("segments/readme", "x").await.unwrap();
        let listed = list(&store).await.unwrap();
        let ids: Vec<_> = listed.iter().map(|segment| segment.header.id).collect();
        assert_eq!(ids, [id(2, 0), id(2, 1), id(10, 0)]);
        let first = listed[0].header.results.bitmap.first();
        assert_eq!(first, Some(RowNumber(2)));
    }

    #[tokio::test]
    async fn what_was_compacted_is_passed_over_also_when_it_is_still_there() {
        let store = Store::in_memory();
        for number in 0..2 {
            put_segment(&store, &Segment::new(id(1, number), vec![row(number.into(), "x")])).await;
        }
        let both = SegmentId::compacted(1, 0, 1);
        put_segment(&store, &Segment::new(both, vec![row(0, "x"), row(1, "x")])).await;
        let ids: Vec<_> = list(&store).await.unwrap().iter().map(|s| s.header.id).collect();
        assert_eq!(ids, [both]);
    }

    #[tokio::test]
    async fn a_damaged_segment_is_named() {
        let store = Store::in_memory();
        let segment = Segment::new(id(1, 0), vec![row(0, "x")]);
        let bytes = segment.encode().unwrap().concat();
        let torn = bytes[..bytes.len() - 1].to_vec();
        store.create(&id(1, 0).key(), torn).await.unwrap();
        let error = list(&store).await.unwrap_err().to_string();
        assert!(error.contains("segments/a000001-00000000.seg"), "{error}");

        let store = Store::in_memory();
        store.create(&id(1, 1).key(), bytes).await.unwrap();
        let error = list(&store).await.unwrap_err();
        assert!(matches!(
            error,
            Error::Damaged {
                source: Damage::Name(_),
                ..
            }
        ));
    }
}
