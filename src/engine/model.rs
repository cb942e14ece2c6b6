//! `spec.server.baseModel`: what a person may write, and the repository or path it stands for.

use std::str::FromStr;

use super::{Catalog, CatalogEntry, Engine};

/// The most characters each half of a repository's name may have (`huggingface_hub`, `utils/_validators.py: REPO_ID_REGEX`).
const REPOSITORY_PART_LIMIT: usize = 96;

/// A base model whose name can be passed to any engine: no character in it is one that a command line, a list of
/// aliases or Kubernetes (`$(VAR)` in a container's arguments) would read otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseModel {
    value: String,
    location: Location,
    entry: Option<CatalogEntry>,
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
        close: Vec<String>,
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

/// The half sentence that offers close names, or says where all are.
fn hint(close: &[String]) -> String {
    if close.is_empty() {
        return " (docs/models.md has its names, and the chart's value models those of this cluster)".to_owned();
    }
    format!(" (close names: {})", close.join(", "))
}

impl BaseModel {
    /// Reads what was written for an engine: a short name of the catalog, a repository `ORG/NAME`, or an absolute path. The server of engine
    /// Custom has its model already: any name will do.
    ///
    /// # Errors
    /// When another engine could not be told to load it.
    pub fn read(catalog: &Catalog, engine: Engine, value: &str) -> Result<Self, ModelError> {
        let by_name = catalog.entry(value).filter(|_| engine != Engine::Custom);
        let location = match by_name {
            Some(entry) => Location::Repository(repository_for(engine, entry).to_owned()),
            None if engine == Engine::Custom => Location::Server(value.to_owned()),
            None => locate(catalog, value)?,
        };
        Ok(Self {
            value: value.to_owned(),
            location,
            entry: by_name.or_else(|| written_out(catalog, engine, value)).cloned(),
        })
    }

    /// What was written, of which it is known already where it is: `model` is what [`Location::name`] was of it.
    #[must_use]
    pub fn resolved(engine: Engine, value: &str, model: &str) -> Self {
        let model = model.to_owned();
        Self {
            value: value.to_owned(),
            location: match engine {
                Engine::Custom => Location::Server(model),
                _ if model.starts_with('/') => Location::Path(model),
                _ => Location::Repository(model),
            },
            entry: None,
        }
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

    /// What the catalog knows of the model; none of one that was not written as a short name.
    #[must_use]
    pub fn entry(&self) -> Option<&CatalogEntry> {
        self.entry.as_ref()
    }
}

/// Where an engine has a model of the catalog from.
fn repository_for(engine: Engine, entry: &CatalogEntry) -> &str {
    match &entry.gguf {
        Some(gguf) if engine == Engine::LlamaCpp => &gguf.repository,
        _ => &entry.repository,
    }
}

impl FromStr for BaseModel {
    type Err = ModelError;

