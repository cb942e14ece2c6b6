use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::adapters::MOST_ADAPTERS;

/// An adapter that rows name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdapterRows {
    /// As rows name it.
    pub name: String,
    /// How many rows do.
    pub rows: u64,
}

/// Counts rows by the adapter that they name. Bounded, however many names there are.
#[derive(Debug, Default)]
pub(super) struct AdapterCounts(BTreeMap<String, u64>);

impl AdapterCounts {
    /// Counts a row; false when its adapter is one too many.
    pub fn add(&mut self, name: &str) -> bool {
        if let Some(rows) = self.0.get_mut(name) {
            *rows += 1;
            return true;
        }
        let has_room = self.0.len() < MOST_ADAPTERS;
        if has_room {
            self.0.insert(name.to_owned(), 1);
        }
        has_room
    }

    /// All of them, by name.
    pub fn into_vec(self) -> Vec<AdapterRows> {
        let counted = self.0.into_iter();
        counted.map(|(name, rows)| AdapterRows { name, rows }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_by_name_and_names_are_bounded() {
        let mut counts = AdapterCounts::default();
        for number in 0..MOST_ADAPTERS {
            assert!(counts.add(&format!("org/{number:05}")));
        }
        assert!(!counts.add("org/one-too-many"));
        assert!(counts.add("org/00000"));
        let counted = counts.into_vec();
        assert_eq!(counted.len(), MOST_ADAPTERS);
        let expected = AdapterRows {
            name: "org/00000".into(),
            rows: 2,
        };
        assert_eq!(counted[0], expected);
    }
}
