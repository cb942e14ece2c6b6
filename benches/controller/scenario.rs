//! What is measured, one after another.

use std::time::{Duration, Instant};

use batch_inference_operator::api::BatchInferenceJob;
use batch_inference_operator::controller::reconcile::is_finished;
use futures::StreamExt;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::Arguments;
use super::cluster::{for_each, namespace, start_kwok, until};
use super::feeders::Feeders;
use super::figures::{at_most, print};
use super::operator::Operator;
use super::signals::{Signal, Signals};
use super::{finished, without, writes};

const NAMESPACE: &str = "bench";
/// More jobs that run at a time, each with a report in five seconds, would keep a machine of two cores busy with nothing else: an API
/// server takes some ten milliseconds of a core for each.
const MOST_RUNNING: usize = 100;

pub async fn run(arguments: &Arguments) {
    let client = Client::try_default().await.unwrap();
    install_definition(&client).await;
    let _kwok = start_kwok(&client).await;
    namespace(&client, NAMESPACE).await;
    let yardstick = without::run(&client, arguments.jobs).await;
    eprintln!("without an operator: {yardstick:?}");

    let operator = Operator::start("bench-controller-1.log");
    let feeders = Feeders::start(client.clone(), NAMESPACE);
    let before = writes::mark();
    let through = through(&client, arguments.jobs).await;
    let wrote = writes::since(&before);
    eprintln!("with it: {through:?}, {wrote:?}");
    let (reconciles, busy) = operator.busy().await;
    print(
        "controller-through",
        &format!(
            "controller, {} jobs at once: until all are Completed, beyond the cluster's own time",
            arguments.jobs
        ),
        "s",
        &at_most(30.0),
        through.as_secs_f64() - yardstick.as_secs_f64(),
        &[
            ("s until all are Completed", through.as_secs_f64()),
            (
                "s for the same Jobs, Deployments and pods without an operator",
                yardstick.as_secs_f64(),
            ),
            ("writes of the controller a job", per(wrote.controller, arguments.jobs)),
            ("reconciles a job", reconciles / per(arguments.jobs, 1)),
        ],
    );
    print(
        "controller-reconcile",
        "controller, reconcile without waiting for the API server: 99 of 100 within",
        "ms",
        &at_most(5.0),
        busy,
        &[("reconciles", reconciles)],
    );
    let ran = running(&client, &feeders, arguments).await;
    operator.stop();
    drop(feeders);
    ended(&client, arguments, arguments.jobs + ran).await;
}

/// Writes while jobs run; how many there were.
async fn running(client: &Client, feeders: &Feeders, arguments: &Arguments) -> usize {
    feeders.hold(true);
    let jobs = arguments.jobs.min(MOST_RUNNING);
    let names = |number| format!("running-{number}");
    make(client, jobs, names).await;
    until_each(client, jobs, names, has_servers).await;
    let before = writes::mark();
    tokio::time::sleep(Duration::from_secs(arguments.seconds)).await;
    let wrote = writes::since(&before);
    let seconds = jobs * usize::try_from(arguments.seconds).unwrap();
    let all = per(wrote.controller + wrote.feeders, seconds);
    print(
        "controller-writes",
        &format!("writes to the API server in five seconds of a running job, of {jobs} at a time"),
        "",
        &at_most(1.0),
        5.0 * all,
        &[
            ("of the controller", 5.0 * per(wrote.controller, seconds)),
            ("of the feeder", 5.0 * per(wrote.feeders, seconds)),
        ],
    );
    feeders.hold(false);
    until_each(client, jobs, names, is_finished).await;
    jobs
}

fn has_servers(job: &BatchInferenceJob) -> bool {
    let status = job.status.as_ref();
    let servers = status.and_then(|status| status.controller.servers.as_ref());
    servers.is_some_and(|servers| servers.ready > 0)
}

