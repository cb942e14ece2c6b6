//! Jobs, and the feeders that run them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use batch_inference_operator::storage::Side;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::answer_server::AnswerServer;
use super::dataset::{Dataset, Length, MODEL};
use super::image;
use super::kubernetes::{Kubernetes, NAMESPACE};
use super::machine::binary;
use super::process::{Measured, Usage};
use super::seaweedfs::{BUCKET, SECRET_KEY, SeaweedFs};

const JOB: &str = "figures";
const UID: &str = "1";
const POD: &str = "server";

/// The store, and a folder for data sets and scratch.
pub struct World {
    s3: SeaweedFs,
    directory: TempDir,
    jobs: std::cell::Cell<u32>,
}

/// A job with an output of its own.
pub struct Job<'a> {
    world: &'a World,
    kubernetes: Kubernetes,
    directory: PathBuf,
    dataset: Dataset,
    server: Option<AnswerServer>,
}

/// A feeder at work.
pub struct Feeder<'a> {
    job: &'a Job<'a>,
    process: Measured,
    /// Microseconds since 1970.
    pub started: u64,
}

impl World {
    /// Starts the store, with room for what ten million rows leave.
    pub async fn start() -> Self {
        Self {
            s3: SeaweedFs::start_with_room(40).await,
            directory: tempfile::tempdir().unwrap(),
            jobs: std::cell::Cell::new(0),
        }
    }

    pub fn dataset(&self, rows: u64, length: Length) -> Dataset {
        Dataset::write(self.directory.path(), rows, length)
    }

    /// A place for an output, as a URI.
    pub fn output(folder: &str) -> String {
        format!("s3://{BUCKET}/{folder}/")
    }

    /// The store's keys, as a feeder's environment has them.
    pub fn keys(&self) -> [(String, String); 3] {
        self.s3.environment(Side::Output, SECRET_KEY)
    }

    pub fn dataset_folder(&self) -> &Path {
        self.directory.path()
    }

    /// A job for a data set, on vLLM as far as the feeder knows.
    pub async fn job(&self, dataset: &Dataset) -> Job<'_> {
        self.job_on("VLLM", MODEL, dataset).await
    }

    /// The same on llama-server, whose model is a file.
    pub async fn job_on_llama_server(&self, dataset: &Dataset, model: &str) -> Job<'_> {
        self.job_on("LlamaCpp", model, dataset).await
    }

    async fn job_on(&self, engine: &str, model: &str, dataset: &Dataset) -> Job<'_> {
        let number = self.jobs.get();
        self.jobs.set(number + 1);
        let directory = self.directory.path().join(format!("job-{number}"));
        std::fs::create_dir(&directory).unwrap();
        let kubernetes = Kubernetes::start().await;
        kubernetes.put_job(resource(engine, model, dataset, number));
        std::fs::write(directory.join("kubeconfig"), kubernetes.kubeconfig()).unwrap();
        Job {
            world: self,
            kubernetes,
            directory,
            dataset: dataset.clone(),
            server: None,
        }
    }
}

/// A job as the controller leaves it for the feeder. Everything that has a default has it, but for a name that rows of the
/// quickstart use.
fn resource(engine: &str, model: &str, dataset: &Dataset, number: u32) -> Value {
    let file = dataset.path.file_name().unwrap().to_string_lossy();
    json!({
        "apiVersion": "batchinference.dev/v1alpha1",
        "kind": "BatchInferenceJob",
        "metadata": {
            "name": JOB, "namespace": NAMESPACE, "uid": UID, "creationTimestamp": "2026-11-24T08:00:00Z",
        },
        "spec": {
            "dataset": {"uri": format!("pvc://claim/{file}")},
            "server": {"engine": engine, "baseModel": model, "servedModelNames": ["smollm2-135m"]},
            "output": {"uri": format!("s3://{BUCKET}/job-{number}")},
        },
        "status": {
            "resolved": {
                "engine": engine, "image": "none", "model": model, "servedModelName": model, "args": [], "resources": {},
            },
        },
    })
}

