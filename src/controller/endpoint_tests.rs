use serde_json::{Value, json};

use crate::api::BatchInferenceJob;
use crate::api::condition::{ConditionType, find};
use crate::api::phase::Phase;
use crate::api::reason::Reason;
use crate::api::status::ControllerStatus;
use crate::controller::decide::{FeederWanted, decide};
use crate::controller::dereference::Observed;
use crate::controller::settings::Settings;
use crate::controller::update_status::next_status;
use crate::controller::validate::{ValidatedJob, validate};
use k8s_openapi::jiff::Timestamp;

const URL: &str = "https://llm.example.com/v1";

fn settings() -> Settings {
    Settings::new("operator:1")
}

fn job(endpoint: Value, feeder: Value) -> BatchInferenceJob {
    serde_json::from_value(json!({
        "apiVersion": "batchinference.dev/v1alpha1",
        "kind": "BatchInferenceJob",
        "metadata": {"name": "triangles", "namespace": "geometry", "uid": "u-1", "generation": 1},
        "spec": {"dataset": {"uri": "s3://b/rows.jsonl"}, "endpoint": endpoint, "output": {"uri": "s3://b/out/"}},
        "status": {"feeder": feeder},
    }))
    .expect("a job")
}

fn feeder(state: &str, more: Value) -> Value {
    let mut feeder = json!({"attempt": 1, "state": state, "serversNeeded": state == "Feeding"});
    feeder
        .as_object_mut()
        .expect("a feeder")
        .extend(more.as_object().expect("more").clone());
    feeder
}

fn validated(url: &str, with_key: bool) -> Result<ValidatedJob, String> {
    let mut endpoint = json!({"url": url, "model": "qwen"});
    if with_key {
        endpoint["apiKeySecretRef"] = json!({"name": "llm", "key": "api-key"});
    }
    validate(&job(endpoint, Value::Null), &settings()).map_err(|wait| wait.message)
}

/// The status of a job whose feeder says so, and that nothing of the servers is wanted.
fn status(feeder: Value) -> ControllerStatus {
    let job = job(json!({"url": URL, "model": "qwen"}), feeder);
    let validated = validate(&job, &settings());
    let now = Timestamp::from_second(1_800_000_000).expect("in range");
    let decision = decide(&job, validated.as_ref(), &Observed::default(), &settings(), now);
    assert_eq!(decision.servers, None);
    next_status(&job, validated.as_ref().ok(), &decision, None, now)
}

fn said(status: &ControllerStatus, kind: ConditionType) -> (&str, &str) {
    let condition = find(&status.conditions, kind).expect("the condition");
    (&condition.status, &condition.reason)
}

#[test]
fn the_endpoint_s_model_is_what_the_job_runs_with() {
    let validated = validated(URL, true).expect("a valid job");
    assert!(validated.servers.is_none());
    assert_eq!(
        serde_json::to_value(&validated.resolved).expect("serialises"),
        json!({
            "engine": "Custom", "model": "qwen", "servedModelName": "qwen", "args": [], "resources": {},
            "prices": {"currency": "USD", "perMillionTokens": "0.50"},
        })
    );
}

#[test]
fn an_endpoint_that_rows_cannot_be_sent_to_is_refused() {
    for (url, with_key, refusal) in [
        (
            "https://me:visible@llm.example.com",
            false,
            "spec.endpoint.url has a user in it",
        ),
        (
            "https://llm.example.com?key=visible",
            false,
            "spec.endpoint.url has a query",
        ),
        ("llm.example.com/v1", false, "spec.endpoint.url is no address"),
        (
            "http://llm.example.com/v1",
            true,
            "spec.endpoint.url is plain http:// outside the cluster",
        ),
    ] {
        let message = validated(url, with_key)
            .err()
            .unwrap_or_else(|| panic!("{url} is accepted"));
        assert!(message.starts_with(refusal), "{url}: {message}");
        assert!(!message.contains("visible"), "{message}");
    }
    for (url, with_key) in [
        ("http://llm.example.com/v1", false),
        ("http://vllm.models.svc:8000", true),
        (URL, true),
    ] {
        validated(url, with_key).unwrap_or_else(|refusal| panic!("{url}: {refusal}"));
    }
}

