//! Reads the cluster: the only step that does.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, ListParams};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::children::Children;
use crate::api::BatchInferenceJob;
use crate::api::names::{Component, LABEL_JOB_UID, child_name, selector};

/// What the cluster has for a job at this moment.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Children by name, whoever they belong to.
    pub children: Children,
    /// The feeder's pods.
    pub feeder_pods: Vec<Pod>,
    /// The servers' pods, also those that are ending.
    pub server_pods: Vec<Pod>,
    /// `ReplicaSets` of the servers.
    pub server_replica_sets: usize,
    /// The ConfigMap of the data set, when it is not there.
    pub missing_config_map: Option<String>,
}

impl Observed {
    /// Whether anything of the servers is left: a Deployment, a ReplicaSet or a pod.
    #[must_use]
    pub fn servers_left(&self) -> bool {
        self.children.servers.is_some() || self.server_replica_sets > 0 || !self.server_pods.is_empty()
    }
}

/// A read of the cluster that failed.
#[derive(Debug, thiserror::Error)]
#[error("failed to read {what} of job {namespace}/{job}")]
pub struct DereferenceError {
    what: &'static str,
    namespace: String,
    job: String,
    source: kube::Error,
}

/// Reads everything that the later steps look at, live from the API server: the proof that GPUs are released must not come from
/// a cache.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn dereference(client: &Client, job: &BatchInferenceJob) -> Result<Observed, DereferenceError> {
    let reader = Reader { client, job };
    let feeder_name = child_name(&job.name_any(), Component::Feeder);
    let servers_name = child_name(&job.name_any(), Component::Server);
    let (service_account, role, role_binding, network_policy, service, feeder, servers) = tokio::try_join!(
        reader.get::<ServiceAccount>("the service account", &feeder_name),
        reader.get::<Role>("the role", &feeder_name),
        reader.get::<RoleBinding>("the role binding", &feeder_name),
        reader.get::<NetworkPolicy>("the network policy", &servers_name),
        reader.get::<Service>("the service", &servers_name),
        reader.get::<Job>("the feeder", &feeder_name),
        reader.get::<Deployment>("the servers", &servers_name),
    )?;
    let this_job = format!("{LABEL_JOB_UID}={}", job.uid().unwrap_or_default());
    let its_servers = selector_string(job);
    let (pods, replica_sets, missing_config_map) = tokio::try_join!(
        reader.list::<Pod>("the pods", &this_job),
        reader.list::<ReplicaSet>("the replica sets", &its_servers),
        reader.missing_config_map(),
    )?;
    let is_server = |pod: &Pod| has_component(pod, Component::Server);
    let (server_pods, feeder_pods) = pods.into_iter().partition(is_server);
    Ok(Observed {
        children: Children {
            service_account,
            role,
            role_binding,
            network_policy,
            service,
            feeder,
            servers,
        },
        feeder_pods,
        server_pods,
        server_replica_sets: replica_sets.len(),
        missing_config_map,
    })
}

fn selector_string(job: &BatchInferenceJob) -> String {
    let pairs: Vec<_> = selector(job, Component::Server)
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(",")
}

fn has_component(pod: &Pod, component: Component) -> bool {
    pod.labels()
        .get(crate::api::names::LABEL_COMPONENT)
        .is_some_and(|value| value == component.as_str())
}

struct Reader<'a> {
    client: &'a Client,
    job: &'a BatchInferenceJob,
}

impl Reader<'_> {
    async fn get<K>(&self, what: &'static str, name: &str) -> Result<Option<K>, DereferenceError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        self.api::<K>()
            .get_opt(name)
            .await
            .map_err(|source| self.error(what, source))
    }

    async fn list<K>(&self, what: &'static str, labels: &str) -> Result<Vec<K>, DereferenceError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let found = self.api::<K>().list(&ListParams::default().labels(labels)).await;
        found.map(|list| list.items).map_err(|source| self.error(what, source))
    }

    /// Kubelet tells of a missing ConfigMap volume only in events, so it is asked for by name; only its metadata is read.
    async fn missing_config_map(&self) -> Result<Option<String>, DereferenceError> {
        let feeder_reported = self
            .job
            .status
            .as_ref()
            .is_some_and(|status| status.reported.feeder.is_some());
        let Some(reference) = self.job.spec.dataset.config_map.as_ref().filter(|_| !feeder_reported) else {
            return Ok(None);
        };
        let found = self.api::<ConfigMap>().get_metadata_opt(&reference.name).await;
        let found = found.map_err(|source| self.error("the data set's ConfigMap", source))?;
        Ok(found.is_none().then(|| reference.name.clone()))
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.job.namespace().unwrap_or_default())
    }

    fn error(&self, what: &'static str, source: kube::Error) -> DereferenceError {
        DereferenceError {
            what,
            namespace: self.job.namespace().unwrap_or_default(),
            job: self.job.name_any(),
            source,
        }
    }
}
