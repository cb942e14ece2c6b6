//! Bodies in the form of each program. Those of llama-server were taken from llama.cpp 0.7.0 as it ran, the others from sources: vLLM
//! 0.32.0 (`vllm/exceptions.py`), predibase/lorax a7394ba (`router/src/server.rs`, `lib.rs`, `infer.rs`), sglang 0.5.23
//! (`sglang/srt/entrypoints/openai/protocol.py`, `serving_base.py`).

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::settings::{Program, Settings};

/// What a row asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Chat,
    Completions,
    Embeddings,
}

/// llama-server's answer to everything while the model is loaded.
pub const LOADING: &str = r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#;

/// The time at which everything was made, so that answers do not differ.
const CREATED: u64 = 1_700_000_000;

/// An answer of JSON.
pub fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.into()).into_response()
}

/// An error.
pub fn error(program: Program, status: StatusCode, message: &str) -> Response {
    let code = status.as_u16();
    let body = match program {
        Program::Vllm => {
            json!({"error": {"message": message, "type": vllm_error_type(status), "param": null, "code": code}})
        }
        Program::Lorax => match lorax_error_type(status) {
            Some(error_type) => json!({"error": message, "error_type": error_type}),
            // What axum refuses itself is plain text.
            None => return (status, message.to_owned()).into_response(),
        },
        Program::Sglang => {
            json!({"object": "error", "message": message, "type": sglang_error_type(status), "param": null, "code": code})
        }
        Program::LlamaServer => {
            json!({"error": {"code": code, "message": message, "type": llama_server_error_type(status)}})
        }
    };
    json(status, body.to_string())
}

fn lorax_error_type(status: StatusCode) -> Option<&'static str> {
    match status.as_u16() {
        422 => Some("validation"),
        424 => Some("generation"),
        429 => Some("overloaded"),
        500 => Some("incomplete_generation"),
        503 => Some("healthcheck"),
        _ => None,
    }
}

fn sglang_error_type(status: StatusCode) -> String {
    match status.as_u16() {
        400 => "BadRequest".to_owned(),
        500 => "InternalServerError".to_owned(),
        code => code.to_string(),
    }
}

fn vllm_error_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "BadRequestError",
        404 => "NotFoundError",
        422 => "UnprocessableEntityError",
        503 => "ServiceUnavailableError",
        500.. => "InternalServerError",
        _ => "Error",
    }
}

fn llama_server_error_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "invalid_request_error",
        401 => "authentication_error",
        404 => "not_found_error",
        501 => "not_supported_error",
        503 => "unavailable_error",
        _ => "server_error",
    }
}

/// The answer to a request that there is no room for: predibase/lorax `router/src/infer.rs`, `InferError`; sglang
/// `sglang/srt/managers/scheduler.py`. The others queue without end, as long as they are not told otherwise.
pub fn full(program: Program) -> Response {
    match program {
        Program::Lorax => error(program, StatusCode::TOO_MANY_REQUESTS, "Model is overloaded"),
        _ => error(program, StatusCode::SERVICE_UNAVAILABLE, "The request queue is full."),
    }
}

/// The answer to a body that is no request; what is wrong with it.
pub fn bad_request(program: Program, message: &str) -> Response {
    if program != Program::Lorax {
        return error(program, StatusCode::BAD_REQUEST, message);
    }
    let text = format!("Failed to deserialize the JSON body into the target type: {message}");
    (StatusCode::UNPROCESSABLE_ENTITY, text).into_response()
}

/// The answer to a name that the program does not serve, where it is not answered from the base model: SGLang and llama-server do that,
/// SGLang but for `base:adapter`.
pub fn unknown_model(settings: &Settings, model: &str) -> Option<Response> {
    if model.is_empty() || settings.names.iter().any(|name| name == model) {
        return None;
    }
    match settings.program {
        Program::Vllm => Some(vllm_unknown_model(model, &settings.names)),
        Program::Lorax => Some(lorax_unknown_adapter(model)),
        Program::Sglang => {
            let (_, adapter) = model.split_once(':')?;
            let message = format!("The following requested LoRA adapters are not loaded: {adapter}");
            Some(error(Program::Sglang, StatusCode::BAD_REQUEST, &message))
        }
        Program::LlamaServer => None,
    }
}

/// Every other name is an adapter, to be downloaded.
fn lorax_unknown_adapter(model: &str) -> Response {
    let message = format!(
        "Request failed during generation: Server error: 404 Client Error.\n\nRepository Not Found for url: \
         https://huggingface.co/api/models/{model}."
    );
    error(Program::Lorax, StatusCode::FAILED_DEPENDENCY, &message)
}

fn vllm_unknown_model(model: &str, names: &[String]) -> Response {
    let message = format!(
        "The model `{model}` does not exist. Valid aliases: {}",
        names.join(", ")
    );
    let body = json!({"error": {"message": message, "type": "NotFoundError", "param": "model", "code": 404}});
    json(StatusCode::NOT_FOUND, body.to_string())
}

