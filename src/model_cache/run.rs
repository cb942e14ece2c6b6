//! The filling of one job's model cache as a process: what it needs of Kubernetes, around `fill`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::error::{Meaning, Of};
use super::fill::{Filler, Wanted};
use super::lock::{Holder, RHYTHM};
use super::meter::Meter;
use super::status::{ApiError, JobApi, Telling};
use crate::api::BatchInferenceJob;
use crate::api::names::MODEL_TOKEN_UNKNOWN_ENV;
use crate::api::reason::Reason;
use crate::api::wait::Wait;
use crate::engine::ModelLimits;
use crate::engine::gguf::Choice;
use crate::storage::{Credentials, ModelHub, Side};

/// The branch of a repository where none is named.
const NEWEST: &str = "main";
/// The first pause after a failure; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Exit codes. 143 is what a shell reports of a process that SIGTERM ended.
const DONE: u8 = 0;
const RESTART: u8 = 1;
const INTERRUPTED: u8 = 143;

/// Which job, and where its pod has the claim.
#[derive(Clone, Debug)]
pub struct Arguments {
    /// The job's namespace.
    pub namespace: String,
    /// The job's name.
    pub name: String,
    /// The job's uid: a later job of the same name is another job.
    pub uid: String,
    /// Where the claim is mounted.
    pub directory: PathBuf,
    /// The most parameters that the model may have.
    pub max_base_model_parameters: u64,
}

/// Fills the model cache of one job, until everything is there, or never will be: which of the two is in the job's status then. The hub
/// and its token are taken from the process's environment. The exit code.
pub async fn run(arguments: Arguments, client: Client, shutdown: CancellationToken) -> u8 {
    let Arguments {
        namespace, name, uid, ..
    } = &arguments;
    let job = JobApi::new(client, namespace, name, uid);
    Box::pin(work(&arguments, &job, &shutdown)).await
}

async fn work(arguments: &Arguments, api: &JobApi, shutdown: &CancellationToken) -> u8 {
    let job = match shutdown.run_until_cancelled(api.read()).await {
        None => return INTERRUPTED,
        Some(Ok(job)) => job,
        Some(Err(ApiError::JobGone)) => return DONE,
        Some(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the job cannot be read");
            return RESTART;
        }
    };
    let Some((wanted, claim)) = wanted(&job) else {
        tracing::error!("the job has no model cache, or was not taken up yet");
        return RESTART;
    };
    let meter = Arc::new(Meter::default());
    let telling = Telling::new(Arc::clone(&meter), earlier_commit(&job));
    let hub = match ModelHub::open(&Credentials::from_env(Side::Model, environment())) {
        Ok(hub) => hub,
        Err(error) => {
            telling.fails(Wait::new(Reason::SpecInvalid, error.to_string()));
            telling.publish(api).await;
            return DONE;
        }
    };
    let limits = limits(&job, arguments.max_base_model_parameters);
    let has_more = environment().any(|(name, _)| name == MODEL_TOKEN_UNKNOWN_ENV);
    let is_token_unknown = has_more && !hub.has_token();
    let Arguments {
        namespace,
        name,
        uid,
        directory,
        ..
    } = arguments;
    let filler = Filler {
        hub,
        volume: directory.clone(),
        wanted,
        limits,
        holder: Holder::new(format!("{namespace}/{name}"), uid.clone()),
        rhythm: RHYTHM,
        meter,
        told: telling,
    };
    let filling = async {
        let of = Of {
            model: &filler.wanted.repository,
            claim: &claim,
            is_token_unknown,
        };
        until_filled(&filler, of).await;
        // What came of it is still to be said.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = filling => DONE,
        () = filler.told.publish(api) => DONE,
        () = shutdown.cancelled() => {
            // Else others wait until it is stale.
            filler.give_back().await;
            INTERRUPTED
        }
    }
}

/// Tries again whatever may pass.
async fn until_filled(filler: &Filler<Telling>, of: Of<'_>) {
    let mut failures = 0;
    loop {
        let before = filler.meter.downloaded();
        let Err(error) = filler.fill().await else {
            tracing::info!(bytes = filler.meter.there(), "the model is in the cache");
            return filler.told.is_ready();
        };
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the model cache is not filled"
        );
        match error.meaning(of) {
            Meaning::Final(why) => return filler.told.fails(why),
            Meaning::Passing(wait) => filler.told.waits(wait),
        }
        let came_further = filler.meter.downloaded() > before;
        failures = if came_further { 1 } else { failures + 1 };
        sleep(pause(failures, rand::random())).await;
    }
}

