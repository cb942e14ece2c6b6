//! All that a feeder lives in: a store, an API server with its job, model servers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use batch_inference_operator::api::names::ENDPOINT_API_KEY_ENV;
use batch_inference_operator::storage::{Put, Side, Store, StoreUri, open_output};
use batch_inference_operator::verify::{Verdict, verify};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::fake_model_server::{Count, FakeModelServer, Settings};
use crate::kubernetes::{Kubernetes, NAMESPACE};
use crate::output::{self, Output};
use crate::process::{FeederProcess, program};
use crate::rows::MODEL;
use crate::s3_proxy::S3Proxy;
use crate::seaweedfs::{BUCKET, SECRET_KEY, SeaweedFs};
use crate::until::until;

/// One S3 for all tests; it ends with the process.
static S3: OnceCell<SeaweedFs> = OnceCell::const_new();

pub async fn s3() -> &'static SeaweedFs {
    S3.get_or_init(SeaweedFs::start).await
}

pub const JOB: &str = "triangles";

/// The job of a test, and what it needs.
pub struct World {
    pub kubernetes: Kubernetes,
    pub uid: String,
    s3: &'static SeaweedFs,
    folder: String,
    servers: BTreeMap<&'static str, FakeModelServer>,
    directory: TempDir,
    starts: u32,
    keys: BTreeMap<String, String>,
    /// `spec.output` of the job.
    pub output_spec: Value,
    /// Where the claims `data` and `results` are mounted.
    pub claim: TempDir,
    /// Where scratch files go.
    pub scratch: PathBuf,
}

impl World {
    /// A job for a data set, in a folder of its own in the bucket. It has no servers yet.
    pub async fn new(folder: impl Into<String>, dataset: &str) -> Self {
        let s3 = s3().await;
        let folder = folder.into();
        let output_spec = json!({"uri": format!("s3://{BUCKET}/{folder}/out")});
        let keys = [Side::Dataset, Side::Output].map(|side| s3.environment(side, SECRET_KEY));
        // No hub is asked of the model, unless a test has one.
        let offline = ("MODEL_HF_HUB_OFFLINE".to_owned(), "1".to_owned());
        let directory = tempfile::tempdir().unwrap();
        let world = Self {
            kubernetes: Kubernetes::start().await,
            uid: "1".to_owned(),
            s3,
            folder,
            servers: BTreeMap::new(),
            starts: 0,
            keys: keys.into_iter().flatten().chain([offline]).collect(),
            output_spec,
            claim: tempfile::tempdir().unwrap(),
            scratch: directory.path().join("scratch"),
            directory,
        };
        std::fs::create_dir(&world.scratch).unwrap();
        world.put_dataset("rows.jsonl", dataset).await;
        world.kubernetes.put_job(world.job("rows.jsonl"));
        world
    }

    /// Moves the output to a claim, for feeders that start from now on.
    pub fn put_output_on_claim(&mut self) {
        self.output_spec = json!({"uri": "pvc://results/runs/first"});
        self.kubernetes.put_job(self.job("rows.jsonl"));
    }

    /// A job with a ready server, in the same way.
    pub async fn with_server(folder: impl Into<String>, dataset: &str) -> Self {
        let mut world = Self::new(folder, dataset).await;
        world.add_server("server");
        world
    }

    /// Uploads a data set.
    pub async fn put_dataset(&self, key: &str, content: impl AsRef<[u8]>) {
        let put = self.store("").create(key, content.as_ref().to_vec()).await.unwrap();
        assert_eq!(put, Put::Created);
    }

    /// Puts another object in the place of one that is there.
    pub async fn replace(&self, key: &str, content: &str) {
        let mut writer = self.store("").overwrite(key, 0);
        writer.write(content.as_bytes()).await.unwrap();
        writer.finish().await.unwrap();
    }

