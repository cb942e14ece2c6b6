//! Writes children: the only step that does. What is already as wanted is not sent.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;

use super::as_wanted::AsWanted;
use super::cache::Cache;
use super::children::{Children, Kind, has_ended};
use super::decide::{Decision, FeederWanted};
use super::dereference::Observed;
use super::exactly::{delete_exactly, is_outdated, of_uid};
use super::in_the_way::in_the_way;
use super::model_cache;
use super::unchanged::is_unchanged;
use super::waiting::{is_not_admitted, why_refused};
use crate::api::BatchInferenceJob;
use crate::api::reason::Reason;
use crate::api::status::CONTROLLER_FIELD_MANAGER;
use crate::api::wait::Wait;

/// HTTP statuses by which the API server says that an object itself is wrong.
const BAD_REQUEST: u16 = 400;
const UNPROCESSABLE: u16 = 422;
/// HTTP status of an object that is not allowed.
const FORBIDDEN: u16 = 403;
/// HTTP status of a fault of the API server's own, or of an object that server-side apply cannot make sense of.
const INTERNAL_ERROR: u16 = 500;
/// How the message of the latter begins (apiserver, `managedfields/internal/structuredmerge.go` of Kubernetes 1.34).
const NOT_AS_THE_SCHEMA: &str = "failed to create typed patch object";

/// A write that failed for a reason that may pass.
#[derive(Debug, thiserror::Error)]
#[error("failed to {verb} {kind} {namespace}/{name}")]
pub struct ApplyError {
    verb: &'static str,
    kind: String,
    namespace: String,
    name: String,
    source: kube::Error,
}

/// Why not everything could be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It may pass: an old object of the same name, a quota, a policy.
    Waits(Wait),
    /// It never will: the API server finds the object itself wrong.
    Ends(Wait),
}

/// How children are written, and what is known of them.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    /// The API server.
    pub client: &'a Client,
    /// Versions of children.
    pub cache: &'a Cache,
    /// Those that need not be looked at.
    pub as_wanted: &'a AsWanted,
    /// Whose children.
    pub job: &'a BatchInferenceJob,
}

fn apply_params() -> PatchParams {
    PatchParams::apply(CONTROLLER_FIELD_MANAGER).force()
}

/// Why the writing stopped.
enum Stop {
    Obstacle(Obstacle),
    Error(ApplyError),
}

