//! Arguments and variables, of a job, its template and the installation, that say what a field of `spec.server` says. Pure, a part of
//! [`super::validate`].

use k8s_openapi::api::core::v1::{Container, EnvVar};

use crate::api::Engine;
use crate::api::reason::Reason;
use crate::api::server::ServerSpec;
use crate::api::wait::Wait;
use crate::engine::conflicts::{Given, Place, conflict};
use crate::engine::{Devices, Launch};

/// Refuses those of the job.
///
/// # Errors
/// `EngineFieldConflict`.
pub(super) fn refuse_of_job(server: &ServerSpec, launch: &Launch, devices: Devices) -> Result<(), Wait> {
    let env = names(&server.env);
    let given = Given {
        args: &server.args,
        env: &env,
        place: Place::Env,
        token_env: token_env(server, launch),
        quantization: server.quantization.as_deref(),
        devices,
    };
    refuse(server.engine, &given)
}

/// Refuses those that are merged in when the servers' pods are made: of the template's container `server`, and of the installation. A job that was
/// taken up keeps its pods, whatever became of the installation since.
///
/// # Errors
/// `PodTemplateInvalid`, or `EngineFieldConflict`.
pub(super) fn refuse_of_others(
    server: &ServerSpec,
    launch: &Launch,
    devices: Devices,
    container: Option<&Container>,
    installation: &[EnvVar],
) -> Result<(), Wait> {
    let engine = server.engine;
    let given = Given {
        args: &[],
        env: &[],
        place: Place::Installation,
        token_env: &[],
        quantization: server.quantization.as_deref(),
        devices,
    };
    if let Some(container) = container {
        refuse_args(engine, container)?;
        let of_template = Given {
            env: &names(container.env.as_deref().unwrap_or_default()),
            place: Place::PodTemplate,
            token_env: token_env(server, launch),
            ..given
        };
        refuse(engine, &of_template)?;
    }
    // The token's Secret goes before the installation's variable.
    let env = names(installation);
    refuse(engine, &Given { env: &env, ..given })
}

/// A template's arguments take the place of all: the model, its name and its port among them. Engine Custom is told by them. A command is
/// another matter: it is given the operator's arguments.
fn refuse_args(engine: Engine, container: &Container) -> Result<(), Wait> {
    let has_args = container.args.as_ref().is_some_and(|args| !args.is_empty());
    if engine == Engine::Custom || !has_args {
        return Ok(());
    }
    let message = "spec.server.podTemplate: the container `server` has args, which would replace all that the operator passes: write \
                   further options in spec.server.args";
    Err(Wait::new(Reason::PodTemplateInvalid, message))
}

fn refuse(engine: Engine, given: &Given<'_>) -> Result<(), Wait> {
    match conflict(engine, given) {
        Some(conflict) => Err(Wait::new(Reason::EngineFieldConflict, conflict.to_string())),
        None => Ok(()),
    }
}

/// The names of all variables that the operator does not set itself.
pub(super) fn names_of_all<'a>(
    server: &'a ServerSpec,
    container: Option<&'a Container>,
    installation: &'a [EnvVar],
) -> Vec<&'a str> {
    let of_template = container.and_then(|container| container.env.as_deref());
    [server.env.as_slice(), of_template.unwrap_or_default(), installation]
        .into_iter()
        .flat_map(names)
        .collect()
}

/// The names of variables.
pub(super) fn names(env: &[EnvVar]) -> Vec<&str> {
    env.iter().map(|variable| variable.name.as_str()).collect()
}

fn token_env<'a>(server: &ServerSpec, launch: &'a Launch) -> &'a [&'a str] {
    server.hf_token_secret_ref.as_ref().map_or(&[], |_| launch.token_env)
}
