//! LoRA adapters, as each program has them. Bodies and statuses: vLLM 0.32.0 (`vllm/entrypoints/openai/models/serving.py`), sglang 0.5.23
//! (`sglang/srt/entrypoints/http_server.py`, `openai/serving_base.py`), predibase/lorax a7394ba (`router/src/server.rs`), and llama.cpp 0.7.0
//! as it ran. An adapter is there when [`Settings::adapters`] has its path, or it is a directory with an adapter's file.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answers;
use super::server::Shared;
use super::settings::{LoraLoading, Program, Settings};

/// What was loaded.
#[derive(Debug, Default)]
pub struct Adapters {
    names: Mutex<BTreeSet<String>>,
    asked_for: Mutex<Vec<(Instant, String)>>,
}

impl Adapters {
    /// Every adapter that the server was asked to load, and when, in that order.
    pub fn asked_for(&self) -> Vec<(Instant, String)> {
        self.asked_for.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn has(&self, name: &str) -> bool {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.contains(name)
    }

    /// False when it was there before.
    fn add(&self, name: &str) -> bool {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.to_owned())
    }

    /// As a server does that starts anew.
    pub fn forget(&self) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How often it was asked for any.
    fn asked(&self, name: &str) -> usize {
        let mut asked_for = self.asked_for.lock().unwrap_or_else(PoisonError::into_inner);
        asked_for.push((Instant::now(), name.to_owned()));
        asked_for.len()
    }
}

/// `POST /v1/load_lora_adapter` of vLLM.
pub async fn load_vllm(State(shared): State<Arc<Shared>>, Json(request): Json<Value>) -> Response {
    let settings = &shared.settings;
    if settings.program != Program::Vllm || !settings.has_lora || settings.lora_loading != LoraLoading::AtRunTime {
        return answers::unknown_path(settings.program);
    }
    let (name, path) = named(&request);
    if shared.adapters.asked(name) <= settings.lora_failures {
        let message = "Call to add_lora method failed: peer closed connection without sending complete message body";
        return answers::error(Program::Vllm, StatusCode::INTERNAL_SERVER_ERROR, message);
    }
    if !is_there(settings, path) {
        let message = format!("Loading lora {name} failed: No adapter found for {path}");
        return answers::error(Program::Vllm, StatusCode::NOT_FOUND, &message);
    }
    if !shared.adapters.add(name) {
        let message = format!(
            "The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True."
        );
        return answers::error(Program::Vllm, StatusCode::BAD_REQUEST, &message);
    }
    format!("Success: LoRA adapter '{name}' added successfully.").into_response()
}

/// `POST /load_lora_adapter` of SGLang.
pub async fn load_sglang(State(shared): State<Arc<Shared>>, Json(request): Json<Value>) -> Response {
    let settings = &shared.settings;
    if settings.program != Program::Sglang {
        return answers::unknown_path(settings.program);
    }
    let (name, path) = named(&request);
    shared.adapters.asked(name);
    let problem = if !settings.has_lora {
        "LoRA is not enabled. Please set `--enable-lora` to enable LoRA.".to_owned()
    } else if !is_there(settings, path) {
        format!("Failed to load LoRA adapter {name}: 404 Client Error. Repository Not Found for url: {path}")
    } else if !shared.adapters.add(name) {
        format!("LoRA with name {name} already exists.")
    } else {
        let body = json!({"success": true, "error_message": null, "loaded_adapters": {name: path}});
        return answers::json(StatusCode::OK, body.to_string());
    };
    let body = json!({"success": false, "error_message": problem, "loaded_adapters": null});
    answers::json(StatusCode::BAD_REQUEST, body.to_string())
}

fn is_there(settings: &Settings, path: &str) -> bool {
    settings.adapters.contains(path) || Path::new(path).join("adapter_config.json").is_file()
}

fn named(request: &Value) -> (&str, &str) {
    let text = |member: &str| request[member].as_str().unwrap_or_default();
    (text("lora_name"), text("lora_path"))
}

/// `GET /lora-adapters` of llama-server.
pub async fn list(State(shared): State<Arc<Shared>>) -> Response {
    if shared.settings.program != Program::LlamaServer {
        return answers::unknown_path(shared.settings.program);
    }
    let files = shared.settings.lora_files.iter().enumerate();
    let listed: Vec<_> = files
        .map(|(id, path)| json!({"id": id, "path": path, "scale": 0.0, "task_name": "", "prompt_prefix": ""}))
        .collect();
    answers::json(StatusCode::OK, json!(listed).to_string())
}

/// What answers a request.
#[derive(Debug)]
pub enum By {
    Base,
    /// By what the adapter is called in the answer.
    Adapter(String),
    Nobody(Response),
}

impl By {
    pub fn adapter(&self) -> Option<&str> {
        match self {
            Self::Adapter(name) => Some(name),
            Self::Base | Self::Nobody(_) => None,
        }
    }
}

/// What answers a request.
pub fn of_request(shared: &Shared, request: &Value) -> By {
    let settings = &shared.settings;
    let model = request["model"].as_str().unwrap_or_default();
    if settings.program == Program::LlamaServer {
        return file_of(settings, request).map_or(By::Base, By::Adapter);
    }
    if model.is_empty() || settings.names.iter().any(|name| name == model) {
        return By::Base;
    }
    let adapter = match settings.program {
        Program::Vllm => shared.adapters.has(model).then_some(model),
        Program::Sglang => model
            .split_once(':')
            .map(|(_, name)| name)
            .filter(|name| shared.adapters.has(name)),
        Program::Lorax => settings.adapters.contains(model).then_some(model),
        Program::LlamaServer => None,
    };
    let Some(adapter) = adapter else {
        return answers::unknown_model(settings, model).map_or(By::Base, By::Nobody);
    };
    if settings.program == Program::Lorax {
        shared.adapters.asked(adapter);
    }
    if settings.program == Program::Lorax && lacks_token(request) {
        let message =
            "Request failed during generation: Server error: api_token must be provided to for a model of source pbase";
        return By::Nobody(answers::error(Program::Lorax, StatusCode::FAILED_DEPENDENCY, message));
    }
    By::Adapter(adapter.to_owned())
}

/// `server/lorax_server/utils/sources/__init__.py`, `map_pbase_model_id_to_s3`.
fn lacks_token(request: &Value) -> bool {
    request["adapter_source"] == "pbase" && !request["api_token"].is_string()
}

/// The file that a request gives a scale other than 0. One that is not listed does nothing.
fn file_of(settings: &Settings, request: &Value) -> Option<String> {
    let scaled = request["lora"].as_array().into_iter().flatten();
    let mut ids = scaled.filter(|lora| lora["scale"].as_f64() != Some(0.0));
    let id = usize::try_from(ids.next()?["id"].as_u64()?).ok()?;
    settings.lora_files.get(id).cloned()
}
