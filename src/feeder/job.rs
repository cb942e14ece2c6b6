//! What the feeder takes from the job.

use kube::ResourceExt;

use k8s_openapi::jiff::Timestamp;

use crate::api::adapters::OnAdapterError;
use crate::api::dataset::InvalidRows;
use crate::api::output::{IfExists, MOST_ROWS_IN_CONFIG_MAP, OutputPlace};
use crate::api::prices::Prices;
use crate::api::reason::Reason;
use crate::api::row_policy::RowPolicy;
use crate::api::server::ServerSpec;
use crate::api::status::Resolved;
use crate::api::{BatchInferenceJob, Engine};
use crate::dataset::{Index, ModelNames};
use crate::engine::{AcceptedNames, AdapterNames, BaseModel, EndpointUrl, Version};
use crate::results::{Adapter, JobReference, Work};

use super::budget::TokenBudget;
use super::report::End;
use super::trouble::chain;

/// A job, as far as its rows are concerned.
#[derive(Clone, Debug)]
pub struct Job {
    /// Which job.
    pub reference: JobReference,
    /// The data set's place, in words.
    pub dataset_uri: String,
    /// By what answers are judged.
    pub engine: Engine,
    /// The version of the servers' image.
    pub version: Version,
    /// The model, as its engine is told.
    pub model: String,
    /// `spec.server.revision`.
    pub revision: Option<String>,
    /// Whether servers that start at different times may load different commits.
    pub may_mix_commits: bool,
    /// The name that rows are sent with.
    pub served_model_name: String,
    /// The names by which rows may call the model.
    pub accepted_names: Vec<String>,
    /// `spec.server.quantization`.
    pub quantization: Option<String>,
    /// The adapters that rows may name, if they may name any.
    pub adapters: Option<JobAdapters>,
    /// Where rows go that do not go to servers of the job's own.
    pub endpoint: Option<EndpointUrl>,
    /// When a row is given up, and when the job is.
    pub row_policy: RowPolicy,
    /// What it may use up of tokens.
    pub token_budget: TokenBudget,
    /// What tokens and devices cost, if that is known.
    pub prices: Option<Prices>,
    /// `spec.dataset.invalidRows`.
    pub invalid_rows: InvalidRows,
    /// `spec.output.ifExists`.
    pub if_exists: IfExists,
    /// A data set of more rows has results that do not fit where they go.
    pub most_rows: Option<u64>,
    /// When the operator took it up.
    pub started_at: Timestamp,
}

/// The adapters that rows of a job may name.
#[derive(Clone, Debug)]
pub struct JobAdapters {
    /// By which names, and where each is.
    pub names: AdapterNames,
    /// What becomes of rows whose adapter cannot be used.
    pub on_error: OnAdapterError,
}

/// Whether there are several servers, of which each asks the hub for the newest commit: llama-server cannot be told one.
fn may_mix_commits(server: &ServerSpec, resolved: &Resolved) -> bool {
    let asks_hub = resolved.engine == Engine::LlamaCpp && !resolved.model.starts_with('/');
    asks_hub && server.model_cache.is_none() && server.replicas.is_some_and(|replicas| replicas > 1)
}

impl Job {
    /// Reads a job that the controller has resolved. `dataset_uri` is where its data set was found, in words.
    ///
    /// # Errors
    ///
    /// [`End`]: the spec cannot be run. The controller refuses such a job before it starts a feeder, unless the two are of
    /// different versions.
    pub fn new(job: &BatchInferenceJob, resolved: &Resolved, dataset_uri: &str) -> Result<Self, End> {
        let filled = resolved.server.as_ref().map(|filled| &*filled.0);
        let server = filled.or(job.spec.server.as_ref());
        let invalid = |error: &dyn std::error::Error| End::new(Reason::SpecInvalid, chain(error));
        let written = server.map_or(&resolved.model, |server| &server.base_model);
        let more_names = server.map_or(&[][..], |server| &server.served_model_names);
        let model = BaseModel::resolved(resolved.engine, written, &resolved.model);
        let names = AcceptedNames::new(&model, more_names).map_err(|error| invalid(&error))?;
        let mut accepted_names = names.as_slice().to_vec();
        for name in [&resolved.served_model_name, &resolved.model] {
            if !accepted_names.contains(name) {
                accepted_names.push(name.clone());
            }
        }
        let started = job
            .status
            .as_ref()
            .and_then(|status| status.controller.start_time.as_ref());
        let started = started.or(job.metadata.creation_timestamp.as_ref());
        Ok(Self {
            reference: JobReference {
                namespace: job.namespace().unwrap_or_default(),
                name: job.name_any(),
                uid: job.uid().unwrap_or_default(),
            },
            dataset_uri: dataset_uri.to_owned(),
            engine: resolved.engine,
            version: Version::of(resolved.engine, &resolved.image),
            model: resolved.model.clone(),
            revision: server.and_then(|server| server.revision.clone()),
            may_mix_commits: server.is_some_and(|server| may_mix_commits(server, resolved)),
            served_model_name: resolved.served_model_name.clone(),
            accepted_names,
            quantization: server.and_then(|server| server.quantization.clone()),
            adapters: server
                .and_then(|server| server.adapters.clone())
                .map(|adapters| JobAdapters {
                    on_error: adapters.on_error,
                    names: AdapterNames::new(adapters),
                }),
            endpoint: endpoint(job)?,
            row_policy: job.spec.row_policy.clone().unwrap_or_default(),
            token_budget: token_budget(job, resolved.prices.as_ref()),
            prices: resolved.prices.clone(),
            invalid_rows: job.spec.dataset.invalid_rows,
            if_exists: job.spec.output.if_exists,
            most_rows: most_rows(job),
            started_at: started.map_or_else(Timestamp::now, |time| time.0),
        })
    }

