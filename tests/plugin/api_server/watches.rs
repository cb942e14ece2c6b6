//! Lists and watches, of whatever kind.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, stream};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::status;
use super::state::{Kept, Shared};

/// Of a request's query.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parameters {
    #[serde(default)]
    pub watch: bool,
    resource_version: Option<String>,
    label_selector: Option<String>,
    field_selector: Option<String>,
    pub dry_run: Option<String>,
    pub field_validation: Option<String>,
}

impl Parameters {
    fn pick(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let by_label = self
            .label_selector
            .as_deref()
            .and_then(|selector| selector.split_once('='));
        let by_name = self
            .field_selector
            .as_deref()
            .and_then(|selector| selector.strip_prefix("metadata.name="));
        by_label.is_none_or(|(key, value)| metadata["labels"][key] == value)
            && by_name.is_none_or(|name| metadata["name"] == name)
    }
}

/// A list of objects, as they are now.
pub fn list<'a>(
    kept: &Kept,
    kind: [&str; 2],
    objects: impl Iterator<Item = &'a Value>,
    parameters: &Parameters,
) -> Response {
    let [api_version, kind] = kind;
    let items: Vec<_> = objects.filter(|object| parameters.pick(object)).collect();
    Json(json!({
        "apiVersion": api_version,
        "kind": format!("{kind}List"),
        "metadata": {"resourceVersion": kept.version.to_string()},
        "items": items,
    }))
    .into_response()
}

/// What happens to objects from now on, or from the version on that the request names.
pub fn watch(
    shared: Arc<Shared>,
    is_meant: impl Fn(&Value) -> bool + Clone + Send + 'static,
    parameters: Parameters,
) -> Response {
    let since = parameters.resource_version.as_deref().unwrap_or("0");
    let since: u64 = since.parse().expect("a version that came from here");
    let changes = shared.changes();
    let (oldest, round) = {
        let kept = shared.kept();
        (kept.oldest, kept.ended_watches)
    };
    if since < oldest {
        let expired =
            json!({"type": "ERROR", "object": status(StatusCode::GONE, "Expired", "too old resource version", "")});
        return lines(stream::iter([expired]));
    }
    let events = stream::unfold((shared, changes, since), move |(shared, mut changes, since)| {
        let (is_meant, parameters) = (is_meant.clone(), parameters.clone());
        async move {
            loop {
                let next = {
                    let kept = shared.kept();
                    if kept.ended_watches != round {
                        return None;
                    }
                    let mut events = kept.events.iter();
                    let next = events.find(|event| {
                        event.version > since && is_meant(&event.object) && parameters.pick(&event.object)
                    });
                    next.cloned()
                };
                if let Some(event) = next {
                    let line = json!({"type": event.change, "object": event.object});
                    return Some((line, (shared, changes, event.version)));
                }
                changes.changed().await.ok()?;
            }
        }
    });
    lines(events)
}

fn lines(events: impl Stream<Item = Value> + Send + 'static) -> Response {
    use futures::StreamExt;
    let lines = events.map(|event| Ok::<_, Infallible>(format!("{event}\n")));
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response()
}
