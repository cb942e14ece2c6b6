//! Jobs of every phase, each as the controller itself leaves it.

use batch_inference_operator::api::shutdown::Shutdown;
use batch_inference_operator::api::{BatchInferenceJob, BatchInferenceJobSpec, crd};
use batch_inference_operator::controller::decide::decide;
use batch_inference_operator::controller::dereference::Observed;
use batch_inference_operator::controller::settings::Settings;
use batch_inference_operator::controller::update_status::next_status;
use batch_inference_operator::controller::validate::validate;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use serde_json::{Value, json};

/// How the page calls a job whose spec the operator has not seen as it is.
const NOT_SEEN: &str = "not seen yet";

/// A job, and what Argo CD should show of it.
pub struct Case {
    /// The first cell of its row on the page.
    pub row: String,
    pub object: Value,
    pub message: &'static str,
}

/// A job in the course of its life.
pub struct Job(BatchInferenceJob);

impl Job {
    /// As the API server stores a new one.
    pub fn new() -> Self {
        let definition = serde_json::to_value(crd::definition()).expect("the definition as JSON");
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let job = json!({
            "apiVersion": BatchInferenceJob::api_version(&()),
            "kind": BatchInferenceJob::kind(&()),
            "metadata": {"name": "triangles", "namespace": "geometry", "uid": "u-1", "generation": 1},
            "spec": {
                "dataset": {"uri": "s3://bucket/rows.jsonl"},
                "server": {"baseModel": "Qwen/Qwen3-8B"},
                "output": {"uri": "s3://bucket/out/"},
            },
            "status": schema["properties"]["status"]["default"],
        });
        Self(serde_json::from_value(job).expect("a job"))
    }

    pub fn object(self) -> Value {
        serde_json::to_value(self.0).expect("a job as JSON")
    }

    /// After a change of its spec, which the controller has not seen.
    fn changed(mut self, change: impl FnOnce(&mut BatchInferenceJobSpec)) -> Self {
        change(&mut self.0.spec);
        self.0.metadata.generation = self.0.metadata.generation.map(|generation| generation + 1);
        self
    }

    /// After a report of its feeder.
    fn reported(mut self, state: &str, servers_needed: bool) -> Self {
        let feeder = json!({"attempt": 1, "state": state, "serversNeeded": servers_needed});
        let reported = serde_json::from_value(json!({"feeder": feeder}));
        self.0.status.get_or_insert_default().reported = reported.expect("a report");
        self
    }

    /// With why its feeder waits, or how it ended, in the report.
    fn because(mut self, reason: &str, message: &str) -> Self {
        let status = self.0.status.as_mut();
        let feeder = status.and_then(|status| status.reported.feeder.as_mut());
        let feeder = feeder.expect("a feeder that has reported");
        feeder.reason = Some(reason.to_owned());
        feeder.message = Some(message.to_owned());
        self
    }

    /// After the controller has looked at it, and at these pods.
    fn seen(mut self, observed: &Observed) -> Self {
        let settings = Settings::new("batch-inference-operator:1");
        let now = Timestamp::from_second(1_800_000_000).expect("in range");
        let validated = validate(&self.0, &settings);
        let decision = decide(&self.0, validated.as_ref(), observed, &settings, now);
        let status = next_status(&self.0, validated.as_ref().ok(), &decision, None, now);
        self.0.status.get_or_insert_default().controller = status;
        self
    }

    fn row(&self) -> String {
        let status = self.0.status.as_ref().map(|status| &status.controller);
        let seen = status.filter(|status| status.observed_generation == self.0.metadata.generation);
        let phase = seen.map(|status| status.phase.expect("a phase of a job that was seen"));
        phase.map_or_else(|| NOT_SEEN.to_owned(), |phase| phase.to_string())
    }
}

fn pod(status: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).expect("a pod")
}

