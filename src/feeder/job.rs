//! What the feeder takes from the job.

use kube::ResourceExt;

use k8s_openapi::jiff::Timestamp;

use crate::api::dataset::InvalidRows;
use crate::api::output::IfExists;
use crate::api::reason::Reason;
use crate::api::row_policy::RowPolicy;
use crate::api::status::Resolved;
use crate::api::{BatchInferenceJob, Engine};
use crate::dataset::{ModelNames, Sha256Digest};
use crate::engine::{AcceptedNames, BaseModel, EndpointUrl};
use crate::results::{JobReference, Work};

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
    /// The model, as its engine is told.
    pub model: String,
    /// The name that rows are sent with.
    pub served_model_name: String,
    /// The names by which rows may call the model.
    pub accepted_names: Vec<String>,
    /// `spec.server.quantization`.
    pub quantization: Option<String>,
    /// Where rows go that do not go to servers of the job's own.
    pub endpoint: Option<EndpointUrl>,
    /// When a row is given up, and when the job is.
    pub row_policy: RowPolicy,
    /// `spec.budget.maxTotalTokens`.
    pub max_total_tokens: Option<u64>,
    /// `spec.dataset.invalidRows`.
    pub invalid_rows: InvalidRows,
    /// `spec.output.ifExists`.
    pub if_exists: IfExists,
    /// When the operator took it up.
    pub started_at: Timestamp,
}

impl Job {
    /// Reads a job that the controller has resolved.
    ///
    /// # Errors
    ///
    /// [`End`]: the spec cannot be run. The controller refuses such a job before it starts a feeder, unless the two are of
    /// different versions.
    pub fn new(job: &BatchInferenceJob, resolved: &Resolved) -> Result<Self, End> {
        let filled = resolved.server.as_ref().map(|filled| &filled.0);
        let server = filled.or(job.spec.server.as_ref());
        let invalid = |error: &dyn std::error::Error| End::new(Reason::SpecInvalid, chain(error));
        let written = server.map_or(&resolved.model, |server| &server.base_model);
        let more_names = server.map_or(&[][..], |server| &server.served_model_names);
        let model = BaseModel::read(resolved.engine, written).map_err(|error| invalid(&error))?;
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
            dataset_uri: dataset_uri(job),
            engine: resolved.engine,
            model: resolved.model.clone(),
            served_model_name: resolved.served_model_name.clone(),
            accepted_names,
            quantization: server.and_then(|server| server.quantization.clone()),
            endpoint: endpoint(job)?,
            row_policy: job.spec.row_policy.clone().unwrap_or_default(),
            max_total_tokens: max_total_tokens(job),
            invalid_rows: job.spec.dataset.invalid_rows,
            if_exists: job.spec.output.if_exists,
            started_at: started.map_or_else(Timestamp::now, |time| time.0),
        })
    }

    /// The names as inspection takes them.
    #[must_use]
    pub fn model_names(&self) -> ModelNames {
        ModelNames::new(self.accepted_names.iter().cloned())
    }

    /// What shapes this job's rows.
    #[must_use]
    pub fn work(&self, dataset: Sha256Digest) -> Work {
        Work {
            dataset_sha256: <[u8; 32]>::from(dataset).into(),
            model: self.model.clone(),
            revision: None,
            quantization: self.quantization.clone(),
            adapters: Vec::new(),
        }
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

fn max_total_tokens(job: &BatchInferenceJob) -> Option<u64> {
    let most = job.spec.budget.as_ref()?.max_total_tokens?;
    u64::try_from(most).ok()
}

/// The data set's place as messages and the manifest name it.
#[must_use]
pub fn dataset_uri(job: &BatchInferenceJob) -> String {
    let dataset = &job.spec.dataset;
    if let Some(uri) = &dataset.uri {
        return uri.clone();
    }
    match &dataset.config_map {
        Some(reference) => format!("key {} of ConfigMap {}", reference.key, reference.name),
        None => "spec.dataset.inline".to_owned(),
    }
}
