//! What a running Deployment of a model server says of its servers, in the fields of `spec.server`: pure.
//!
//! [`filled`] is the place to start, [`take`] what it takes, `pod` what no field is for, `replaced` what gives way to fields of the job,
//! `volumes` which volumes, `caches` where they are mounted; how the server is started is read by `engine::found`. Left out is what the operator decides itself (address, probes, shared
//! memory and caches that hold nothing), and what is not the server's: other containers, the service account, how many replicas there are.

mod caches;
mod fill;
mod pod;
mod replaced;
mod volumes;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec};
use kube::ResourceExt;
use serde::Serialize;

use crate::api::Engine;
use crate::api::reference::LocalKeyReference;
use crate::api::resources::{PodTemplate, Resources};
use crate::api::server::ServerSpec;
use crate::controller::variables;
use crate::engine::Catalog;
use crate::engine::found::{self, FoundContainer, FoundError, FoundServer, TOKEN_VARIABLES};

use caches::{moved, moved_argument, moved_variable};
pub use fill::{filled, source_to_read, with_origin};

/// Fields of `spec.server`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    /// `engine`.
    pub engine: Engine,
    /// `baseModel`.
    pub base_model: String,
    /// `revision`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// `servedModelNames`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub served_model_names: Vec<String>,
    /// `image`.
    pub image: String,
    /// `hfTokenSecretRef`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hf_token_secret_ref: Option<LocalKeyReference>,
    /// `quantization`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    /// `args`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// `env`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// `resources`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// `podTemplate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

/// Why nothing can be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Deployment {deployment}: {problem}")]
pub struct TakeError {
    deployment: String,
    problem: Problem,
}

/// What is wrong with a Deployment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No container of it is a model server.
    #[error("none of its containers is a model server that is known: give the fields of spec.server in place of from")]
    NoServer,
    /// Several are.
    #[error(
        "its containers {first} and {second} are both model servers: give the fields of spec.server in place of from"
    )]
    Several {
        /// One.
        first: String,
        /// Another.
        second: String,
    },
    /// How the server is started cannot be read.
    #[error("container {container}: {error}")]
    Command {
        /// The container.
        container: String,
        /// Why.
        error: FoundError,
    },
    /// A token that everybody may read.
    #[error(
        "container {container} has the token in {variable} in the open: put it into a Secret, and name that in spec.server.hfTokenSecretRef"
    )]
    OpenToken {
        /// The container.
        container: String,
        /// The variable, or the option.
        variable: String,
    },
    /// The server needs what is put there for it first.
    #[error(
        "its init container {container} fills the volume {volume} for the server, which servers of a job would not have: name a model \
         of the hub in spec.server.baseModel, or put the files on a claim"
    )]
    FilledFirst {
        /// The init container.
        container: String,
        /// The volume.
        volume: String,
    },
}

/// Reads a Deployment for a job that gives these fields itself. What is wrong with what they replace is not refused.
///
/// # Errors
/// When something of it that the servers would need cannot be read or done, by name.
pub fn take(deployment: &Deployment, given: &ServerSpec, catalog: &Catalog) -> Result<Taken, TakeError> {
    let pod = deployment.spec.template.spec.clone().unwrap_or_default();
    taken(&pod, given, catalog).map_err(|problem| TakeError {
        deployment: deployment.name_any(),
        problem,
    })
}

fn taken(pod: &PodSpec, given: &ServerSpec, catalog: &Catalog) -> Result<Taken, Problem> {
    let (container, found) = server(pod)?;
    // Of another model the Deployment's revision, quantization and file say nothing.
    let is_of_the_model = !replaced::is_other_model(&found, given, catalog);
    let found = replaced::left(found, container, given, catalog);
    let engine = found.engine;
    let base_model = base_model(container, &found, given)?;
    let file = found
        .file
        .iter()
        .filter(|_| is_of_the_model && given.quantization.is_none());
    let args = found.args.iter().chain(file).cloned();
    let env = container.env.clone().unwrap_or_default();
    Ok(Taken {
        engine,
        served_model_names: names(&found, &base_model),
        image: container.image.clone().unwrap_or_default(),
        hf_token_secret_ref: token(container, &env, &found, given)?,
        revision: found.revision.clone().filter(|_| is_of_the_model),
        quantization: found.quantization.clone().filter(|_| is_of_the_model),
        args: args.map(|argument| moved_argument(engine, argument)).collect(),
        env: passed_on(env, &found),
        resources: resources(container, given),
        pod_template: pod::template(pod, container, &found, given)?,
        base_model: moved(engine, base_model),
    })
}