#[test]
fn neither_server_nor_endpoint_and_both_are_refused() {
    let mut both = job(json!({"url": URL, "model": "qwen"}), Value::Null);
    both.spec.server = Some(crate::api::server::ServerSpec::default());
    let mut neither = both.clone();
    (neither.spec.server, neither.spec.endpoint) = (None, None);
    for job in [both, neither] {
        let refusal = validate(&job, &settings()).expect_err("a refusal");
        assert_eq!(refusal.reason, Reason::SpecInvalid);
    }
}

#[test]
fn a_job_runs_without_servers_while_its_rows_go_to_the_endpoint() {
    let running = status(feeder("Feeding", json!({})));
    assert_eq!(running.phase, Some(Phase::Running));
    assert_eq!(said(&running, ConditionType::ServersReady), ("True", "EndpointUsed"));
    let sent = find(&running.conditions, ConditionType::ServersReady).expect("the condition");
    assert_eq!(sent.message, format!("rows are sent to {URL}"));
    assert_eq!(said(&running, ConditionType::GPUsReleased), ("True", "NoServers"));
    let timeline = running.timeline.expect("a timeline");
    assert_eq!(timeline.gpus_released_at, None, "there was none to release");
}

#[test]
fn an_endpoint_that_is_away_or_hangs_is_said_by_name() {
    let away = feeder(
        "Feeding",
        json!({"reason": "EndpointUnreachable", "message": "https://llm.example.com cannot be reached: refused"}),
    );
    let hung = feeder("Feeding", json!({"hungServers": ["https://llm.example.com"]}));
    for (feeder, reason, words) in [
        (
            away,
            "EndpointUnreachable",
            "cannot be reached: refused. See the message; correct spec.endpoint.url",
        ),
        (
            hung,
            "EndpointHung",
            "takes rows and answers none. Ask whoever runs the endpoint",
        ),
    ] {
        let status = status(feeder);
        assert_eq!(said(&status, ConditionType::ServersReady), ("False", reason));
        let condition = find(&status.conditions, ConditionType::ServersReady).expect("the condition");
        assert!(condition.message.contains(words), "{}", condition.message);
    }
}

#[test]
fn a_refused_key_ends_a_job_whose_data_set_was_good() {
    let refused = feeder(
        "Ended",
        json!({"reason": "EndpointAccessDenied", "message": "status 401"}),
    );
    let status = status(refused);
    assert_eq!(status.phase, Some(Phase::Failed));
    assert_eq!(said(&status, ConditionType::Failed), ("True", "EndpointAccessDenied"));
    assert_eq!(said(&status, ConditionType::Validated), ("True", "DatasetValid"));
    assert_eq!(
        said(&status, ConditionType::ServersReady),
        ("False", "ServersNotNeeded")
    );
    assert_eq!(said(&status, ConditionType::GPUsReleased), ("True", "NoServers"));
}

/// A newer operator may refuse what an older one started; nothing has to be made for this job.
#[test]
fn a_running_job_goes_on_though_it_would_be_refused_today() {
    let mut job = job(
        json!({"url": "https://me:visible@llm.example.com", "model": "qwen"}),
        feeder("Feeding", json!({})),
    );
    job.status.get_or_insert_default().controller.resolved = Some(validated(URL, false).expect("valid").resolved);
    let observed = Observed {
        workloads: crate::controller::children::Workloads {
            feeder: Some(k8s_openapi::api::batch::v1::Job::default()),
            ..Default::default()
        },
        ..Observed::default()
    };
    let refusal = validate(&job, &settings());
    let now = Timestamp::from_second(1_800_000_000).expect("in range");
    let decision = decide(&job, refusal.as_ref(), &observed, &settings(), now);
    assert_eq!(decision.feeder, FeederWanted::Run);
}
