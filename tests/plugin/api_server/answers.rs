//! What is answered to who may not, or where nothing is.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// As the API server answers where nothing is: one line of text.
pub fn unknown_path() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

pub fn not_found(kind: &str) -> Response {
    refusal(StatusCode::NOT_FOUND, "NotFound", "not found", kind)
}

pub fn refusal(code: StatusCode, reason: &str, message: &str, kind: &str) -> Response {
    (code, Json(status(code, reason, message, kind))).into_response()
}

pub fn status(code: StatusCode, reason: &str, message: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "reason": reason,
        "message": message,
        "details": {"kind": kind},
        "code": code.as_u16(),
    })
}
