//! What the hub, or the store that they are in, says of adapters, before any server is there.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesOrdered;

use crate::api::Engine;
use crate::api::adapters::AdapterSource;
use crate::api::names::MODEL_TOKEN_UNKNOWN_ENV;
use crate::api::reason::Reason;
use crate::engine::adapters::{AdapterConfig, are_fetched};
use crate::engine::repository::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, Repository};
use crate::engine::{AdapterNames, Version};
use crate::feeder::job::Job;
use crate::feeder::model::{NEWEST, is_offline};
use crate::feeder::report::End;
use crate::feeder::trouble::chain;
use crate::storage::{self, Credentials, HubError, ModelHub, Side, StoreUri, open_output};

use super::{Bad, Known};

/// Asked for at a time.
const AT_ONCE: usize = 8;

/// How it is asked of a job's adapters.
#[derive(Clone, Debug)]
pub struct AdapterCheck {
    origin: Origin,
    engine: Engine,
    version: Version,
    /// What servers are to have room for, where the spec says so.
    max_rank: Option<u32>,
    /// Whether servers may have a token for the hub that is not known here.
    is_token_unknown: bool,
}

/// Who is asked.
#[derive(Clone, Debug)]
enum Origin {
    Hub(ModelHub),
    Store {
        credentials: Credentials,
        names: AdapterNames,
        servers: ServersKeys,
    },
}

/// As whom servers ask a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServersKeys {
    /// With the keys that it is asked with here.
    Same,
    /// With none of the job's: the store may know them as somebody else than this pod.
    Unknown,
}

/// What it says of one.
struct Facts {
    revision: Option<String>,
    config: AdapterConfig,
}

/// Why it does not say it.
enum Halt {
    Bad(Bad),
    /// It does not answer, or nothing that is understood.
    Silent(String),
}

impl AdapterCheck {
    /// How to ask; none where servers have their adapters from elsewhere. `environment` has what the controller says of their hub and
    /// token.
    ///
    /// # Errors
    ///
    /// [`End`]: the address of the hub is none.
    pub fn new(job: &Job, environment: impl IntoIterator<Item = (String, String)>) -> Result<Option<Self>, End> {
        let Some(adapters) = &job.adapters else {
            return Ok(None);
        };
        let environment: Vec<_> = environment.into_iter().collect();
        let has_more = environment.iter().any(|(name, _)| name == MODEL_TOKEN_UNKNOWN_ENV);
        let origin = match adapters.names.source() {
            AdapterSource::Hub if !is_offline(&environment) => {
                let credentials = Credentials::from_env(Side::Model, environment);
                let hub = ModelHub::open(&credentials).map_err(|error| End::new(Reason::SpecInvalid, chain(&error)))?;
                Origin::Hub(hub)
            }
            // LoRAX, which reads it by itself, may have keys and an address of it that are not known here.
            source @ AdapterSource::S3
                if servers_keys(&environment) == ServersKeys::Same || are_fetched(job.engine, source) =>
            {
                Origin::Store {
                    servers: servers_keys(&environment),
                    credentials: Credentials::from_env(Side::Adapters, environment),
                    names: adapters.names.clone(),
                }
            }
            _ => return Ok(None),
        };
        let is_token_unknown = has_more && matches!(&origin, Origin::Hub(hub) if !hub.has_token());
        Ok(Some(Self {
            origin,
            engine: job.engine,
            version: job.version,
            max_rank: adapters.names.max_rank(),
            is_token_unknown,
        }))
    }

    /// Asks of all of them. Without an answer to one, nothing is known of it and of those that would have been asked for next, and why is
    /// returned besides.
    pub async fn ask(&self, adapters: Vec<Known>) -> (Vec<Known>, Option<String>) {
        let (answers, silent) = self.answers(&adapters).await;
        let mut answers = answers.into_iter();
        let known = adapters.into_iter().map(|adapter| match answers.next() {
            Some(Ok(facts)) => self.with_facts(adapter, facts),
            Some(Err(bad)) => Known {
                bad: Some(bad),
                ..adapter
            },
            None => adapter,
        });
        (known.collect(), silent)
    }

    fn with_facts(&self, adapter: Known, facts: Facts) -> Known {
        let problem = facts.config.problem(self.engine, self.version, self.max_rank);
        Known {
            revision: facts.revision,
            rank: facts.config.rank(),
            bad: adapter.bad.or(problem.map(Bad::not_loaded)),
            ..adapter
        }
    }