/// The answer to a path that is not there.
pub fn unknown_path(program: Program) -> Response {
    match program {
        Program::Vllm | Program::Sglang => json(StatusCode::NOT_FOUND, r#"{"detail":"Not Found"}"#),
        Program::Lorax => StatusCode::NOT_FOUND.into_response(),
        Program::LlamaServer => error(program, StatusCode::NOT_FOUND, "File Not Found"),
    }
}

/// The list of models: vLLM and SGLang list every name, llama-server one model with its aliases.
pub fn models(settings: &Settings) -> String {
    let data: Vec<Value> = match settings.program {
        Program::Vllm | Program::Lorax | Program::Sglang => settings
            .names
            .iter()
            .map(|name| json!({"id": name, "object": "model", "created": CREATED, "owned_by": owner(settings.program)}))
            .collect(),
        Program::LlamaServer => vec![
            json!({"id": settings.names[0], "aliases": settings.names, "object": "model",
            "created": CREATED, "owned_by": "llamacpp"}),
        ],
    };
    json!({"object": "list", "data": data}).to_string()
}

fn owner(program: Program) -> &'static str {
    match program {
        Program::Sglang => "sglang",
        _ => "vllm",
    }
}

/// The answer to a good request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Success {
    pub body: String,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
}

/// The answer to a good request, which an adapter gives or the base; the error is the message of a 400.
pub fn success(
    settings: &Settings,
    endpoint: Endpoint,
    request: &Value,
    adapter: Option<&str>,
) -> Result<Success, String> {
    if settings.program == Program::Lorax {
        lorax_reads(request)?;
    }
    let model = called(settings, request, adapter);
    let mut body = match endpoint {
        Endpoint::Chat => {
            let messages = request["messages"].as_array().ok_or("'messages' is required")?;
            let text = echo(&last_user_message(messages), adapter);
            let prompt: usize = messages.iter().map(|message| words(&content(message))).sum();
            json!({
                "id": "chatcmpl-fake", "object": "chat.completion", "created": CREATED, "model": model,
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": usage(prompt, words(&text)),
            })
        }
        Endpoint::Completions => {
            let prompt = request["prompt"].as_str().ok_or("'prompt' is required")?;
            let text = echo(prompt, adapter);
            json!({
                "id": "cmpl-fake", "object": "text_completion", "created": CREATED, "model": model,
                "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": "stop"}],
                "usage": usage(words(prompt), words(&text)),
            })
        }
        Endpoint::Embeddings => {
            let input = request["input"].as_str().ok_or("'input' is required")?;
            json!({
                "object": "list", "model": model,
                "data": [{"object": "embedding", "index": 0, "embedding": [words(input), input.len()]}],
                "usage": {"prompt_tokens": words(input), "total_tokens": words(input)},
            })
        }
    };
    let tokens = |kind: &str| body["usage"][kind].as_u64().unwrap_or(0);
    let (prompt_tokens, completion_tokens) = (tokens("prompt_tokens"), tokens("completion_tokens"));
    if settings.program == Program::Lorax {
        as_lorax_says(&mut body, endpoint, request);
    }
    Ok(Success {
        prompt_tokens,
        completion_tokens,
        body: body.to_string(),
    })
}

/// Its request has two members that others read more leniently (`router/src/lib.rs`, `ChatCompletionRequest`).
fn lorax_reads(request: &Value) -> Result<(), String> {
    if !request["model"].is_string() {
        return Err("missing field `model`".to_owned());
    }
    match &request["stop"] {
        Value::Null | Value::Array(_) => Ok(()),
        other => Err(format!("stop: invalid type: {other}, expected a sequence")),
    }
}

/// Its router leaves out what it does not know, and says of a stop sequence that it is a filter (`router/src/lib.rs`).
fn as_lorax_says(body: &mut Value, endpoint: Endpoint, request: &Value) {
    if endpoint == Endpoint::Embeddings {
        let embeddings = body["data"].take();
        *body = json!({"embeddings": embeddings});
        return;
    }
    body["id"] = json!("null");
    body["object"] = json!("text_completion");
    if endpoint == Endpoint::Completions {
        body["created"] = json!(0);
        body["model"] = json!("null");
    }
    if request["stop"].as_array().is_some_and(|stop| !stop.is_empty()) {
        body["choices"][0]["finish_reason"] = json!("content_filter");
    }
}

/// What the model is called: vLLM tells adapters, SGLang what it was asked for.
fn called(settings: &Settings, request: &Value, adapter: Option<&str>) -> String {
    let base = &settings.names[0];
    match (settings.program, adapter) {
        (Program::Vllm, Some(adapter)) => adapter.to_owned(),
        (Program::Sglang, Some(_)) => request["model"].as_str().unwrap_or(base).to_owned(),
        _ => base.clone(),
    }
}

/// The text of every answer; one by an adapter says so.
fn echo(prompt: &str, adapter: Option<&str>) -> String {
    match adapter {
        Some(adapter) => format!("{adapter}: You said: {prompt}"),
        None => format!("You said: {prompt}"),
    }
}

fn last_user_message(messages: &[Value]) -> String {
    messages
        .iter()
        .rev()
        .find(|message| message["role"] == "user")
        .map(content)
        .unwrap_or_default()
}

/// A message's text: its content, or the texts of its content's parts.
fn content(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

/// A token is a word here.
fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn usage(prompt: usize, completion: usize) -> Value {
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}
