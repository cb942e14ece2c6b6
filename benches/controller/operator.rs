//! The controller as a process, by a user of its own that the audit log tells apart.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::cluster::{ends_with_us, state, until};
use super::image;

/// By this name the controller asks the API server.
pub const USER: &str = "bench-controller";
const ADDRESS: &str = "127.0.0.1:19080";

/// A running controller; it is killed with this.
pub struct Operator {
    process: Child,
    started: Instant,
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Operator {
    pub fn start(log: &str) -> Self {
        let kubeconfig = impersonating_kubeconfig();
        let log = std::fs::File::create(state().join("logs").join(log)).unwrap();
        let process = ends_with_us(env!("CARGO_BIN_EXE_batch-inference-operator"))
            .args(["controller", "--feeder-image", "feeder:bench", "--listen", ADDRESS])
            .envs(image::environment())
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the controller starts");
        Self {
            process,
            started: Instant::now(),
        }
    }

    /// Stops it as kubelet does, so that it gives its Lease up.
    pub fn stop(mut self) {
        let process = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        self.process.wait().unwrap();
    }

    pub fn since_start(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until so many reconciles were done.
    pub async fn until_reconciled(&self, jobs: usize) {
        until("every job is looked at", || async {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let wanted = jobs as f64;
            metrics()
                .await
                .is_some_and(|text| sum(&text, "batch_inference_reconciles_total{") >= wanted)
        })
        .await;
    }

    /// Mebibytes that the process has now, and had at most.
    pub fn memory(&self) -> (f64, f64) {
        let status = std::fs::read_to_string(Path::new("/proc").join(self.process.id().to_string()).join("status"));
        let status = status.unwrap();
        let mebibytes = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
        };
        (mebibytes("VmRSS:"), mebibytes("VmHWM:"))
    }

    /// Reconciles so far, and the milliseconds within which 99 of 100 were done without waiting.
    pub async fn busy(&self) -> (f64, f64) {
        let text = metrics().await.expect("metrics");
        let name = "batch_inference_reconcile_busy_seconds";
        let count = sum(&text, &format!("{name}_count"));
        let buckets = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(&format!("{name}_bucket{{le=\""))?;
            let (bound, rest) = rest.split_once('"')?;
            let below: f64 = rest.rsplit(' ').next()?.parse().ok()?;
            Some((bound.parse::<f64>().unwrap_or(f64::INFINITY), below))
        });
        let within = buckets.into_iter().find(|(_, below)| *below >= 0.99 * count);
        (count, within.map_or(f64::INFINITY, |(bound, _)| bound * 1000.0))
    }
}

async fn metrics() -> Option<String> {
    let answer = reqwest::get(format!("http://{ADDRESS}/metrics")).await.ok()?;
    answer.text().await.ok()
}

fn sum(text: &str, start: &str) -> f64 {
    let lines = text.lines().filter(|line| line.starts_with(start));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

fn impersonating_kubeconfig() -> std::path::PathBuf {
    let admin = std::fs::read_to_string(std::env::var_os("KUBECONFIG").unwrap()).unwrap();
    let mut config: serde_json::Value = serde_yaml::from_str(&admin).unwrap();
    for user in config["users"].as_array_mut().unwrap() {
        user["user"]["as"] = USER.into();
        user["user"]["as-groups"] = serde_json::json!(["system:masters"]);
    }
    let path = state().join("bench-controller.kubeconfig");
    std::fs::write(&path, serde_yaml::to_string(&config).unwrap()).unwrap();
    path
}
