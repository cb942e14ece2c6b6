//! A set of row numbers that stays small for millions of rows.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use roaring::RoaringTreemap;
use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer, ser};

use super::RowNumber;

/// A set of row numbers. Serialised as base64 of the portable 64-bit roaring bitmap format:
/// <https://github.com/RoaringBitmap/RoaringFormatSpec#extension-for-64-bit-implementations>
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowSet(RoaringTreemap);

impl RowSet {
    /// Adds a row; false when it was there.
    pub fn insert(&mut self, row: RowNumber) -> bool {
        self.0.insert(row.0)
    }

    /// Whether a row is in the set.
    #[must_use]
    pub fn contains(&self, row: RowNumber) -> bool {
        self.0.contains(row.0)
    }

    /// How many rows are in the set.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether no row is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many rows of a range are in the set.
    #[must_use]
    pub fn len_in(&self, rows: Range<u64>) -> u64 {
        self.0.range_cardinality(rows)
    }

    /// The lowest row.
    #[must_use]
    pub fn first(&self) -> Option<RowNumber> {
        self.0.min().map(RowNumber)
    }

    /// The highest row.
    #[must_use]
    pub fn last(&self) -> Option<RowNumber> {
        self.0.max().map(RowNumber)
    }

    /// The lowest row of `0..rows` that is not in the set.
    #[must_use]
    pub fn first_missing(&self, rows: u64) -> Option<RowNumber> {
        if self.len() == rows && self.last().is_none_or(|last| last.0 < rows) {
            return None;
        }
        let mut missing = 0..rows;
        let mut present = self.0.iter();
        missing.find(|row| present.next() != Some(*row)).map(RowNumber)
    }

    /// Whether the two sets have no row in common.
    #[must_use]
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.0.is_disjoint(&other.0)
    }

    /// How many rows both sets have.
    #[must_use]
    pub fn len_shared(&self, other: &Self) -> u64 {
        self.0.intersection_len(&other.0)
    }

    /// Adds all rows of another set.
    pub fn extend(&mut self, other: &Self) {
        self.0 |= &other.0;
    }

    /// All rows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = RowNumber> + '_ {
        self.0.iter().map(RowNumber)
    }
}

impl FromIterator<RowNumber> for RowSet {
    fn from_iter<I: IntoIterator<Item = RowNumber>>(rows: I) -> Self {
        Self(rows.into_iter().map(|row| row.0).collect())
    }
}

impl Serialize for RowSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(self.0.serialized_size());
        self.0.serialize_into(&mut bytes).map_err(ser::Error::custom)?;
        serializer.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for RowSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(de::Error::custom)?;
        let set = RoaringTreemap::deserialize_from(bytes.as_slice());
        set.map(Self).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(rows: &[u64]) -> RowSet {
        rows.iter().copied().map(RowNumber).collect()
    }

    #[test]
    fn a_set_survives_json() {
        let rows = set(&[0, 7, 70_000, u64::MAX]);
        let json = serde_json::to_string(&rows).unwrap();
        assert_eq!(serde_json::from_str::<RowSet>(&json).unwrap(), rows);
        assert!(serde_json::from_str::<RowSet>(r#""AAAA""#).is_err());
    }

    #[test]
    fn the_first_gap_is_found() {
        assert_eq!(set(&[]).first_missing(0), None);
        assert_eq!(set(&[0, 1, 2]).first_missing(3), None);
        assert_eq!(set(&[0, 2]).first_missing(3), Some(RowNumber(1)));
        assert_eq!(set(&[0, 1]).first_missing(3), Some(RowNumber(2)));
        assert_eq!(set(&[1]).first_missing(2), Some(RowNumber(0)));
    }
}
