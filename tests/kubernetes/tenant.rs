//! A namespace of its own for each test, with the keys of a part of the bucket, and someone who counts requests.

mod proxied;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use batch_inference_operator::api::BatchInferenceJob;
use batch_inference_operator::api::condition::{ConditionType, find, is_true};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::ListParams;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::commands::{Printed, must, run};
use super::fake_model_server::Recorder;
use super::job::Job;
use super::output::Output;
use super::until::{PAUSE, until};

/// The machine, as pods see it: the recorder listens there, on the cluster's own network.
pub const MACHINE: [u8; 4] = [10, 95, 0, 1];
const BUCKET: &str = "tests";
const STORE_PORT: u16 = 8333;
/// What a job of a few rows may take on a busy machine, images and restarts included.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// A namespace and all that belongs to it; gone when dropped.
pub struct Tenant {
    pub namespace: String,
    pub client: Client,
    pub recorder: Recorder,
    store: AmazonS3,
    endpoint: String,
}

impl Tenant {
    /// Makes a namespace with a Secret `store-keys`.
    pub async fn start(name: &str) -> Self {
        let tenant = Self::without_keys(name).await;
        tenant.create_keys("store-keys", "demo-secret").await;
        tenant
    }

    /// Makes a namespace.
    pub async fn without_keys(name: &str) -> Self {
        let client = Client::try_default().await;
        let client =
            client.expect("these tests need the test cluster: run `make test`, or `tests/cluster/with COMMAND`");
        let namespace = format!("test-{name}-{:08x}", rand::random::<u32>());
        // Every pod of a job, servers included, passes the strictest of the pod security standards.
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let manifest =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}});
        let created = run("kubectl", &["create", "--filename", "-"], &manifest.to_string()).await;
        created.expect("a new namespace");
        let store = store(&client, "demo", "demo-secret").await;
        let recorder = Recorder::start(SocketAddr::from((MACHINE, 0))).await;
        Self {
            namespace,
            client,
            recorder: recorder.expect("the machine's end of the cluster's network"),
            store,
            endpoint: "http://object-store.test-store.svc:8333".to_owned(),
        }
    }

    /// Makes a Secret with the store's keys, right ones when the secret key is `demo-secret`.
    pub async fn create_keys(&self, name: &str, secret_key: &str) {
        self.create_keys_of(name, "demo", secret_key).await;
    }

    /// Makes a Secret with the keys of a user of the store.
    pub async fn create_keys_of(&self, name: &str, access_key: &str, secret_key: &str) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": {
                "AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key, "AWS_ENDPOINT_URL": self.endpoint,
            },
        });
        self.apply(&secret).await;
    }

    /// Makes the namespace's default store: this tenant's part of the bucket.
    pub async fn create_default_store(&self) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "batch-inference-store"},
            "stringData": {
                "uri": self.uri(""),
                "AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo-secret", "AWS_ENDPOINT_URL": self.endpoint,
            },
        });
        self.apply(&secret).await;
    }

    /// A place in this tenant's part of the bucket.
    pub fn uri(&self, key: &str) -> String {
        format!("s3://{BUCKET}/{}/{key}", self.namespace)
    }

    /// The store's address, as this machine reaches it.
    pub async fn store_url(&self) -> String {
        format!("http://{}:{STORE_PORT}", store_address(&self.client).await)
    }

    /// Where servers tell of requests.
    pub fn recorder_url(&self) -> String {
        self.recorder.url()
    }

    fn key(&self, key: &str) -> Key {
        Key::from(format!("{}/{key}", self.namespace))
    }

    /// Puts an object into the bucket.
    pub async fn put(&self, key: &str, content: &str) {
        self.put_bytes(key, content.as_bytes().to_vec()).await;
    }

    /// Puts an object that need not be text.
    pub async fn put_bytes(&self, key: &str, content: Vec<u8>) {
        let put = self.store.put(&self.key(key), content.into()).await;
        put.expect("an object that is put");
    }

    /// Gets an object from the bucket.
    pub async fn get(&self, key: &str) -> String {
        String::from_utf8(self.bytes(key).await).expect("text")
    }

    /// Gets an object that need not be text.
    pub async fn bytes(&self, key: &str) -> Vec<u8> {
        let got = self.store.get(&self.key(key)).await;
        let got = got.unwrap_or_else(|error| panic!("{key}: {error}"));
        got.bytes().await.expect("bytes").to_vec()
    }

    /// Whether there is an object in the bucket.
    pub async fn exists(&self, key: &str) -> bool {
        self.store.head(&self.key(key)).await.is_ok()
    }

    /// Whether the store knows a user with these keys.
    pub async fn knows(&self, access_key: &str, secret_key: &str) -> bool {
        let store = store(&self.client, access_key, secret_key).await;
        let put = store.put(&self.key("knows-this-user"), Vec::new().into()).await;
        put.is_ok()
    }

    /// The names of the objects whose keys begin so.
    pub async fn list(&self, prefix: &str) -> Vec<String> {
        use futures::TryStreamExt;
        let listed: Vec<_> = self
            .store
            .list(Some(&self.key(prefix)))
            .try_collect()
            .await
            .expect("a listing");
        listed.into_iter().map(|object| object.location.to_string()).collect()
    }

    /// What a job left in its output.
    pub async fn output(&self, job: &str) -> Output {
        let manifest = self.get(&format!("{job}/manifest.json")).await;
        Output {
            results: self.get(&format!("{job}/results.jsonl")).await,
            errors: self.get(&format!("{job}/errors.jsonl")).await,
            manifest: serde_json::from_str(&manifest).expect("a manifest of JSON"),
        }
    }

    /// The kubeconfig of the tests, in this namespace.
    pub async fn kubeconfig(&self) -> Value {
        let view = must("kubectl", &["config", "view", "--raw", "--minify", "--output", "json"]).await;
        let mut config: Value = serde_json::from_str(&view).expect("a kubeconfig");
        config["contexts"][0]["context"]["namespace"] = json!(self.namespace);
        config
    }

    /// `kubectl` in this namespace.
    pub async fn kubectl(&self, arguments: &[&str]) -> Printed {
        self.kubectl_with(arguments, "").await
    }

    async fn kubectl_with(&self, arguments: &[&str], input: &str) -> Printed {
        let mut all = vec!["--namespace", self.namespace.as_str()];
        all.extend(arguments);
        run("kubectl", &all, input).await
    }

    /// `kubectl apply`, which must succeed.
    pub async fn apply(&self, manifest: &Value) {
        let applied = self.try_apply(manifest).await;
        applied.unwrap_or_else(|refusal| panic!("{manifest} is refused: {refusal}"));
    }

    /// `kubectl apply`; an error is what it printed.
    pub async fn try_apply(&self, manifest: &Value) -> Printed {
        self.kubectl_with(&["apply", "--filename", "-"], &manifest.to_string())
            .await
    }

    /// Applies a job.
    pub async fn submit(&self, job: &Job) {
        self.apply(&job.0).await;
    }

    /// Changes fields of a job's spec.
    pub async fn patch_spec(&self, job: &str, spec: &Value) {
        let patch = json!({"spec": spec}).to_string();
        let arguments = ["patch", "bij", job, "--type", "merge", "--patch", &patch];
        self.kubectl(&arguments).await.expect("a patch");
    }

    /// The jobs of this namespace.
    pub fn jobs(&self) -> Api<BatchInferenceJob> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A job.
    pub async fn job(&self, name: &str) -> BatchInferenceJob {
        self.jobs()
            .get(name)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Waits for a job to be as wanted.
    pub async fn until_job(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&BatchInferenceJob) -> bool,
    ) -> BatchInferenceJob {
        // Watched, as what is wanted may stand for less time than there is between two looks.
        let seen = |job: Option<&BatchInferenceJob>| job.is_some_and(&wanted);
        let watching = async {
            loop {
                // The watch ends when the API server does.
                if let Ok(Some(job)) = await_condition(self.jobs(), name, seen).await {
                    return job;
                }
                sleep(PAUSE).await;
            }
        };
        let job = timeout(PATIENCE, watching).await;
        job.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {name}: {what}"))
    }

    /// Waits until so many rows are said to be finished.
    pub async fn until_completed(&self, name: &str, rows: i64) -> BatchInferenceJob {
        let completed = |job: &BatchInferenceJob| {
            let progress = job.status.as_ref().and_then(|status| status.reported.progress.as_ref());
            progress.is_some_and(|progress| progress.completed == rows)
        };
        self.until_job(name, &format!("{rows} rows are finished"), completed)
            .await
    }

    /// Waits for a condition to have a reason.
    pub async fn until_reason(&self, name: &str, kind: ConditionType, reason: &str) -> Condition {
        let has = |job: &BatchInferenceJob| condition(job, kind).is_some_and(|condition| condition.reason == reason);
        let job = self
            .until_job(name, &format!("{} is {reason}", kind.as_str()), has)
            .await;
        condition(&job, kind).expect("a condition").clone()
    }

    /// Waits for the end of a job, and for its GPUs to be released.
    pub async fn end(&self, name: &str) -> BatchInferenceJob {
        let ended = |job: &BatchInferenceJob| {
            let holds = |kind| is_true(conditions(job), kind);
            (holds(ConditionType::Complete) || holds(ConditionType::Failed)) && holds(ConditionType::GPUsReleased)
        };
        self.until_job(name, "an end, and GPUs released", ended).await
    }

    /// Waits for the end of a job, which must be that all rows have a result; proves it; and checks that no pod of the
    /// servers is left.
    pub async fn complete(&self, name: &str, dataset: &str) -> Output {
        let job = self.end(name).await;
        assert_eq!(end_of(&job), "Complete: AllRowsSucceeded", "{:?}", conditions(&job));
        assert!(self.server_pods(&job).await.is_empty(), "a pod of the servers is left");
        let output = self.output(name).await;
        output.prove(dataset);
        output
    }

    /// The pods of a job's servers.
    pub async fn server_pods(&self, job: &BatchInferenceJob) -> Vec<Pod> {
        self.pods(job, "server").await
    }

    /// The pod of a job's feeder, once it is there.
    pub async fn feeder_pod(&self, job: &BatchInferenceJob) -> Pod {
        let what = format!("a pod of the feeder of {}", job.name_any());
        until(&what, PATIENCE, async || self.feeder_pods(job).await.pop()).await
    }

    /// The pods of a job's feeder.
    pub async fn feeder_pods(&self, job: &BatchInferenceJob) -> Vec<Pod> {
        self.pods(job, "feeder").await
    }

    async fn pods(&self, job: &BatchInferenceJob, component: &str) -> Vec<Pod> {
        let uid = job.uid().expect("a uid");
        let labels = format!("batchinference.dev/job-uid={uid},app.kubernetes.io/component={component}");
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let listed = pods.list(&ListParams::default().labels(&labels)).await;
        listed.expect("pods").items
    }

    /// Waits until the servers have received a row so many times.
    pub async fn until_received(&self, requests: usize) {
        until(&format!("{requests} requests"), PATIENCE, async || {
            let counts = self.recorder.counts();
            let received: u64 = counts.values().map(|count| count.received).sum();
            (received >= requests as u64).then_some(())
        })
        .await;
    }

    /// Lets the answers go that the servers of a job hold under this name.
    pub async fn release(&self, job: &str, hold: &str) {
        let job = self.job(job).await;
        let pods = self.server_pods(&job).await.into_iter();
        for pod in pods.filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            if pod.status.as_ref().is_some_and(|status| status.pod_ip.is_some()) {
                control(Method::POST, &pod, &format!("release/{hold}")).await;
            }
        }
    }

    /// Lets a server take rows, answer none, and be healthy all the same.
    pub async fn hang(&self, pod: &Pod) {
        control(Method::PUT, pod, "hang").await;
    }

    /// Lets a server answer every row with a fault of its own, and be healthy all the same.
    pub async fn fail_every_row(&self, pod: &Pod) {
        let storm = json!({"status": 500, "retryAfter": null, "turnedAway": 1, "of": 1});
        tell(to(Method::PUT, pod, "storm").json(&storm)).await;
    }

    /// Lets a server use more memory than it may: the kernel kills it.
    pub async fn eat(&self, pod: &Pod) {
        // It does not live to answer.
        let _ = to(Method::POST, pod, "eat").send().await;
    }

    /// How often each row was received, over all servers that ever were.
    pub fn received(&self) -> BTreeMap<String, u64> {
        let counts = self.recorder.counts();
        counts.into_iter().map(|(id, count)| (id, count.received)).collect()
    }

    /// Whether a Deployment of servers has ever been scaled here: its event outlives it.
    pub async fn had_servers(&self) -> bool {
        let events = self
            .kubectl(&["get", "events", "--output", "jsonpath={.items[*].reason}"])
            .await;
        events.expect("events").contains("ScalingReplicaSet")
    }
}

