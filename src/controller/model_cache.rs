//! `spec.server.modelCache`: a claim that is filled before servers exist. Whether it can be used, whether it is filled, and what servers are
//! told then. Pure, a part of [`super::validate`] and [`super::decide`].

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, EnvVar, PersistentVolumeClaim, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::children::{Workloads, has_completed, has_ended};
use super::decide::{Decision, View};
use super::evicted::why_evicted;
use super::pod_missing::pod_due;
use super::pod_state::has_container_succeeded;
use super::rejected::why_rejected;
use super::server_conflicts::names;
use super::validate::ValidatedJob;
use super::waiting::{Program, why_pods_wait};
use crate::api::adapters::AdapterSource;
use crate::api::model_cache::{ModelCacheState, ModelCacheStatus};
use crate::api::names::FEEDER_CONTAINER;
use crate::api::reason::Reason;
use crate::api::server::ServerSpec;
use crate::api::status::Resolved;
use crate::api::wait::Wait;
use crate::api::{BatchInferenceJob, Engine};
use crate::engine::model_cache::{self, conflict, conflict_in_installation, conflict_in_template};
use crate::engine::{BaseModel, Location};

/// Access modes by which several nodes, or one, can write to a volume
/// (<https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes>).
const SHARED: &str = "ReadWriteMany";
const BY_ONE_NODE: [&str; 2] = ["ReadWriteOnce", "ReadWriteOncePod"];

/// The name of the claim that a job's model is kept on.
#[must_use]
pub(super) fn claim_name(job: &BatchInferenceJob) -> Option<&str> {
    let cache = job.spec.server.as_ref()?.model_cache.as_ref()?;
    Some(&cache.persistent_volume_claim.claim_name)
}

/// The claim that is to be read for a job; none once it was.
#[must_use]
pub(super) fn claim_to_read(job: &BatchInferenceJob) -> Option<&str> {
    let status = job.status.as_ref();
    let is_resolved = status.is_some_and(|status| status.controller.resolved.is_some());
    claim_name(job).filter(|_| !is_resolved)
}

/// Refuses a cache that nobody would read. Beside the job's own variables, those count of the template's container `server` and of the
/// `installation`.
pub(super) fn refuse(
    server: &ServerSpec,
    model: &BaseModel,
    container: Option<&Container>,
    installation: &[EnvVar],
) -> Result<(), Wait> {
    if server.model_cache.is_none() {
        return Ok(());
    }
    let refuse = |what: String| {
        Err(Wait::new(
            Reason::SpecInvalid,
            format!("spec.server.modelCache: {what}"),
        ))
    };
    match model.location() {
        _ if server.engine == Engine::Custom => refuse(
            "the operator does not know where engine Custom reads its model: leave modelCache out, and mount the claim by \
             spec.server.podTemplate"
                .into(),
        ),
        Location::Path(path) | Location::Server(path) => {
            refuse(format!("baseModel is the path {path:?}, and nothing is downloaded: leave modelCache out"))
        }
        Location::Repository(_) if has_adapters_of_hub(server) => Err(Wait::new(
            Reason::AdaptersUnsupported,
            "servers with spec.server.modelCache ask no hub, and spec.server.adapters has source Hub: leave modelCache out, or have \
             adapters by source S3 or Local",
        )),
        Location::Repository(repository) => {
            let found = conflict(server.engine, repository, &server.args, &names(&server.env));
            let of_template = container.and_then(|container| container.env.as_deref());
            let of_template = names(of_template.unwrap_or_default());
            let found = found.or_else(|| conflict_in_template(server.engine, &of_template));
            match found.or_else(|| conflict_in_installation(server.engine, &names(installation))) {
                Some(conflict) => Err(Wait::new(Reason::EngineFieldConflict, conflict.to_string())),
                None => Ok(()),
            }
        }
    }
}

fn has_adapters_of_hub(server: &ServerSpec) -> bool {
    let adapters = server.adapters.as_ref();
    adapters.is_some_and(|adapters| adapters.source == AdapterSource::Hub)
}

