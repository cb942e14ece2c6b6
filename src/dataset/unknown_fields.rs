use serde::{Deserialize, Serialize};

/// Fields that are named: a file could have others in each row.
const NAMED: usize = 10;

/// A top-level field of rows that means nothing here and is not sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UnknownField {
    /// Its name, shortened.
    pub name: String,
    /// How many rows have it.
    pub rows: u64,
}

/// The fields that mean nothing here, in the order in which they were met. Bounded, however many they are.
#[derive(Debug, Default)]
pub(super) struct UnknownFields(Vec<UnknownField>);

impl UnknownFields {
    /// Counts the fields of one row, which has each of them once.
    pub(super) fn add(&mut self, names: Vec<String>) {
        for name in names {
            let has_room = self.0.len() < NAMED;
            match self.0.iter_mut().find(|field| field.name == name) {
                Some(field) => field.rows += 1,
                None if has_room => self.0.push(UnknownField { name, rows: 1 }),
                None => {}
            }
        }
    }

    pub(super) fn into_vec(self) -> Vec<UnknownField> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ten_are_named_and_their_rows_counted() {
        let mut fields = UnknownFields::default();
        for row in 0..20 {
            fields.add(vec!["tag".to_owned(), format!("field-{row}")]);
        }
        let fields = fields.into_vec();
        assert_eq!(fields.len(), NAMED);
        let expected = [("tag", 20), ("field-0", 1), ("field-1", 1)];
        for (field, (name, rows)) in fields.iter().zip(expected) {
            assert_eq!((field.name.as_str(), field.rows), (name, rows));
        }
    }
}
