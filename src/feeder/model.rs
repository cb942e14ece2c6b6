//! What the hub says of the base model, before anything costs: whether it is there and given to this job's token, which commit its revision
//! stands for, and whether the engine loads it.

use std::time::Duration;

use tokio::time::timeout;

use crate::api::names::MODEL_TOKEN_UNKNOWN_ENV;
use crate::api::reason::Reason;
use crate::api::status::{ModelStatus, Resolved};
use crate::engine::gguf::Choice;
use crate::engine::repository::{CONFIG, Config, Repository, WeightsIndex};
use crate::engine::revision::takes_revision;
use crate::engine::{Engine, ModelLimits, ModelRefusal, lorax};
use crate::storage::{Credentials, HubError, ModelHub, Side};

use super::report::{End, number};
use super::trouble::chain;

/// The hub's name for the newest commit.
pub(super) const NEWEST: &str = "main";
/// With any of these, servers do not ask the hub, but take what is in their volumes
/// (<https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables>), or ask ModelScope (`vllm/envs.py`; sglang, `environ.py`).
const ELSEWHERE: [&str; 4] = [
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "VLLM_USE_MODELSCOPE",
    "SGLANG_USE_MODELSCOPE",
];
/// Where LoRAX has models from.
const SOURCE: &str = "SOURCE";
/// What huggingface_hub takes for a yes there (`constants.py`, `ENV_VARS_TRUE_VALUES`), and the engines no more than that.
const YES: [&str; 4] = ["1", "ON", "YES", "TRUE"];

/// How long the hub is asked, with all tries: one that takes connections and says nothing holds each of them for long.
const ASKED_FOR: Duration = Duration::from_secs(45);

/// How the hub is asked of a job's model.
#[derive(Clone, Debug)]
pub struct ModelCheck {
    hub: ModelHub,
    engine: Engine,
    repository: String,
    /// The revision that servers are told so far.
    revision: Option<String>,
    /// Whether servers may have a token that is not known here.
    is_token_unknown: bool,
    /// The GGUF file that llama-server is told to load; not of other engines.
    gguf: Option<Choice>,
    limits: ModelLimits,
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing speaks against the model.
    Good(ModelStatus),
    /// No server could run it.
    Refused(End),
    /// The hub did not say; why.
    Unknown(String),
}

/// Why asking came to an end before all was known.
enum Halt {
    Hub(HubError),
    Refusal(ModelRefusal),
    Strange(serde_json::Error),
}

impl From<HubError> for Halt {
    fn from(error: HubError) -> Self {
        Self::Hub(error)
    }
}

