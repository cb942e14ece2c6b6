//! What is answered to what.

use std::rc::Rc;

use serde_json::json;

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A row: it counts, and takes its time.
    Row,
    Health,
    Metrics,
    Models,
    Counts,
    Unknown,
}

impl Route {
    pub fn of(method: &str, path: &str) -> Self {
        match (method, path) {
            ("POST", "/v1/chat/completions") => Self::Row,
            ("GET", "/health") => Self::Health,
            ("GET", "/metrics") => Self::Metrics,
            ("GET", "/v1/models") => Self::Models,
            ("GET", "/counts") => Self::Counts,
            _ => Self::Unknown,
        }
    }
}

/// An answer as it goes over the wire.
pub fn response(status: &str, content_type: &str, body: &str) -> Rc<[u8]> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
        .into()
}

/// A chat completion in vLLM's shape with a body of `bytes`, or of what an empty text takes.
pub fn completion(bytes: usize) -> Rc<[u8]> {
    let with = |text: &str| {
        json!({
            "id": "chatcmpl-5f0c6c1e8d0f4a55a1f3f2a9c7d4b601",
            "object": "chat.completion",
            "created": 1_795_000_000,
            "model": "org/model",
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": text, "tool_calls": []},
                "logprobs": null,
                "finish_reason": "stop",
                "stop_reason": null,
            }],
            "usage": {"prompt_tokens": 60, "total_tokens": 124, "completion_tokens": 64, "prompt_tokens_details": null},
            "prompt_logprobs": null,
        })
        .to_string()
    };
    let words = "A triangle has three sides, and three corners where they meet. ";
    let text: String = words
        .chars()
        .cycle()
        .take(bytes.saturating_sub(with("").len()))
        .collect();
    response("200 OK", "application/json", &with(&text))
}

/// Answers that are none to rows.
pub fn other(route: Route, counts: &str) -> Rc<[u8]> {
    match route {
        Route::Row | Route::Unknown => response("404 Not Found", "application/json", r#"{"detail":"Not Found"}"#),
        Route::Health => response("200 OK", "text/plain", ""),
        Route::Metrics => response("200 OK", "text/plain; version=0.0.4", ""),
        Route::Models => response(
            "200 OK",
            "application/json",
            r#"{"object":"list","data":[{"id":"org/model","object":"model"}]}"#,
        ),
        Route::Counts => response("200 OK", "application/json", counts),
    }
}