/// The feeder's container is in this state.
fn feeder(state: Value) -> Observed {
    let container = json!({
        "name": "feeder", "image": "i", "imageID": "", "ready": state["running"].is_object(), "restartCount": 0,
        "state": state,
    });
    Observed {
        feeder_pods: vec![pod(json!({"containerStatuses": [container]}))],
        ..Observed::default()
    }
}

/// The feeder runs, and the pods of servers have these conditions, one each.
fn servers(conditions: Vec<Value>) -> Observed {
    let pods = conditions.into_iter();
    Observed {
        server_pods: pods.map(|condition| pod(json!({"conditions": [condition]}))).collect(),
        ..feeder(json!({"running": {}}))
    }
}

fn case(job: Job, message: &'static str) -> Case {
    Case {
        row: job.row(),
        object: job.object(),
        message,
    }
}

/// Jobs of every phase.
pub fn cases() -> Vec<Case> {
    let missing = json!({"reason": "CreateContainerConfigError", "message": "secret \"keys\" not found"});
    let full = json!({
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
    });
    let no_pods = Observed::default();
    let no_secret = feeder(json!({"waiting": missing}));
    let no_server = servers(Vec::new());
    let no_room = servers(vec![full]);
    let ready = servers(vec![json!({"type": "Ready", "status": "True"})]);

    let taken_up = || Job::new().seen(&no_pods);
    let inspecting = || taken_up().reported("Inspecting", false).seen(&no_server);
    let feeding = || inspecting().reported("Feeding", true).seen(&no_server);
    let running = || feeding().seen(&ready);
    let finalizing = || running().reported("Finalizing", false);
    let ended = |job: Job, reason: &str, message: &str| {
        let job = job.reported("Ended", false).because(reason, message);
        job.seen(&no_pods)
    };
    let succeeded = || ended(running(), "AllRowsSucceeded", "3 rows have a result");

    vec![
        case(Job::new(), "the operator has not taken up the job yet"),
        case(taken_up(), "FeederStarting: the feeder's pod is starting"),
        case(
            Job::new().seen(&no_secret),
            "SecretMissing: secret \"keys\" not found. Create the Secret",
        ),
        case(inspecting(), "Inspecting: the data set is being read"),
        case(feeding(), "ServersStarting: 0 of 1 ready"),
        case(feeding().seen(&no_room), "Insufficient nvidia.com/gpu"),
        case(running(), "ResultsPending: results are written when"),
        case(
            running().changed(|spec| spec.server.as_mut().expect("servers").replicas = Some(2)),
            "the operator has not seen the job's newest spec yet",
        ),
        case(
            running().changed(|spec| spec.suspend = Some(true)).seen(&no_server),
            "Suspended: spec.suspend is true",
        ),
        case(
            Job::new().changed(|spec| spec.suspend = Some(true)).seen(&no_pods),
            "Suspended: spec.suspend is true",
        ),
        case(finalizing().seen(&no_server), "ResultsPending: results are written"),
        case(
            finalizing().because("OutputFull", "no space left").seen(&no_server),
            "OutputFull: no space left. Make room",
        ),
        case(succeeded(), "AllRowsSucceeded: 3 rows have a result"),
        case(
            succeeded().changed(|spec| spec.ttl_seconds_after_finished = Some(60)),
            "the operator has not seen the job's newest spec yet",
        ),
        case(
            ended(running(), "SomeRowsFailed", "1 of 3 rows failed"),
            "SomeRowsFailed: 1 of 3 rows failed",
        ),
        case(
            ended(inspecting(), "ResultsReused", "nothing was run"),
            "ResultsReused: nothing was run",
        ),
        case(
            ended(inspecting(), "DatasetInvalid", "line 8: no JSON"),
            "DatasetInvalid: line 8: no JSON",
        ),
        case(
            ended(running(), "RowsFailAlike", "no such model"),
            "RowsFailAlike: no such model",
        ),
        case(
            Job::new()
                .changed(|spec| spec.shutdown = Some(Shutdown::Stop))
                .seen(&no_pods),
            "Cancelled: spec.shutdown is Stop",
        ),
    ]
}