    /// The answers in the order of the adapters, up to the first that does not come; and why it does not.
    async fn answers(&self, adapters: &[Known]) -> (Vec<Result<Facts, Bad>>, Option<String>) {
        let mut left = adapters.iter();
        let mut asked = FuturesOrdered::new();
        let mut answers = Vec::new();
        for adapter in left.by_ref().take(AT_ONCE) {
            asked.push_back(self.look(adapter));
        }
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(facts) => answers.push(Ok(facts)),
                Err(Halt::Bad(bad)) => answers.push(Err(bad)),
                Err(Halt::Silent(said)) => return (answers, Some(self.unknown(&said))),
            }
            if let Some(adapter) = left.next() {
                asked.push_back(self.look(adapter));
            }
        }
        (answers, None)
    }

    async fn look(&self, adapter: &Known) -> Result<Facts, Halt> {
        match &self.origin {
            Origin::Hub(hub) => self.look_at_hub(hub, &adapter.path).await,
            Origin::Store {
                credentials,
                names,
                servers,
            } => {
                let address = names.path(&adapter.name).unwrap_or_default();
                look_in_store(self.engine, credentials, *servers, &address).await
            }
        }
    }

    async fn look_at_hub(&self, hub: &ModelHub, path: &str) -> Result<Facts, Halt> {
        let halt = |error| self.halt_of_hub(hub, error);
        let answer = hub.model(path, NEWEST).await.map_err(halt)?;
        let repository = Repository::read(&answer)
            .map_err(|error| Halt::Silent(format!("its answer is not understood ({error})")))?;
        if !repository.may_be_adapter() {
            let message = format!("{path} has no {ADAPTER_CONFIG}, so it is no adapter");
            return Err(Halt::Bad(Bad::not_found(message)));
        }
        if self.engine == Engine::VLLM && !repository.may_have_adapter_weights() {
            let message = format!("{path} has no weights ({})", ADAPTER_WEIGHTS.join(", "));
            return Err(Halt::Bad(Bad::not_found(message)));
        }
        let revision = repository.sha;
        let commit = revision.as_deref().unwrap_or(NEWEST);
        let file = hub.file(path, commit, ADAPTER_CONFIG).await.map_err(halt)?;
        Ok(Facts {
            config: AdapterConfig::read(&file),
            revision,
        })
    }

    fn halt_of_hub(&self, hub: &ModelHub, error: HubError) -> Halt {
        match error {
            // Of a private one, a hub says to those whom it does not know that there is none.
            HubError::NotFound(said) | HubError::Denied(said) if self.is_token_unknown => Halt::Silent(said),
            HubError::NotFound(said) => Halt::Bad(Bad::not_found(format!("{hub} has none ({said})"))),
            HubError::Denied(said) => Halt::Bad(Bad::not_found(format!(
                "{hub} does not give it to this job ({said}): name a token that may read it by spec.server.hfTokenSecretRef"
            ))),
            HubError::Unreachable(said) => Halt::Silent(said),
        }
    }

    fn unknown(&self, said: &str) -> String {
        let who = match &self.origin {
            Origin::Hub(hub) => hub.to_string(),
            Origin::Store { .. } => "the store".to_owned(),
        };
        format!("{who} could not be asked of the adapters, which are left to the servers: {said}")
    }
}

fn servers_keys(environment: &[(String, String)]) -> ServersKeys {
    let prefix = Side::Adapters.env_prefix();
    if environment.iter().any(|(name, _)| name.starts_with(prefix)) {
        return ServersKeys::Same;
    }
    ServersKeys::Unknown
}

/// Of a folder, `adapter_config.json` tells; llama-server has a single file. A refusal is the servers' only where they have the same keys.
async fn look_in_store(
    engine: Engine,
    credentials: &Credentials,
    servers: ServersKeys,
    address: &str,
) -> Result<Facts, Halt> {
    let (folder, file) = match address.rsplit_once('/') {
        Some(parts) if engine == Engine::LlamaCpp => parts,
        _ => (address, ADAPTER_CONFIG),
    };
    let silent = |error: &dyn std::error::Error| Halt::Silent(chain(error));
    let uri = StoreUri::parse_prefix(folder).map_err(|error| silent(&error))?;
    let store = open_output(&uri, credentials, None).map_err(|error| silent(&error))?;
    let found = if engine == Engine::LlamaCpp {
        store.size(file).await.map(|size| size.map(|_| Bytes::new()))
    } else {
        store.read(file).await
    };
    match found {
        Ok(Some(config)) => Ok(Facts {
            config: AdapterConfig::read(&config),
            revision: None,
        }),
        Ok(None) => Err(Halt::Bad(Bad::not_found(format!(
            "`{}` is not there",
            store.uri_of(file)
        )))),
        // LoRAX is led on to the bucket's region by boto3 (botocore, `utils.py`, `S3RegionRedirectorv2`).
        Err(error) if engine == Engine::LoRAX && error.is_in_other_region() => Err(silent(&error)),
        Err(error @ (storage::Error::AccessDenied { .. } | storage::Error::BucketNotFound { .. }))
            if servers == ServersKeys::Same =>
        {
            Err(Halt::Bad(Bad::not_found(chain(&error))))
        }
        Err(error) => Err(silent(&error)),
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
