//! `spec.server.baseModel`: what a person may write, and the repository or path it stands for.

use std::str::FromStr;

use super::{Engine, catalog};

/// The most characters each half of a repository's name may have (`huggingface_hub`, `utils/_validators.py: REPO_ID_REGEX`).
const REPOSITORY_PART_LIMIT: usize = 96;

/// A base model whose name can be passed to any engine: no character in it is one that a command line, a list of
/// aliases or Kubernetes (`$(VAR)` in a container's arguments) would read otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseModel {
    value: String,
    location: Location,
}

/// Where the weights are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A Hugging Face repository, `ORG/NAME`.
    Repository(String),
    /// An absolute path in the server's image or volumes.
    Path(String),
    /// Where the server of engine Custom has them: the name is only what rows are sent with.
    Server(String),
}

impl Location {
    /// The repository, the path or the name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Repository(name) | Self::Path(name) | Self::Server(name) => name,
        }
    }
}

/// What is wrong with a base model's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Neither a repository nor a path, and not in the catalog.
    #[error(
        "baseModel {value:?} is not in the catalog{}: write a Hugging Face repository (ORG/NAME) or an absolute path",
        hint(close)
    )]
    NotInCatalog {
        /// What was written.
        value: String,
        /// Short names that look like it, closest first.
        close: Vec<&'static str>,
    },
    /// Has a `/` and is no repository's name.
    #[error(
        "baseModel {value:?} is not a Hugging Face repository: write ORG/NAME with letters, digits, '-', '_' and '.', or an absolute path"
    )]
    BadRepository {
        /// What was written.
        value: String,
    },
    /// A path with characters that cannot be passed on safely.
    #[error(
        "baseModel {value:?} is a path with a comma, a '$' or a control character: rename the file or mount it elsewhere"
    )]
    BadPath {
        /// What was written.
        value: String,
    },
}

/// The half sentence that offers close names.
fn hint(close: &[&str]) -> String {
    if close.is_empty() {
        return String::new();
    }
    format!(" (close names: {})", close.join(", "))
}

impl BaseModel {
    /// Reads what was written for an engine. The server of engine Custom has its model already: any name will do.
    ///
    /// # Errors
    /// When another engine could not be told to load it.
    pub fn read(engine: Engine, value: &str) -> Result<Self, ModelError> {
        if engine != Engine::Custom {
            return value.parse();
        }
        Ok(Self {
            value: value.to_owned(),
            location: Location::Server(value.to_owned()),
        })
    }

    /// As it was written; rows may call the model so.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Where the weights are.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The repository, unless the model is a path.
    #[must_use]
    pub fn repository(&self) -> Option<&str> {
        match &self.location {
            Location::Repository(repository) => Some(repository),
            Location::Path(_) | Location::Server(_) => None,
        }
    }

    /// Whether a short name of the catalog was written.
    #[must_use]
    pub fn is_from_catalog(&self) -> bool {
        self.repository().is_some_and(|repository| repository != self.value)
    }
}

impl FromStr for BaseModel {
    type Err = ModelError;

    /// Reads a short name of the catalog, a repository `ORG/NAME`, or an absolute path.
    fn from_str(value: &str) -> Result<Self, ModelError> {
        Ok(Self {
            value: value.to_owned(),
            location: locate(value)?,
        })
    }
}

fn locate(value: &str) -> Result<Location, ModelError> {
    if value.starts_with('/') {
        return path(value);
    }
    if value.contains('/') {
        return repository(value);
    }
    match catalog::repository(value) {
        Some(repository) => Ok(Location::Repository(repository.to_owned())),
        None => Err(ModelError::NotInCatalog {
            value: value.to_owned(),
            close: catalog::close_names(value),
        }),
    }
}

fn path(value: &str) -> Result<Location, ModelError> {
    let misread = |c: char| c == ',' || c == '$' || c.is_control();
    if value.contains(misread) {
        return Err(ModelError::BadPath {
            value: value.to_owned(),
        });
    }
    Ok(Location::Path(value.to_owned()))
}