    /// Reads what was written for engine VLLM, by the built-in catalog.
    fn from_str(value: &str) -> Result<Self, ModelError> {
        Self::read(Catalog::built_in(), Engine::VLLM, value)
    }
}

fn locate(catalog: &Catalog, value: &str) -> Result<Location, ModelError> {
    if value.starts_with('/') {
        return path(value);
    }
    if value.contains('/') {
        return repository(value);
    }
    Err(ModelError::NotInCatalog {
        value: value.to_owned(),
        close: catalog.close_names(value),
    })
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
    if !is_repository(value) {
        return Err(ModelError::BadRepository {
            value: value.to_owned(),
        });
    }
    Ok(Location::Repository(value.to_owned()))
}

/// Whether the Hub could have a repository of this name.
pub(super) fn is_repository(value: &str) -> bool {
    let parts: Vec<&str> = value.split('/').collect();
    parts.len() == 2
        && parts.iter().all(|part| is_repository_part(part))
        && !value.contains("--")
        && !value.contains("..")
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

/// The entry of a model that is written as its repository. llama.cpp does not load what is there.
fn written_out<'a>(catalog: &'a Catalog, engine: Engine, value: &str) -> Option<&'a CatalogEntry> {
    match engine {
        Engine::VLLM | Engine::LoRAX | Engine::SGLang => catalog.of_repository(value),
        Engine::LlamaCpp | Engine::Custom => None,
    }
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
        let entry = model.entry().expect("an entry");
        assert_eq!((entry.parameters, entry.gated), (8_190_735_360, false));
    }

    #[test]
    fn a_repository_stands_for_itself() {
        let model = parsed("Qwen/Qwen3-8B-GGUF");
        assert_eq!(model.location(), &Location::Repository("Qwen/Qwen3-8B-GGUF".into()));
        assert_eq!(model.entry(), None);
    }

    #[test]
    fn what_is_known_of_a_short_name_is_known_of_its_repository() {
        let read = |engine, value| BaseModel::read(Catalog::built_in(), engine, value).expect("a model");
        for engine in [Engine::VLLM, Engine::LoRAX, Engine::SGLang] {
            let model = read(engine, "microsoft/phi-2");
            assert_eq!(model.repository(), Some("microsoft/phi-2"));
            assert_eq!(model.entry(), read(engine, "phi-2").entry());
        }
        let model = read(Engine::LlamaCpp, "Qwen/Qwen3-8B");
        assert_eq!((model.repository(), model.entry()), (Some("Qwen/Qwen3-8B"), None));
    }

    #[test]
    fn llama_cpp_has_a_short_name_from_where_its_gguf_files_are() {
        let read = |engine, value| BaseModel::read(Catalog::built_in(), engine, value).expect("a model");
        let model = read(Engine::LlamaCpp, "qwen3-8b");
        assert_eq!(
            (model.value(), model.repository()),
            ("qwen3-8b", Some("Qwen/Qwen3-8B-GGUF"))
        );
        assert_eq!(read(Engine::SGLang, "qwen3-8b").repository(), Some("Qwen/Qwen3-8B"));
        let without = read(Engine::LlamaCpp, "qwen2-5-7b");
        assert_eq!(without.repository(), Some("Qwen/Qwen2.5-7B"));
    }

    #[test]
    fn what_was_resolved_is_known_again_without_a_catalog() {
        for (engine, value) in [
            (Engine::VLLM, "qwen3-8b"),
            (Engine::LlamaCpp, "qwen3-8b"),
            (Engine::LlamaCpp, "/models/model.gguf"),
            (Engine::SGLang, "org/model"),
            (Engine::Custom, "tensorrt_llm_bls"),
        ] {
            let model = BaseModel::read(Catalog::built_in(), engine, value).expect("a model");
            let again = BaseModel::resolved(engine, value, model.location().name());
            assert_eq!((again.value(), again.location()), (model.value(), model.location()));
        }
    }

    #[test]
    fn an_absolute_path_stands_for_itself() {
        let model = parsed("/models/my model.gguf");
        assert_eq!(model.location(), &Location::Path("/models/my model.gguf".into()));
        assert_eq!(model.repository(), None);
    }

    #[test]
    fn the_server_of_engine_custom_has_its_own_names() {
        let model = BaseModel::read(Catalog::built_in(), Engine::Custom, "tensorrt_llm_bls").expect("a model");
        assert_eq!((model.value(), model.repository()), ("tensorrt_llm_bls", None));
        let model = BaseModel::read(Catalog::built_in(), Engine::Custom, "qwen3-8b").expect("a model");
        assert_eq!(model.location().name(), "qwen3-8b");
        assert!(BaseModel::read(Catalog::built_in(), Engine::SGLang, "tensorrt_llm_bls").is_err());
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
            "baseModel \"qwen3_8b\" is not in the catalog (close names: qwen3-8b, qwen3-14b, qwen3-32b): \
             write a Hugging Face repository (ORG/NAME) or an absolute path"
        );
        assert_eq!(
            refused("").to_string(),
            "baseModel \"\" is not in the catalog (docs/models.md has its names, and the chart's value models those of this cluster): \
             write a Hugging Face repository (ORG/NAME) or an absolute path"
        );
    }
}
