//! What comes of a job, an hour after it was taken up: by the operator's own steps, without a cluster.

use std::collections::{BTreeMap, BTreeSet};

use batch_inference_operator::api::BatchInferenceJob;
use batch_inference_operator::api::model_cache::{ModelCacheState, ModelCacheStatus};
use batch_inference_operator::api::status::{AdapterStatus, AdaptersStatus};
use batch_inference_operator::controller::build::build;
use batch_inference_operator::controller::children::{Children, Workloads};
use batch_inference_operator::controller::decide::{Decision, FeederWanted, decide};
use batch_inference_operator::controller::dereference::Observed;
use batch_inference_operator::controller::expiry::expires_at;
use batch_inference_operator::controller::from_deployment::{filled, source_to_read};
use batch_inference_operator::controller::settings::Settings;
use batch_inference_operator::controller::validate::{ValidatedJob, validate};
use batch_inference_operator::feeder;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::core::cel::{ErrorKind, ValidationErrors};
use serde_json::{Value, json};

const STARTED: &str = "2027-01-15T08:00:00Z";
const NOW: &str = "2027-01-15T09:00:00Z";

/// What comes of a job that is not refused.
pub struct Outcome {
    /// Its children, and `rows`: what its feeder runs them by.
    parts: BTreeMap<&'static str, Value>,
    /// What it comes to in place of running.
    pub becomes: Option<String>,
}

impl Outcome {
    /// Of a job with this spec, whose rows are sent.
    ///
    /// # Errors
    /// The refusal, in words.
    pub fn of(spec: &Value) -> Result<Self, String> {
        let mut job = job(spec)?;
        refuse_by_rules(&job)?;
        let settings = settings();
        let source = source_to_read(&job).and_then(|source| deployment(&source.deployment.name));
        let checked = |job: &BatchInferenceJob| {
            let validated = filled(job, source.as_ref(), &settings).and_then(|job| validate(&job, &settings));
            validated.map_err(|wait| wait.message)
        };
        let resolved = checked(&job)?.resolved;
        job.status.get_or_insert_default().controller.resolved = Some(resolved);
        // As it is seen again later: what the feeder found goes into what was resolved.
        let validated = checked(&job)?;
        let observed = Observed::default();
        let decision = decide(&job, Ok(&validated), &observed, &settings, at(NOW));
        let mut children = build(&validated, &decision, &settings, &observed.workloads);
        // Servers wait for a model cache.
        if decision.fills_model_cache {
            children.workloads.servers = servers_once_cached(&job, &validated, &settings);
        }
        let rows = feeder::Job::new(&job, &validated.resolved, "the data set").map_err(|end| end.message)?;
        let mut parts = by_name(&children);
        parts.insert("rows", format!("{rows:?}").into());
        Ok(Self {
            parts,
            becomes: becomes(&job, &decision),
        })
    }

    /// The names of what is another than it was.
    pub fn changes_since(&self, before: &Self) -> BTreeSet<String> {
        let parts = self.parts.iter().filter(|(name, part)| before.parts[*name] != **part);
        parts.map(|(name, _)| (*name).to_owned()).collect()
    }
}

fn at(time: &str) -> Timestamp {
    time.parse().expect("a time")
}

/// A job whose servers have held a device for an hour in all, and whose rows name one adapter.
fn job(spec: &Value) -> Result<BatchInferenceJob, String> {
    let mut job: BatchInferenceJob = serde_json::from_value(json!({
        "apiVersion": "batchinference.dev/v1alpha1",
        "kind": "BatchInferenceJob",
        "metadata": {"name": "triangles", "namespace": "geometry", "uid": "u-1", "generation": 1},
        "spec": spec,
        "status": {
            "startTime": STARTED,
            "servers": {"replicas": 0, "ready": 0, "endedDeviceSeconds": {"nvidia.com/gpu": 3600}},
            "feeder": {"attempt": 1, "state": "Feeding", "serversNeeded": true},
        },
    }))
    .map_err(|error| error.to_string())?;
    let sql = AdapterStatus {
        name: "sql".into(),
        rows: 1,
        ..AdapterStatus::default()
    };
    job.status.get_or_insert_default().reported.adapters = Some(AdaptersStatus {
        count: 1,
        most_used: vec![sql],
        ..AdaptersStatus::default()
    });
    Ok(job)
}