    /// The job as the controller leaves it for the feeder.
    pub fn job(&self, dataset: &str) -> Value {
        let folder = &self.folder;
        json!({
            "apiVersion": "batchinference.dev/v1alpha1",
            "kind": "BatchInferenceJob",
            "metadata": {
                "name": JOB, "namespace": NAMESPACE, "uid": self.uid, "creationTimestamp": "2026-11-24T08:00:00Z",
            },
            "spec": {
                "dataset": {"uri": format!("s3://{BUCKET}/{folder}/{dataset}")},
                "server": {"engine": "VLLM", "baseModel": MODEL, "servedModelNames": ["gpt-4o-mini"]},
                "output": self.output_spec,
            },
            "status": {
                "resolved": {
                    "engine": "VLLM", "image": "vllm", "model": MODEL, "servedModelName": MODEL, "args": [], "resources": {},
                    "prices": {"currency": "USD", "perMillionTokens": "0.50"},
                },
            },
        })
    }

    /// Deletes the job and creates another of the same name.
    pub fn create_again(&mut self, uid: &str, dataset: &str) {
        uid.clone_into(&mut self.uid);
        self.kubernetes.put_job(self.job(dataset));
    }

    /// Another job with the same work on the same output, in another cluster. It has a server of its own once one is added.
    pub async fn rival(&self, uid: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let rival = Self {
            kubernetes: Kubernetes::start().await,
            uid: uid.to_owned(),
            s3: self.s3,
            folder: self.folder.clone(),
            servers: BTreeMap::new(),
            starts: 0,
            keys: self.keys.clone(),
            output_spec: self.output_spec.clone(),
            claim: tempfile::tempdir().unwrap(),
            scratch: directory.path().join("scratch"),
            directory,
        };
        std::fs::create_dir(&rival.scratch).unwrap();
        rival.kubernetes.put_job(rival.job("rows.jsonl"));
        rival
    }

    /// Writes the controller's decision that the job ends before its last row.
    pub fn tell_stopping(&self, stopping: Value) {
        self.kubernetes
            .change_job(JOB, |job| job["status"]["stopping"] = stopping);
    }

    /// Waits until the feeder says that it waits for this reason.
    pub async fn until_waits(&self, reason: &str) -> Value {
        let waits = async || self.status()["feeder"]["reason"] == reason;
        until(&format!("the feeder waits for {reason}"), waits).await;
        self.status()
    }

    /// Changes a key in the feeder's environment.
    pub fn set_key(&mut self, name: &str, value: &str) {
        let before = self.keys.insert(name.to_owned(), value.to_owned());
        assert!(before.is_some(), "{name} was not there");
    }

    /// Tells feeders that start from now on where the namespace's default store is, as its Secret does; `None` for a Secret that does not.
    pub fn set_default_store(&mut self, uri: Option<&str>) {
        for side in [Side::Dataset, Side::Output] {
            let name = format!("{}uri", side.env_prefix());
            match uri {
                Some(uri) => _ = self.keys.insert(name, uri.to_owned()),
                None => _ = self.keys.remove(&name),
            }
        }
    }

    /// Changes the job's spec.
    pub fn change_spec(&self, change: impl FnOnce(&mut Value)) {
        self.kubernetes.change_job(JOB, |job| change(&mut job["spec"]));
    }

    /// Lets feeders that start from now on ask this hub of the model.
    pub fn ask_hub(&mut self, url: &str) {
        self.keys.remove("MODEL_HF_HUB_OFFLINE");
        self.keys.insert("MODEL_HF_ENDPOINT".to_owned(), url.to_owned());
    }

    /// Gives feeders that start from now on another variable.
    pub fn add_variable(&mut self, name: &str, value: &str) {
        let before = self.keys.insert(name.to_owned(), value.to_owned());
        assert!(before.is_none(), "{name} was there");
    }

    /// Puts a proxy before the S3, for feeders that start from now on; the test itself goes on without it.
    pub async fn put_s3_proxy(&mut self) -> S3Proxy {
        let proxy = S3Proxy::start(self.s3.s3(), self.s3.filer()).await;
        for side in [Side::Dataset, Side::Output] {
            self.set_key(&format!("{}AWS_ENDPOINT_URL", side.env_prefix()), &proxy.url());
        }
        proxy
    }

