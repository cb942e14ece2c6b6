//! What a feeder may ask: read and watch its job, patch its status, list and watch EndpointSlices; keep results in ConfigMaps.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};

use super::objects::{Event, Kind, Refusal};
use super::{NAMESPACE, Shared};

const JOBS: &str = "/apis/batchinference.dev/v1alpha1/namespaces/tests/batchinferencejobs";
const CONFIG_MAPS: &str = "/api/v1/namespaces/tests/configmaps";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/tests/endpointslices";

pub fn router(shared: Arc<Shared>) -> Router {
    for path in [JOBS, SLICES, CONFIG_MAPS] {
        assert!(path.contains(NAMESPACE));
    }
    Router::new()
        .route(
            JOBS,
            get(async |shared, selection| list_or_watch(shared, Kind::Job, selection)),
        )
        .route(&format!("{JOBS}/{{name}}"), get(get_job))
        .route(&format!("{JOBS}/{{name}}/status"), patch(patch_status))
        .route(
            SLICES,
            get(async |shared, selection| list_or_watch(shared, Kind::EndpointSlice, selection)),
        )
        .route(CONFIG_MAPS, post(create_config_map))
        .route(
            &format!("{CONFIG_MAPS}/{{name}}"),
            get(get_config_map).put(replace_config_map).delete(delete_config_map),
        )
        .fallback(refuse)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), fail_when_told))
        .with_state(shared)
}

async fn fail_when_told(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if shared.away.load(Ordering::SeqCst) {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "away");
    }
    if shared.has_no_role.load(Ordering::SeqCst) {
        return refusal(StatusCode::FORBIDDEN, "Forbidden", "no role");
    }
    next.run(request).await
}

/// Which objects a list or watch is about.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selection {
    #[serde(default)]
    watch: bool,
    resource_version: Option<String>,
    label_selector: Option<String>,
    field_selector: Option<String>,
}

impl Selection {
    fn has(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let labels = equalities(self.label_selector.as_deref()).all(|(key, value)| metadata["labels"][key] == value);
        let fields = equalities(self.field_selector.as_deref()).all(|(key, value)| {
            assert_eq!(key, "metadata.name", "the only field selector that is known here");
            metadata["name"] == value
        });
        labels && fields
    }

    fn version(&self) -> u64 {
        let version = self.resource_version.as_deref().unwrap_or("0");
        version.parse().expect("a version that came from here")
    }
}

fn equalities(selector: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let parts = selector.unwrap_or_default().split(',').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').expect("a selector by equality"))
}

fn list_or_watch(State(shared): State<Arc<Shared>>, kind: Kind, Query(selection): Query<Selection>) -> Response {
    if selection.watch {
        return watch(shared, kind, selection);
    }
    let objects = shared.objects();
    let items: Vec<_> = objects.list(kind).filter(|object| selection.has(object)).collect();
    Json(json!({
        "apiVersion": "v1",
        "kind": "List",
        "metadata": {"resourceVersion": objects.version().to_string()},
        "items": items,
    }))
    .into_response()
}

fn watch(shared: Arc<Shared>, kind: Kind, selection: Selection) -> Response {
    let (changes, since) = (shared.changed.subscribe(), selection.version());
    let lines = stream::unfold((shared, changes, since), move |(shared, mut changes, since)| {
        let selection = selection.clone();
        async move {
            loop {
                let event = shared
                    .objects()
                    .event_after(since, kind, |object| selection.has(object));
                if let Some(Event {
                    version,
                    change,
                    object,
                    ..
                }) = event
                {
                    let line = format!("{}\n", json!({"type": change, "object": object}));
                    return Some((Ok::<_, Infallible>(line), (shared, changes, version)));
                }
                changes.changed().await.ok()?;
            }
        }
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response()
}

async fn get_job(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    match shared.objects().get(Kind::Job, &name) {
        Some(job) => Json(job).into_response(),
        None => refusal(StatusCode::NOT_FOUND, "NotFound", "there is no such job"),
    }
}

/// How an apply is meant.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Apply {
    field_manager: String,
    force: bool,
}

async fn patch_status(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(apply): Query<Apply>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let patch: Value = serde_json::from_slice(&body).unwrap_or_default();
    let is_apply = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|it| it == "application/apply-patch+yaml");
    if !is_apply || !apply.force || patch["kind"] != "BatchInferenceJob" || patch["metadata"]["name"] != name {
        return refusal(
            StatusCode::BAD_REQUEST,
            "BadRequest",
            "this is no forced apply of that job",
        );
    }
    answer(shared.change(|objects| objects.apply_status(&name, &apply.field_manager, &patch)))
}

async fn get_config_map(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    answer(shared.objects().get(Kind::ConfigMap, &name).ok_or(Refusal::NotFound))
}

async fn create_config_map(State(shared): State<Arc<Shared>>, Json(map): Json<Value>) -> Response {
    answer(shared.change(|objects| objects.create(Kind::ConfigMap, map)))
}

async fn replace_config_map(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Json(map): Json<Value>,
) -> Response {
    answer(shared.change(|objects| objects.replace(Kind::ConfigMap, &name, map)))
}

async fn delete_config_map(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Json(parameters): Json<Value>,
) -> Response {
    let version = &parameters["preconditions"]["resourceVersion"];
    answer(shared.change(|objects| objects.remove(Kind::ConfigMap, &name, version)))
}

fn answer(written: Result<Value, Refusal>) -> Response {
    match written {
        Ok(object) => Json(object).into_response(),
        Err(Refusal::NotFound) => refusal(StatusCode::NOT_FOUND, "NotFound", "there is no such object"),
        Err(Refusal::AlreadyExists) => refusal(StatusCode::CONFLICT, "AlreadyExists", "there is one of this name"),
        Err(Refusal::Conflict(why)) => refusal(StatusCode::CONFLICT, "Conflict", why),
    }
}

async fn refuse(State(shared): State<Arc<Shared>>, method: Method, uri: Uri) -> Response {
    shared.refused().push(format!("{method} {uri}"));
    refusal(StatusCode::FORBIDDEN, "Forbidden", "a feeder has no right to this")
}

fn refusal(code: StatusCode, reason: &str, message: &str) -> Response {
    let status = json!({
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": code.as_u16(),
    });
    (code, Json(status)).into_response()
}