/// The servers of the same job when the Job that fills its model cache has completed.
fn servers_once_cached(job: &BatchInferenceJob, validated: &ValidatedJob, settings: &Settings) -> Option<Deployment> {
    let complete = json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}});
    let observed = Observed {
        workloads: Workloads {
            model_cache: Some(serde_json::from_value(complete).expect("a Job")),
            ..Workloads::default()
        },
        ..Observed::default()
    };
    let job = with_full_model_cache(job);
    let decision = decide(&job, Ok(validated), &observed, settings, at(NOW));
    build(validated, &decision, settings, &observed.workloads)
        .workloads
        .servers
}

/// The same job when its model is in its cache.
fn with_full_model_cache(job: &BatchInferenceJob) -> BatchInferenceJob {
    let mut job = job.clone();
    let ready = ModelCacheStatus {
        state: ModelCacheState::Ready,
        ..ModelCacheStatus::default()
    };
    job.status.get_or_insert_default().cached.model_cache = Some(ready);
    job
}

/// An installation in which everything that a job may name is there.
fn settings() -> Settings {
    let mut settings = Settings::new("operator:1");
    let profile = json!({"resources": {"limits": {"nvidia.com/gpu": 2}}, "nodeSelector": {"gpu": "l4"}});
    let profile = serde_json::from_value(profile).expect("a profile");
    settings.resource_profiles.insert("l4".into(), profile);
    let price = "2.00".parse().expect("an amount");
    settings.prices.per_gpu_hour.insert("nvidia.com/gpu".into(), price);
    settings
}

/// The Deployments of the job's namespace.
fn deployment(name: &str) -> Option<Deployment> {
    let container = json!({"name": "vllm", "image": "vllm/vllm-openai:v1", "args": ["--model", format!("org/{name}")]});
    let deployment = json!({
        "metadata": {"name": name},
        "spec": {"selector": {}, "template": {"spec": {"containers": [container]}}},
    });
    ["one", "other"]
        .contains(&name)
        .then(|| serde_json::from_value(deployment).expect("a Deployment"))
}

/// What the rules of the definition say against it. One that asks for a type cannot be evaluated outside the API server.
fn refuse_by_rules(job: &BatchInferenceJob) -> Result<(), String> {
    let broken = job.validate_cel().err().map(ValidationErrors::into_vec);
    let mut broken = broken.into_iter().flatten();
    match broken.find(|error| error.kind == ErrorKind::ValidationFailure) {
        Some(error) => Err(error.message),
        None => Ok(()),
    }
}

fn by_name(children: &Children) -> BTreeMap<&'static str, Value> {
    [
        ("ServiceAccount", json!(children.service_account)),
        ("Role", json!(children.role)),
        ("RoleBinding", json!(children.role_binding)),
        ("NetworkPolicy", json!(children.network_policy)),
        ("Service", json!(children.service)),
        ("feeder", json!(children.workloads.feeder)),
        ("model cache", json!(children.workloads.model_cache)),
        ("servers", json!(children.workloads.servers)),
    ]
    .into()
}

fn becomes(job: &BatchInferenceJob, decision: &Decision) -> Option<String> {
    if let Some(stopping) = &decision.stopping {
        return Some(format!("{:?} ({:?})", stopping.reason, stopping.mode));
    }
    if decision.feeder == FeederWanted::Suspend {
        return Some("Suspended".into());
    }
    let mut ended = job.clone();
    let status = ended.status.get_or_insert_default();
    status.controller.completion_time = Some(Time(at(STARTED)));
    let is_over = expires_at(&ended).is_some_and(|expiry| expiry <= at(NOW));
    is_over.then(|| "Deleted".into())
}