    /// The names as inspection takes them.
    #[must_use]
    pub fn model_names(&self) -> ModelNames {
        let adapters = self.adapters.as_ref().map(|adapters| adapters.names.clone());
        ModelNames::new(self.accepted_names.iter().cloned()).with_adapters(adapters)
    }

    /// The end of the job, if the results of so many rows cannot fit where they go: that is known before anything costs.
    #[must_use]
    pub fn too_many(&self, rows: u64) -> Option<End> {
        let most = self.most_rows.filter(|most| rows > *most)?;
        let message = format!(
            "the data set has {rows} rows, and a ConfigMap takes the results of at most {most}: name a store or a claim in \
             spec.output.uri and create the job again"
        );
        Some(End::new(Reason::ResultsTooLarge, message))
    }

    /// What shapes this job's rows; of the model it is the revision that servers are told.
    #[must_use]
    pub fn work(&self, index: &Index, revision: Option<String>) -> Work {
        Work {
            dataset_sha256: <[u8; 32]>::from(index.sha256).into(),
            model: self.model.clone(),
            revision,
            quantization: self.quantization.clone(),
            adapters: self.adapters_of(index),
        }
    }

    /// The adapters that rows name, by name, each with where it is.
    fn adapters_of(&self, index: &Index) -> Vec<Adapter> {
        let Some(adapters) = &self.adapters else {
            return Vec::new();
        };
        let named = index.adapters.iter().map(|adapter| Adapter {
            name: adapter.name.clone(),
            revision: None,
            location: adapters
                .names
                .path(&adapter.name)
                .map(|path| format!("{}:{path}", adapters.names.source())),
        });
        named.collect()
    }
}

fn endpoint(job: &BatchInferenceJob) -> Result<Option<EndpointUrl>, End> {
    let Some(endpoint) = &job.spec.endpoint else {
        return Ok(None);
    };
    let url = endpoint.url.parse::<EndpointUrl>();
    url.map(Some)
        .map_err(|error| End::new(Reason::SpecInvalid, format!("spec.endpoint.url {error}")))
}

fn token_budget(job: &BatchInferenceJob, prices: Option<&Prices>) -> TokenBudget {
    let budget = job.spec.budget.clone().unwrap_or_default();
    TokenBudget {
        most: budget.max_total_tokens.and_then(|most| u64::try_from(most).ok()),
        most_cost: budget.max_token_cost.zip(prices.cloned()),
    }
}

fn most_rows(job: &BatchInferenceJob) -> Option<u64> {
    let is_config_map = matches!(job.spec.output.place(), OutputPlace::ConfigMap(_));
    is_config_map.then_some(MOST_ROWS_IN_CONFIG_MAP)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn several_llama_servers_that_ask_the_hub_may_mix_commits() {
        let cache = json!({"persistentVolumeClaim": {"claimName": "models"}});
        for (engine, model, replicas, cache, expected) in [
            (Engine::LlamaCpp, "org/m", 2, Value::Null, true),
            (Engine::LlamaCpp, "org/m", 1, Value::Null, false),
            (Engine::LlamaCpp, "org/m", 2, cache, false),
            (Engine::LlamaCpp, "/m.gguf", 2, Value::Null, false),
            (Engine::VLLM, "org/m", 2, Value::Null, false),
        ] {
            let server = json!({"engine": engine, "baseModel": model, "replicas": replicas, "modelCache": cache});
            let server: ServerSpec = serde_json::from_value(server.clone()).expect("a server");
            let resolved = Resolved {
                engine,
                model: model.to_owned(),
                ..Resolved::default()
            };
            assert_eq!(may_mix_commits(&server, &resolved), expected, "{server:?}");
        }
    }
}