/// The job's, else the Deployment's.
fn base_model(container: &Container, found: &FoundServer, given: &ServerSpec) -> Result<String, Problem> {
    if !given.base_model.is_empty() {
        return Ok(given.base_model.clone());
    }
    found.model.clone().map_err(|error| Problem::Command {
        container: container.name.clone(),
        error,
    })
}

/// The one container that is a model server.
fn server(pod: &PodSpec) -> Result<(&Container, FoundServer), Problem> {
    let read = |container| (container, read(container));
    let mut known = Vec::new();
    let mut refusal = None;
    for (container, read) in pod.containers.iter().map(read) {
        match read {
            Ok(found) => known.push((container, found)),
            // Most containers beside a server are none.
            Err(FoundError::Unknown { .. }) if pod.containers.len() > 1 => {}
            Err(error) => {
                let container = container.name.clone();
                refusal = refusal.or(Some(Problem::Command { container, error }));
            }
        }
    }
    let mut known = known.into_iter();
    match (known.next(), known.next()) {
        (Some((first, _)), Some((second, _))) => Err(Problem::Several {
            first: first.name.clone(),
            second: second.name.clone(),
        }),
        (Some(server), None) => Ok(server),
        (None, _) => Err(refusal.unwrap_or(Problem::NoServer)),
    }
}

fn read(container: &Container) -> Result<FoundServer, FoundError> {
    let env: BTreeMap<_, _> = container
        .env
        .iter()
        .flatten()
        .map(|variable| {
            let is_literal = variable.value_from.is_none();
            let value = is_literal.then(|| variable.value.clone().unwrap_or_default());
            (variable.name.clone(), value)
        })
        .collect();
    found::read(&FoundContainer {
        image: container.image.as_deref().unwrap_or_default(),
        command: container.command.as_deref().unwrap_or_default(),
        args: container.args.as_deref().unwrap_or_default(),
        env: &env,
    })
}

/// Names other than that of the model itself, which every job takes.
fn names(found: &FoundServer, base_model: &str) -> Vec<String> {
    let others = found.names.iter().filter(|name| *name != base_model);
    others.cloned().collect()
}

/// The Secret of the token, wherever it is named: the job's, else the Deployment's.
fn token(
    container: &Container,
    env: &[EnvVar],
    found: &FoundServer,
    given: &ServerSpec,
) -> Result<Option<LocalKeyReference>, Problem> {
    if given.hf_token_secret_ref.is_some() {
        return Ok(given.hf_token_secret_ref.clone());
    }
    let open = |variable: &str| Problem::OpenToken {
        container: container.name.clone(),
        variable: variable.to_owned(),
    };
    if let Some(written) = &found.open_token {
        return Err(open(written));
    }
    let mut named = None;
    for variable in env.iter().filter(|variable| is_token(variable)) {
        let secret = variable
            .value_from
            .as_ref()
            .and_then(|from| from.secret_key_ref.as_ref());
        match secret {
            Some(secret) => {
                named = named.or(Some(LocalKeyReference {
                    name: secret.name.clone(),
                    key: secret.key.clone(),
                }));
            }
            None if variable.value.as_deref().unwrap_or_default().is_empty() => {}
            None => return Err(open(&variable.name)),
        }
    }
    Ok(named)
}

fn is_token(variable: &EnvVar) -> bool {
    TOKEN_VARIABLES.contains(&variable.name.as_str())
}

/// The variables that servers of a job are to have, too.
fn passed_on(env: Vec<EnvVar>, found: &FoundServer) -> Vec<EnvVar> {
    let env = env.into_iter();
    let mut passed_on: Vec<EnvVar> = env
        .filter(|variable| !is_token(variable) && !found.not_passed_on.contains(&variable.name))
        .collect();
    let set = found.env.iter().map(|(name, value)| variables::value(name, value));
    for variable in set.filter(|variable| !is_token(variable)) {
        variables::set(&mut passed_on, variable);
    }
    let passed_on = passed_on.into_iter();
    passed_on
        .map(|variable| moved_variable(found.engine, variable))
        .collect()
}

/// None beside a profile, which has its own.
fn resources(container: &Container, given: &ServerSpec) -> Option<Resources> {
    let found = container.resources.clone();
    let found = found.filter(|_| given.resource_profile.is_none())?;
    let resources = Resources {
        limits: found.limits.unwrap_or_default(),
        requests: found.requests.unwrap_or_default(),
    };
    (resources != Resources::default()).then_some(resources)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
