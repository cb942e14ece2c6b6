//! Adapters of the fake servers are as the sources have them.

use serde_json::{Value, json};

use crate::fake_model_server::{FakeModelServer, LoraLoading, Settings};
use crate::{LLAMA_SERVER, LORAX, SGLANG, VLLM, get, post};

/// A server that is started with these arguments more, and two adapters that there are.
fn start(args: &[&str], more: &[&str]) -> FakeModelServer {
    let mut settings = Settings::local(&[args, more].concat());
    settings.lora_loading = LoraLoading::AtRunTime;
    settings.adapters = ["org/sql", "org/chat"].map(str::to_owned).into();
    FakeModelServer::start(settings).expect("a free port")
}

async fn ask(server: &FakeModelServer, model: &str, more: Value) -> (u16, Value) {
    let mut row = json!({"model": model, "messages": [{"role": "user", "content": "hello"}]});
    for (name, value) in more.as_object().expect("members") {
        row[name] = value.clone();
    }
    let (status, body) = post(server, "/v1/chat/completions", &row).await;
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

fn text(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap_or_default()
}

async fn load(server: &FakeModelServer, path: &str, adapter: &str) -> u16 {
    let request = json!({"lora_name": adapter, "lora_path": format!("org/{adapter}")});
    post(server, path, &request).await.0
}

#[tokio::test]
async fn vllm_loads_adapters_that_there_are_once() {
    let server = start(VLLM, &["--enable-lora", "--max-loras", "2", "--max-lora-rank", "16"]);
    let path = "/v1/load_lora_adapter";
    assert_eq!(ask(&server, "sql", json!({})).await.0, 404);
    assert_eq!(load(&server, path, "sql").await, 200);
    assert_eq!(load(&server, path, "sql").await, 400);
    assert_eq!(load(&server, path, "missing").await, 404);
    let (status, answer) = ask(&server, "sql", json!({})).await;
    assert_eq!(
        (status, text(&answer), &answer["model"]),
        (200, "sql: You said: hello", &json!("sql"))
    );
    assert_eq!(server.adapters_asked_for(), ["sql", "sql", "missing"]);
    let without = start(VLLM, &[]);
    assert_eq!(load(&without, path, "sql").await, 404);
}

#[tokio::test]
async fn vllm_says_500_of_whatever_goes_wrong_in_its_worker() {
    let mut settings = Settings::local(&[VLLM, ["--enable-lora"].as_slice()].concat());
    settings.lora_loading = LoraLoading::AtRunTime;
    settings.lora_failures = 1;
    settings.adapters = ["org/sql".to_owned()].into();
    let server = FakeModelServer::start(settings).expect("a free port");
    let path = "/v1/load_lora_adapter";
    assert_eq!(load(&server, path, "sql").await, 500);
    assert_eq!(load(&server, path, "sql").await, 200);
}

#[tokio::test]
async fn sglang_tells_adapters_by_a_colon_and_answers_other_names_from_the_base() {
    let args = ["--enable-lora", "--max-lora-rank", "64", "--lora-target-modules", "all"];
    let server = start(SGLANG, &args);
    assert_eq!(load(&server, "/load_lora_adapter", "sql").await, 200);
    assert_eq!(load(&server, "/load_lora_adapter", "missing").await, 400);
    let (_, answer) = ask(&server, "model:sql", json!({})).await;
    assert_eq!(text(&answer), "sql: You said: hello");
    assert_eq!(ask(&server, "model:chat", json!({})).await.0, 400);
    let (_, answer) = ask(&server, "sql", json!({})).await;
    assert_eq!(text(&answer), "You said: hello");
}

#[tokio::test]
async fn lorax_loads_what_a_row_asks_for_and_wants_a_token_for_predibase() {
    let server = start(LORAX, &[]);
    let (_, answer) = ask(&server, "org/sql", json!({"adapter_source": "hub"})).await;
    assert_eq!(text(&answer), "org/sql: You said: hello");
    assert_eq!(ask(&server, "org/missing", json!({})).await.0, 424);
    let pbase = json!({"adapter_source": "pbase"});
    assert_eq!(ask(&server, "org/sql", pbase).await.0, 424);
    let pbase = json!({"adapter_source": "pbase", "api_token": "pb"});
    assert_eq!(ask(&server, "org/sql", pbase).await.0, 200);
}

#[tokio::test]
async fn llama_server_numbers_its_files_and_takes_a_scale() {
    let server = start(LLAMA_SERVER, &["--lora-scaled", "/a/x.gguf:0,/a/y.gguf:0"]);
    let (_, listed) = get(&server.url("/lora-adapters")).await;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!((&listed[1]["id"], &listed[1]["path"]), (&json!(1), &json!("/a/y.gguf")));
    let (_, answer) = ask(&server, "anything", json!({"lora": [{"id": 1, "scale": 1.0}]})).await;
    assert_eq!(text(&answer), "/a/y.gguf: You said: hello");
    let (_, answer) = ask(&server, "model", json!({})).await;
    assert_eq!(text(&answer), "You said: hello");
    let (_, answer) = ask(&server, "model", json!({"lora": [{"id": 7, "scale": 1.0}]})).await;
    assert_eq!(text(&answer), "You said: hello");
}
