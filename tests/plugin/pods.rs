//! Pods without nodes: what is asked of one by exec is done by a process of this machine.

use std::collections::BTreeMap;
use std::process::Stdio;

use axum::extract::ws::{Message, WebSocket};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Channels of `v5.channel.k8s.io` (k8s.io/apimachinery, `remotecommand`).
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
/// Of one message.
const CHUNK_BYTES: usize = 32 << 10;

#[derive(Default)]
pub struct Pods {
    created: Vec<Value>,
    left: Vec<Value>,
}

impl Pods {
    pub fn create(&mut self, mut pod: Value, status: Value) -> Value {
        let prefix = pod["metadata"]["generateName"].as_str().expect("a prefix").to_owned();
        pod["metadata"]["name"] = json!(format!("{prefix}{}", self.created.len()));
        pod["status"] = status;
        self.created.push(pod.clone());
        self.left.push(pod.clone());
        pod
    }

    /// Has all that wait run, and gives those.
    pub fn run(&mut self) -> Vec<Value> {
        let waiting = self.left.iter_mut().filter(|pod| pod["status"]["phase"] == "Pending");
        waiting
            .map(|pod| {
                pod["status"] = json!({"phase": "Running"});
                pod.clone()
            })
            .collect()
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.left().find(|pod| pod["metadata"]["name"] == name)
    }

    pub fn left(&self) -> impl Iterator<Item = &Value> {
        self.left.iter()
    }

    pub fn delete(&mut self, name: &str) -> Option<Value> {
        let at = self.left.iter().position(|pod| pod["metadata"]["name"] == name)?;
        Some(self.left.remove(at))
    }

    /// As a pod does that has been there for as long as it may.
    pub fn end(&mut self, name: &str) {
        for pod in self.left.iter_mut().filter(|pod| pod["metadata"]["name"] == name) {
            pod["status"] = json!({"phase": "Failed", "reason": "DeadlineExceeded"});
        }
    }

    pub fn created_and_left(&self) -> (Vec<Value>, usize) {
        (self.created.clone(), self.left.len())
    }
}

/// The Job of a feeder, as far as a pod is made of it.
pub fn feeder(name: &str, secret: &str) -> Value {
    let container = json!({
        "name": "feeder",
        "image": "operator:1",
        "envFrom": [{"prefix": "OUTPUT_", "secretRef": {"name": secret}}],
    });
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": [container]}}},
    })
}

/// The variables of a pod's container.
pub fn environment(pod: &Value, secrets: &BTreeMap<String, Value>) -> Vec<(String, String)> {
    let from = &pod["spec"]["containers"][0]["envFrom"][0];
    let secret = &secrets[from["secretRef"]["name"].as_str().unwrap()];
    let keys = secret["data"].as_object().unwrap().iter();
    let text = |value: &Value| String::from_utf8(STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap();
    keys.map(|(key, value)| (format!("{}{key}", from["prefix"].as_str().unwrap()), text(value)))
        .collect()
}

/// The words of a request to exec, without the program's path.
pub fn command(query: &str) -> Vec<String> {
    let url = reqwest::Url::parse(&format!("http://pod/?{query}")).unwrap();
    let words = url.query_pairs().filter(|(name, _)| name == "command");
    words.map(|(_, word)| word.into_owned()).skip(1).collect()
}

/// Runs the operator's program, gives it what is sent, and sends what it says.
pub async fn run(mut socket: WebSocket, command: Vec<String>, environment: Vec<(String, String)>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_batch-inference-operator"))
        .args(command)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut ending = Box::pin(child.wait_with_output());
    let ended = loop {
        tokio::select! {
            ended = &mut ending => break ended.unwrap(),
            message = socket.recv() => match message {
                Some(Ok(Message::Binary(bytes))) if bytes.first() == Some(&STDIN) => {
                    // The program may have ended.
                    let _ = stdin.write_all(&bytes[1..]).await;
                }
                Some(Ok(_)) => {}
                // Whoever asked has gone.
                Some(Err(_)) | None => return,
            },
        }
    };
    let status = if ended.status.success() {
        json!({"status": "Success"})
    } else {
        json!({"status": "Failure", "message": "command terminated with a non-zero exit code"})
    };
    for (channel, bytes) in [
        (STDOUT, ended.stdout),
        (STDERR, ended.stderr),
        (STATUS, status.to_string().into_bytes()),
    ] {
        for chunk in bytes.chunks(CHUNK_BYTES) {
            let message = Message::Binary([&[channel][..], chunk].concat().into());
            // Whoever asked may have gone.
            if socket.send(message).await.is_err() {
                return;
            }
        }
    }
}

/// Ends a connection in the middle.
pub async fn break_off(socket: WebSocket) {
    drop(socket);
}

/// Says of the program what kubelet says of one that was killed.
pub async fn be_killed(mut socket: WebSocket) {
    let status = json!({
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": "command terminated with non-zero exit code",
        "details": {"causes": [{"reason": "ExitCode", "message": "137"}]},
    });
    let message = [&[STATUS][..], status.to_string().as_bytes()].concat();
    // Whoever asked may have gone.
    let _ = socket.send(Message::Binary(message.into())).await;
}

/// Takes what is sent, and never answers.
pub async fn say_nothing(mut socket: WebSocket) {
    while let Some(Ok(_)) = socket.recv().await {}
}