impl From<ModelRefusal> for Halt {
    fn from(refusal: ModelRefusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl ModelCheck {
    /// How to ask of a job's model; none where its servers have it from elsewhere. `environment` has what the controller says of their
    /// hub and token.
    ///
    /// # Errors
    ///
    /// [`End`]: the address of the hub is none.
    pub fn new(
        resolved: &Resolved,
        most_parameters: u64,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Option<Self>, End> {
        let environment: Vec<_> = environment.into_iter().collect();
        let has_hub = resolved.engine != Engine::Custom && !resolved.model.starts_with('/');
        if !has_hub || is_elsewhere(resolved, &environment) {
            return Ok(None);
        }
        let has_more = environment.iter().any(|(name, _)| name == MODEL_TOKEN_UNKNOWN_ENV);
        let credentials = Credentials::from_env(Side::Model, environment);
        let hub = ModelHub::open(&credentials).map_err(|error| End::new(Reason::SpecInvalid, chain(&error)))?;
        Ok(Some(Self {
            is_token_unknown: has_more && !hub.has_token(),
            hub,
            engine: resolved.engine,
            repository: resolved.model.clone(),
            revision: resolved.revision.clone(),
            gguf: (resolved.engine == Engine::LlamaCpp).then(|| Choice::of(&resolved.args)),
            limits: ModelLimits::of(resolved, most_parameters),
        }))
    }

    /// Asks. `told` is what an earlier start of the job said, and what stays: a revision's commit stays what it was. Where the job has no
    /// revision, it is `main`: of that, too, all servers have one commit.
    pub async fn ask(&self, told: Option<&ModelStatus>) -> Asked {
        let told = told.and_then(|told| told.revision.clone());
        let revision = told.as_ref().or(self.revision.as_ref());
        let revision = revision.map_or(NEWEST, String::as_str);
        let Ok(looked) = timeout(ASKED_FOR, self.look(revision)).await else {
            return Asked::Unknown(self.unknown(&format!("no answer within {} s", ASKED_FOR.as_secs())));
        };
        match looked {
            Ok((commit, parameters)) => {
                let pinned = told.or(commit).or_else(|| self.revision.clone());
                Asked::Good(ModelStatus {
                    // llama-server is told none, but what brings its file to a claim may be.
                    revision: pinned.filter(|_| takes_revision(self.engine) || self.revision.is_some()),
                    parameters: parameters.map(number),
                })
            }
            Err(Halt::Refusal(refusal)) => Asked::Refused(End::new(refusal.reason(), refusal.to_string())),
            Err(Halt::Hub(HubError::Denied(said) | HubError::NotFound(said))) if self.is_token_unknown => {
                Asked::Unknown(self.unknown(&said))
            }
            Err(Halt::Hub(HubError::Denied(said))) => Asked::Refused(self.denied(&said)),
            Err(Halt::Hub(HubError::NotFound(said))) => Asked::Refused(self.not_found(revision, &said)),
            Err(Halt::Hub(HubError::Unreachable(said))) => Asked::Unknown(self.unknown(&said)),
            Err(Halt::Strange(error)) => {
                Asked::Unknown(self.unknown(&format!("its answer is not understood ({error})")))
            }
        }
    }

    /// What is said while it is asked.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Self { hub, repository, .. } = self;
        format!("{hub} is asked about the model {repository}")
    }

    /// The commit and the number of parameters, as far as the hub says them.
    async fn look(&self, revision: &str) -> Result<(Option<String>, Option<u64>), Halt> {
        let model = &self.repository;
        let answer = self.hub.model(model, revision).await?;
        let repository = Repository::read(&answer).map_err(Halt::Strange)?;
        let commit = repository.sha.clone();
        // From here on, of one commit.
        let revision = commit.as_deref().unwrap_or(revision);
        let gguf = match &self.gguf {
            Some(choice) => repository.gguf(choice, model),
            None => Ok(None),
        };
        let chosen = gguf.as_ref().ok().copied().flatten();
        let config = self.config(&repository, revision, chosen).await?;
        self.limits.refuse_files(&repository)?;
        gguf?;
        self.limits.refuse_kind(&repository, &config)?;
        let index = self.index(&repository, revision).await;
        let parameters = self.limits.refuse_size(&repository, &config, index.as_ref())?;
        Ok((commit, parameters))
    }

    /// `config.json`; where there is none, it is seen whether the model is given at all, by the GGUF file that was chosen where one was.
    async fn config(&self, repository: &Repository, revision: &str, gguf: Option<&str>) -> Result<Config, HubError> {
        match repository.guarded_file() {
            Some(CONFIG) => {
                let file = self.hub.file(&self.repository, revision, CONFIG).await?;
                Ok(Config::read(&file))
            }
            Some(file) => {
                self.hub.gives(&self.repository, revision, gguf.unwrap_or(file)).await?;
                Ok(Config::default())
            }
            None => Ok(Config::default()),
        }
    }

    /// Without it, how large the model is stays unknown.
    async fn index(&self, repository: &Repository, revision: &str) -> Option<WeightsIndex> {
        let name = repository.index_to_count()?;
        match self.hub.file(&self.repository, revision, name).await {
            Ok(file) => WeightsIndex::read(&file),
            Err(error) => {
                tracing::info!(%error, file = name, "the index of the weights cannot be read");
                None
            }
        }
    }

    fn denied(&self, said: &str) -> End {
        let Self { hub, repository, .. } = self;
        let what_to_do = if hub.has_token() {
            "ask for access to the model at its page, with the account of the token that spec.server.hfTokenSecretRef names, and see that the token \
             is valid and may read it"
        } else {
            "ask for access to the model at its page, and name a token that has it by spec.server.hfTokenSecretRef"
        };
        let message = format!("{hub} does not give the model {repository} to this job ({said}): {what_to_do}");
        End::new(Reason::ModelAccessDenied, message)
    }

    fn not_found(&self, revision: &str, said: &str) -> End {
        let Self { hub, repository, .. } = self;
        let at = match &self.revision {
            Some(_) => format!(" at revision {revision}"),
            None => String::new(),
        };
        let field = if self.revision.is_some() {
            "spec.server.baseModel and revision"
        } else {
            "spec.server.baseModel"
        };
        let private = if hub.has_token() {
            "or see that the token of spec.server.hfTokenSecretRef may read it, if it is private"
        } else {
            "or name a token by spec.server.hfTokenSecretRef, if it is private"
        };
        let message = format!("{hub} has no model {repository}{at} ({said}): correct {field}, {private}");
        End::new(Reason::ModelNotFound, message)
    }

    fn unknown(&self, said: &str) -> String {
        let Self { hub, repository, .. } = self;
        format!("{hub} could not be asked of the model {repository}, which is left to the servers: {said}")
    }
}

/// Whether servers have the model from elsewhere.
fn is_elsewhere(resolved: &Resolved, environment: &[(String, String)]) -> bool {
    let source = value_of(environment, SOURCE);
    let is_other_source = resolved.engine == Engine::LoRAX && !lorax::asks_hub(&resolved.args, source);
    is_other_source || is_offline(environment)
}

/// Whether servers do not ask the hub.
pub(super) fn is_offline(environment: &[(String, String)]) -> bool {
    let is_yes = |value: &str| YES.contains(&value.to_ascii_uppercase().as_str());
    ELSEWHERE
        .iter()
        .any(|name| value_of(environment, name).is_some_and(is_yes))
}

fn value_of<'a>(environment: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let name = format!("{}{name}", Side::Model.env_prefix());
    let variable = environment.iter().find(|(variable, _)| *variable == name);
    variable.map(|(_, value)| value.as_str())
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