/// Jobs that have ended, `there` of them by themselves, and a controller that starts beside them.
async fn ended(client: &Client, arguments: &Arguments, there: usize) {
    finished::make(client, NAMESPACE, "through-0", arguments.finished.saturating_sub(there)).await;
    let jobs: Api<BatchInferenceJob> = Api::namespaced(client.clone(), NAMESPACE);
    let listed = jobs.list(&kube::api::ListParams::default()).await.unwrap();
    let ended = listed.iter().filter(|job| is_finished(job)).count();
    drop(listed);
    let operator = Operator::start("bench-controller-2.log");
    operator.until_reconciled(ended).await;
    let caught_up = operator.since_start();
    let before = writes::mark();
    tokio::time::sleep(Duration::from_secs(arguments.seconds)).await;
    let wrote = writes::since(&before);
    let (memory, most) = operator.memory();
    print(
        "controller-restart",
        &format!("controller, restart beside {ended} jobs: until each was looked at"),
        "s",
        &at_most(20.0),
        caught_up.as_secs_f64(),
        &[],
    );
    print(
        "controller-idle-writes",
        &format!(
            "writes to the API server in {} s with {ended} finished jobs",
            arguments.seconds
        ),
        "",
        &at_most(0.0),
        per(wrote.controller, 1),
        &[],
    );
    print(
        "controller-memory",
        &format!("controller, peak memory beside {ended} jobs with what they left"),
        "MiB",
        &at_most(150.0),
        most,
        &[("MiB a minute later", memory)],
    );
}

/// How long it takes until so many jobs, made at once, are over and their servers gone.
async fn through(client: &Client, jobs: usize) -> Duration {
    let started = Instant::now();
    let names = |number| format!("through-{number}");
    tokio::join!(make(client, jobs, names), until_each(client, jobs, names, is_finished));
    started.elapsed()
}

async fn make(client: &Client, jobs: usize, name: impl Fn(usize) -> String) {
    let api: Api<BatchInferenceJob> = Api::namespaced(client.clone(), NAMESPACE);
    for_each(0..jobs, |number| {
        let (api, name) = (api.clone(), name(number));
        async move {
            let job = json!({
                "apiVersion": "batchinference.dev/v1alpha1", "kind": "BatchInferenceJob",
                "metadata": {"name": name, "labels": {"team": "bench"}},
                "spec": {
                    "dataset": {"uri": format!("s3://bucket/{name}/rows.jsonl"), "credentialsSecretRef": {"name": "keys"}},
                    "server": {"baseModel": "qwen3-8b", "replicas": 1},
                    "output": {"uri": format!("s3://bucket/{name}/output/"), "credentialsSecretRef": {"name": "keys"}},
                },
            });
            let params = PatchParams::apply("kubectl");
            api.patch(&name, &params, &Patch::Apply(job)).await.unwrap();
        }
    })
    .await;
}

/// Waits until each of so many jobs was as wanted once.
async fn until_each(
    client: &Client,
    jobs: usize,
    name: impl Fn(usize) -> String,
    wanted: impl Fn(&BatchInferenceJob) -> bool,
) {
    let api: Api<BatchInferenceJob> = Api::namespaced(client.clone(), NAMESPACE);
    let signals = Signals::default();
    let mut changed = watcher(api, watcher::Config::default()).applied_objects().boxed();
    let watch = async {
        while let Some(job) = changed.next().await {
            let job = job.unwrap();
            if wanted(&job) {
                signals.raise(&job.name_any(), Signal::Reached);
            }
        }
    };
    let all = async {
        for number in 0..jobs {
            signals.until(&name(number), Signal::Reached).await;
        }
    };
    tokio::select! { () = watch => {}, () = all => {} }
}

async fn install_definition(client: &Client) {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/crds/batchinferencejobs.yaml")).unwrap();
    let definition: CustomResourceDefinition = serde_yaml::from_str(&text).unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply("bench").force();
    definitions
        .patch(&definition.name_any(), &params, &Patch::Apply(&definition))
        .await
        .unwrap();
    let jobs: Api<BatchInferenceJob> = Api::all(client.clone());
    until("the definition is served", || async {
        jobs.list(&kube::api::ListParams::default()).await.is_ok()
    })
    .await;
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn per(count: usize, of: usize) -> f64 {
    count as f64 / of as f64
}