/// The store as this machine reaches it, with these keys.
async fn store(client: &Client, access_key: &str, secret_key: &str) -> AmazonS3 {
    let address = store_address(client).await;
    let store = AmazonS3Builder::new()
        .with_endpoint(format!("http://{address}:{STORE_PORT}"))
        .with_allow_http(true)
        .with_bucket_name(BUCKET)
        .with_access_key_id(access_key)
        .with_secret_access_key(secret_key)
        .build();
    store.expect("a store")
}

/// The store's address inside the cluster.
async fn store_address(client: &Client) -> String {
    let services: Api<Service> = Api::namespaced(client.clone(), "test-store");
    let service = services.get("object-store").await;
    let service = service.expect("the store of tests/kubernetes/install");
    service.spec.and_then(|spec| spec.cluster_ip).expect("an address")
}

/// A pod's address.
pub fn address(pod: &Pod) -> String {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
    address.expect("an address")
}

/// Tells a fake server what to do.
pub async fn control(method: Method, server: &Pod, what: &str) {
    tell(to(method, server, what)).await;
}

async fn tell(request: RequestBuilder) {
    let told = request.send().await.expect("a fake server that answers");
    assert!(told.status().is_success(), "{told:?}");
}

fn to(method: Method, server: &Pod, what: &str) -> RequestBuilder {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let (address, port) = (address(server), port(server));
    client.request(method, format!("http://{address}:{port}/control/{what}"))
}

