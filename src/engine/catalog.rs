//! The catalog: short names of base models, and what is known of the models that they stand for.
//!
//! `catalog.yaml` beside this file is the built-in one; whoever installs the operator may add to it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::close_names::close_names;
use super::model::is_repository;

// A test reads the file, so that the default is never taken.
static BUILT_IN: LazyLock<Catalog> =
    LazyLock::new(|| Catalog(serde_yaml::from_str(include_str!("catalog.yaml")).unwrap_or_default()));

/// Short names, and what is known of their models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog(BTreeMap<String, CatalogEntry>);

/// What is known of a model.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatalogEntry {
    /// Its repository at the Hugging Face Hub, `ORG/NAME`.
    pub repository: String,
    /// How many parameters it has, those of all experts together.
    pub parameters: u64,
    /// `model_type` in the repository's `config.json`.
    #[serde(default)]
    pub architecture: Option<String>,
    /// The longest context, in tokens.
    #[serde(default)]
    pub context_length: Option<u32>,
    /// Whether the Hub gives it only to those who have accepted its conditions.
    #[serde(default)]
    pub gated: bool,
    /// Where engine LlamaCpp has it from.
    #[serde(default)]
    pub gguf: Option<Gguf>,
}

/// GGUF files of a model.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Gguf {
    /// Their repository, `ORG/NAME`.
    pub repository: String,
    /// The file when no quantization is asked for; llama-server chooses one where none is named.
    #[serde(default)]
    pub file: Option<String>,
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// A name that could be taken for a repository, a path or an option.
    #[error("{name:?} is no short name: write letters, digits, '-', '_' and '.', with a letter or digit in front")]
    BadName {
        /// What was written.
        name: String,
    },
    /// No repository of the Hub has such a name.
    #[error("{name}: {repository:?} is not a Hugging Face repository: write ORG/NAME")]
    BadRepository {
        /// The entry.
        name: String,
        /// What was written.
        repository: String,
    },
}

impl Catalog {
    /// The one that every operator has.
    #[must_use]
    pub fn built_in() -> &'static Self {
        &BUILT_IN
    }

    /// With more entries; one of the same name is replaced.
    ///
    /// # Errors
    /// When an entry could not be used.
    pub fn with(mut self, entries: BTreeMap<String, CatalogEntry>) -> Result<Self, CatalogError> {
        for (name, entry) in entries {
            check(&name, &entry)?;
            self.0.insert(name, entry);
        }
        Ok(self)
    }

    /// What is known of the model of a short name.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&CatalogEntry> {
        self.0.get(name)
    }

    /// What is known of a repository that a short name stands for.
    #[must_use]
    pub fn of_repository(&self, repository: &str) -> Option<&CatalogEntry> {
        self.0.values().find(|entry| entry.repository == repository)
    }

    /// The short names that look most like what was written, closest first; none when nothing is close.
    #[must_use]
    pub fn close_names(&self, written: &str) -> Vec<String> {
        close_names(written, self.0.keys().map(String::as_str))
    }
}

fn check(name: &str, entry: &CatalogEntry) -> Result<(), CatalogError> {
    let good = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !good {
        return Err(CatalogError::BadName { name: name.to_owned() });
    }
    let gguf = entry.gguf.iter().map(|gguf| &gguf.repository);
    match [&entry.repository]
        .into_iter()
        .chain(gguf)
        .find(|repository| !is_repository(repository))
    {
        Some(repository) => Err(CatalogError::BadRepository {
            name: name.to_owned(),
            repository: repository.clone(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(repository: &str) -> CatalogEntry {
        serde_json::from_value(serde_json::json!({"repository": repository, "parameters": 1})).expect("an entry")
    }

    #[test]
    fn every_entry_of_the_built_in_catalog_is_complete_and_good() {
        let read: BTreeMap<String, CatalogEntry> =
            serde_yaml::from_str(include_str!("catalog.yaml")).expect("the catalog");
        assert_eq!(read, Catalog::built_in().0);
        assert!(read.len() > 50, "{}", read.len());
        for (name, entry) in &read {
            assert_eq!(check(name, entry), Ok(()));
            assert!(entry.parameters > 1_000_000_000, "{name}");
            assert!(entry.architecture.is_some() && entry.context_length.is_some(), "{name}");
        }
    }

    #[test]
    fn sizes_fit_the_names_that_say_them() {
        for (name, entry) in &Catalog::built_in().0 {
            let said = name
                .split('-')
                .find_map(|part| part.strip_suffix('b')?.parse::<u64>().ok());
            // `qwen2-5-1-5b` means 1.5, and a rounded number may be half off, or one where vocabularies count.
            if let Some(said) = said.filter(|said| *said > 5) {
                let billions = entry.parameters / 1_000_000_000;
                assert!(
                    billions.abs_diff(said) <= said.div_ceil(12),
                    "{name} has {}",
                    entry.parameters
                );
            }
        }
    }

    #[test]
    fn more_entries_are_added_and_replace_those_of_the_same_name() {
        let more = [
            ("our-model".to_owned(), entry("org/our-model")),
            ("phi-2".to_owned(), entry("org/phi")),
        ];
        let catalog = Catalog::built_in().clone().with(more.into()).expect("a catalog");
        assert_eq!(catalog.entry("our-model"), Some(&entry("org/our-model")));
        assert_eq!(catalog.entry("phi-2"), Some(&entry("org/phi")));
        assert!(catalog.entry("qwen3-8b").is_some());
        assert_eq!(catalog.close_names("our_model"), ["our-model"]);
    }

    #[test]
    fn an_entry_that_no_job_could_use_is_refused() {
        for (name, repository, words) in [
            ("org/model", "org/model", "is no short name"),
            ("--model", "org/model", "is no short name"),
            ("", "org/model", "is no short name"),
            ("model", "model", "is not a Hugging Face repository"),
            ("model", "/models/model", "is not a Hugging Face repository"),
        ] {
            let refused = Catalog::built_in()
                .clone()
                .with([(name.to_owned(), entry(repository))].into());
            let error = refused.expect_err(name).to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn close_names_start_with_the_closest() {
        let close = |written| Catalog::built_in().close_names(written);
        assert_eq!(close("Qwen3-8B").first().map(String::as_str), Some("qwen3-8b"));
        assert_eq!(
            close("qwen2.5-7b-instruct").first().map(String::as_str),
            Some("qwen2-5-7b-instruct")
        );
        assert_eq!(close("gpt-4o-mini"), Vec::<String>::new());
        for (written, first) in [
            ("qwen3", "qwen3-8b"),
            ("Qwen3-8B-Instruct-2507", "qwen3-8b"),
            ("qwen3-8b-instruct", "qwen3-8b"),
            ("llama-3", "llama-3-8b"),
            ("llama3", "llama-3-8b"),
            ("mistral", "mistral-7b"),
            ("phi-3.5", "phi-3-5-mini-instruct"),
            ("deepseek-r1", "deepseek-r1-distill-qwen-32b"),
            ("zephyr", "zephyr-7b-beta"),
            ("openhands-lm-32b-v0-1", "openhands-lm-32b-v0.1"),
        ] {
            assert_eq!(close(written).first().map(String::as_str), Some(first), "{written}");
        }
    }
}
