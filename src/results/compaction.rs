//! Which segments are merged into one, so that days of running leave few: the decisions, without I/O.
//!
//! Numbers of an attempt fall into blocks of equal size, and blocks into larger ones. A block is merged when every number in it is there:
//! none can come later then, as names are created once. So what a compacted segment holds follows from its name, whoever
//! makes it and when, and two of them never overlap but for one within the other.

use super::segment_id::SegmentId;

/// No compacted segment has more bytes, as it is made in memory. Larger ones would hardly be merged faster.
pub(super) const COMPACTED_BYTES: u64 = 4 << 20;

/// A segment as a listing shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece {
    pub id: SegmentId,
    /// The object's bytes.
    pub bytes: u64,
}

/// Segments to be merged into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub id: SegmentId,
    /// In the finaliser's order.
    pub pieces: Vec<Piece>,
}

/// Leaves out what a compacted segment stands for, and sorts the rest in the finaliser's order.
pub(super) fn visible(mut pieces: Vec<Piece>) -> Vec<Piece> {
    // The widest of those that begin with a number comes first.
    pieces.sort_by_key(|piece| {
        let SegmentId { attempt, number, .. } = piece.id;
        (attempt, number, std::cmp::Reverse(piece.id.last_number()))
    });
    let mut widest: Option<SegmentId> = None;
    pieces.retain(|piece| {
        if widest.is_some_and(|widest| widest.replaces(piece.id)) {
            return false;
        }
        widest = Some(piece.id);
        true
    });
    pieces.sort_unstable();
    pieces
}

/// The largest blocks that can be merged: of `radix` numbers, or of a power of it. The pieces are [`visible`] ones.
pub(super) fn plan(mut pieces: Vec<Piece>, radix: u32) -> Vec<Group> {
    pieces.sort_unstable();
    let highest = pieces.iter().map(|piece| piece.id.last_number()).max().unwrap_or(0);
    let mut sizes: Vec<u32> = std::iter::successors(Some(radix), |size| size.checked_mul(radix))
        .take_while(|size| *size <= highest.saturating_add(1))
        .collect();
    let mut groups = Vec::new();
    while let Some(size) = sizes.pop() {
        let block_of = |piece: &Piece| (piece.id.attempt, piece.id.number / size);
        let mut rest = Vec::with_capacity(pieces.len());
        for block in pieces.chunk_by(|one, other| block_of(one) == block_of(other)) {
            match group(block, size) {
                Some(group) => groups.push(group),
                None => rest.extend_from_slice(block),
            }
        }
        pieces = rest;
    }
    groups
}

/// A block's pieces, if they are all there, several, and not too large together.
fn group(block: &[Piece], size: u32) -> Option<Group> {
    let SegmentId { attempt, number, .. } = block.first()?.id;
    let first = number - number % size;
    let last = first.checked_add(size - 1)?;
    let mut next = Some(first);
    for piece in block {
        if Some(piece.id.number) != next {
            return None;
        }
        next = piece.id.last_number().checked_add(1);
    }
    let is_whole = block.last()?.id.last_number() == last;
    let bytes: u64 = block.iter().map(|piece| piece.bytes).sum();
    let is_due = is_whole && block.len() > 1 && bytes <= COMPACTED_BYTES;
    is_due.then(|| Group {
        id: SegmentId::compacted(attempt, first, last),
        pieces: block.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(number: u32, bytes: u64) -> Piece {
        let id = SegmentId::new(1, number);
        Piece { id, bytes }
    }

    fn range(first: u32, last: u32, bytes: u64) -> Piece {
        let id = SegmentId::compacted(1, first, last);
        Piece { id, bytes }
    }

    fn ids(groups: &[Group]) -> Vec<String> {
        groups.iter().map(|group| group.id.to_string()).collect()
    }

    #[test]
    fn what_is_replaced_is_not_seen() {
        let all = vec![
            piece(0, 1),
            piece(7, 1),
            range(0, 7, 8),
            range(0, 63, 64),
            piece(64, 1),
            range(64, 71, 8),
            piece(72, 1),
        ];
        assert_eq!(visible(all), [range(0, 63, 64), range(64, 71, 8), piece(72, 1)]);
    }

    #[test]
    fn blocks_are_merged_when_no_number_is_missing() {
        let pieces = |numbers: &[u32]| numbers.iter().map(|number| piece(*number, 1)).collect();
        let whole: Vec<u32> = (0..8).collect();
        assert_eq!(ids(&plan(pieces(&whole), 8)), ["a000001-00000000-00000007.seg"]);
        assert_eq!(plan(pieces(&whole[..7]), 8), []);
        assert_eq!(plan(pieces(&whole[1..]), 8), []);
        assert_eq!(plan(pieces(&[0, 1, 2, 3, 5, 6, 7, 8]), 8), []);
        // Not two attempts into one.
        let mut mixed: Vec<Piece> = pieces(&whole[..4]);
        mixed.extend((4..8).map(|number| Piece {
            id: SegmentId::new(2, number),
            bytes: 1,
        }));
        assert_eq!(plan(mixed, 8), []);
    }

    #[test]
    fn tiers_are_merged_into_larger_ones_up_to_a_size() {
        let tier = |bytes| (0..8).map(|n| range(n * 8, n * 8 + 7, bytes)).collect::<Vec<_>>();
        assert_eq!(ids(&plan(tier(1 << 10), 8)), ["a000001-00000000-00000063.seg"]);
        assert_eq!(plan(tier(1 << 20), 8), []);
        assert_eq!(ids(&plan(tier(1 << 20), 2)).len(), 2);
    }

    #[test]
    fn twenty_thousand_small_segments_become_few() {
        let mut pieces = Vec::new();
        for number in 0..20_000 {
            pieces.push(piece(number, 20 << 10));
            for group in plan(pieces.clone(), 8) {
                pieces.retain(|piece| !group.id.replaces(piece.id));
                let bytes = group.pieces.iter().map(|piece| piece.bytes).sum();
                pieces.push(Piece { id: group.id, bytes });
            }
        }
        assert!(pieces.len() < 350, "{}", pieces.len());
        let merged = plan(pieces.clone(), 2);
        let fewer: usize = merged.iter().map(|group| group.pieces.len() - 1).sum();
        assert!(pieces.len() - fewer < 200, "{}", pieces.len() - fewer);
    }
}