/// The job, if its claim can be used as it wants to: of one that was not taken up yet, by the claim as it is now.
///
/// # Errors
/// [`Reason::ClaimMissing`] while there is no such claim; [`Reason::ModelCacheUnsuitable`] when it cannot be mounted like that.
pub(super) fn accepted(
    mut validated: ValidatedJob,
    claim: Option<&PersistentVolumeClaim>,
) -> Result<ValidatedJob, Wait> {
    let Some(name) = claim_to_read(&validated.job).map(str::to_owned) else {
        return Ok(validated);
    };
    let Some(claim) = claim else {
        let message = format!("persistentvolumeclaim \"{name}\" of spec.server.modelCache not found");
        return Err(Wait::new(Reason::ClaimMissing, message));
    };
    let servers = validated.servers.as_ref();
    let replicas = servers.and_then(|servers| servers.spec.replicas).unwrap_or(1);
    let most = most_replicas(&name, claim)?;
    if let Some(most) = most.filter(|most| replicas > *most) {
        let message = format!(
            "claim {name} has access mode {}, so that {most} server can mount it, and spec.server.replicas is {replicas}",
            modes(claim).join(", ")
        );
        return Err(Wait::new(Reason::ModelCacheUnsuitable, message));
    }
    validated.resolved.most_replicas = most;
    Ok(validated)
}

/// How many servers can mount a claim, where that is a number.
fn most_replicas(name: &str, claim: &PersistentVolumeClaim) -> Result<Option<i32>, Wait> {
    let unsuitable = |what: &str| Err(Wait::new(Reason::ModelCacheUnsuitable, format!("claim {name} {what}")));
    let volume_mode = claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref());
    if volume_mode == Some("Block") {
        return unsuitable("is a block device (volumeMode Block), and files are kept on it");
    }
    let modes = modes(claim);
    if modes.iter().any(|mode| mode == SHARED) {
        return Ok(None);
    }
    if modes.iter().any(|mode| BY_ONE_NODE.contains(&mode.as_str())) {
        return Ok(Some(1));
    }
    unsuitable("cannot be written: its access mode is ReadOnlyMany")
}

/// Those of the volume, where the claim has one, else those that it asks for.
fn modes(claim: &PersistentVolumeClaim) -> Vec<String> {
    let has = claim.status.as_ref().and_then(|status| status.access_modes.clone());
    let asks = || claim.spec.as_ref().and_then(|spec| spec.access_modes.clone());
    has.filter(|modes| !modes.is_empty()).or_else(asks).unwrap_or_default()
}

/// What the pod reports that fills the cache.
pub(super) fn reported(job: &BatchInferenceJob) -> Option<&ModelCacheStatus> {
    job.status.as_ref()?.cached.model_cache.as_ref()
}

/// The same, when everything is there.
pub(super) fn ready(job: &BatchInferenceJob) -> Option<&ModelCacheStatus> {
    reported(job).filter(|cache| cache.state == ModelCacheState::Ready)
}

/// The commit that is in the cache.
pub(super) fn commit(job: &BatchInferenceJob) -> Option<&str> {
    ready(job)?.revision.as_deref()
}

/// What was resolved, with the file of the cache in llama-server's arguments. Other engines find their model by its name.
pub(super) fn pinned(mut resolved: Resolved, job: &BatchInferenceJob) -> Resolved {
    let Some(cache) = ready(job).filter(|_| resolved.engine == Engine::LlamaCpp) else {
        return resolved;
    };
    let (Some(commit), Some(file)) = (&cache.revision, &cache.file) else {
        return resolved;
    };
    let path = |file: &String| model_cache::path(&resolved.model, commit, file);
    let (model, projector) = (path(file), cache.projector.as_ref().map(path));
    resolved.args = model_cache::with_file(resolved.args, &model, projector.as_deref());
    resolved
}

/// Whether the Job that fills the cache is to go. One that has ended without having said how is made anew; on the word of one that has
/// filled the cache servers are made, so it stays until they are there.
pub(super) fn is_over(filler: &Job, decision: &Decision, found: &Workloads) -> bool {
    if decision.fills_model_cache {
        return has_ended(filler);
    }
    decision.servers.is_none() || found.servers.is_some()
}