    /// Starts a model server that is ready.
    pub fn add_server(&mut self, pod: &'static str) -> &FakeModelServer {
        self.add_server_with(pod, |_| ())
    }

    /// Starts a model server that is set up in another way.
    pub fn add_server_with(&mut self, pod: &'static str, change: impl FnOnce(&mut Settings)) -> &FakeModelServer {
        let mut settings = Settings::local(&[MODEL]);
        change(&mut settings);
        let server = FakeModelServer::start(settings).unwrap();
        self.kubernetes.put_server(JOB, pod, server.address());
        self.servers.entry(pod).or_insert(server)
    }

    /// Has the rows go to a server that is none of the job's. `key` is what the Secret holds that the job names.
    pub fn use_endpoint(&mut self, address: SocketAddr, key: Option<&str>) {
        let mut endpoint = json!({"url": format!("http://{address}/v1"), "model": MODEL});
        if let Some(key) = key {
            endpoint["apiKeySecretRef"] = json!({"name": "llm", "key": "api-key"});
            self.keys.insert(ENDPOINT_API_KEY_ENV.to_owned(), key.to_owned());
        }
        self.kubernetes.change_job(JOB, |job| {
            job["spec"].as_object_mut().unwrap().remove("server");
            job["spec"]["endpoint"] = endpoint;
            job["status"]["resolved"]["engine"] = json!("Custom");
        });
    }

    /// Keeps a server that Kubernetes does not know.
    pub fn keep_server(&mut self, name: &'static str, server: FakeModelServer) {
        self.servers.insert(name, server);
    }

    /// A server by its pod.
    pub fn server(&self, pod: &str) -> &FakeModelServer {
        &self.servers[pod]
    }

    /// A server dies, and Kubernetes does not know it yet.
    pub fn crash_server(&mut self, pod: &str) {
        self.servers.remove(pod).expect("the server is there");
    }

    /// How often each row was received and answered by the servers that live.
    pub fn counts(&self) -> BTreeMap<String, Count> {
        let mut sum: BTreeMap<String, Count> = BTreeMap::new();
        for (id, count) in self.servers.values().flat_map(FakeModelServer::requests) {
            let row = sum.entry(id).or_default();
            row.received += count.received;
            row.answered += count.answered;
        }
        sum
    }

    /// How many answers the servers that live have given.
    pub fn answers_given(&self) -> usize {
        self.servers.values().map(FakeModelServer::answers_given).sum()
    }

    /// Waits until the servers have answered that many rows.
    pub async fn until_answered(&self, rows: usize) {
        let answered = async || self.counts().values().filter(|count| count.answered > 0).count() >= rows;
        until(&format!("{rows} rows are answered"), answered).await;
    }

    /// Waits until the servers have that many rows, answered or not.
    pub async fn until_received(&self, rows: usize) {
        let received = async || self.counts().len() >= rows;
        until(&format!("{rows} rows are received"), received).await;
    }

    /// Starts a feeder for the job as it is.
    pub fn start(&mut self) -> FeederProcess {
        self.start_as(&program())
    }

    /// The same in another way.
    pub fn start_as(&mut self, program: &[OsString]) -> FeederProcess {
        self.starts += 1;
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        let kubeconfig = path("kubeconfig");
        std::fs::write(&kubeconfig, self.kubernetes.kubeconfig()).unwrap();
        let (claim, scratch) = (
            self.claim.path().display().to_string(),
            self.scratch.display().to_string(),
        );
        let arguments = [
            ["feed", "--namespace", NAMESPACE, "--name", JOB].as_slice(),
            &[
                "--uid",
                &self.uid,
                "--dataset-directory",
                "/none",
                "--output-directory",
                &claim,
                "--scratch",
                &scratch,
            ],
        ];
        let environment = self
            .keys
            .clone()
            .into_iter()
            .chain([("KUBECONFIG".to_owned(), kubeconfig)]);
        let log = self.directory.path().join(format!("log-{}", self.starts));
        FeederProcess::start(program, arguments.concat(), environment, &log)
    }