impl Writer<'_> {
    /// Makes the children as wanted. Servers that are no longer needed go first.
    ///
    /// # Errors
    /// When the API server cannot be asked; a refusal by it is an [`Obstacle`], not an error.
    pub async fn apply(
        self,
        wanted: &Children,
        decision: &Decision,
        observed: &Observed,
    ) -> Result<Option<Obstacle>, ApplyError> {
        let found = &observed.workloads;
        let servers = found.servers.as_ref().filter(|_| decision.servers.is_none());
        let feeder = found
            .feeder
            .as_ref()
            .filter(|_| matches!(decision.feeder, FeederWanted::Remove | FeederWanted::Replace));
        let is_over = |filler: &&Job| model_cache::is_over(filler, decision, found);
        let model_cache = found.model_cache.as_ref().filter(is_over);
        self.remove_all(servers, model_cache, feeder).await?;
        match self.make(wanted, observed).await {
            Ok(()) => Ok(None),
            Err(Stop::Obstacle(obstacle)) => Ok(Some(obstacle)),
            Err(Stop::Error(error)) => Err(error),
        }
    }

    /// Removes servers, what fills their model cache, and feeder, where they are given.
    ///
    /// # Errors
    /// When the API server does not do it.
    pub async fn remove_all(
        self,
        servers: Option<&Deployment>,
        model_cache: Option<&Job>,
        feeder: Option<&Job>,
    ) -> Result<(), ApplyError> {
        self.remove(servers, DeleteParams::foreground()).await?;
        self.remove(model_cache, DeleteParams::background()).await?;
        self.remove(feeder, DeleteParams::background()).await
    }

    /// Lets go of servers that are being deleted and wait for a pod on a lost node: others may take their name then. What is left of them
    /// goes when the node does.
    ///
    /// # Errors
    /// When the API server does not do it.
    pub async fn let_go(self, servers: &Deployment) -> Result<(), ApplyError> {
        self.delete(servers, DeleteParams::background()).await
    }

    /// Suspends or resumes a feeder that cannot be built from what its job says by now, and is left as it is besides.
    ///
    /// # Errors
    /// When the API server does not do it.
    pub async fn suspend_or_resume(self, feeder: &Job, wanted: FeederWanted) -> Result<(), ApplyError> {
        let Some(suspend) = other_suspend(feeder, wanted) else {
            return Ok(());
        };
        let name = feeder.name_any();
        let patch = json!({"metadata": {"uid": feeder.uid()}, "spec": {"suspend": suspend}});
        let params = PatchParams {
            field_manager: Some(CONTROLLER_FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        match self.api::<Job>().patch(&name, &params, &Patch::Merge(patch)).await {
            Err(source) if !is_outdated(&source) => Err(self.error::<Job>("suspend or resume", name, source)),
            _ => Ok(()),
        }
    }

    /// Asks the API server, without writing anything, whether it would take these servers: a template that it refuses ends the job
    /// before the data set is even read.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn rehearse(self, servers: &Deployment) -> Result<Option<Obstacle>, ApplyError> {
        let only_try = PatchParams {
            dry_run: true,
            ..apply_params()
        };
        match self.send(servers, &only_try).await {
            // A quota or policy may have changed by the time that servers are needed.
            Ok(_) | Err(Stop::Obstacle(Obstacle::Waits(_))) => Ok(None),
            Err(Stop::Obstacle(obstacle)) => Ok(Some(obstacle)),
            Err(Stop::Error(error)) => Err(error),
        }
    }

    /// The feeder comes after what it needs to run, the servers last.
    async fn make(self, wanted: &Children, observed: &Observed) -> Result<(), Stop> {
        let (found, others) = (&observed.workloads, &observed.others);
        tokio::try_join!(
            self.make_by_version(wanted.service_account.as_ref()),
            self.make_by_version(wanted.role.as_ref()),
            self.make_by_version(wanted.network_policy.as_ref()),
            self.make_by_version(wanted.service.as_ref()),
        )?;
        // The API server looks at the role, to see whether it may be given away.
        self.make_by_version(wanted.role_binding.as_ref()).await?;
        // A feeder that has ended never runs again, whatever is changed in it.
        let may_run = |_: &&_| !found.feeder.as_ref().is_some_and(has_ended);
        if let Some(feeder) = wanted.workloads.feeder.as_ref().filter(may_run) {
            let found = found.feeder.as_ref().or(others.feeder.as_ref());
            self.make_one(feeder, found).await?;
        }
        let may_fill = |_: &&_| !found.model_cache.as_ref().is_some_and(has_ended);
        if let Some(model_cache) = wanted.workloads.model_cache.as_ref().filter(may_fill) {
            let found = found.model_cache.as_ref().or(others.model_cache.as_ref());
            self.make_one(model_cache, found).await?;
        }
        if let Some(servers) = &wanted.workloads.servers {
            let found = found.servers.as_ref().or(others.servers.as_ref());
            self.make_one(servers, found).await?;
        }
        Ok(())
    }

    /// Makes a child that is read only when its version is another than when it was last as it should be.
    async fn make_by_version<K: Kind>(self, wanted: Option<&K>) -> Result<(), Stop> {
        let Some(wanted) = wanted else { return Ok(()) };
        let job = self.job.uid().unwrap_or_default();
        let version = self.cache.version::<K>(&job);
        if self.as_wanted.holds(&job, version.as_deref(), wanted) {
            return Ok(());
        }
        let name = wanted.name_any();
        let found = self.api::<K>().get_opt(&name).await;
        let found = found.map_err(|source| Stop::Error(self.error::<K>("read", name, source)))?;
        if let Some(version) = self.make_one(wanted, found.as_ref()).await? {
            self.as_wanted.note(&job, &version, wanted);
        }
        Ok(())
    }

    /// Makes a child as wanted; its version then.
    async fn make_one<K: Kind>(self, wanted: &K, found: Option<&K>) -> Result<Option<String>, Stop> {
        if let Some(found) = found {
            if let Some(wait) = in_the_way(self.job, found) {
                return Err(Stop::Obstacle(Obstacle::Waits(wait)));
            }
            if is_unchanged(wanted, found) {
                return Ok(found.resource_version());
            }
        }
        self.send(wanted, &apply_params()).await
    }

    async fn send<K: Kind>(self, wanted: &K, params: &PatchParams) -> Result<Option<String>, Stop> {
        let name = wanted.name_any();
        let source = match self.api::<K>().patch(&name, params, &Patch::Apply(wanted)).await {
            Ok(written) => return Ok(written.resource_version()),
            Err(source) => source,
        };
        Err(match refusal(&source, &format!("{} {name}", K::kind(&()))) {
            Some(obstacle) => Stop::Obstacle(obstacle),
            None => Stop::Error(self.error::<K>("apply", name, source)),
        })
    }

    /// Deletes a child of this job; one that is gone or going is left alone.
    async fn remove<K: Kind>(self, found: Option<&K>, params: DeleteParams) -> Result<(), ApplyError> {
        match found.filter(|found| in_the_way(self.job, *found).is_none()) {
            Some(found) => self.delete(found, params).await,
            None => Ok(()),
        }
    }

    async fn delete<K: Kind>(self, found: &K, params: DeleteParams) -> Result<(), ApplyError> {
        let name = found.name_any();
        let deleted = delete_exactly(&self.api::<K>(), &name, params, of_uid(found.uid())).await;
        deleted.map_err(|source| self.error::<K>("delete", name, source))
    }

    fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.job.namespace().unwrap_or_default())
    }

    fn error<K: Resource<DynamicType = ()>>(
        &self,
        verb: &'static str,
        name: String,
        source: kube::Error,
    ) -> ApplyError {
        ApplyError {
            verb,
            kind: K::kind(&()).into_owned(),
            namespace: self.job.namespace().unwrap_or_default(),
            name,
            source,
        }
    }
}

