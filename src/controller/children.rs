//! A job's child objects: as they should be, or as they are.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A kind of object in a namespace that can be read, watched and written.
pub trait Kind:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
}

impl<K> Kind for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + Sync
        + 'static
{
}

/// The children of one job, as [`super::build`] wants them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Children {
    /// What the feeder runs under, unless the job names its own.
    pub service_account: Option<ServiceAccount>,
    /// What the feeder may do.
    pub role: Option<Role>,
    /// Gives the role to the feeder's service account.
    pub role_binding: Option<RoleBinding>,
    /// Only the feeder may talk to the servers.
    pub network_policy: Option<NetworkPolicy>,
    /// The headless Service whose `EndpointSlices` tell the feeder of ready servers.
    pub service: Option<Service>,
    /// What runs.
    pub workloads: Workloads,
}

/// Those children that run something. The same shape serves for what [`super::build`] wants and what [`super::dereference`] found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workloads {
    /// The feeder.
    pub feeder: Option<Job>,
    /// What fills the model cache; absent when servers are there or nothing needs it.
    pub model_cache: Option<Job>,
    /// The model servers; absent when none is needed.
    pub servers: Option<Deployment>,
}

/// Whether a Job has ended: its spec is not looked at any more.
#[must_use]
pub fn has_ended(job: &Job) -> bool {
    end(job).is_some()
}

/// When a Job ended.
#[must_use]
pub fn ended_at(job: &Job) -> Option<Timestamp> {
    Some(end(job)?.last_transition_time.as_ref()?.0)
}

/// Whether a Job has ended well.
#[must_use]
pub fn has_completed(job: &Job) -> bool {
    holds(job, "Complete").is_some()
}

/// The condition that says how a Job ended.
fn end(job: &Job) -> Option<&JobCondition> {
    holds(job, "Complete").or_else(|| holds(job, "Failed"))
}

/// A Job's condition, if it is true.
fn holds<'a>(job: &'a Job, kind: &str) -> Option<&'a JobCondition> {
    let mut conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.find(|condition| condition.type_ == kind && condition.status == "True")
}