    /// Runs a feeder that is to decide the job's end: it says so in the status and exits 0.
    pub async fn run(&mut self) -> Value {
        assert_eq!(self.start().exit_code().await, 0);
        self.assert_nothing_was_refused();
        let status = self.status();
        assert_eq!(status["feeder"]["state"], "Ended", "{status}");
        assert_eq!(status["feeder"]["serversNeeded"], false, "{status}");
        status
    }

    pub fn assert_nothing_was_refused(&self) {
        assert_eq!(self.kubernetes.refused(), [""; 0]);
    }

    /// The job's status.
    pub fn status(&self) -> Value {
        self.kubernetes.job(JOB)["status"].clone()
    }

    /// What all feeders so far have logged.
    pub fn logs(&self) -> String {
        let logs = (1..=self.starts).map(|start| self.directory.path().join(format!("log-{start}")));
        logs.map(|log| std::fs::read_to_string(log).unwrap()).collect()
    }

    /// Whether servers were needed, each change once.
    pub fn servers_needed(&self) -> Vec<bool> {
        let statuses = self.kubernetes.statuses(JOB);
        let mut needed: Vec<bool> = statuses
            .iter()
            .filter_map(|status| status["feeder"]["serversNeeded"].as_bool())
            .collect();
        needed.dedup();
        needed
    }

    /// Whether the status ever gave this reason.
    pub fn has_said(&self, reason: &str) -> bool {
        let statuses = self.kubernetes.statuses(JOB);
        statuses.iter().any(|status| status["feeder"]["reason"] == reason)
    }

    /// Waits until the feeder's start of this number has begun.
    pub async fn until_attempt(&self, attempt: u32) {
        let what = format!("start {attempt} of the feeder");
        until(&what, async || self.status()["feeder"]["attempt"] == attempt).await;
    }

    /// Waits until the status asks for servers: in a job that is over at once, it might never say so.
    pub async fn until_servers_are_needed(&self) {
        until("servers are needed", async || {
            self.status()["feeder"]["serversNeeded"] == true
        })
        .await;
    }

    /// The files of the finished job, proven by the operator's own check.
    pub async fn output(&self) -> Output {
        let store = self.output_store();
        let output = Output::read(&store).await;
        let dataset = output.manifest["dataset"]["uri"].as_str().unwrap();
        let key = dataset.rsplit('/').next().unwrap();
        let verdict = verify(&self.store(""), key, &store).await.unwrap();
        assert!(matches!(verdict, Verdict::Proven(_)), "{verdict:?}");
        output
    }

    /// Waits until rows are in segments.
    pub async fn until_durable(&self, ids: &[String]) {
        let store = self.output_store();
        let all_are = async || {
            let durable = output::durable(&store).await;
            ids.iter().all(|id| durable.contains(id))
        };
        until("the rows are durable", all_are).await;
    }

    /// Waits until the feeder says that so many rows are done. It may hear later that a segment is stored than it is there.
    pub async fn until_completed(&self, rows: u64) {
        let told = async || self.status()["progress"]["completed"] == rows;
        until(&format!("{rows} rows are done"), told).await;
    }

    /// The job's output, wherever it is.
    pub fn output_store(&self) -> Store {
        self.open(self.output_spec["uri"].as_str().unwrap())
    }

    /// A folder of the job's own folder.
    pub fn store(&self, folder: &str) -> Store {
        self.open(&format!("s3://{BUCKET}/{}/{folder}", self.folder))
    }

    fn open(&self, uri: &str) -> Store {
        let uri = StoreUri::parse_prefix(uri).unwrap();
        let credentials = self.s3.credentials(Side::Output, SECRET_KEY);
        open_output(&uri, &credentials, Some(self.claim.path())).unwrap()
    }
}
