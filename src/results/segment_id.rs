//! The names of segments, and which of them stand for others.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::SEGMENTS;

/// A segment's name; the order is the finaliser's: of a row in several segments, the lowest wins.
///
/// A compacted segment is named by the range of numbers that it was made from, and holds the rows of all of them. So it stands in the
/// order where they stood, and which row wins does not depend on what has been compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SegmentId {
    /// The feeder's attempt, counted by the job's owner.
    pub attempt: u32,
    /// Counted from 0 in each attempt; of a compacted segment, the first.
    pub number: u32,
    /// Of a compacted segment, the last number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<u32>,
}

impl SegmentId {
    /// A segment as it was first written.
    #[must_use]
    pub fn new(attempt: u32, number: u32) -> Self {
        let last = None;
        Self { attempt, number, last }
    }

    /// One that holds all rows of the segments from `first` to `last`.
    #[must_use]
    pub(super) fn compacted(attempt: u32, first: u32, last: u32) -> Self {
        Self {
            attempt,
            number: first,
            last: (last > first).then_some(last),
        }
    }

    /// The highest number in it.
    #[must_use]
    pub fn last_number(self) -> u32 {
        self.last.unwrap_or(self.number)
    }

    /// Whether the rows of the other are in this one too.
    #[must_use]
    pub(super) fn replaces(self, other: Self) -> bool {
        self != other
            && self.attempt == other.attempt
            && self.number <= other.number
            && self.last_number() >= other.last_number()
    }

    /// The object's key in the output.
    #[must_use]
    pub fn key(self) -> String {
        format!("{SEGMENTS}{self}")
    }

    /// Reads a key; `None` when it is not a segment's.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        let name = key.strip_prefix(SEGMENTS)?.strip_prefix('a')?;
        let (attempt, numbers) = name.strip_suffix(".seg")?.split_once('-')?;
        let attempt = attempt.parse().ok()?;
        let Some((first, last)) = numbers.split_once('-') else {
            return Some(Self::new(attempt, numbers.parse().ok()?));
        };
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first < last).then(|| Self::compacted(attempt, first, last))
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a{:06}-{:08}", self.attempt, self.number)?;
        if let Some(last) = self.last {
            write!(f, "-{last:08}")?;
        }
        f.write_str(".seg")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_and_sort_by_attempt_and_number() {
        let id = SegmentId::new(12, 345);
        assert_eq!(id.key(), "segments/a000012-00000345.seg");
        let compacted = SegmentId::compacted(12, 344, 351);
        assert_eq!(compacted.key(), "segments/a000012-00000344-00000351.seg");
        for id in [id, compacted] {
            assert_eq!(SegmentId::from_key(&id.key()), Some(id));
        }
        for key in [
            "segments/x",
            "a000012-00000345.seg",
            "segments/a1-2.tmp",
            "segments/a1-2-2.seg",
            "segments/a1-2-1.seg",
            "segments/a1-2-3-4.seg",
        ] {
            assert_eq!(SegmentId::from_key(key), None, "{key}");
        }
        assert!(SegmentId::new(13, 0) > id && compacted < id);
    }

    #[test]
    fn a_compacted_segment_replaces_its_range_and_nothing_else() {
        let range = SegmentId::compacted(2, 8, 15);
        for replaced in [
            SegmentId::new(2, 8),
            SegmentId::new(2, 15),
            SegmentId::compacted(2, 8, 11),
        ] {
            assert!(range.replaces(replaced) && !replaced.replaces(range));
        }
        for other in [
            range,
            SegmentId::new(2, 7),
            SegmentId::new(2, 16),
            SegmentId::new(1, 9),
            SegmentId::compacted(2, 8, 16),
        ] {
            assert!(!range.replaces(other), "{other}");
        }
    }
}
