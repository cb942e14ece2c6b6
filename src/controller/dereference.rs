//! Reads the cluster, as far as it can from what watches have brought.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use super::cache::Cache;
use super::children::{Kind, Workloads};
use super::from_deployment::source_to_read;
use super::in_the_way::is_of;
use super::model_cache::{claim_name, claim_to_read};
use super::pod_state::has_component;
use super::settings::HubSettings;
use crate::api::BatchInferenceJob;
use crate::api::names::{Component, child_name, selector};

/// What the cluster has for a job at this moment.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// What runs of this job.
    pub workloads: Workloads,
    /// What has the name of one of these and is not this job's.
    pub others: Workloads,
    /// The feeder's pods.
    pub feeder_pods: Vec<Pod>,
    /// The pods that fill the model cache.
    pub model_cache_pods: Vec<Pod>,
    /// The servers' pods, also those that are ending.
    pub server_pods: Vec<Pod>,
    /// Whether the API server tells of a ReplicaSet or pod of servers that is not above.
    pub is_left_behind: bool,
    /// A ConfigMap that the feeder waits for, when it is not there.
    pub missing_config_map: Option<NamedConfigMap>,
    /// The Deployment that the job takes its server from, as long as it has not.
    pub source: Option<Deployment>,
    /// The claim that the job's model is to be kept on, as long as it was not looked at.
    pub model_cache_claim: Option<PersistentVolumeClaim>,
}

impl Observed {
    /// Whether anything of the servers is left: a Deployment, a ReplicaSet or a pod.
    #[must_use]
    pub fn servers_left(&self) -> bool {
        self.workloads.servers.is_some() || !self.server_pods.is_empty() || self.is_left_behind
    }
}

/// A ConfigMap in the job's namespace, and what names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedConfigMap {
    /// Its name.
    pub name: String,
    /// The field.
    pub named_by: &'static str,
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

/// Reads everything that the decision looks at: from the cache, which can be late, but not wrong. A workload that is not there is
/// asked for, as it may have been made a moment ago, or be someone else's.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn dereference(
    client: &Client,
    cache: &Cache,
    job: &BatchInferenceJob,
    hub: &HubSettings,
) -> Result<Observed, DereferenceError> {
    let reader = Reader { client, job };
    let uid = job.uid().unwrap_or_default();
    let feeder_name = child_name(&job.name_any(), Component::Feeder);
    let servers_name = child_name(&job.name_any(), Component::Server);
    let feeder = async {
        match cache.feeder(&uid) {
            Some(feeder) => Ok(Some(Arc::unwrap_or_clone(feeder))),
            None => reader.get::<Job>("the feeder", &feeder_name).await,
        }
    };
    let servers = async {
        match cache.servers(&uid) {
            Some(servers) => Ok(Some(Arc::unwrap_or_clone(servers))),
            // Rows that go to a server of somebody else have none, ever.
            None if job.spec.server.is_none() => Ok(None),
            None => reader.get::<Deployment>("the servers", &servers_name).await,
        }
    };
    let (feeder, servers, model_cache, missing_config_map, source, model_cache_claim) = tokio::try_join!(
        feeder,
        servers,
        reader.model_cache(cache, &uid),
        reader.missing_config_map(hub),
        reader.source(),
        reader.model_cache_claim(),
    )?;
    let pods = cache.pods(&uid).into_iter().map(Arc::unwrap_or_clone);
    let (server_pods, others): (Vec<Pod>, Vec<Pod>) = pods.partition(|pod| has_component(pod, Component::Server));
    let (model_cache_pods, feeder_pods) = others
        .into_iter()
        .partition(|pod| has_component(pod, Component::ModelCache));
    let (feeder, others_feeder) = whose(job, feeder);
    let (model_cache, others_model_cache) = whose(job, model_cache);
    let (servers, others_servers) = whose(job, servers);
    Ok(Observed {
        workloads: Workloads {
            feeder,
            model_cache,
            servers,
        },
        others: Workloads {
            feeder: others_feeder,
            model_cache: others_model_cache,
            servers: others_servers,
        },
        feeder_pods,
        model_cache_pods,
        server_pods,
        is_left_behind: false,
        missing_config_map,
        source,
        model_cache_claim,
    })
}

/// What was found under the name of a child, when it is the job's, and when it is not: others' servers hold no GPU of this job.
fn whose<K: Kind>(job: &BatchInferenceJob, found: Option<K>) -> (Option<K>, Option<K>) {
    match found {
        Some(found) if is_of(job, found.meta()) => (Some(found), None),
        others => (None, others),
    }
}

/// Whether the API server itself knows of a ReplicaSet or pod of the servers: the proof that GPUs are released must not come from a
/// cache.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn is_left_behind(client: &Client, job: &BatchInferenceJob) -> Result<bool, DereferenceError> {
    let reader = Reader { client, job };
    let (pods, replica_sets) = tokio::try_join!(
        reader.has_servers::<Pod>("the servers' pods"),
        reader.has_servers::<ReplicaSet>("the servers' replica sets"),
    )?;
    Ok(pods || replica_sets)
}

struct Reader<'a> {
    client: &'a Client,
    job: &'a BatchInferenceJob,
}

