//! The cluster that the arguments mean.

use std::env;
use std::error::Error;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::arguments::ClusterArguments;
use super::kubeconfig;
use super::login;
use super::proxy;
use super::refusal::{Refusal, last_cause};

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
    /// Finds the cluster; nothing is asked yet, but a login program.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when there is no kubeconfig, no such context in it, or no login by it.
    pub async fn find(arguments: &ClusterArguments) -> Result<Self, Refusal> {
        let mut config = configuration(arguments).await?;
        config.connect_timeout = Some(CONNECT);
        let namespace = namespace(arguments, &config);
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|error| no_client(&error))?;
        Ok(Self {
            client,
            namespace,
            server,
        })
    }
}

/// A context may have an empty one, too.
fn namespace(arguments: &ClusterArguments, config: &Config) -> String {
    let of_context = Some(config.default_namespace.as_str()).filter(|name| !name.is_empty());
    arguments.namespace().or(of_context).unwrap_or("default").to_owned()
}

fn no_client(error: &kube::Error) -> Refusal {
    match login::failure(error) {
        Some(why) => Refusal::NoLogin { why },
        None => Refusal::NoCluster { why: error.to_string() },
    }
}

async fn configuration(arguments: &ClusterArguments) -> Result<Config, Refusal> {
    match kubeconfig::read(arguments.kubeconfig())? {
        Some(kubeconfig) => of_kubeconfig(kubeconfig, arguments).await,
        // A pod has no kubeconfig, but the token of its service account.
        None if arguments.context().is_none() => Config::incluster().map_err(|_| no_kubeconfig()),
        None => Err(no_kubeconfig()),
    }
}

fn no_kubeconfig() -> Refusal {
    let why = "there is no kubeconfig".to_owned();
    Refusal::NoCluster { why }
}

async fn of_kubeconfig(kubeconfig: Kubeconfig, arguments: &ClusterArguments) -> Result<Config, Refusal> {
    let options = KubeConfigOptions {
        context: arguments.context().map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let contexts: Vec<_> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    let proxy = proxy::of_kubeconfig(&kubeconfig, arguments.context());
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.map_err(|error| match error {
        KubeconfigError::LoadContext(context) => Refusal::NoContext { context, contexts },
        error @ (KubeconfigError::ParseProxyUrl(_) | KubeconfigError::ParseNoProxy(_)) => no_proxy(&error),
        error => Refusal::NoCluster { why: error.to_string() },
    })?;
    let proxy = proxy::find(proxy, &config.cluster_url, |name| env::var(name).ok());
    config.proxy_url = proxy.map_err(|error| no_proxy(&error))?;
    Ok(config)
}

fn no_proxy(error: &(dyn Error + 'static)) -> Refusal {
    let why = last_cause(error);
    Refusal::NoProxy { why }
}