impl Job<'_> {
    /// Puts a server in the place of the one before.
    pub fn serve(&mut self, server: AnswerServer) {
        self.serve_at(server.address());
        self.server = Some(server);
    }

    /// The same with a server that someone else runs.
    pub fn serve_at(&mut self, address: std::net::SocketAddr) {
        if self.server.take().is_some() {
            self.kubernetes.delete_server(POD);
        }
        self.kubernetes.put_server(JOB, POD, address);
    }

    pub fn server(&self) -> &AnswerServer {
        self.server.as_ref().unwrap()
    }

    pub fn scratch(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Starts a feeder with nothing in its environment but the store's keys and what the image gives it.
    pub fn start(&self, scratch: &Path) -> Feeder<'_> {
        std::fs::create_dir_all(scratch).unwrap();
        let log = std::fs::File::create(self.directory.join("log")).unwrap();
        let folder = self.dataset.path.parent().unwrap();
        let command = Command::new(binary())
            .args(["feed", "--namespace", NAMESPACE, "--name", JOB, "--uid", UID])
            .arg("--dataset-directory")
            .arg(folder)
            .arg("--scratch")
            .arg(scratch)
            .env_clear()
            .envs(image::environment())
            .envs(self.world.keys())
            .env("KUBECONFIG", self.directory.join("kubeconfig"))
            // The model is known already; no hub is asked of it.
            .env("MODEL_HF_HUB_OFFLINE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        Feeder {
            job: self,
            process: Measured::new(command.unwrap()),
            started: now(),
        }
    }

    /// Runs a feeder from the first row to the manifest.
    pub async fn run(&self) -> Usage {
        self.start(&self.scratch("scratch")).finish().await
    }

    /// The job's status.
    pub fn status(&self) -> Value {
        self.kubernetes.job(JOB)["status"].clone()
    }

    /// Rows that the status says are done.
    pub fn completed(&self) -> u64 {
        self.status()["progress"]["completed"].as_u64().unwrap_or_default()
    }

    /// Whether this start of the feeder, counted from 1, has said from where on it sends rows. The server is one that answers nothing.
    pub fn is_feeding(&self, attempt: u64) -> bool {
        let status = self.status();
        // Its first words repeat what the start before has said, with that one's pace. Its own is none, or nothing.
        let pace = &status["progress"]["rowsPerSecond"];
        let has_own_progress = pace.is_null() || pace == "0.0";
        status["feeder"]["attempt"] == attempt && self.stage() == "Feeding" && has_own_progress
    }

    fn stage(&self) -> String {
        self.status()["feeder"]["state"]
            .as_str()
            .unwrap_or("Starting")
            .to_owned()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Feeder<'_> {
    /// Waits for something that the feeder does.
    pub async fn until(&mut self, what: &str, done: impl AsyncFnMut() -> bool) {
        let job = self.job;
        self.process.until(|| job.stage(), done).await;
        assert!(
            !self.process.has_ended(),
            "the feeder ended before {what}:\n{}",
            job.log()
        );
    }

    /// Waits for its end, which must be that of a job whose every row has a result.
    pub async fn finish(self) -> Usage {
        let job = self.job;
        let usage = self.process.finish(|| job.stage()).await;
        let status = job.status();
        let all = (usage.exit_code, status["feeder"]["reason"].as_str()) == (Some(0), Some("AllRowsSucceeded"));
        assert!(
            all,
            "the feeder ended with {:?} and {status}:\n{}",
            usage.exit_code,
            job.log()
        );
        usage
    }

    /// SIGKILL.
    pub async fn kill(self) -> Usage {
        let job = self.job;
        self.process.kill(|| job.stage()).await
    }
}

/// Microseconds since 1970, as the answer server's clock.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
