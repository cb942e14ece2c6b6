//! Answering rows: counted, recorded, queued, held and answered as the row asks.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde_json::Value;
use tokio::time::sleep;

use super::adapters::{self, By};
use super::answers::{self, Endpoint, Success};
use super::bodies;
use super::connections::ConnectionEnd;
use super::metrics::Pace;
use super::recorder::EventKind;
use super::script::Script;
use super::server::Shared;
use super::settings::Serves;

type Connection = ConnectInfo<ConnectionEnd>;

pub async fn chat(State(shared): State<Arc<Shared>>, ConnectInfo(end): Connection, body: Bytes) -> Response {
    row(&shared, Endpoint::Chat, &end, &body).await
}

pub async fn completions(State(shared): State<Arc<Shared>>, ConnectInfo(end): Connection, body: Bytes) -> Response {
    row(&shared, Endpoint::Completions, &end, &body).await
}

pub async fn embeddings(State(shared): State<Arc<Shared>>, ConnectInfo(end): Connection, body: Bytes) -> Response {
    row(&shared, Endpoint::Embeddings, &end, &body).await
}

async fn row(shared: &Shared, endpoint: Endpoint, connection: &ConnectionEnd, body: &[u8]) -> Response {
    let (program, begun) = (shared.settings.program, Instant::now());
    if endpoint != Endpoint::Embeddings && shared.settings.serves == Serves::Embeddings {
        return answers::unknown_path(program);
    }
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
    if let Some(turned_away) = shared.storms.turn_away(program) {
        return turned_away;
    }
    let most = shared.settings.most_requests;
    if most.is_some_and(|most| shared.requests.in_flight() > most) {
        return answers::full(program);
    }
    let Ok(_slot) = shared.slots.acquire().await else {
        return answers::error(program, StatusCode::SERVICE_UNAVAILABLE, "the server is going away");
    };
    let script = match Script::of(&request) {
        Ok(script) => script,
        Err(message) => return answers::error(program, StatusCode::BAD_REQUEST, &message),
    };
    let by = adapters::of_request(shared, &request);
    let success = answers::success(&shared.settings, endpoint, &request, by.adapter());
    work(shared, &script, success.as_ref().ok()).await;
    let applies = script.applies(received);
    if script.crash && applies {
        shared.crashes.crash(shared.settings.crash);
        return std::future::pending().await;
    }
    if script.close && applies {
        return bodies::broken_off();
    }
    let response = answer(shared, endpoint, by, success, &script, received);
    if let Some(how) = script.cut.filter(|_| applies) {
        return bodies::cut(response, how, connection).await;
    }
    if let Err(unrecorded) = record(shared, EventKind::Answered, id).await {
        return unrecorded;
    }
    shared.requests.answered(id, begun);
    if script.truncated && applies {
        return bodies::truncated(response).await;
    }
    match script.body {
        Some(time) => bodies::slow(response, time).await,
        None => response,
    }
}

/// Takes the time that an answer takes.
async fn work(shared: &Shared, script: &Script, success: Option<&Success>) {
    let latency = script.latency.unwrap_or(shared.settings.latency);
    let (prompt, completion) = success.map_or((0, 0), |it| (it.prompt_tokens, it.completion_tokens));
    let pace = script
        .tokens_per_second
        .map_or(Pace::Within(completion, latency), Pace::PerSecond);
    let _generation = shared.generations.begin(prompt, pace);
    if let Some(name) = &script.hold {
        shared.holds.wait(name).await;
    }
    sleep(latency).await;
    shared.hang.wait().await;
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

fn answer(
    shared: &Shared,
    endpoint: Endpoint,
    by: By,
    success: Result<Success, String>,
    script: &Script,
    received: u64,
) -> Response {
    if let Some(response) = scripted(shared, script, received) {
        return response;
    }
    let settings = &shared.settings;
    if let By::Nobody(unknown_model) = by {
        return unknown_model;
    }
    if endpoint == Endpoint::Embeddings && settings.serves == Serves::Text {
        let message = "This server does not support embeddings. Start it with `--embeddings`";
        return answers::error(settings.program, StatusCode::NOT_IMPLEMENTED, message);
    }
    match success {
        Ok(success) => answers::json(StatusCode::OK, success.body),
        Err(message) => answers::bad_request(settings.program, &message),
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
