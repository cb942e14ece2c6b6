//! How an engine is asked for adapters once it runs: before the first row, and by each row.

use serde_json::{Value, json};

use crate::api::adapters::AdapterSource;
use crate::engine::{Engine, classify};
use crate::openai::Endpoint;

/// How rows ask for an adapter.
#[derive(Clone, PartialEq, Eq)]
pub struct AdapterCall {
    /// The `model` that they are sent with.
    pub model: String,
    /// More members of their body, as JSON without the braces; empty where there are none. They may hold a token.
    members: String,
}

impl std::fmt::Debug for AdapterCall {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("AdapterCall")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl AdapterCall {
    /// More members of a row's body, as JSON without the braces; empty where there are none.
    #[must_use]
    pub fn members(&self) -> &str {
        &self.members
    }
}

/// An adapter, as rows of one engine ask for it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The engine.
    pub engine: Engine,
    /// The `model` that rows of the base are sent with.
    pub served_name: &'a str,
    /// Where adapters come from.
    pub source: AdapterSource,
    /// The name that rows have for the adapter.
    pub name: &'a str,
    /// Where it is.
    pub path: &'a str,
    /// The number by which llama-server knows it.
    pub id: Option<u64>,
}

/// How rows ask for an adapter. `token` is what requests carry for Predibase.
#[must_use]
pub fn call(asked: &Asked<'_>, token: Option<&str>) -> AdapterCall {
    let plain = |model: &str| AdapterCall {
        model: model.to_owned(),
        members: String::new(),
    };
    match asked.engine {
        Engine::VLLM | Engine::Custom => plain(asked.name),
        // `sglang/srt/entrypoints/openai/serving_base.py`, `_parse_model_parameter`.
        Engine::SGLang => plain(&format!("{}:{}", asked.served_name, asked.name)),
        // `router/src/lib.rs`, `ChatCompletionRequest`.
        Engine::LoRAX => {
            let source = format!("\"adapter_source\":{}", json!(lorax_source(asked.source)));
            let token = token.map(|token| format!("\"api_token\":{}", json!(token)));
            AdapterCall {
                model: asked.path.to_owned(),
                members: [source].into_iter().chain(token).collect::<Vec<_>>().join(","),
            }
        }
        // llama-server run: a file that is not listed has scale 0, and so has every file for a row without the member.
        Engine::LlamaCpp => AdapterCall {
            model: asked.served_name.to_owned(),
            members: format!("\"lora\":{}", json!([{"id": asked.id, "scale": 1.0}])),
        },
    }
}

fn lorax_source(source: AdapterSource) -> &'static str {
    match source {
        AdapterSource::Hub => "hub",
        AdapterSource::S3 => "s3",
        AdapterSource::Local => "local",
        AdapterSource::PBase => "pbase",
    }
}

/// Members of a row's body by which it would choose adapters itself, beside the `model` that says which.
#[must_use]
pub fn choosing_members(engine: Engine) -> &'static [&'static str] {
    match engine {
        // `router/src/lib.rs`, `ChatCompletionRequest`: one that stands twice is a 422.
        Engine::LoRAX => &["adapter_source", "api_token"],
        // `sglang/srt/entrypoints/openai/protocol.py`.
        Engine::SGLang => &["lora_path"],
        // llama.cpp, `tools/server/README.md`: the last one counts.
        Engine::LlamaCpp => &["lora"],
        Engine::VLLM | Engine::Custom => &[],
    }
}

/// Whether an engine answers such rows with the adapter that they name, and not with the base.
#[must_use]
pub fn has_adapters_at(engine: Engine, endpoint: Endpoint) -> bool {
    // LoRAX does not read the model of these (`router/src/lib.rs`, `CompatEmbedRequest`), nor llama-server their `lora`
    // (`tools/server/server-context.cpp`, `handle_embeddings_impl`). SGLang does (sgl-project/sglang, 17780).
    endpoint != Endpoint::Embeddings || !matches!(engine, Engine::LoRAX | Engine::LlamaCpp)
}