/// Where a server listens: each engine has a port of its own.
fn port(server: &Pod) -> i32 {
    let containers = server.spec.iter().flat_map(|spec| &spec.containers);
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports.next().expect("a port").container_port
}

impl Drop for Tenant {
    fn drop(&mut self) {
        let kubectl = |arguments: &[&str]| {
            let mut command = std::process::Command::new("kubectl");
            command
                .args(["--namespace", &self.namespace])
                .args(arguments)
                .output()
                .ok()
        };
        if std::thread::panicking() {
            for arguments in [
                &["describe", "batchinferencejobs"][..],
                &["get", "pods,jobs,deployments", "--output", "wide"],
                &["get", "events"],
                &[
                    "logs",
                    "--selector",
                    "app.kubernetes.io/component=feeder",
                    "--tail",
                    "20",
                    "--prefix",
                ],
                &[
                    "logs",
                    "--namespace",
                    "batch-inference-system",
                    "deployment/batch-inference-operator",
                    "--tail",
                    "20",
                ],
            ] {
                let output = kubectl(arguments).map(|output| output.stdout).unwrap_or_default();
                eprintln!(
                    "$ kubectl {}\n{}",
                    arguments.join(" "),
                    String::from_utf8_lossy(&output)
                );
            }
        }
        kubectl(&["delete", "namespace", &self.namespace, "--wait=false"]);
    }
}

