//! The lean model server as a process (`benches/answer-server`).

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use super::machine::{binary, cores};

/// A running server. Killed when dropped, and when this process ends.
pub struct AnswerServer {
    process: Child,
    address: SocketAddr,
}

/// What it knows of its rows; times in microseconds since 1970.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub connections: u64,
    pub received: u64,
    pub answered: u64,
    pub most_in_flight: u64,
    pub first_received: u64,
    pub last_answered: u64,
}

impl Counts {
    /// Rows per second, from the first that came to the last answer.
    pub fn rows_per_second(&self) -> f64 {
        self.answered as f64 / self.seconds()
    }

    pub fn seconds(&self) -> f64 {
        self.last_answered.saturating_sub(self.first_received) as f64 / 1e6
    }
}

impl AnswerServer {
    /// Answers every row after some milliseconds.
    pub fn start(latency_ms: u64) -> Self {
        Self::with(&[&format!("--latency-ms={latency_ms}")])
    }

    /// Starts it on the last core.
    pub fn with(arguments: &[&str]) -> Self {
        let program = binary().with_file_name("examples").join("answer-server");
        let mut process = Command::new("taskset")
            .args(["--cpu-list", &(cores() - 1).to_string()])
            .arg(&program)
            .arg("--until-input-ends")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("{} does not start", program.display()));
        Self { process, address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1/chat/completions", self.address)
    }

    pub async fn counts(&self) -> Counts {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("http://{}/counts", self.address)).send().await;
        answer.unwrap().json().await.unwrap()
    }
}

impl Drop for AnswerServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
