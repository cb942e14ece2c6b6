//! Which models a job's servers may run, by what the hub and the repository's small files say. Pure: the feeder reads them at the hub, the filling of
//! a model cache also on the volume.

use crate::api::status::Resolved;

use super::checkpoint::Checkpoint;
use super::model_files::MISTRAL_CONFIG;
use super::repository::{Config, Repository, WeightsIndex};
use super::{Engine, ModelRefusal, Version, refuse_architecture, refuse_checkpoint, refuse_size};

/// What the installation and the engine's version let in.
#[derive(Clone, Debug)]
pub struct ModelLimits {
    engine: Engine,
    /// The servers' image.
    image: String,
    /// The repository.
    model: String,
    /// The servers' arguments.
    args: Vec<String>,
    /// The most parameters that a model may have.
    most_parameters: u64,
}

impl ModelLimits {
    /// Those of a job that was taken up.
    #[must_use]
    pub fn of(resolved: &Resolved, most_parameters: u64) -> Self {
        Self {
            engine: resolved.engine,
            image: resolved.image.clone(),
            model: resolved.model.clone(),
            args: resolved.args.clone(),
            most_parameters,
        }
    }

    /// Refuses files that the engine is certain not to load.
    ///
    /// # Errors
    /// [`ModelRefusal`].
    pub fn refuse_files(&self, repository: &Repository) -> Result<(), ModelRefusal> {
        let version = Version::of(self.engine, &self.image);
        repository.refuse_files(self.engine, version, &self.model)
    }

    /// Refuses a kind of model, and a quantization of its checkpoint, that the engine is certain not to load.
    ///
    /// # Errors
    /// [`ModelRefusal::Architecture`], [`ModelRefusal::UnknownMethod`], [`ModelRefusal::OtherWord`].
    pub fn refuse_kind(&self, repository: &Repository, config: &Config) -> Result<(), ModelRefusal> {
        let Self {
            engine,
            image,
            model,
            args,
            ..
        } = self;
        refuse_architecture(*engine, image, model, config.architecture())?;
        refuse_checkpoint(*engine, image, model, self.checkpoint(repository, config), args)
    }

    /// Refuses a model that is too large; else, how many parameters it has, as far as it says. `index` is what
    /// [`Repository::index_to_count`] names.
    ///
    /// # Errors
    /// [`ModelRefusal::TooLarge`].
    pub fn refuse_size(
        &self,
        repository: &Repository,
        config: &Config,
        index: Option<&WeightsIndex>,
    ) -> Result<Option<u64>, ModelRefusal> {
        let parameters = repository.parameters(config, index);
        if let Some(parameters) = parameters {
            refuse_size(&self.model, parameters, self.most_parameters)?;
        }
        Ok(parameters)
    }

    /// What the engine reads of the quantization: of Mistral AI's own format, vLLM reads another file
    /// (`vllm/transformers_utils/config.py`, `get_config`).
    fn checkpoint<'a>(&self, repository: &Repository, config: &'a Config) -> Checkpoint<'a> {
        if self.engine == Engine::VLLM && repository.has(MISTRAL_CONFIG) {
            return Checkpoint::default();
        }
        config.checkpoint()
    }
}