/// The pause after so many failures, counted from 1; `jitter` is between 0 and 1.
fn pause(failures: u32, jitter: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10));
    doubled.min(LONGEST_PAUSE).mul_f64(0.5 + 0.5 * jitter)
}

/// What a job's servers read, and the name of the claim. None of a job that the controller has not taken up.
fn wanted(job: &BatchInferenceJob) -> Option<(Wanted, String)> {
    let cache = job.spec.server.as_ref()?.model_cache.as_ref()?;
    let status = job.status.as_ref()?;
    let resolved = status.controller.resolved.as_ref()?;
    let told = status.reported.model.as_ref();
    let revision = earlier_commit(job).or_else(|| told?.revision.clone());
    let wanted = Wanted {
        engine: resolved.engine,
        repository: resolved.model.clone(),
        revision: revision
            .or(resolved.revision.clone())
            .unwrap_or_else(|| NEWEST.to_owned()),
        choice: Choice::of(&resolved.args),
    };
    Some((wanted, cache.persistent_volume_claim.claim_name.clone()))
}

/// The commit of an earlier filling for this job: its rows may have answers of it, so it stays.
fn earlier_commit(job: &BatchInferenceJob) -> Option<String> {
    job.status.as_ref()?.cached.model_cache.as_ref()?.revision.clone()
}

/// Which models may be brought; none where one was let in before: what became of the installation since does not end the job.
fn limits(job: &BatchInferenceJob, most_parameters: u64) -> Option<ModelLimits> {
    if earlier_commit(job).is_some() {
        return None;
    }
    let resolved = job.status.as_ref()?.controller.resolved.as_ref()?;
    Some(ModelLimits::of(resolved, most_parameters))
}

/// Variables that are not UTF-8 are none of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(status: serde_json::Value) -> BatchInferenceJob {
        serde_json::from_value(json!({
            "apiVersion": "batchinference.dev/v1alpha1", "kind": "BatchInferenceJob",
            "metadata": {"name": "triangles", "namespace": "geometry"},
            "spec": {
                "dataset": {"inline": ""},
                "server": {"baseModel": "m", "modelCache": {"persistentVolumeClaim": {"claimName": "models"}}},
            },
            "status": status,
        }))
        .expect("a job")
    }

    #[test]
    fn a_commit_that_was_found_goes_before_the_revision_and_stays() {
        let resolved = |revision: serde_json::Value| {
            json!({
                "engine": "LlamaCpp", "image": "i", "model": "org/m", "revision": revision, "servedModelName": "m",
                "args": ["-hf", "org/m:Q8_0"], "resources": {},
            })
        };
        for (status, revision) in [
            (json!({"resolved": resolved(json!(null))}), "main"),
            (json!({"resolved": resolved(json!("v1"))}), "v1"),
            (
                json!({"resolved": resolved(json!("v1")), "model": {"revision": "c0ffee"}}),
                "c0ffee",
            ),
            (
                json!({
                    "resolved": resolved(json!(null)), "model": {"revision": "main"},
                    "modelCache": {"state": "Ready", "revision": "b968826", "bytes": 7},
                }),
                "b968826",
            ),
        ] {
            let (wanted, claim) = wanted(&job(status)).expect("a job that is taken up");
            assert_eq!((wanted.revision.as_str(), claim.as_str()), (revision, "models"));
            assert_eq!(wanted.choice.tag.as_deref(), Some("Q8_0"));
        }
        assert!(wanted(&job(json!({}))).is_none());
    }

    #[test]
    fn a_model_that_was_let_in_once_stays() {
        let resolved = json!({"engine": "VLLM", "image": "i", "model": "org/m", "servedModelName": "m", "args": [], "resources": {}});
        let cached = json!({"state": "Filling", "bytes": 0, "revision": "c0ffee"});
        for (cache, is_judged) in [(json!(null), true), (cached, false)] {
            let job = job(json!({"resolved": resolved.clone(), "modelCache": cache}));
            assert_eq!(limits(&job, 7).is_some(), is_judged);
        }
    }

    #[test]
    fn pauses_grow_to_a_minute() {
        assert_eq!(pause(1, 1.0), Duration::from_secs(1));
        assert_eq!(pause(4, 1.0), Duration::from_secs(8));
        assert_eq!(pause(100, 1.0), Duration::from_mins(1));
        assert_eq!(pause(100, 0.0), Duration::from_secs(30));
    }
}