/// What a feeder's `suspend` is to be; none when it is so, or nothing runs by it any more.
fn other_suspend(feeder: &Job, wanted: FeederWanted) -> Option<bool> {
    let wanted = match wanted {
        FeederWanted::Run => false,
        FeederWanted::Suspend => true,
        FeederWanted::Replace | FeederWanted::Leave | FeederWanted::Remove => return None,
    };
    let is_suspended = feeder.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
    (wanted != is_suspended && !has_ended(feeder)).then_some(wanted)
}

/// What an error says of the object that was sent; none when it says nothing of it.
fn refusal(error: &kube::Error, object: &str) -> Option<Obstacle> {
    let kube::Error::Api(status) = error else { return None };
    let words = format!("Kubernetes refused {object}: {}", status.message);
    // Before the code: who says so may give any.
    if is_not_admitted(&status.message) {
        return Some(Obstacle::Waits(Wait::new(why_refused(&status.message), words)));
    }
    match status.code {
        FORBIDDEN => Some(Obstacle::Waits(Wait::new(why_refused(&status.message), words))),
        BAD_REQUEST | UNPROCESSABLE => Some(Obstacle::Ends(Wait::new(Reason::PodTemplateInvalid, words))),
        INTERNAL_ERROR if status.message.starts_with(NOT_AS_THE_SCHEMA) => {
            Some(Obstacle::Ends(Wait::new(Reason::PodTemplateInvalid, words)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feeder_that_cannot_be_built_is_suspended_and_resumed_all_the_same() {
        let feeder = |suspend: bool, conditions: serde_json::Value| -> Job {
            let job = json!({"spec": {"suspend": suspend, "template": {}}, "status": {"conditions": conditions}});
            serde_json::from_value(job).expect("a Job")
        };
        let none = || json!([]);
        assert_eq!(other_suspend(&feeder(false, none()), FeederWanted::Suspend), Some(true));
        assert_eq!(other_suspend(&feeder(true, none()), FeederWanted::Run), Some(false));
        assert_eq!(other_suspend(&feeder(true, none()), FeederWanted::Suspend), None);
        assert_eq!(other_suspend(&feeder(false, none()), FeederWanted::Run), None);
        assert_eq!(other_suspend(&feeder(false, none()), FeederWanted::Remove), None);
        let ended = json!([{"type": "Complete", "status": "True"}]);
        assert_eq!(other_suspend(&feeder(false, ended), FeederWanted::Suspend), None);
    }

    fn refusal_of(code: u16, message: &str) -> Option<Obstacle> {
        let status = kube::core::Status {
            code,
            message: message.into(),
            ..kube::core::Status::default()
        };
        refusal(&kube::Error::Api(status.into()), "Deployment d")
    }

    #[test]
    fn an_object_that_does_not_fit_the_schema_ends_the_job_and_a_fault_of_the_api_server_does_not() {
        let words = "failed to create typed patch object (ns/d; apps/v1, Kind=Deployment): .spec.template.spec.containers[name=\"server\"].env: duplicate entries for key [name=\"A\"]";
        for (code, message) in [
            (500, words),
            (422, "spec.replicas: Invalid value"),
            (400, "unknown field"),
        ] {
            let Some(Obstacle::Ends(wait)) = refusal_of(code, message) else {
                panic!("{code} ends the job")
            };
            assert_eq!(wait.reason, Reason::PodTemplateInvalid);
            assert_eq!(wait.message, format!("Kubernetes refused Deployment d: {message}"));
        }
        for (code, message) in [(500, "etcdserver: request timed out"), (409, words), (503, "")] {
            assert_eq!(refusal_of(code, message), None, "{code} {message}");
        }
    }

    #[test]
    fn what_is_not_admitted_is_waited_for_whatever_its_code() {
        // apiserver, pkg/admission/plugin: resourcequota/controller.go, policy/validating and webhook/errors/statuserror.go, of
        // Kubernetes 1.34; a denial by Kyverno, which gives no code of its own.
        for (code, message, reason) in [
            (
                403,
                "jobs.batch \"a-feeder\" is forbidden: exceeded quota: few, requested: count/jobs.batch=1, used: count/jobs.batch=2, limited: count/jobs.batch=2",
                Reason::QuotaExceeded,
            ),
            (
                403,
                "deployments.apps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
                Reason::AdmissionRefused,
            ),
            (
                422,
                "deployments.apps \"a-server\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed expression: object.spec.replicas <= 5",
                Reason::AdmissionRefused,
            ),
            (
                400,
                "admission webhook \"validate.kyverno.svc-fail\" denied the request: \n\nresource Deployment/default/a-server was blocked due to the following policies \n\nrequire-labels:\n  autogen-check-for-labels: 'validation error: label ''app.kubernetes.io/name'' is required. Rule autogen-check-for-labels failed at path /spec/template/metadata/labels/app.kubernetes.io/name/'\n",
                Reason::AdmissionRefused,
            ),
            (
                400,
                "admission webhook \"labels.example.com\" denied the request without explanation",
                Reason::AdmissionRefused,
            ),
            (
                403,
                "admission webhook \"validation.gatekeeper.sh\" denied the request: [must-have-owner] you must provide labels: {\"owner\"}",
                Reason::AdmissionRefused,
            ),
            (
                422,
                "admission webhook \"pods.example.com\" denied the request: spec.template: Invalid value: \"\"",
                Reason::AdmissionRefused,
            ),
        ] {
            let Some(Obstacle::Waits(wait)) = refusal_of(code, message) else {
                panic!("{code} {message} is waited for")
            };
            assert_eq!(wait.reason, reason, "{message}");
        }
        for message in [
            "Deployment.apps \"a-server\" is invalid: spec.template.spec.containers[0].image: Required value",
            "Deployment.apps \"a-server\" is invalid: spec.template.spec.containers[0].env[0].name: Invalid value: \"x \\\" is forbidden: \\\"\": a valid environment variable name must consist only of printable ASCII characters other than '='",
            "Deployment.apps \"a-server\" is invalid: spec.template.spec.hostUsers: Forbidden: may not be set",
        ] {
            assert!(matches!(refusal_of(422, message), Some(Obstacle::Ends(_))), "{message}");
        }
    }
}
