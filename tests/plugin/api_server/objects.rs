//! What is asked of other objects than jobs: feeders, pods, ConfigMaps, Secrets.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, Query, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::json;

use super::{Fault, Parameters, Shared, not_found};
use crate::pods;

pub(super) async fn get_feeder(State(shared): State<Arc<Shared>>, Path((_, name)): Path<(String, String)>) -> Response {
    match shared.kept().feeders.get(&name) {
        Some(feeder) => Json(feeder).into_response(),
        None => not_found("jobs"),
    }
}

pub(super) async fn list_feeders(State(shared): State<Arc<Shared>>) -> Response {
    let kept = shared.kept();
    let items: Vec<_> = kept.feeders.values().collect();
    let list =
        json!({"apiVersion": "batch/v1", "kind": "JobList", "metadata": {"resourceVersion": "1"}, "items": items});
    Json(list).into_response()
}

pub(super) async fn create_pod(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let pod = serde_json::from_slice(&body).unwrap_or_default();
    (StatusCode::CREATED, Json(shared.kept().pods.create(pod))).into_response()
}

/// Pods run as soon as they are created, and nothing else happens to them.
pub(super) async fn list_pods(State(shared): State<Arc<Shared>>, Query(parameters): Query<Parameters>) -> Response {
    if parameters.watch {
        let nothing = stream::pending::<Result<String, Infallible>>();
        return ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(nothing)).into_response();
    }
    let kept = shared.kept();
    let items: Vec<_> = kept.pods.left().filter(|pod| parameters.pick(pod)).collect();
    let list = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": items});
    Json(list).into_response()
}

pub(super) async fn get_pod(State(shared): State<Arc<Shared>>, Path((_, name)): Path<(String, String)>) -> Response {
    match shared
        .kept()
        .pods
        .left()
        .find(|pod| pod["metadata"]["name"] == name.as_str())
    {
        Some(pod) => Json(pod).into_response(),
        None => not_found("pods"),
    }
}

pub(super) async fn delete_pod(State(shared): State<Arc<Shared>>, Path((_, name)): Path<(String, String)>) -> Response {
    match shared.kept().pods.delete(&name) {
        Some(pod) => Json(pod).into_response(),
        None => not_found("pods"),
    }
}

pub(super) async fn exec(
    State(shared): State<Arc<Shared>>,
    Path((_, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Response {
    let (environment, fault) = {
        let mut kept = shared.kept();
        let pod = kept
            .pods
            .left()
            .find(|pod| pod["metadata"]["name"] == name.as_str())
            .cloned();
        let Some(pod) = pod else {
            return not_found("pods");
        };
        let environment = pods::environment(&pod, &kept.secrets);
        (environment, kept.faults.pop_front().flatten())
    };
    if fault == Some(Fault::LosePod) {
        shared.kept().pods.delete(&name);
    }
    let command = pods::command(&query.unwrap_or_default());
    let upgrade = upgrade.protocols(["v5.channel.k8s.io"]);
    match fault {
        None => upgrade.on_upgrade(move |socket| pods::run(socket, command, environment)),
        Some(Fault::Break | Fault::LosePod) => upgrade.on_upgrade(pods::break_off),
        Some(Fault::Silence) => upgrade.on_upgrade(pods::say_nothing),
    }
}

pub(super) async fn get_config_map(
    State(shared): State<Arc<Shared>>,
    Path((_, name)): Path<(String, String)>,
) -> Response {
    match shared.kept().config_maps.get(&name) {
        Some(map) => Json(map).into_response(),
        None => not_found("configmaps"),
    }
}

pub(super) async fn get_secret(State(shared): State<Arc<Shared>>, Path((_, name)): Path<(String, String)>) -> Response {
    match shared.kept().secrets.get(&name) {
        Some(secret) => Json(secret).into_response(),
        None => not_found("secrets"),
    }
}
