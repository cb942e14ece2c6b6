//! What the watches have brought of jobs' children, so that a look at a job asks the API server for nothing.
//!
//! [`Cache::follow`] is the place to start. [`by_job`] holds objects by their job, [`kept`] says what of an object is held: only what
//! decisions need. What is read here may be a moment old; whoever must not act on that asks the API server itself, as
//! [`super::dereference`] does for what is not here, and for the proof that GPUs are released.

mod by_job;
pub(super) mod kept;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::stream::BoxStream;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::Api;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource, ResourceExt};
use tokio::task::JoinSet;

use by_job::ByJob;

use super::children::Kind;
use super::pod_state::has_component;
use crate::api::BatchInferenceJob;
use crate::api::names::{Component, LABEL_MANAGED_BY, MANAGED_BY};

/// A job that is to be looked at.
pub type JobRef = ObjectRef<DeserializeGuard<BatchInferenceJob>>;

/// The children of all jobs.
#[derive(Default)]
pub struct Cache {
    /// Feeders, and what fills model caches.
    jobs: Arc<ByJob<Arc<Job>>>,
    servers: Arc<ByJob<Arc<Deployment>>>,
    pods: Arc<ByJob<Arc<Pod>>>,
    versions: BTreeMap<String, Arc<ByJob<Box<str>>>>,
}

/// Watches that keep a [`Cache`] as the cluster is, until they are dropped.
pub struct Watches {
    /// Jobs whose children have changed.
    pub changed: UnboundedReceiver<JobRef>,
    tasks: JoinSet<()>,
}

impl Cache {
    /// One that knows of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let kinds = [
            ServiceAccount::kind(&()),
            Role::kind(&()),
            RoleBinding::kind(&()),
            NetworkPolicy::kind(&()),
            Service::kind(&()),
        ];
        Self {
            versions: kinds
                .into_iter()
                .map(|kind| (kind.into_owned(), Arc::default()))
                .collect(),
            ..Self::default()
        }
    }

    /// Begins to follow the cluster.
    #[must_use]
    pub fn follow(&self, client: &Client) -> Watches {
        let (tell, changed) = unbounded();
        let mut watches = Watches {
            changed,
            tasks: JoinSet::new(),
        };
        watches.add(client, &self.jobs, &tell, |job| Some(Arc::new(kept::job(job))));
        watches.add(client, &self.servers, &tell, |servers| {
            Some(Arc::new(kept::servers(servers)))
        });
        watches.add(client, &self.pods, &tell, |pod| kept::pod(pod).map(Arc::new));
        self.follow_versions::<ServiceAccount>(client, &mut watches, &tell);
        self.follow_versions::<Role>(client, &mut watches, &tell);
        self.follow_versions::<RoleBinding>(client, &mut watches, &tell);
        self.follow_versions::<NetworkPolicy>(client, &mut watches, &tell);
        self.follow_versions::<Service>(client, &mut watches, &tell);
        watches
    }

    fn follow_versions<K: Kind>(&self, client: &Client, watches: &mut Watches, tell: &UnboundedSender<JobRef>) {
        if let Some(known) = self.versions_of::<K>() {
            let version = |object: PartialObjectMeta<K>| object.resource_version().map(Into::into);
            watches.add(client, known, tell, version);
        }
    }

    /// Waits until everything that there was at the start is known.
    pub async fn synced(&self) {
        self.jobs.synced().await;
        self.servers.synced().await;
        self.pods.synced().await;
        for versions in self.versions.values() {
            versions.synced().await;
        }
    }

    /// The feeder of the job with this uid. Of one that has ended, only that it is there and how it ended.
    #[must_use]
    pub fn feeder(&self, job: &str) -> Option<Arc<Job>> {
        self.job(job, Component::Feeder)
    }

    /// What fills the model cache of the job with this uid.
    #[must_use]
    pub fn model_cache(&self, job: &str) -> Option<Arc<Job>> {
        self.job(job, Component::ModelCache)
    }

    fn job(&self, job: &str, component: Component) -> Option<Arc<Job>> {
        let mut found = self.jobs.of(job).into_iter();
        found.rfind(|found| has_component(&**found, component))
    }

    /// The servers of the job with this uid.
    #[must_use]
    pub fn servers(&self, job: &str) -> Option<Arc<Deployment>> {
        self.servers.of(job).pop()
    }

    /// The pods of the job with this uid, but feeders that have ended: of each what its status says, its devices and its node.
    #[must_use]
    pub fn pods(&self, job: &str) -> Vec<Arc<Pod>> {
        self.pods.of(job)
    }

    /// The version of the child of this kind that the job with this uid has.
    #[must_use]
    pub fn version<K: Resource<DynamicType = ()>>(&self, job: &str) -> Option<Box<str>> {
        self.versions_of::<K>()?.of(job).pop()
    }

    fn versions_of<K: Resource<DynamicType = ()>>(&self) -> Option<&Arc<ByJob<Box<str>>>> {
        self.versions.get(K::kind(&()).as_ref())
    }
}

impl Watches {
    /// Watches a kind of child, and holds what `keep` leaves of each.
    fn add<K: Kind, V: Clone + Send + Sync + 'static>(
        &mut self,
        client: &Client,
        known: &Arc<ByJob<V>>,
        tell: &UnboundedSender<JobRef>,
        keep: impl Fn(K) -> Option<V> + Send + 'static,
    ) {
        let events = watcher(Api::<K>::all(client.clone()), ours()).default_backoff();
        self.tasks
            .spawn(hear(events.boxed(), Arc::clone(known), keep, tell.clone()));
    }
}

fn ours() -> watcher::Config {
    watcher::Config::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGED_BY}"))
}

/// Takes events for ever; a watch that fails is begun anew by its stream.
async fn hear<K: Resource, V: Clone>(
    events: BoxStream<'static, watcher::Result<Event<K>>>,
    known: Arc<ByJob<V>>,
    keep: impl Fn(K) -> Option<V>,
    tell: UnboundedSender<JobRef>,
) {
    let mut events = pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                for job in known.take(event, &keep) {
                    // Nobody listens any more when the controller stops.
                    let _ = tell.unbounded_send(job);
                }
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "a watch of children failed"),
        }
    }
}
