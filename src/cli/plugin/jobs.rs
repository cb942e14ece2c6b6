//! Jobs of a cluster, and what the API server does with them.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::Request;
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::follow::Changes;
use super::job::Job;
use super::named::{bare, is_uid};
use super::refusal::{Asked, Refusal};
use crate::api::BatchInferenceJob;

/// Says in an object's `managedFields` who changed it. It is API: it never changes.
const FIELD_MANAGER: &str = "kubectl-bij";
/// What the API server calls jobs.
pub(super) const JOBS: &str = "batchinferencejobs";

/// Which namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The one that is meant.
    Namespace,
    /// Every one.
    All,
}

/// Whether a job is really made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// It is.
    Really,
    /// The API server only says whether it would be.
    DryRun,
}

/// The jobs of a cluster.
pub struct Jobs {
    cluster: Cluster,
    resource: ApiResource,
}

impl Jobs {
    /// Those of a cluster. Whatever its version of the definition has is read, also what this program does not know.
    #[must_use]
    pub fn new(cluster: Cluster) -> Self {
        Self {
            cluster,
            resource: ApiResource::erase::<BatchInferenceJob>(&()),
        }
    }

    /// The namespace that is meant.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.cluster.namespace
    }

    /// One job, by its name, as `-o name` prints it too, or its uid.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; where there is none, the namespaces that have one are named.
    pub async fn find(&self, called: &str) -> Result<Job, Refusal> {
        let name_or_uid = bare(called)?;
        let asked = self.asked("get", JOBS, Scope::Namespace);
        match self.api(Scope::Namespace).get(name_or_uid).await {
            Ok(found) => return job(found),
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(asked.refused(&error)),
        }
        if is_uid(name_or_uid) {
            let jobs = self.list(Scope::Namespace, None).await?;
            if let Some(found) = jobs.into_iter().find(|job| job.uid() == name_or_uid) {
                return Ok(found);
            }
        }
        Err(self.not_found(name_or_uid).await)
    }

    async fn not_found(&self, name_or_uid: &str) -> Refusal {
        if self.namespace_is_missing().await {
            return self.no_such_namespace();
        }
        // Who may not list all namespaces is not told of others.
        let all = self.list(Scope::All, None).await.ok();
        let elsewhere = all.map(|jobs| {
            let same = jobs.iter().filter(|job| [job.name(), job.uid()].contains(&name_or_uid));
            same.map(|job| job.namespace().to_owned()).collect()
        });
        Refusal::NoSuchJob {
            job: name_or_uid.to_owned(),
            namespace: self.cluster.namespace.clone(),
            elsewhere,
        }
    }

    /// All jobs, sorted by namespace and name; `selector` picks by labels.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn list(&self, scope: Scope, selector: Option<&str>) -> Result<Vec<Job>, Refusal> {
        let parameters = ListParams {
            label_selector: selector.map(str::to_owned),
            ..ListParams::default()
        };
        let listed = self.api(scope).list(&parameters).await;
        let listed = listed.map_err(|error| self.asked("list", JOBS, scope).refused(&error))?;
        listed.items.into_iter().map(job).collect()
    }

    /// Why a namespace has no jobs, when it is not even there. Who may not look at namespaces is told nothing.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoSuchNamespace`].
    pub async fn check_namespace(&self) -> Result<(), Refusal> {
        if self.namespace_is_missing().await {
            return Err(self.no_such_namespace());
        }
        Ok(())
    }

    async fn namespace_is_missing(&self) -> bool {
        let namespaces: Api<Namespace> = Api::all(self.cluster.client.clone());
        matches!(namespaces.get_opt(&self.cluster.namespace).await, Ok(None))
    }

    fn no_such_namespace(&self) -> Refusal {
        Refusal::NoSuchNamespace {
            namespace: self.cluster.namespace.clone(),
        }
    }

    /// Changes fields of a job's spec, of exactly this job: not of a later one of its name.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn change(&self, job_to_change: &Job, spec: Value) -> Result<Job, Refusal> {
        let patch = json!({"metadata": {"uid": job_to_change.uid()}, "spec": spec});
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let api = self.api(Scope::Namespace);
        let changed = api
            .patch(job_to_change.name(), &parameters, &Patch::Merge(&patch))
            .await;
        job(changed.map_err(|error| self.asked("patch", JOBS, Scope::Namespace).refused(&error))?)
    }

    /// Makes a job. A field that the definition does not know is refused, as `kubectl` has it.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn create(&self, new: &Value, make: Make) -> Result<Job, Refusal> {
        let asked = self.asked("create", JOBS, Scope::Namespace);
        let parameters = PostParams {
            dry_run: make == Make::DryRun,
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        let path = DynamicObject::url_path(&self.resource, Some(&self.cluster.namespace));
        let request = Request::new(path).create(&parameters, new.to_string().into_bytes());
        let mut request = request.map_err(|error| asked.refused(&kube::Error::BuildRequest(error)))?;
        // The client has no parameter for it. What was a URI still is one.
        if let Ok(strict) = format!("{}&fieldValidation=Strict", request.uri()).parse() {
            *request.uri_mut() = strict;
        }
        let created = self.cluster.client.request(request).await;
        job(created.map_err(|error| asked.refused(&error))?)
    }

    /// Follows a job from now on.
    #[must_use]
    pub fn follow(&self, job: &Job) -> Changes {
        Changes::of(self.api(Scope::Namespace), job, &self.cluster)
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn api(&self, scope: Scope) -> Api<DynamicObject> {
        let client = self.cluster.client.clone();
        match scope {
            Scope::Namespace => Api::namespaced_with(client, &self.cluster.namespace, &self.resource),
            Scope::All => Api::all_with(client, &self.resource),
        }
    }

    /// What is asked of the API server, for messages.
    #[must_use]
    pub fn asked(&self, verb: &'static str, resource: &'static str, scope: Scope) -> Asked<'_> {
        Asked {
            server: &self.cluster.server,
            verb,
            resource,
            namespace: (scope == Scope::Namespace).then_some(self.cluster.namespace.as_str()),
        }
    }
}

fn job(object: DynamicObject) -> Result<Job, Refusal> {
    let name = object.name_any();
    Job::try_from(object).map_err(|error| Refusal::Unreadable {
        name,
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resource_is_as_the_definition_calls_it() {
        assert_eq!(BatchInferenceJob::plural(&()), JOBS);
    }
}
