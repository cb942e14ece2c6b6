//! A real model on a real server: what the feeder reaches of the best fixed concurrency.

use std::collections::VecDeque;
use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::dataset::Dataset;
use crate::figure::{Figure, Goal};
use crate::job::World;
use crate::sample::Sample;

pub const ROWS: u64 = 200;
const CONCURRENCIES: &[usize] = &[1, 2, 4, 8, 16, 32];
const MODEL_FILE: &str = "/models/SmolLM2-135M-Instruct.Q4_1.gguf";
const LOADED_WITHIN: Duration = Duration::from_mins(5);

pub async fn measure(world: &World, rounds: usize, rows: u64) -> Vec<Figure> {
    let (dataset, bodies) = dataset_of(world, rows);
    let server = LlamaServer::start().await;
    // What is done once, such as paging the model in, is nobody's.
    fixed(&server, &bodies[..bodies.len().min(8)], 4).await;
    let (mut ratio, mut ours) = (Sample::default(), Sample::default());
    let mut theirs = vec![Sample::default(); CONCURRENCIES.len()];
    for _ in 0..rounds {
        let mut best: f64 = 0.0;
        for (concurrency, sample) in CONCURRENCIES.iter().zip(&mut theirs) {
            let rate = fixed(&server, &bodies, *concurrency).await;
            sample.push(rate);
            best = best.max(rate);
        }
        let rate = feeder(world, &server, &dataset, rows).await;
        ours.push(rate);
        ratio.push(rate / best);
    }
    let what = "llama-server with SmolLM2-135M, 200 rows, share of the best fixed concurrency";
    let figure = Figure::new("llama-server", what, "", Goal::AtLeast(0.95), ratio).with("feeder, rows/s", ours);
    let with = |figure: Figure, (concurrency, sample): (&usize, Sample)| {
        figure.with(&format!("{concurrency} at a time"), sample)
    };
    vec![CONCURRENCIES.iter().zip(theirs).fold(figure, with)]
}

/// The quickstart's rows, as often as it takes, and their bodies.
fn dataset_of(world: &World, rows: u64) -> (Dataset, Vec<String>) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/rows.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    let (mut lines, mut bodies) = (String::new(), Vec::new());
    for (line, number) in text.lines().cycle().zip(0..rows) {
        let mut row: Value = serde_json::from_str(line).unwrap();
        row["custom_id"] = json!(format!("row-{number}"));
        writeln!(lines, "{row}").unwrap();
        bodies.push(row["body"].to_string());
    }
    let path = world.dataset_folder().join("llama.jsonl");
    std::fs::write(&path, &lines).unwrap();
    let bytes = lines.len() as u64;
    (Dataset { path, bytes }, bodies)
}

/// Rows per second of as many clients as said, each with one request at a time.
async fn fixed(server: &LlamaServer, bodies: &[String], concurrency: usize) -> f64 {
    let waiting: Arc<Mutex<VecDeque<String>>> = Arc::new(Mutex::new(bodies.iter().cloned().collect()));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/v1/chat/completions", server.address);
    let begin = Instant::now();
    let clients = (0..concurrency).map(|_| {
        let (waiting, client, url) = (Arc::clone(&waiting), client.clone(), url.clone());
        async move {
            loop {
                let Some(body) = waiting.lock().unwrap().pop_front() else {
                    return;
                };
                let request = client.post(&url).header("content-type", "application/json").body(body);
                let answer = request.send().await.unwrap();
                assert!(answer.status().is_success(), "llama-server answers {}", answer.status());
                answer.bytes().await.unwrap();
            }
        }
    });
    futures::future::join_all(clients).await;
    bodies.len() as f64 / begin.elapsed().as_secs_f64()
}

/// Rows per second of a job while it sends rows, the wait until the last one is durable included.
async fn feeder(world: &World, server: &LlamaServer, dataset: &Dataset, rows: u64) -> f64 {
    let mut job = world.job_on_llama_server(dataset, MODEL_FILE).await;
    job.serve_at(server.address);
    let usage = job.run().await;
    rows as f64 / usage.stages["Feeding"].wall.as_secs_f64()
}

/// `benches/llama-server` with the options that the operator gives. Killed when dropped.
struct LlamaServer {
    process: Child,
    address: SocketAddr,
}

impl LlamaServer {
    async fn start() -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/llama-server");
        let process = Command::new(script)
            .args(["-m", MODEL_FILE, "-a", "smollm2-135m", "--metrics"])
            .args(["--host", "127.0.0.1", "--port", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut server = Self {
            process: process.unwrap(),
            address,
        };
        server.until_loaded().await;
        server
    }

    async fn until_loaded(&mut self) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let deadline = Instant::now() + LOADED_WITHIN;
        loop {
            let answer = client.get(format!("http://{}/health", self.address)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            let ended = self.process.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "llama-server does not start: {ended:?}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for LlamaServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
