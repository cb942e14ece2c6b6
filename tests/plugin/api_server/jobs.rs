//! `BatchInferenceJobs`.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answers::{not_found, refusal};
use super::is_namespace;
use super::state::Shared;
use super::watches::{self, Parameters};

const KIND: [&str; 2] = ["batchinference.dev/v1alpha1", "BatchInferenceJob"];

pub async fn list_namespace(
    State(shared): State<Arc<Shared>>,
    Path(namespace): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let is_there = move |job: &Value| job["metadata"]["namespace"] == namespace.as_str();
    list(shared, is_there, parameters)
}

pub async fn list_all(State(shared): State<Arc<Shared>>, Query(parameters): Query<Parameters>) -> Response {
    list(shared, |_| true, parameters)
}

fn list(
    shared: Arc<Shared>,
    is_there: impl Fn(&Value) -> bool + Clone + Send + 'static,
    parameters: Parameters,
) -> Response {
    if parameters.watch {
        let is_meant = move |object: &Value| object["kind"] == KIND[1] && is_there(object);
        return watches::watch(shared, is_meant, parameters);
    }
    let kept = shared.kept();
    let jobs = kept.jobs.values().filter(|job| is_there(job));
    watches::list(&kept, KIND, jobs, &parameters)
}

pub async fn get_job(State(shared): State<Arc<Shared>>, Path(key): Path<(String, String)>) -> Response {
    match shared.kept().jobs.get(&key) {
        Some(job) => Json(job).into_response(),
        None => not_found("batchinferencejobs"),
    }
}

pub async fn create(
    State(shared): State<Arc<Shared>>,
    Path(namespace): Path<String>,
    Query(parameters): Query<Parameters>,
    body: Bytes,
) -> Response {
    let mut job: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !is_namespace(&namespace) {
        return not_found("namespaces");
    }
    if parameters.field_validation.as_deref() == Some("Strict") && job["spec"]["serverr"].is_object() {
        let message = "strict decoding error: unknown field \"spec.serverr\"";
        return refusal(StatusCode::BAD_REQUEST, "BadRequest", message, "");
    }
    if let Some(prefix) = job["metadata"]["generateName"].as_str() {
        job["metadata"]["name"] = json!(format!("{prefix}x7k2p"));
    }
    let name = job["metadata"]["name"].as_str().expect("a name").to_owned();
    job["metadata"]["namespace"] = json!(namespace);
    if shared.kept().jobs.contains_key(&(namespace, name.clone())) {
        let message = format!("batchinferencejobs.batchinference.dev \"{name}\" already exists");
        return refusal(StatusCode::CONFLICT, "AlreadyExists", &message, "");
    }
    if parameters.dry_run.is_none() {
        job = shared.change(|kept| kept.put(job));
    }
    (StatusCode::CREATED, Json(job)).into_response()
}

pub async fn patch_job(State(shared): State<Arc<Shared>>, Path(key): Path<(String, String)>, body: Bytes) -> Response {
    let patch: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(mut job) = shared.kept().jobs.get(&key).cloned() else {
        return not_found("batchinferencejobs");
    };
    if patch["metadata"]["uid"] != job["metadata"]["uid"] {
        return refusal(StatusCode::CONFLICT, "Conflict", "the UID is another", "");
    }
    for (field, value) in patch["spec"].as_object().expect("a spec") {
        job["spec"][field] = value.clone();
    }
    Json(shared.change(|kept| kept.put(job))).into_response()
}
