use serde::{Deserialize, Serialize};

/// The names by which rows may call the base model. An empty name, and none, always mean it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelNames(Vec<String>);

impl ModelNames {
    /// Names in the order in which messages list them.
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    /// Whether a row with this `model` is for the base model.
    #[must_use]
    pub fn mean_base(&self, model: Option<&str>) -> bool {
        model.is_none_or(|name| name.is_empty() || self.0.iter().any(|known| known == name))
    }

    /// Whether all of the other names are among these: rows that were good with those are good with these.
    #[must_use]
    pub fn include(&self, others: &Self) -> bool {
        others.0.iter().all(|name| self.mean_base(Some(name)))
    }

    /// What to write as `body.model`, for a message.
    pub(super) fn advice(&self) -> String {
        let names: Vec<_> = self
            .0
            .iter()
            .filter(|name| !name.is_empty())
            .map(|name| format!("`{name}`"))
            .collect();
        match names.as_slice() {
            [] => "leave body.model empty".to_owned(),
            names => format!(
                "write {}, leave body.model empty, or add the name to servedModelNames of spec.server, where the job has one",
                names.join(" or ")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_names_the_empty_one_and_none_mean_the_base() {
        let names = ModelNames::new(["a", "b"]);
        for base in [None, Some(""), Some("a"), Some("b")] {
            assert!(names.mean_base(base), "{base:?}");
        }
        for other in ["c", "A", "a "] {
            assert!(!names.mean_base(Some(other)), "{other}");
        }
        assert!(!ModelNames::new([""; 0]).mean_base(Some("a")));
    }

    #[test]
    fn more_names_include_fewer_in_any_order() {
        let (fewer, more) = (ModelNames::new(["a", "b"]), ModelNames::new(["b", "c", "a"]));
        assert!(more.include(&fewer) && fewer.include(&fewer));
        assert!(!fewer.include(&more));
    }
}
