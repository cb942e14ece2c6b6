//! What in a cluster opens a store: Secrets with its keys, pods beside it, and ConfigMaps, which are one.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::Job as FeederJob;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::ListParams;

use super::interruption::Interruption;
use super::job::Job;
use super::jobs::{Jobs, Scope};
use super::pod::{PodError, StorePod, Surroundings, UploadPod, beside_output};
use super::refusal::Refusal;
use crate::api::names::{Component, LABEL_COMPONENT, LABEL_MANAGED_BY, MANAGED_BY, child_name};
use crate::api::output::OutputConfigMap;
use crate::cli::output::Place;
use crate::results::SEGMENTS;
use crate::storage::{Store, open_config_map};

impl Jobs {
    /// What a Secret of the namespace holds, as far as it is text.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn secret(&self, name: &str) -> Result<BTreeMap<String, String>, Refusal> {
        let found = self.namespaced::<Secret>().get_opt(name).await;
        let found = found.map_err(|error| self.asked("get", "secrets", Scope::Namespace).refused(&error))?;
        let secret = found.ok_or_else(|| Refusal::NoSuchSecret {
            name: name.to_owned(),
            namespace: self.namespace().to_owned(),
        })?;
        let text = |(key, ByteString(value)): (String, ByteString)| Some((key, String::from_utf8(value).ok()?));
        Ok(secret.data.unwrap_or_default().into_iter().filter_map(text).collect())
    }

    /// Opens an output in a ConfigMap, be it there yet or not.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: it may not be read.
    pub async fn open_config_map(&self, output: &OutputConfigMap) -> Result<Store, Refusal> {
        let found = self.namespaced::<ConfigMap>().get_opt(&output.name).await;
        found.map_err(|error| self.asked("get", "configmaps", Scope::Namespace).refused(&error))?;
        let client = self.cluster().client.clone();
        Ok(open_config_map(client, self.namespace(), output, SEGMENTS))
    }

    /// Starts a pod that gives what is in a job's output.
    ///
    /// # Errors
    ///
    /// [`PodError`].
    pub async fn start_output_pod(
        &self,
        job: &Job,
        place: Place,
        interruption: &Interruption,
    ) -> Result<StorePod, PodError> {
        let name = child_name(job.name(), Component::Feeder);
        let feeder = self.namespaced::<FeederJob>().get_opt(&name).await;
        let feeder = feeder.map_err(|error| self.asked("get", "jobs.batch", Scope::Namespace).refused(&error))?;
        let wanted = beside_output(job, &feeder.ok_or(PodError::NoFeeder)?, &place)?;
        Box::pin(StorePod::start(self.cluster(), wanted, place, interruption)).await
    }

    /// Starts a pod that takes an upload.
    ///
    /// # Errors
    ///
    /// [`PodError`].
    pub async fn start_upload_pod(
        &self,
        wanted: &UploadPod,
        place: Place,
        interruption: &Interruption,
    ) -> Result<StorePod, PodError> {
        Box::pin(StorePod::start(self.cluster(), wanted.pod(&place), place, interruption)).await
    }

    /// How the namespace's newest feeder runs: its image has run here. `None` where there is none, or where they may not be listed.
    pub async fn surroundings(&self) -> Option<Surroundings> {
        let component = Component::Feeder.as_str();
        let labels = format!("{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_COMPONENT}={component}");
        let parameters = ListParams::default().labels(&labels);
        let feeders = self.namespaced::<FeederJob>().list(&parameters).await.ok()?;
        let created = |feeder: &FeederJob| feeder.metadata.creation_timestamp.as_ref().map(|time| time.0);
        Surroundings::of(feeders.items.into_iter().max_by_key(created)?)
    }

    fn namespaced<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.cluster().client.clone(), self.namespace())
    }
}
