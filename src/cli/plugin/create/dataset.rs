//! Where the rows of a new job are, and where they are to go first. Pure.

use std::path::Path;

use super::arguments::RowFlags;
use crate::api::default_store::DEFAULT_STORE;

/// Where a job reads rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// At a URI.
    Uri(String),
    /// In the namespace's default store, by a name.
    Name(String),
}

impl Rows {
    /// The field of `spec.dataset` that says it, and its value.
    #[must_use]
    pub fn field(&self) -> (&'static str, &str) {
        match self {
            Self::Uri(uri) => ("uri", uri),
            Self::Name(name) => ("name", name),
        }
    }
}

/// What the flags say of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dataset {
    /// They are in a file of this machine, which is to be uploaded.
    Local {
        /// Its path.
        file: String,
        /// Where it will be.
        to: Rows,
    },
    /// They are where the cluster reads them.
    There(Rows),
    /// A file with a job says it.
    InJob,
}

/// Flags that contradict each other.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// Two places.
    #[error("`{uri}` is where the rows are already: {flag} is only for a file of this machine")]
    TwoPlaces {
        /// What --dataset has.
        uri: String,
        /// The other flag.
        flag: &'static str,
    },
    /// A name that the definition does not take.
    #[error("`{name}` cannot be the name of a data set: give letters, digits, `.`, `_` and `-` by --dataset-name")]
    BadName {
        /// The name.
        name: String,
    },
    /// Keys for no store.
    #[error(
        "--secret {secret} would open nothing: the default store has the Secret {DEFAULT_STORE}, and a claim or a ConfigMap has no keys. \
         Leave it away, or give a store by --dataset-uri or --output-uri"
    )]
    UnusedSecret {
        /// The Secret.
        secret: String,
    },
}

impl Dataset {
    /// What the flags name.
    ///
    /// # Errors
    ///
    /// [`FlagError`].
    pub fn of(flags: &RowFlags) -> Result<Self, FlagError> {
        let name = flags.dataset_name.clone();
        let Some(given) = flags.dataset.clone() else {
            return name.map_or(Ok(Self::InJob), |name| Ok(Self::There(Rows::Name(checked(name)?))));
        };
        if given.contains("://") {
            let uris = flags.dataset_uri.as_ref().map(|_| "--dataset-uri");
            return match uris.or(name.map(|_| "--dataset-name")) {
                None => Ok(Self::There(Rows::Uri(given))),
                Some(flag) => Err(FlagError::TwoPlaces { uri: given, flag }),
            };
        }
        let to = match &flags.dataset_uri {
            Some(uri) => Rows::Uri(uri.clone()),
            None => Rows::Name(checked(name.unwrap_or_else(|| name_of(&given)))?),
        };
        Ok(Self::Local { file: given, to })
    }

    /// Where the job reads them; `None` where a file with a job says it.
    #[must_use]
    pub fn rows(&self) -> Option<&Rows> {
        match self {
            Self::Local { to: rows, .. } | Self::There(rows) => Some(rows),
            Self::InJob => None,
        }
    }
}

/// What a file is called without asking: `rows` for `data/rows.jsonl`, `rows.jsonl.gz` for `data/rows.jsonl.gz`.
fn name_of(file: &str) -> String {
    let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy();
    name.strip_suffix(".jsonl").unwrap_or(&name).to_owned()
}

/// What `spec.dataset.name` takes.
fn checked(name: String) -> Result<String, FlagError> {
    let is_between = |letter: char| letter.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&letter);
    let is_end = |letter: char| letter.is_ascii_alphanumeric();
    let is_name =
        name.len() <= 253 && name.starts_with(is_end) && name.ends_with(is_end) && name.chars().all(is_between);
    if is_name {
        return Ok(name);
    }
    Err(FlagError::BadName { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dataset: &str, uri: &str, name: &str) -> Result<Dataset, FlagError> {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Dataset::of(&RowFlags {
            dataset: given(dataset),
            dataset_uri: given(uri),
            dataset_name: given(name),
        })
    }

    fn local(file: &str, to: Rows) -> Dataset {
        Dataset::Local { file: file.into(), to }
    }

    #[test]
    fn a_file_goes_to_the_default_store_unless_another_place_is_given() {
        let name = |name: &str| Rows::Name(name.into());
        assert_eq!(of("a/rows.jsonl", "", ""), Ok(local("a/rows.jsonl", name("rows"))));
        assert_eq!(
            of("rows.jsonl.gz", "", ""),
            Ok(local("rows.jsonl.gz", name("rows.jsonl.gz")))
        );
        assert_eq!(of("rows.jsonl", "", "mine"), Ok(local("rows.jsonl", name("mine"))));
        let uri = Rows::Uri("s3://b/rows.jsonl".into());
        assert_eq!(of("rows.jsonl", "s3://b/rows.jsonl", ""), Ok(local("rows.jsonl", uri)));
    }

    #[test]
    fn rows_that_are_there_already_are_named() {
        assert_eq!(of("s3://b/k", "", ""), Ok(Dataset::There(Rows::Uri("s3://b/k".into()))));
        assert_eq!(of("", "", "mine"), Ok(Dataset::There(Rows::Name("mine".into()))));
        assert_eq!(of("", "", ""), Ok(Dataset::InJob));
    }

    #[test]
    fn what_contradicts_itself_is_refused_and_says_what_to_do() {
        for (result, expected) in [
            (of("s3://b/k", "s3://b/other", ""), "--dataset-uri is only for a file"),
            (of("s3://b/k", "", "mine"), "--dataset-name is only for a file"),
            (
                of("my rows.jsonl", "", ""),
                "`my rows` cannot be the name of a data set",
            ),
            (of("rows.jsonl", "", "-rows"), "by --dataset-name"),
            (of("", "", "a/b"), "by --dataset-name"),
            (of("..", "", ""), "by --dataset-name"),
        ] {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
