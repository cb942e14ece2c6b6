//! What a running Deployment of a model server says of its servers, in the fields of `spec.server`: pure.
//!
//! [`filled`] is the place to start, [`take`] what it takes, `volumes` which volumes; how the server is started is read by
//! `engine::found`. Left out is what the operator decides itself (address, probes, shared memory and caches that hold nothing), and what
//! is not the server's: other containers, the service account, how many replicas there are.

mod fill;
mod volumes;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec, Volume, VolumeMount};
use kube::ResourceExt;
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::Engine;
use crate::api::names::SERVER_CONTAINER;
use crate::api::reference::LocalKeyReference;
use crate::api::resources::{PodTemplate, Resources};
use crate::engine::found::{self, FoundContainer, FoundError, FoundServer};

pub use fill::{filled, source_to_read};

/// By these a server is given its token for the Hugging Face Hub (`huggingface_hub`, `constants.py`, and older names of it).
const TOKEN_VARIABLES: [&str; 3] = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN"];

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
    #[error("none of its containers is a model server that is known: give the fields of spec.server")]
    NoServer,
    /// Several are.
    #[error("its containers {first} and {second} are both model servers: give the fields of spec.server")]
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
        /// The variable.
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

/// Reads a Deployment.
///
/// # Errors
/// When something of it that the servers would need cannot be read or done, by name.
pub fn take(deployment: &Deployment) -> Result<Taken, TakeError> {
    let pod = deployment.spec.template.spec.clone().unwrap_or_default();
    taken(&pod).map_err(|problem| TakeError {
        deployment: deployment.name_any(),
        problem,
    })
}

fn taken(pod: &PodSpec) -> Result<Taken, Problem> {
    let (container, found) = server(pod)?;
    let volumes = volumes::kept(pod, container, &found)?;
    let env = container.env.clone().unwrap_or_default();
    Ok(Taken {
        engine: found.engine,
        base_model: found.model.clone(),
        served_model_names: names(&found),
        image: container.image.clone().unwrap_or_default(),
        hf_token_secret_ref: token(container, &env)?,
        revision: found.revision.clone(),
        quantization: found.quantization.clone(),
        env: passed_on(env, &found),
        resources: resources(container),
        pod_template: pod_template(pod, container, &found, volumes),
        args: found.args,
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
fn names(found: &FoundServer) -> Vec<String> {
    let others = found.names.iter().filter(|name| **name != found.model);
    others.cloned().collect()
}

/// The Secret of the token, wherever it is named.
fn token(container: &Container, env: &[EnvVar]) -> Result<Option<LocalKeyReference>, Problem> {
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
            None => {
                return Err(Problem::OpenToken {
                    container: container.name.clone(),
                    variable: variable.name.clone(),
                });
            }
        }
    }
    Ok(named)
}

fn is_token(variable: &EnvVar) -> bool {
    TOKEN_VARIABLES.contains(&variable.name.as_str())
}

/// The variables that servers of a job are to have, too.
fn passed_on(env: Vec<EnvVar>, found: &FoundServer) -> Vec<EnvVar> {
    let set = found.env.iter().map(|(name, value)| EnvVar {
        name: name.clone(),
        value: Some(value.clone()),
        value_from: None,
    });
    let is_set = |name: &String| found.env.iter().any(|(set, _)| set == name);
    let mut passed_on: Vec<EnvVar> = env
        .into_iter()
        .filter(|variable| !is_token(variable) && !found.not_passed_on.contains(&variable.name))
        .filter(|variable| !is_set(&variable.name))
        .collect();
    passed_on.extend(set.filter(|variable| !is_token(variable)));
    passed_on
}

fn resources(container: &Container) -> Option<Resources> {
    let given = container.resources.clone()?;
    let resources = Resources {
        limits: given.limits.unwrap_or_default(),
        requests: given.requests.unwrap_or_default(),
    };
    (resources != Resources::default()).then_some(resources)
}

/// What servers of a job need of the pod that no field is for.
fn pod_template(
    pod: &PodSpec,
    container: &Container,
    found: &FoundServer,
    (volumes, mounts): (Vec<Volume>, Vec<VolumeMount>),
) -> Option<PodTemplate> {
    let of_container = [
        ("command", json!(found.command)),
        ("envFrom", json!(container.env_from)),
        ("volumeMounts", json!(mounts)),
    ];
    let of_pod = [
        ("affinity", json!(pod.affinity)),
        ("imagePullSecrets", json!(pod.image_pull_secrets)),
        ("nodeSelector", json!(pod.node_selector)),
        ("priorityClassName", json!(pod.priority_class_name)),
        ("runtimeClassName", json!(pod.runtime_class_name)),
        ("tolerations", json!(pod.tolerations)),
        ("volumes", json!(volumes)),
    ];
    let mut spec = said(of_pod);
    let mut server = said(of_container);
    if !server.is_empty() {
        server.insert("name".into(), SERVER_CONTAINER.into());
        spec.insert("containers".into(), json!([server]));
    }
    (!spec.is_empty()).then(|| PodTemplate(json!({"spec": spec})))
}

/// Those fields that say something.
fn said<const N: usize>(fields: [(&str, Value); N]) -> serde_json::Map<String, Value> {
    let is_said = |value: &Value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    };
    let said = fields.into_iter().filter(|(_, value)| is_said(value));
    said.map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
