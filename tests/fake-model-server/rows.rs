//! Answering rows: counted, recorded, queued, held and answered as the row asks.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::Value;
use tokio::time::sleep;

use super::answers::{self, Endpoint};
use super::recorder::EventKind;
use super::script::Script;
use super::server::Shared;
use super::settings::Program;

pub async fn chat(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    row(&shared, Endpoint::Chat, &body).await
}

pub async fn completions(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    row(&shared, Endpoint::Completions, &body).await
}

pub async fn embeddings(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    row(&shared, Endpoint::Embeddings, &body).await
}

async fn row(shared: &Shared, endpoint: Endpoint, body: &[u8]) -> Response {
    let program = shared.settings.program;
    let request: Value = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => return answers::error(program, StatusCode::BAD_REQUEST, &format!("parse error: {error}")),
    };
    let id = request["user"].as_str().unwrap_or_default();
    let received = shared.requests.received(id);
    let _in_flight = shared.requests.enter();
    if let Err(unrecorded) = record(shared, EventKind::Received, id).await {
        return unrecorded;
    }
    let Ok(_slot) = shared.slots.acquire().await else {
        return answers::error(program, StatusCode::SERVICE_UNAVAILABLE, "the server is going away");
    };
    let script = match Script::of(&request) {
        Ok(script) => script,
        Err(message) => return answers::error(program, StatusCode::BAD_REQUEST, &message),
    };
    if let Some(name) = &script.hold {
        shared.holds.wait(name).await;
    }
    sleep(script.latency.unwrap_or(shared.settings.latency)).await;
    if script.close && script.applies(received) {
        return broken_off();
    }
    let response = answer(shared, endpoint, &request, &script, received);
    if let Err(unrecorded) = record(shared, EventKind::Answered, id).await {
        return unrecorded;
    }
    shared.requests.answered(id);
    response
}

/// Tells the recorder, where there is one. A row that is not recorded is not answered, or a test's counts would be wrong.
async fn record(shared: &Shared, event: EventKind, id: &str) -> Result<(), Response> {
    let Some(recorder) = &shared.recorder else {
        return Ok(());
    };
    recorder.tell(event, id).await.map_err(|error| {
        eprintln!("the recorder cannot be told: {error:?}");
        let message = "the recorder cannot be told";
        answers::error(shared.settings.program, StatusCode::BAD_GATEWAY, message)
    })
}

fn answer(shared: &Shared, endpoint: Endpoint, request: &Value, script: &Script, received: u64) -> Response {
    if let Some(response) = scripted(shared, script, received) {
        return response;
    }
    let settings = &shared.settings;
    let model = request["model"].as_str().unwrap_or_default();
    // llama-server answers every name from the model that it has (llama.cpp 0.7.0).
    if settings.program == Program::Vllm && !model.is_empty() && !settings.names.iter().any(|name| name == model) {
        return answers::unknown_model(model, &settings.names);
    }
    if endpoint == Endpoint::Embeddings && !settings.embeddings {
        let message = "This server does not support embeddings. Start it with `--embeddings`";
        return answers::error(settings.program, StatusCode::NOT_IMPLEMENTED, message);
    }
    match answers::success(settings, endpoint, request) {
        Ok(body) => answers::json(StatusCode::OK, body),
        Err(message) => answers::error(settings.program, StatusCode::BAD_REQUEST, &message),
    }
}

/// The answer that the row or the settings ask for, if they ask for one.
fn scripted(shared: &Shared, script: &Script, received: u64) -> Option<Response> {
    if !script.applies(received) {
        return None;
    }
    let everywhere = shared
        .settings
        .status
        .and_then(|status| StatusCode::from_u16(status).ok());
    let status = script.status.or(everywhere);
    let mut response = match (&script.raw_body, status) {
        (Some(body), status) => answers::json(status.unwrap_or(StatusCode::OK), body.clone()),
        (None, Some(status)) => answers::error(shared.settings.program, status, "scripted"),
        (None, None) => return None,
    };
    if let Some(seconds) = &script.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.clone());
    }
    Some(response)
}

/// The start of an answer, and then the end of the connection.
fn broken_off() -> Response {
    let parts = [
        Ok(Bytes::from_static(br#"{"id":"chatcmpl-"#)),
        Err(io::Error::other("the row asked for it")),
    ];
    let body = Body::from_stream(stream::iter(parts));
    (
        [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        body,
    )
        .into_response()
}
