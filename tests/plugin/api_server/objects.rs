//! What stands around jobs: namespaces, Secrets, ConfigMaps, the feeders' Jobs, and pods.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, Query, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answers::not_found;
use super::is_namespace;
use super::state::{Fault, Shared};
use super::watches::{self, Parameters};
use crate::pods;

pub async fn get_namespace(Path(namespace): Path<String>) -> Response {
    if !is_namespace(&namespace) {
        return not_found("namespaces");
    }
    Json(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})).into_response()
}

pub async fn get_secret(State(shared): State<Arc<Shared>>, Path((_, name)): Path<(String, String)>) -> Response {
    found(shared.kept().secrets.get(&name), "secrets")
}

pub async fn get_config_map(State(shared): State<Arc<Shared>>, Path((_, name)): Path<(String, String)>) -> Response {
    found(shared.kept().config_maps.get(&name), "configmaps")
}

pub async fn get_feeder(State(shared): State<Arc<Shared>>, Path((_, name)): Path<(String, String)>) -> Response {
    found(shared.kept().feeders.get(&name), "jobs")
}

pub async fn list_feeders(State(shared): State<Arc<Shared>>) -> Response {
    let kept = shared.kept();
    watches::list(
        &kept,
        ["batch/v1", "Job"],
        kept.feeders.values(),
        &Parameters::default(),
    )
}

pub async fn create_pod(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let pod = serde_json::from_slice(&body).unwrap_or_default();
    (StatusCode::CREATED, Json(shared.change(|kept| kept.create_pod(pod)))).into_response()
}

/// Pods run once somebody watches, and nothing else happens to them.
pub async fn list_pods(State(shared): State<Arc<Shared>>, Query(parameters): Query<Parameters>) -> Response {
    if !parameters.watch {
        let kept = shared.kept();
        return watches::list(&kept, ["v1", "Pod"], kept.pods.left(), &parameters);
    }
    if !shared.kept().holds_pods {
        shared.change(super::state::Kept::run_pods);
    }
    watches::watch(shared, |object| object["kind"] == "Pod", parameters)
}

pub async fn get_pod(State(shared): State<Arc<Shared>>, Path((_, name)): Path<(String, String)>) -> Response {
    found(shared.kept().pods.get(&name), "pods")
}

pub async fn delete_pod(State(shared): State<Arc<Shared>>, Path((_, name)): Path<(String, String)>) -> Response {
    found(shared.change(|kept| kept.delete_pod(&name)).as_ref(), "pods")
}

pub async fn exec(
    State(shared): State<Arc<Shared>>,
    Path((_, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Response {
    let command = pods::command(&query.unwrap_or_default());
    let (environment, fault) = {
        let mut kept = shared.kept();
        let Some(pod) = kept.pods.get(&name) else {
            return not_found("pods");
        };
        let environment = pods::environment(pod, &kept.secrets);
        let is_silent = kept
            .silent
            .is_some_and(|silent| command.iter().any(|word| word == silent));
        let fault = is_silent.then_some(Fault::Silence);
        (environment, fault.or_else(|| kept.faults.pop_front().flatten()))
    };
    if fault == Some(Fault::LosePod) {
        shared.change(|kept| kept.delete_pod(&name));
    }
    if fault == Some(Fault::EndPod) {
        shared.kept().pods.end(&name);
    }
    let upgrade = upgrade.protocols(["v5.channel.k8s.io"]);
    match fault {
        None => upgrade.on_upgrade(move |socket| pods::run(socket, command, environment)),
        Some(Fault::Break | Fault::LosePod) => upgrade.on_upgrade(pods::break_off),
        Some(Fault::EndPod) => upgrade.on_upgrade(pods::be_killed),
        Some(Fault::Silence) => upgrade.on_upgrade(pods::say_nothing),
    }
}

fn found(object: Option<&Value>, kind: &str) -> Response {
    match object {
        Some(object) => Json(object).into_response(),
        None => not_found(kind),
    }
}