/// What an engine is asked before it gets rows for an adapter. It may hold a token: there is no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum LoadRequest {
    /// It loads the adapter.
    Load {
        /// Where to.
        path: &'static str,
        /// What.
        body: Value,
    },
    /// It answers one token with it, and loads it for that.
    OneToken {
        /// Which kind of request.
        endpoint: Endpoint,
        /// The request.
        body: Value,
    },
}

/// What an engine is asked before it gets rows for an adapter; none of llama-server, which has all of them from its start on.
#[must_use]
pub fn load_request(asked: &Asked<'_>, call: &AdapterCall) -> Option<LoadRequest> {
    let body = json!({"lora_name": asked.name, "lora_path": asked.path});
    match asked.engine {
        // `vllm/entrypoints/serve/lora/api_router.py`.
        Engine::VLLM => Some(LoadRequest::Load {
            path: "/v1/load_lora_adapter",
            body,
        }),
        // `sglang/srt/entrypoints/http_server.py`.
        Engine::SGLang => Some(LoadRequest::Load {
            path: "/load_lora_adapter",
            body,
        }),
        // Completions, as a chat needs a template, which a base model may lack.
        Engine::LoRAX => Some(one_token(call, Endpoint::Completions)),
        Engine::Custom => Some(one_token(call, Endpoint::ChatCompletions)),
        Engine::LlamaCpp => None,
    }
}

fn one_token(call: &AdapterCall, endpoint: Endpoint) -> LoadRequest {
    let mut body = match endpoint {
        Endpoint::ChatCompletions => json!({"messages": [{"role": "user", "content": "a"}], "max_tokens": 1}),
        Endpoint::Completions | Endpoint::Embeddings => json!({"prompt": "a", "max_tokens": 1}),
    };
    body["model"] = json!(call.model);
    let members: Value = serde_json::from_str(&format!("{{{}}}", call.members)).unwrap_or_default();
    for (name, value) in members.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    LoadRequest::OneToken { endpoint, body }
}

/// What an answer says of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// It is there.
    Yes,
    /// The server will not have it.
    No,
    /// Something went wrong with it, which may be the adapter's fault, or its hub's and pass.
    Failed,
    /// The server has no time for it yet, or has a fault of its own.
    NotYet,
}

/// What the answer to a [`LoadRequest`] says of the adapter of this name.
#[must_use]
pub fn loaded(engine: Engine, name: &str, status: u16, body: &str) -> Loaded {
    match (engine, status) {
        (_, 200..=299) => Loaded::Yes,
        // After a feeder that started anew: `vllm/entrypoints/openai/models/serving.py`, `sglang/srt/lora/lora_registry.py`.
        (Engine::VLLM | Engine::SGLang, 400) if body.contains("already") => Loaded::Yes,
        (Engine::VLLM | Engine::SGLang, 400 | 404 | 422) => Loaded::No,
        (Engine::VLLM, 500) if classify::is_dead_vllm(body) => Loaded::NotYet,
        // Whatever goes wrong in a shard has this status.
        (Engine::LoRAX, 424) if classify::lorax_refuses_adapter(body) => Loaded::No,
        (Engine::LoRAX, 424) if classify::lorax_is_without_shard(body) => Loaded::NotYet,
        (Engine::Custom, 404) if body.contains(name) => Loaded::No,
        (_, 408 | 429 | 503) => Loaded::NotYet,
        // Not about the adapter: the server is there, and thinks something else of this request.
        (Engine::LoRAX | Engine::Custom, 400..=499) if status != 424 => Loaded::Yes,
        // vLLM says 500 of all that is wrong with an adapter that is there: its rank, its modules, its shapes (`serving.py`).
        _ => Loaded::Failed,
    }
}

/// The number of each file in llama-server's answer to `GET /lora-adapters`: `[{"id":0,"path":"...","scale":0.0}]` (llama-server run).
#[must_use]
pub fn llama_cpp_ids(answer: &[u8]) -> Vec<(String, u64)> {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let listed = answer.as_array().into_iter().flatten();
    let numbered = listed.filter_map(|adapter| Some((adapter["path"].as_str()?.to_owned(), adapter["id"].as_u64()?)));
    numbered.collect()
}

/// The path of that list.
pub const LLAMA_CPP_LIST: &str = "/lora-adapters";

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
