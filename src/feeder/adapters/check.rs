//! What the hub says of adapters, before any server is there.

use futures::StreamExt;
use futures::stream::FuturesOrdered;

use crate::api::Engine;
use crate::api::adapters::AdapterSource;
use crate::api::reason::Reason;
use crate::engine::adapters::AdapterConfig;
use crate::engine::repository::{ADAPTER_CONFIG, Repository};
use crate::feeder::job::Job;
use crate::feeder::model::{NEWEST, is_offline};
use crate::feeder::report::End;
use crate::feeder::trouble::chain;
use crate::storage::{Credentials, HubError, ModelHub, Side};

use super::{Bad, Known};

/// Asked for at a time.
const AT_ONCE: usize = 8;

/// How the hub is asked of a job's adapters.
#[derive(Clone, Debug)]
pub struct AdapterCheck {
    hub: ModelHub,
    engine: Engine,
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
        let environment: Vec<_> = environment.into_iter().collect();
        let source = job.adapters.as_ref().map(|adapters| adapters.names.source());
        if source != Some(AdapterSource::Hub) || is_offline(&environment) {
            return Ok(None);
        }
        let credentials = Credentials::from_env(Side::Model, environment);
        let hub = ModelHub::open(&credentials).map_err(|error| End::new(Reason::SpecInvalid, chain(&error)))?;
        Ok(Some(Self {
            hub,
            engine: job.engine,
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
        let problem = facts.config.problem(self.engine).map(Bad::not_loaded);
        Known {
            revision: facts.revision,
            rank: facts.config.rank(),
            bad: adapter.bad.or(problem),
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
        let path = &adapter.path;
        let answer = self.hub.model(path, NEWEST).await.map_err(|error| self.halt(error))?;
        let repository = Repository::read(&answer)
            .map_err(|error| Halt::Silent(format!("its answer is not understood ({error})")))?;
        if !repository.may_be_adapter() {
            let message = format!("{path} has no {ADAPTER_CONFIG}, so it is no adapter");
            return Err(Halt::Bad(Bad::not_found(message)));
        }
        let revision = repository.sha;
        let commit = revision.as_deref().unwrap_or(NEWEST);
        let file = self.hub.file(path, commit, ADAPTER_CONFIG).await;
        let file = file.map_err(|error| self.halt(error))?;
        Ok(Facts {
            config: AdapterConfig::read(&file),
            revision,
        })
    }

    fn halt(&self, error: HubError) -> Halt {
        let hub = &self.hub;
        match error {
            HubError::NotFound(said) => Halt::Bad(Bad::not_found(format!("{hub} has none ({said})"))),
            HubError::Denied(said) => Halt::Bad(Bad::not_found(format!(
                "{hub} does not give it to this job ({said}): name a token that may read it by spec.server.hfTokenSecretRef"
            ))),
            HubError::Unreachable(said) => Halt::Silent(said),
        }
    }

    fn unknown(&self, said: &str) -> String {
        format!(
            "{} could not be asked of the adapters, which are left to the servers: {said}",
            self.hub
        )
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