impl View<'_> {
    /// Whether servers, which are needed, wait for their model. Those that run have it. For new ones the status alone is not enough: it may
    /// be of the time before a suspension, since when somebody has cleared the claim. A full claim is looked through in a moment.
    pub(super) fn waits_for_model_cache(&self) -> bool {
        let Workloads {
            model_cache, servers, ..
        } = &self.observed.workloads;
        if claim_name(self.job).is_none() || servers.is_some() {
            return false;
        }
        let has_looked = |filler| has_completed(filler) || self.is_filler_done(filler);
        ready(self.job).is_none() || !model_cache.as_ref().is_some_and(has_looked)
    }

    /// Whether the container has ended well that fills the cache. Others beside it, of a person's template, may go on, and the Job with them.
    fn is_filler_done(&self, filler: &Job) -> bool {
        let uid = filler.metadata.uid.as_deref();
        let is_of_filler = |pod: &&Pod| {
            let mut owners = pod.metadata.owner_references.iter().flatten();
            owners.any(|owner| Some(owner.uid.as_str()) == uid)
        };
        let mut pods = self.observed.model_cache_pods.iter().filter(is_of_filler);
        pods.any(|pod| has_container_succeeded(pod, FEEDER_CONTAINER))
    }

    /// Why the cache cannot be filled.
    pub(super) fn model_cache_failure(&self) -> Option<Wait> {
        let cache = reported(self.job).filter(|cache| cache.state == ModelCacheState::Failed)?;
        let reason = cache.reason.as_deref().and_then(Reason::parse);
        let message = cache.message.clone().unwrap_or_default();
        Some(Wait::new(reason.unwrap_or(Reason::ModelCacheUnsuitable), message))
    }

    /// What the model is waited for.
    pub(super) fn model_cache_wait(&self) -> Wait {
        let pods = &self.observed.model_cache_pods;
        why_pods_wait(Program::ModelCache, pods)
            .or_else(|| why_rejected(pods))
            .or_else(|| why_evicted(pods))
            .or_else(|| self.model_cache_pod_missing())
            .unwrap_or_else(|| self.model_cache_progress())
    }

    /// That the Job that fills the cache has no pod, where it should have one.
    fn model_cache_pod_missing(&self) -> Option<Wait> {
        self.model_cache_pod_due().filter(|due| *due <= self.now)?;
        let name = self.observed.workloads.model_cache.as_ref()?.name_any();
        Some(Wait::new(
            Reason::ModelCachePodMissing,
            format!("Job {name} has no pod"),
        ))
    }

    /// Until when that Job, which has none, is to have a pod.
    pub(super) fn model_cache_pod_due(&self) -> Option<Timestamp> {
        let job = self.observed.workloads.model_cache.as_ref()?;
        pod_due(job, &self.observed.model_cache_pods, None)
    }

    fn model_cache_progress(&self) -> Wait {
        let claim = claim_name(self.job).unwrap_or_default();
        let Some(cache) = reported(self.job) else {
            let message = format!("the pod is starting that brings the model to the claim {claim}");
            return Wait::new(Reason::ModelCaching, message);
        };
        let there = match cache.total_bytes {
            Some(total) => format!("{} of {total} bytes of the model are on the claim {claim}", cache.bytes),
            None => format!("the hub is asked what the model has that comes to the claim {claim}"),
        };
        let reason = cache.reason.as_deref().and_then(Reason::parse);
        match (reason, &cache.message) {
            (Some(reason), Some(message)) => Wait::new(reason, format!("{message}; {there}")),
            _ => Wait::new(Reason::ModelCaching, there),
        }
    }

    /// What is said where a job has fewer servers than it asks for.
    pub(super) fn fewer_replicas(&self) -> Option<String> {
        let most = self.most_replicas()?;
        let asked = self.job.spec.server.as_ref()?.replicas.filter(|asked| *asked > most)?;
        let claim = claim_name(self.job)?;
        Some(format!(
            "spec.server.replicas is {asked}, and the claim {claim} can be mounted by {most} server only"
        ))
    }

    /// The most servers that there may be.
    pub(super) fn most_replicas(&self) -> Option<i32> {
        let resolved = self.job.status.as_ref()?.controller.resolved.as_ref()?;
        resolved.most_replicas
    }
}

#[cfg(test)]
#[path = "model_cache_tests.rs"]
mod tests;
