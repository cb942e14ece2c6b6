use serde::{Deserialize, Serialize};

use super::AdapterRows;
use crate::engine::AdapterNames;
use crate::engine::adapters::MOST_ADAPTERS;

/// The names by which rows may call the base model, and adapters of it. An empty name, and none, always mean the base.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelNames {
    base: Vec<String>,
    /// Where rows may name any. What they did name is written down by itself.
    #[serde(skip)]
    adapters: Option<AdapterNames>,
}

/// What a row's `model` means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meaning<'a> {
    /// The base model.
    Base,
    /// The adapter of this name.
    Adapter(&'a str),
    /// Nothing that is served.
    Unknown(&'a str),
}

impl ModelNames {
    /// Names in the order in which messages list them.
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self {
            base: names.into_iter().map(Into::into).collect(),
            adapters: None,
        }
    }

    /// The same, and rows may name these adapters besides.
    #[must_use]
    pub fn with_adapters(self, adapters: Option<AdapterNames>) -> Self {
        Self { adapters, ..self }
    }

    /// What a row with this `model` is for.
    #[must_use]
    pub fn meaning<'a>(&self, model: Option<&'a str>) -> Meaning<'a> {
        match model.filter(|_| !self.mean_base(model)) {
            None => Meaning::Base,
            Some(name) if self.is_adapter(name) => Meaning::Adapter(name),
            Some(name) => Meaning::Unknown(name),
        }
    }

    fn is_adapter(&self, name: &str) -> bool {
        let adapters = self.adapters.as_ref();
        adapters.is_some_and(|adapters| adapters.path(name).is_some())
    }

    /// Whether a row with this `model` is for the base model.
    #[must_use]
    pub fn mean_base(&self, model: Option<&str>) -> bool {
        model.is_none_or(|name| name.is_empty() || self.base.iter().any(|known| known == name))
    }

    /// Whether all of the other names are among these: rows that were good with those are good with these.
    #[must_use]
    pub fn include(&self, others: &Self) -> bool {
        others.base.iter().all(|name| self.mean_base(Some(name)))
    }

    /// Whether all of these are adapters here.
    #[must_use]
    pub fn have(&self, adapters: &[AdapterRows]) -> bool {
        adapters
            .iter()
            .all(|adapter| matches!(self.meaning(Some(&adapter.name)), Meaning::Adapter(_)))
    }

    /// What to write as `body.model`, for a message.
    pub(super) fn advice(&self) -> String {
        if let Some(adapters) = &self.adapters {
            return format!(
                "write {}, of which a data set may name {MOST_ADAPTERS}; or leave body.model empty for the base model",
                adapters.advice()
            );
        }
        let names: Vec<_> = self
            .base
            .iter()
            .filter(|name| !name.is_empty())
            .map(|name| format!("`{name}`"))
            .collect();
        match names.as_slice() {
            [] => "leave body.model empty".to_owned(),
            // Under another name of the base an adapter's rows would be answered by the base.
            names => format!(
                "write {}, or leave body.model empty; a name that is a LoRA adapter needs spec.server.adapters, and one that is another \
                 name of the base model goes into spec.server.servedModelNames; spec.endpoint takes neither",
                names.join(" or ")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::adapters::AdaptersSpec;

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
    fn a_name_of_the_base_is_no_adapter_and_others_are_where_there_are_any() {
        let without = ModelNames::new(["org/base", "b"]);
        let with = without
            .clone()
            .with_adapters(Some(AdapterNames::new(AdaptersSpec::default())));
        for base in [None, Some(""), Some("org/base"), Some("b")] {
            assert_eq!(with.meaning(base), Meaning::Base, "{base:?}");
        }
        assert_eq!(with.meaning(Some("org/sql")), Meaning::Adapter("org/sql"));
        assert_eq!(with.meaning(Some("sql")), Meaning::Unknown("sql"));
        assert_eq!(without.meaning(Some("org/sql")), Meaning::Unknown("org/sql"));
    }

    #[test]
    fn more_names_include_fewer_in_any_order() {
        let (fewer, more) = (ModelNames::new(["a", "b"]), ModelNames::new(["b", "c", "a"]));
        assert!(more.include(&fewer) && fewer.include(&fewer));
        assert!(!fewer.include(&more));
    }
}
