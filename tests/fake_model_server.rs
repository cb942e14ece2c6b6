//! The fake model server: it takes what the real servers take, and does what a row asks of it.

#[path = "fake-model-server/tests/adapters.rs"]
mod adapters;
#[path = "fake-model-server/tests/answers.rs"]
mod answers;
#[path = "fake-model-server/mod.rs"]
mod fake_model_server;
#[path = "fake-model-server/tests/faults.rs"]
mod faults;
#[path = "fake-model-server/tests/load.rs"]
mod load;
#[path = "fake-model-server/tests/options.rs"]
mod options;
#[path = "fake-model-server/tests/process.rs"]
mod process;

use std::time::Duration;

use fake_model_server::{FakeModelServer, Settings};
use serde_json::{Value, json};

const VLLM: &[&str] = &["org/model", "--served-model-name", "model", "org/model"];
const LLAMA_SERVER: &[&str] = &["-m", "/models/model.gguf", "-a", "model", "--metrics"];
const LORAX: &[&str] = &["--model-id", "model"];
const SGLANG: &[&str] = &[
    "--model-path",
    "org/model",
    "--served-model-name",
    "model",
    "--enable-metrics",
];
const CHAT: &str = "/v1/chat/completions";

/// The longest that a test waits for something that should come at once.
const PATIENCE: Duration = Duration::from_secs(30);

fn start(args: &[&str]) -> FakeModelServer {
    FakeModelServer::start(Settings::local(args)).expect("a free port")
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .expect("a client")
}

/// A chat row that asks something of the server.
fn chat(id: &str, fake: &Value) -> Value {
    json!({"model": "model", "user": id, "messages": [{"role": "user", "content": "hello there"}], "metadata": {"fake": fake}})
}

async fn post(server: &FakeModelServer, path: &str, body: &Value) -> (u16, String) {
    let answer = client()
        .post(server.url(path))
        .json(body)
        .send()
        .await
        .expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

async fn get(url: &str) -> (u16, String) {
    let answer = client().get(url).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}