/// Whether a pod is ready.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The security context of a container that every pod security standard admits.
pub fn restricted() -> Value {
    json!({"allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 65532, "capabilities": {"drop": ["ALL"]},
           "seccompProfile": {"type": "RuntimeDefault"}})
}

/// A job's conditions.
pub fn conditions(job: &BatchInferenceJob) -> &[Condition] {
    job.status.as_ref().map_or(&[], |status| &status.controller.conditions)
}

/// One of a job's conditions.
pub fn condition(job: &BatchInferenceJob, kind: ConditionType) -> Option<&Condition> {
    find(conditions(job), kind)
}

/// How a job ended, such as `Complete: AllRowsSucceeded`.
pub fn end_of(job: &BatchInferenceJob) -> String {
    let end = [ConditionType::Complete, ConditionType::Failed].into_iter();
    let end = end
        .filter_map(|kind| condition(job, kind))
        .find(|condition| condition.status == "True");
    end.map_or_else(|| "no end".to_owned(), |end| format!("{}: {}", end.type_, end.reason))
}

/// The id of a pod's container, as containerd knows it.
pub fn container_id(pod: &Pod, container: &str) -> Option<String> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let status = statuses.iter().find(|status| status.name == container)?;
    status.state.as_ref()?.running.as_ref()?;
    Some(status.container_id.as_ref()?.strip_prefix("containerd://")?.to_owned())
}