impl Reader<'_> {
    async fn get<K: Kind>(&self, what: &'static str, name: &str) -> Result<Option<K>, DereferenceError> {
        self.api::<K>()
            .get_opt(name)
            .await
            .map_err(|source| self.error(what, source))
    }

    /// Whether there is an object of this kind that belongs to the servers.
    async fn has_servers<K: Kind>(&self, what: &'static str) -> Result<bool, DereferenceError> {
        let labels = selector(self.job, Component::Server).into_iter();
        let labels: Vec<_> = labels.map(|(key, value)| format!("{key}={value}")).collect();
        // Without a limit: the API server then answers from its own memory, which it knows to be new, and not from etcd.
        let of_the_job = ListParams::default().labels(&labels.join(","));
        let found = self.api::<K>().list_metadata(&of_the_job).await;
        found
            .map(|list| !list.items.is_empty())
            .map_err(|source| self.error(what, source))
    }

    async fn source(&self) -> Result<Option<Deployment>, DereferenceError> {
        let Some(source) = source_to_read(self.job) else {
            return Ok(None);
        };
        self.get("the Deployment of spec.server.from", &source.deployment.name)
            .await
    }

    /// What fills the model cache. Nothing of the name is asked for where a job has none, and once servers are there: then it is only removed.
    async fn model_cache(&self, cache: &Cache, uid: &str) -> Result<Option<Job>, DereferenceError> {
        if let Some(found) = cache.model_cache(uid) {
            return Ok(Some(Arc::unwrap_or_clone(found)));
        }
        let may_fill = claim_name(self.job).is_some() && self.servers_needed() && cache.servers(uid).is_none();
        if !may_fill {
            return Ok(None);
        }
        let name = child_name(&self.job.name_any(), Component::ModelCache);
        self.get("what fills the model cache", &name).await
    }

    fn servers_needed(&self) -> bool {
        let status = self.job.status.as_ref();
        let feeder = status.and_then(|status| status.reported.feeder.as_ref());
        feeder.is_some_and(|feeder| feeder.servers_needed)
    }

    async fn model_cache_claim(&self) -> Result<Option<PersistentVolumeClaim>, DereferenceError> {
        match claim_to_read(self.job) {
            Some(name) => self.get("the claim of spec.server.modelCache", name).await,
            None => Ok(None),
        }
    }

    /// Kubelet tells of a missing ConfigMap volume only in events, so it is asked for by name; only its metadata is read.
    async fn missing_config_map(&self, hub: &HubSettings) -> Result<Option<NamedConfigMap>, DereferenceError> {
        let status = self.job.status.as_ref();
        if status.is_some_and(|status| status.reported.feeder.is_some()) {
            return Ok(None);
        }
        for config_map in config_maps(self.job, hub) {
            let found = self.api::<ConfigMap>().get_metadata_opt(&config_map.name).await;
            let found = found.map_err(|source| self.error("a ConfigMap of the feeder", source))?;
            if found.is_none() {
                return Ok(Some(config_map));
            }
        }
        Ok(None)
    }

    fn api<K: Kind>(&self) -> Api<K> {
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

/// The ConfigMaps that are volumes of the feeder.
fn config_maps(job: &BatchInferenceJob, hub: &HubSettings) -> Vec<NamedConfigMap> {
    let dataset = job.spec.dataset.config_map.as_ref();
    let dataset = dataset.map(|reference| NamedConfigMap {
        name: reference.name.clone(),
        named_by: "spec.dataset.configMap",
    });
    let certificates = hub.ca_config_map.as_ref();
    let certificates = certificates.map(|reference| NamedConfigMap {
        name: reference.name.clone(),
        named_by: "hub.caConfigMap, a value of the operator's chart,",
    });
    dataset.into_iter().chain(certificates).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::names::LABEL_JOB_UID;

    fn job() -> BatchInferenceJob {
        serde_json::from_value(json!({
            "apiVersion": "batchinference.dev/v1alpha1",
            "kind": "BatchInferenceJob",
            "metadata": {"name": "triangles", "namespace": "geometry", "uid": "u-1"},
            "spec": {"dataset": {"configMap": {"name": "rows", "key": "rows.jsonl"}}, "server": {"baseModel": "qwen3-8b"}},
        }))
        .expect("a job")
    }

    #[test]
    fn servers_of_others_are_not_the_jobs_whatever_their_name() {
        let found = |uid: &str| -> Option<Deployment> {
            let metadata = json!({"name": "triangles-server", "labels": {LABEL_JOB_UID: uid}});
            Some(serde_json::from_value(json!({"metadata": metadata})).expect("a Deployment"))
        };
        assert_eq!(whose(&job(), found("u-1")), (found("u-1"), None));
        assert_eq!(whose(&job(), found("u-2")), (None, found("u-2")));
        assert_eq!(whose::<Deployment>(&job(), None), (None, None));
        let (servers, others) = whose(&job(), found("u-2"));
        let observed = Observed {
            workloads: Workloads {
                servers,
                ..Workloads::default()
            },
            others: Workloads {
                servers: others,
                ..Workloads::default()
            },
            ..Observed::default()
        };
        assert!(!observed.servers_left(), "its GPUs are released all the same");
    }

    #[test]
    fn the_feeder_waits_for_its_data_set_and_for_certificates() {
        let job = job();
        let trusted = json!({"caConfigMap": {"name": "trusted", "key": "ca.crt"}});
        let trusted: HubSettings = serde_json::from_value(trusted).expect("settings");
        for (hub, expected) in [(HubSettings::default(), &["rows"][..]), (trusted, &["rows", "trusted"])] {
            let names: Vec<_> = config_maps(&job, &hub)
                .into_iter()
                .map(|config_map| config_map.name)
                .collect();
            assert_eq!(names, expected);
        }
    }
}