fn repository(value: &str) -> Result<Location, ModelError> {
    let parts: Vec<&str> = value.split('/').collect();
    let good = parts.len() == 2
        && parts.iter().all(|part| is_repository_part(part))
        && !value.contains("--")
        && !value.contains("..");
    if !good {
        return Err(ModelError::BadRepository {
            value: value.to_owned(),
        });
    }
    Ok(Location::Repository(value.to_owned()))
}

/// The hub's own rule for each half of a name (`huggingface_hub`, `utils/_validators.py`).
fn is_repository_part(part: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    part.len() <= REPOSITORY_PART_LIMIT
        && part.starts_with(word)
        && part.ends_with(word)
        && part.chars().all(|c| word(c) || c == '-' || c == '.')
        && part.strip_suffix(".git").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> BaseModel {
        value
            .parse()
            .unwrap_or_else(|error| panic!("{value} is refused: {error}"))
    }

    fn refused(value: &str) -> ModelError {
        value
            .parse::<BaseModel>()
            .err()
            .unwrap_or_else(|| panic!("{value} is accepted"))
    }

    #[test]
    fn a_short_name_stands_for_its_repository() {
        let model = parsed("qwen3-8b");
        assert_eq!((model.value(), model.repository()), ("qwen3-8b", Some("Qwen/Qwen3-8B")));
        assert!(model.is_from_catalog());
    }

    #[test]
    fn a_repository_stands_for_itself() {
        let model = parsed("Qwen/Qwen3-8B-GGUF");
        assert_eq!(model.location(), &Location::Repository("Qwen/Qwen3-8B-GGUF".into()));
        assert!(!model.is_from_catalog());
    }

    #[test]
    fn an_absolute_path_stands_for_itself() {
        let model = parsed("/models/my model.gguf");
        assert_eq!(model.location(), &Location::Path("/models/my model.gguf".into()));
        assert_eq!(model.repository(), None);
    }

    #[test]
    fn the_server_of_engine_custom_has_its_own_names() {
        let model = BaseModel::read(Engine::Custom, "tensorrt_llm_bls").expect("a model");
        assert_eq!((model.value(), model.repository()), ("tensorrt_llm_bls", None));
        let model = BaseModel::read(Engine::Custom, "qwen3-8b").expect("a model");
        assert_eq!(model.location().name(), "qwen3-8b");
        assert!(BaseModel::read(Engine::SGLang, "tensorrt_llm_bls").is_err());
    }

    #[test]
    fn what_a_command_line_could_misread_is_refused() {
        for value in [
            "-m",
            "--model",
            "-org/name",
            "org/-name",
            "org/name,other",
            "org/$(HF_TOKEN)",
            "org/na me",
        ] {
            refused(value);
        }
        for value in ["/models/a,b.gguf", "/models/$(HF_TOKEN)", "/models/a\nb"] {
            assert_eq!(refused(value), ModelError::BadPath { value: value.into() });
        }
    }

    #[test]
    fn what_the_hub_refuses_is_refused_here() {
        let long = format!("org/{}", "a".repeat(97));
        for value in [
            "a/b/c",
            "org/",
            "org/name.git",
            "org/a--b",
            "org/a..b",
            "org/.name",
            "org/name-",
            long.as_str(),
        ] {
            assert_eq!(refused(value), ModelError::BadRepository { value: value.into() });
        }
    }

    #[test]
    fn the_refusal_names_the_value_and_close_names() {
        assert_eq!(
            refused("qwen3_8b").to_string(),
            "baseModel \"qwen3_8b\" is not in the catalog (close names: qwen3-8b, qwen3-14b): \
             write a Hugging Face repository (ORG/NAME) or an absolute path"
        );
        assert_eq!(
            refused("").to_string(),
            "baseModel \"\" is not in the catalog: write a Hugging Face repository (ORG/NAME) or an absolute path"
        );
    }
}
