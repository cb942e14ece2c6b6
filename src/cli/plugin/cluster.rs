//! The cluster that the arguments mean.

use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::arguments::ClusterArguments;
use super::refusal::Refusal;

/// A person waits. kubectl has thirty seconds.
const CONNECT: Duration = Duration::from_secs(10);

/// A cluster, and the namespace of it that is meant.
#[derive(Clone)]
pub struct Cluster {
    /// Asks its API server.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
    /// The API server's address, for messages.
    pub server: String,
}

impl Cluster {
    /// Finds the cluster; nothing is asked yet.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when there is no kubeconfig, or no such context in it.
    pub async fn find(arguments: &ClusterArguments) -> Result<Self, Refusal> {
        let mut config = configuration(arguments).await?;
        config.connect_timeout = Some(CONNECT);
        let namespace = arguments.namespace.as_ref().unwrap_or(&config.default_namespace);
        let (namespace, server) = (namespace.clone(), config.cluster_url.to_string());
        let client = Client::try_from(config).map_err(|error| Refusal::NoCluster { why: error.to_string() })?;
        Ok(Self {
            client,
            namespace,
            server,
        })
    }
}

async fn configuration(arguments: &ClusterArguments) -> Result<Config, Refusal> {
    let no_cluster = |error: KubeconfigError| Refusal::NoCluster { why: error.to_string() };
    let kubeconfig = match read(arguments.kubeconfig.as_deref()) {
        Ok(kubeconfig) => kubeconfig,
        // A pod has no kubeconfig, but the token of its service account.
        Err(error) if arguments.kubeconfig.is_none() && arguments.context.is_none() => {
            return Config::incluster().map_err(|_| no_cluster(error));
        }
        Err(error) => return Err(no_cluster(error)),
    };
    let options = KubeConfigOptions {
        context: arguments.context.clone(),
        ..KubeConfigOptions::default()
    };
    let contexts: Vec<_> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    config.map_err(|error| match error {
        KubeconfigError::LoadContext(context) => Refusal::NoContext { context, contexts },
        error => no_cluster(error),
    })
}

fn read(path: Option<&Path>) -> Result<Kubeconfig, KubeconfigError> {
    path.map_or_else(Kubeconfig::read, Kubeconfig::read_from)
}
