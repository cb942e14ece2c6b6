//! Where a pod finds the objects that it is asked for: both how the plugin says it and how the pod reads it.

use clap::ValueEnum;

use crate::cli::environment::environment;
use crate::storage::{Credentials, Side, StoreUri, default_store};

/// A prefix of a store, or a folder of the namespace's default store, and whose keys in the environment are for it.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Place {
    /// A prefix, as `spec.output.uri` has it.
    #[arg(long, required_unless_present = "default_store")]
    uri: Option<String>,
    /// A folder in the namespace's default store, whose Secret is in the environment. It ends with a slash.
    #[arg(long, value_name = "FOLDER", conflicts_with = "uri")]
    default_store: Option<String>,
    /// Whose keys in the environment are meant.
    #[arg(long, value_enum, default_value_t = Whose::Output)]
    keys_of: Whose,
}

/// Whose keys in the environment are meant: they have its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Whose {
    Dataset,
    Output,
}

impl Place {
    /// A prefix of a store.
    #[must_use]
    pub fn at(uri: &StoreUri, side: Side) -> Self {
        Self {
            uri: Some(uri.to_string()),
            default_store: None,
            keys_of: Whose::side(side),
        }
    }

    /// A folder in the namespace's default store.
    #[must_use]
    pub fn in_default_store(folder: &str, side: Side) -> Self {
        Self {
            uri: None,
            default_store: Some(folder.to_owned()),
            keys_of: Whose::side(side),
        }
    }

    /// The words that say it.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        for (flag, value) in [("--uri", &self.uri), ("--default-store", &self.default_store)] {
            if let Some(value) = value {
                words.extend([flag.to_owned(), value.clone()]);
            }
        }
        if self.keys_of == Whose::Dataset {
            words.extend(["--keys-of".to_owned(), "dataset".to_owned()]);
        }
        words
    }

    /// The prefix, and its keys out of this process's environment.
    ///
    /// # Errors
    ///
    /// The URI is wrong, or the Secret in the environment names no store.
    pub fn locate(&self) -> anyhow::Result<(StoreUri, Credentials)> {
        let side = match self.keys_of {
            Whose::Dataset => Side::Dataset,
            Whose::Output => Side::Output,
        };
        if let Some(folder) = &self.default_store {
            let (prefix, credentials) = default_store(side, environment())?;
            return Ok((prefix.join(folder), credentials));
        }
        let uri = StoreUri::parse_prefix(self.uri.as_deref().unwrap_or_default())?;
        // A job without a URI is read where it wrote, with the keys of the default store: its Secret alone says where a store is.
        let credentials = match default_store(side, environment()) {
            Ok((_, credentials)) => credentials,
            Err(_) => Credentials::from_env(side, environment()),
        };
        Ok((uri, credentials))
    }
}

impl Whose {
    /// Keys of a model or of adapters are for no store that is written.
    fn side(side: Side) -> Self {
        match side {
            Side::Dataset => Self::Dataset,
            Side::Output | Side::Model | Side::Adapters => Self::Output,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Words {
        #[command(flatten)]
        place: Place,
    }

    #[test]
    fn a_place_is_read_as_it_is_said() {
        let uri = StoreUri::parse_prefix("s3://bucket/run").unwrap();
        for place in [
            Place::at(&uri, Side::Output),
            Place::at(&uri, Side::Dataset),
            Place::in_default_store("jobs/x/", Side::Output),
            Place::in_default_store("datasets/", Side::Dataset),
        ] {
            let words = std::iter::once("output".to_owned()).chain(place.words());
            assert_eq!(Words::try_parse_from(words).unwrap().place, place);
        }
        assert!(Words::try_parse_from(["output"]).is_err());
    }
}
