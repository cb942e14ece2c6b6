//! A vLLM as a process of this machine, and what is asked of it directly.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::ports::free_ports;

/// It reads a few thousand files of Python first.
const READY_WITHIN: Duration = Duration::from_mins(10);
const LINES_OF_LOG: usize = 60;

/// The folder with the model `base` and its `adapters`, which are made first where they are not there.
pub fn models() -> PathBuf {
    let output = Command::new(script("build")).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "tests/vllm/build has failed");
    String::from_utf8(output.stdout).unwrap().trim().into()
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vllm").join(name)
}

/// A running server; killed with all its processes when dropped, and also when the test is killed.
pub struct Vllm {
    process: Child,
    address: SocketAddr,
    directory: TempDir,
    client: reqwest::Client,
}

impl Vllm {
    /// Starts what a pod's container says, and returns when its readiness probe succeeds.
    pub async fn start(container: &Value) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let [port] = free_ports();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let process = Command::new(script("serve"))
            .args(strings(&container["args"]))
            // A pod has an address of its own; of options that are given twice, the last one counts.
            .args(["--host", &host, "--port", &port])
            .envs(variables(container, directory.path()))
            .env("TMPDIR", directory.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self {
            process,
            address,
            directory,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        let readiness = container["readinessProbe"]["httpGet"]["path"].as_str();
        server.until_ready(readiness.expect("a readiness probe")).await;
        server
    }

    async fn until_ready(&mut self, path: &str) {
        let deadline = Instant::now() + READY_WITHIN;
        while !self.is_ready(path).await {
            let exited = self.process.try_wait().unwrap();
            assert!(
                exited.is_none() && Instant::now() < deadline,
                "vLLM is not ready (exited: {exited:?})"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn is_ready(&self, path: &str) -> bool {
        let answer = self.client.get(self.url(path)).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The answer to a chat.
    pub async fn chat(&self, body: Value) -> Value {
        let request = self.client.post(self.url("/v1/chat/completions")).json(&body);
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let answer = answer.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{body}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// What it answers to GET.
    pub async fn page(&self, path: &str) -> Vec<u8> {
        let answer = self.client.get(self.url(path)).send().await.unwrap();
        answer.error_for_status().unwrap().bytes().await.unwrap().into()
    }

    fn end_of_log(&self) -> String {
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES_OF_LOG)..].join("\n")
    }
}

impl Drop for Vllm {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("the end of vLLM's log:\n{}", self.end_of_log());
        }
    }
}

/// A container's variables. A path on one of its volumes becomes one below `directory`.
fn variables<'a>(container: &'a Value, directory: &Path) -> Vec<(&'a str, String)> {
    let mounts = container["volumeMounts"].as_array().expect("mounts").iter();
    let mounts: Vec<_> = mounts.filter_map(|mount| mount["mountPath"].as_str()).collect();
    let variables = container["env"].as_array().expect("variables").iter();
    let variables = variables.map(|variable| {
        let (name, value) = (variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap());
        let is_on_volume = mounts.iter().any(|mount| Path::new(value).starts_with(mount));
        let root = if is_on_volume {
            directory.display().to_string()
        } else {
            String::new()
        };
        (name, root + value)
    });
    variables.collect()
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    let list = list.as_array().expect("a list").iter();
    list.map(|item| item.as_str().expect("a string"))
}
