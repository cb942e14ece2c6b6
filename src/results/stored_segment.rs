//! Segments as they stand in the store, known by their headers.

use std::collections::HashSet;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};

use crate::storage::{Entry, Store};

use super::SEGMENTS;
use super::error::Error;
use super::header::{Damage, FIRST_LINE, FirstLine, Header, SegmentId};
use super::manifest::SegmentUsed;

/// Most headers fit, so most need one request; the rest of the bytes are read in a second.
const FIRST_READ: u64 = 16 << 10;
/// Headers are small, so a listing of thousands is bound by the store's latency.
const READS_IN_FLIGHT: usize = 16;

/// A segment's header, and where its rows are.
#[derive(Clone, Debug)]
pub(super) struct StoredSegment {
    pub header: Header,
    pub body: Range<u64>,
}

/// The headers of all segments in an output, lowest name first.
pub(super) async fn list(store: &Store) -> Result<Vec<StoredSegment>, Error> {
    list_those(store, |_| true).await
}

/// The headers of those that a manifest was made from, as far as they are there: a feeder that woke up late may have added others
/// since.
pub(super) async fn list_used(store: &Store, used: &[SegmentUsed]) -> Result<Vec<StoredSegment>, Error> {
    let keys: HashSet<_> = used.iter().map(|segment| segment.key.as_str()).collect();
    list_those(store, |key| keys.contains(key)).await
}

/// Those that are wanted by their keys.
async fn list_those(store: &Store, wanted: impl Fn(&str) -> bool) -> Result<Vec<StoredSegment>, Error> {
    let entries = store.list(SEGMENTS).await?;
    let entries = entries.into_iter().filter(|entry| wanted(&entry.key));
    let named = entries.filter_map(|entry| {
        let id = SegmentId::from_key(&entry.key)?;
        Some((id, entry))
    });
    let mut segments: Vec<_> = stream::iter(named)
        .map(|(id, entry)| open(store, id, entry))
        .buffer_unordered(READS_IN_FLIGHT)
        .try_collect()
        .await?;
    segments.sort_by_key(|segment: &StoredSegment| segment.header.id);
    Ok(segments)
}

async fn open(store: &Store, id: SegmentId, entry: Entry) -> Result<StoredSegment, Error> {
    let Entry { key, size } = entry;
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
    let expected = end + header.body.bytes;
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
