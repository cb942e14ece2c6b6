use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use super::*;
use crate::api::condition::{is_true, reason_of};
use crate::api::phase::Phase;
use crate::controller::apply::Obstacle;
use crate::controller::dereference::NamedConfigMap;
use crate::controller::settings::Settings;
use crate::controller::update_status::next_status;
use crate::controller::validate::validate;

const NOW: i64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).expect("in range")
}

/// A job whose status is what it was after `status`.
fn job(status: serde_json::Value) -> BatchInferenceJob {
    serde_json::from_value(json!({
        "apiVersion": "batchinference.dev/v1alpha1",
        "kind": "BatchInferenceJob",
        "metadata": {"name": "triangles", "namespace": "geometry", "uid": "u-1", "generation": 3},
        "spec": {
            "dataset": {"uri": "s3://bucket/rows.jsonl"},
            "server": {"baseModel": "Qwen/Qwen3-8B", "replicas": 2, "startupTimeoutSeconds": 600},
            "output": {"uri": "s3://bucket/out/"},
        },
        "status": status,
    }))
    .expect("a job")
}

fn feeder(state: &str, servers_needed: bool) -> serde_json::Value {
    json!({"feeder": {"attempt": 1, "state": state, "serversNeeded": servers_needed}})
}

fn ended(reason: &str) -> serde_json::Value {
    json!({"feeder": {"attempt": 1, "state": "Ended", "serversNeeded": false, "reason": reason, "message": "what happened"}})
}

fn settings() -> Settings {
    Settings::new("operator:1")
}

/// The decision, and the conditions that it leads to.
fn decided(
    job: &BatchInferenceJob,
    observed: &Observed,
) -> (Decision, Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>) {
    let validated = validate(job, &settings());
    let decision = decide(job, validated.as_ref(), observed, &settings(), now());
    let status = next_status(job, validated.as_ref().ok(), &decision, None, now());
    (decision, status.conditions)
}

fn server_pod(scheduled_ago: i64, ready: bool) -> Pod {
    let at = Timestamp::from_second(NOW - scheduled_ago).expect("in range");
    serde_json::from_value(json!({
        "metadata": {"name": "p"},
        "status": {"conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": at},
            {"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": at},
        ]},
    }))
    .expect("a pod")
}

fn running_feeder() -> Pod {
    let container = json!({"name": "feeder", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}});
    serde_json::from_value(json!({"status": {"containerStatuses": [container]}})).expect("a pod")
}

#[test]
fn a_new_job_gets_a_feeder_and_no_server() {
    let (decision, conditions) = decided(&job(json!({})), &Observed::default());
    assert_eq!((decision.feeder, decision.servers), (FeederWanted::Run, None));
    assert_eq!(Phase::of(&conditions), Phase::Pending);
    assert_eq!(reason_of(&conditions, ConditionType::Validated), Some("FeederStarting"));
}

#[test]
fn a_job_waits_for_the_deployment_that_its_server_is_taken_from() {
    let job = job(json!({}));
    let missing = Wait::new(
        Reason::DeploymentMissing,
        "deployment \"d\" of spec.server.from not found",
    );
    let decision = decide(&job, Err(&missing), &Observed::default(), &settings(), now());
    assert_eq!((decision.feeder, decision.ends_now), (FeederWanted::Run, false));
    let refusal = Wait::new(Reason::SpecInvalid, "");
    assert!(decide(&job, Err(&refusal), &Observed::default(), &settings(), now()).ends_now);
}

#[test]
fn inspection_takes_no_server() {
    let (decision, conditions) = decided(&job(feeder("Inspecting", false)), &Observed::default());
    assert_eq!(decision.servers, None);
    assert_eq!(Phase::of(&conditions), Phase::Validating);
}

#[test]
fn servers_exist_while_the_feeder_needs_them() {
    let (decision, conditions) = decided(&job(feeder("Feeding", true)), &Observed::default());
    assert_eq!(decision.servers, Some(2));
    assert_eq!(Phase::of(&conditions), Phase::Provisioning);
    let running = Observed {
        server_pods: vec![server_pod(5, true), server_pod(5, false)],
        ..Observed::default()
    };
    let (decision, conditions) = decided(&job(feeder("Feeding", true)), &running);
    assert_eq!(
        (decision.servers_status.replicas, decision.servers_status.ready),
        (2, 1)
    );
    assert_eq!(Phase::of(&conditions), Phase::Running);
    assert_eq!(
        reason_of(&conditions, ConditionType::GPUsReleased),
        Some("ServersRunning")
    );
    let (decision, conditions) = decided(&job(feeder("Finalizing", false)), &running);
    assert_eq!(decision.servers, None);
    assert_eq!(Phase::of(&conditions), Phase::Finalizing);
    assert_eq!(
        reason_of(&conditions, ConditionType::GPUsReleased),
        Some("ServersTerminating")
    );
}

#[test]
fn gpus_are_released_only_when_nothing_of_the_servers_is_left() {
    let leftovers = vec![
        Observed {
            server_pods: vec![server_pod(5, false)],
            ..Observed::default()
        },
        Observed {
            is_left_behind: true,
            ..Observed::default()
        },
        Observed {
            workloads: crate::controller::children::Workloads {
                servers: Some(Deployment::default()),
                ..Default::default()
            },
            ..Observed::default()
        },
    ];
    for left in leftovers {
        let (_, conditions) = decided(&job(ended("AllRowsSucceeded")), &left);
        assert!(!is_true(&conditions, ConditionType::GPUsReleased));
        assert!(
            is_true(&conditions, ConditionType::Complete),
            "the end does not wait for pods to die"
        );
    }
    let (_, conditions) = decided(&job(ended("AllRowsSucceeded")), &Observed::default());
    assert!(is_true(&conditions, ConditionType::GPUsReleased));
}

#[test]
fn each_end_of_the_feeder_becomes_the_condition_that_it_is() {
    let cases = [
        ("AllRowsSucceeded", Phase::Completed, true),
        ("SomeRowsFailed", Phase::Completed, true),
        ("ResultsReused", Phase::Completed, true),
        ("AllRowsFailed", Phase::Failed, true),
        ("DatasetInvalid", Phase::Failed, false),
        ("OutputNotEmpty", Phase::Failed, false),
    ];
    for (reason, phase, is_validated) in cases {
        let (decision, conditions) = decided(&job(ended(reason)), &Observed::default());
        assert_eq!(Phase::of(&conditions), phase, "{reason}");
        assert_eq!(is_true(&conditions, ConditionType::Validated), is_validated, "{reason}");
        assert_eq!(
            is_true(&conditions, ConditionType::Stalled),
            phase == Phase::Failed,
            "{reason}"
        );
        assert_eq!(
            (decision.feeder, decision.servers),
            (FeederWanted::Leave, None),
            "{reason}"
        );
    }
}

#[test]
fn the_message_of_a_wait_ends_with_what_to_do() {
    let pod = json!({"metadata": {"name": "p"}, "status": {"containerStatuses": [{
        "name": "feeder", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "CreateContainerConfigError", "message": "secret \"keys\" not found"}},
    }]}});
    let observed = Observed {
        feeder_pods: vec![serde_json::from_value(pod).expect("a pod")],
        ..Observed::default()
    };
    let (_, conditions) = decided(&job(json!({})), &observed);
    let validated = find(&conditions, ConditionType::Validated).expect("a condition");
    assert_eq!(
        validated.message,
        "secret \"keys\" not found. Create the Secret; the job goes on by itself."
    );
}

#[test]
fn a_server_that_does_not_get_ready_in_time_ends_the_job_and_releases_the_gpus() {
    let starting = |ago| Observed {
        server_pods: vec![server_pod(ago, false)],
        ..Observed::default()
    };
    let (decision, _) = decided(&job(feeder("Feeding", true)), &starting(590));
    assert_eq!(decision.servers, Some(2));
    assert_eq!(
        decision.look_again,
        Some(Duration::from_secs(11)),
        "looked at again just after the deadline"
    );
    let (decision, conditions) = decided(&job(feeder("Feeding", true)), &starting(600));
    assert_eq!((decision.feeder, decision.servers), (FeederWanted::Remove, None));
    assert_eq!(reason_of(&conditions, ConditionType::Failed), Some("StartupTimeout"));
}

/// A server's pod that has not started its container; `state` is the container's.
fn waiting_pod(scheduled_ago: i64, state: &serde_json::Value) -> Pod {
    let mut pod = server_pod(scheduled_ago, false);
    let container =
        json!({"name": "server", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    let status = pod.status.as_mut().expect("a status");
    status.container_statuses = serde_json::from_value(json!([container])).expect("a container");
    pod
}

#[test]
fn a_server_that_waits_for_a_registry_or_a_secret_has_its_whole_time_after_that() {
    let ends = |state: serde_json::Value| {
        let observed = Observed {
            server_pods: vec![waiting_pod(6000, &state)],
            ..Observed::default()
        };
        let (_, conditions) = decided(&job(feeder("Feeding", true)), &observed);
        reason_of(&conditions, ConditionType::Failed) == Some("StartupTimeout")
    };
    let no_answer = "dial tcp 10.0.0.1:443: connect: connection refused";
    assert!(!ends(
        json!({"waiting": {"reason": "ImagePullBackOff", "message": no_answer}})
    ));
    assert!(!ends(
        json!({"waiting": {"reason": "CreateContainerConfigError", "message": "secret \"s\" not found"}})
    ));
    let started = |ago: i64| json!({"running": {"startedAt": Timestamp::from_second(NOW - ago).expect("in range")}});
    assert!(!ends(started(5)));
    assert!(ends(started(5000)));
    assert!(ends(json!({"waiting": {"reason": "ContainerCreating"}})));
}

#[test]
fn a_server_that_never_gets_ready_ends_no_job_while_another_one_works() {
    let observed = Observed {
        server_pods: vec![server_pod(6000, false), server_pod(6000, true)],
        ..Observed::default()
    };
    let (decision, conditions) = decided(&job(feeder("Feeding", true)), &observed);
    assert_eq!(decision.servers, Some(2));
    assert_eq!(find(&conditions, ConditionType::Failed), None);
}

#[test]
fn the_last_words_of_a_server_end_no_job_whose_servers_have_worked() {
    let words = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB";
    let pod = json!({"metadata": {"name": "p"}, "status": {"startTime": "2026-01-01T00:00:00Z", "containerStatuses": [{
        "name": "server", "image": "i", "imageID": "", "ready": false, "restartCount": 1,
        "state": {"terminated": {"exitCode": 1, "reason": "Error", "message": words}},
    }]}});
    let observed = Observed {
        server_pods: vec![serde_json::from_value(pod).expect("a pod")],
        ..Observed::default()
    };
    let (decision, _) = decided(&job(feeder("Feeding", true)), &observed);
    assert!(decision.ends_now, "none was ever ready");
    let mut status = feeder("Feeding", true);
    status["timeline"] = json!({"serversReadyAt": "2026-01-01T00:00:00Z"});
    let (decision, conditions) = decided(&job(status), &observed);
    assert_eq!((decision.ends_now, decision.servers), (false, Some(2)));
    assert_eq!(
        reason_of(&conditions, ConditionType::ServersReady),
        Some("OutOfGPUMemory"),
        "it is told by name"
    );
}

#[test]
fn an_end_that_was_written_stays() {
    let mut status = feeder("Feeding", true);
    status["conditions"] = json!([{
        "type": "Failed", "status": "True", "reason": "StartupTimeout", "message": "too slow",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]);
    let (decision, conditions) = decided(&job(status), &Observed::default());
    assert_eq!((decision.feeder, decision.servers), (FeederWanted::Remove, None));
    assert_eq!(
        find(&conditions, ConditionType::Failed).map(|failed| failed.message.as_str()),
        Some("too slow")
    );
}

#[test]
fn a_missing_config_map_is_named_and_looked_for_again() {
    let observed = Observed {
        missing_config_map: Some(NamedConfigMap {
            name: "rows".into(),
            named_by: "spec.dataset.configMap",
        }),
        ..Observed::default()
    };
    let (decision, conditions) = decided(&job(json!({})), &observed);
    let validated = find(&conditions, ConditionType::Validated).expect("the condition");
    assert_eq!(
        (validated.reason.as_str(), validated.message.as_str()),
        (
            "ConfigMapMissing",
            "configmap \"rows\" of spec.dataset.configMap not found. Create the ConfigMap; the job goes on by itself."
        )
    );
    assert!(decision.look_again.is_some());
}

#[test]
fn a_status_that_is_already_so_is_not_written_again() {
    let first = job(feeder("Feeding", true));
    let validated = validate(&first, &settings()).expect("valid");
    let status_of = |job: &BatchInferenceJob, at: i64| {
        let decision = decide(job, Ok(&validated), &Observed::default(), &settings(), now());
        let at = Timestamp::from_second(at).expect("in range");
        next_status(job, Some(&validated), &decision, None, at)
    };
    let written = status_of(&first, NOW);
    let mut second = first.clone();
    second.status.as_mut().expect("a status").controller = written.clone();
    assert_eq!(status_of(&second, NOW + 60), written);
}

/// What was reported so far, and a condition that was written as True.
fn with_condition(mut status: serde_json::Value, kind: ConditionType, reason: &str) -> serde_json::Value {
    status["conditions"] = json!([{
        "type": kind.as_str(), "status": "True", "reason": reason, "message": "as written",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]);
    status
}

#[test]
fn an_end_that_the_controller_wrote_wins_over_one_that_the_feeder_reports_later() {
    let status = with_condition(ended("AllRowsSucceeded"), ConditionType::Failed, "StartupTimeout");
    let (decision, conditions) = decided(&job(status), &Observed::default());
    assert_eq!(decision.feeder, FeederWanted::Remove);
    assert_eq!(reason_of(&conditions, ConditionType::Failed), Some("StartupTimeout"));
    assert_eq!(find(&conditions, ConditionType::Complete), None);
}

#[test]
fn a_complete_job_never_fails() {
    let status = with_condition(ended("AllRowsFailed"), ConditionType::Complete, "AllRowsSucceeded");
    let mut complete = job(status);
    let (_, conditions) = decided(&complete, &Observed::default());
    assert_eq!(find(&conditions, ConditionType::Failed), None);
    // A newer operator may refuse what an older one ran.
    complete.spec.server.as_mut().expect("servers").base_model = "no-such-model".into();
    let (_, conditions) = decided(&complete, &Observed::default());
    assert_eq!(find(&conditions, ConditionType::Failed), None);
    assert!(is_true(&conditions, ConditionType::Complete));
}

#[test]
fn an_end_that_another_version_wrote_for_a_reason_of_its_own_stays_as_it_is() {
    let obstacle = Obstacle::Ends(Wait::new(Reason::PodTemplateInvalid, "refused"));
    for (kind, other) in [
        (ConditionType::Failed, ConditionType::Complete),
        (ConditionType::Complete, ConditionType::Failed),
    ] {
        let job = job(with_condition(feeder("Feeding", true), kind, "ReasonOfTheFuture"));
        let (decision, _) = decided(&job, &Observed::default());
        assert_eq!((decision.feeder, decision.servers), (FeederWanted::Remove, None));
        let conditions = next_status(&job, None, &decision, Some(&obstacle), now()).conditions;
        assert_eq!(reason_of(&conditions, kind), Some("ReasonOfTheFuture"));
        assert_eq!(find(&conditions, other), None);
        assert!(is_true(&conditions, ConditionType::GPUsReleased));
    }
}

#[test]
fn the_feeder_of_a_written_end_stays_for_its_log() {
    let status = with_condition(ended("DatasetInvalid"), ConditionType::Failed, "DatasetInvalid");
    let (decision, _) = decided(&job(status), &Observed::default());
    assert_eq!(decision.feeder, FeederWanted::Leave);
}

#[test]
fn an_end_that_names_the_data_set_takes_back_that_it_is_good() {
    for reason in ["DatasetChanged", "DatasetInvalid", "DatasetNotFound"] {
        let mut status = ended(reason);
        status["conditions"] = json!([
            {"type": "Validated", "status": "True", "reason": "DatasetValid", "message": "",
             "lastTransitionTime": "2026-01-01T00:00:00Z"},
            {"type": "ServersReady", "status": "True", "reason": "ServersReady", "message": "",
             "lastTransitionTime": "2026-01-01T00:00:00Z"},
        ]);
        let (_, conditions) = decided(&job(status), &Observed::default());
        let validated = find(&conditions, ConditionType::Validated).expect("a condition");
        assert_eq!(
            (validated.status.as_str(), validated.reason.as_str()),
            ("False", reason)
        );
        assert_eq!(
            reason_of(&conditions, ConditionType::ServersReady),
            Some("ServersNotNeeded"),
            "what was said before is kept up to date"
        );
    }
    let status = with_condition(ended("OutputNotWritable"), ConditionType::Validated, "DatasetValid");
    let (_, conditions) = decided(&job(status), &Observed::default());
    assert!(is_true(&conditions, ConditionType::Validated));
}

#[test]
fn refused_server_pods_are_told_in_the_words_of_the_api_server() {
    let words = "pods \"p\" is forbidden: exceeded quota: gpus, requested: nvidia.com/gpu=1, limited: nvidia.com/gpu=0";
    let servers = |reason: &str| Observed {
        workloads: crate::controller::children::Workloads {
            servers: Some(
                serde_json::from_value(json!({
                    "metadata": {"name": "d"},
                    "spec": {"selector": {}, "template": {}},
                    "status": {"conditions": [
                        {"type": "ReplicaFailure", "status": "True", "reason": reason, "message": words},
                    ]},
                }))
                .expect("a Deployment"),
            ),
            ..Default::default()
        },
        ..Observed::default()
    };
    let (_, conditions) = decided(&job(feeder("Feeding", true)), &servers("FailedCreate"));
    let ready = find(&conditions, ConditionType::ServersReady).expect("a condition");
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "QuotaExceeded")
    );
    assert!(ready.message.contains(words), "{}", ready.message);
    let (_, conditions) = decided(&job(feeder("Feeding", true)), &servers("FailedDelete"));
    assert_eq!(
        reason_of(&conditions, ConditionType::ServersReady),
        Some("ServersStarting")
    );
}

fn crash_looping_feeder() -> Pod {
    let pod = json!({"metadata": {"name": "p"}, "status": {"containerStatuses": [{
        "name": "feeder", "image": "i", "imageID": "", "ready": false, "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
    }]}});
    serde_json::from_value(pod).expect("a pod")
}

#[test]
fn a_feeder_that_reported_and_then_waits_is_told() {
    let observed = Observed {
        feeder_pods: vec![crash_looping_feeder()],
        ..Observed::default()
    };
    let told = |status, kind| {
        let (_, conditions) = decided(&job(status), &observed);
        let condition = find(&conditions, kind).expect("a condition");
        (condition.status.clone(), condition.reason.clone())
    };
    let crash_loop = ("False".to_owned(), "FeederCrashLooping".to_owned());
    let results = ConditionType::ResultsAvailable;
    assert_eq!(told(feeder("Inspecting", false), ConditionType::Validated), crash_loop);
    assert_eq!(told(feeder("Feeding", true), results), crash_loop);
    assert_eq!(told(ended("AllRowsFailed"), results).1, "ResultsPending");
}

#[test]
fn keys_that_are_refused_are_told_and_not_the_starts_that_end_for_them() {
    let observed = Observed {
        feeder_pods: vec![crash_looping_feeder()],
        ..Observed::default()
    };
    let status = json!({"feeder": {
        "attempt": 3, "state": "Feeding", "serversNeeded": false, "reason": "OutputNotWritable", "message": "denied",
    }});
    let (_, conditions) = decided(&job(status), &observed);
    for kind in [ConditionType::ResultsAvailable, ConditionType::ServersReady] {
        assert_eq!(reason_of(&conditions, kind), Some("OutputNotWritable"), "{kind:?}");
    }
    assert_eq!(Phase::of(&conditions), Phase::Provisioning, "rows are left");
}

#[test]
fn what_the_feeder_waits_for_is_the_reason_of_what_is_not_reached() {
    let waiting = |state: &str| {
        json!({"feeder": {
            "attempt": 1, "state": state, "serversNeeded": false, "reason": "StoreUnavailable", "message": "503",
        }})
    };
    for (state, kind) in [
        ("Inspecting", ConditionType::Validated),
        ("Feeding", ConditionType::ResultsAvailable),
        ("Finalizing", ConditionType::ResultsAvailable),
    ] {
        let (_, conditions) = decided(&job(waiting(state)), &Observed::default());
        let condition = find(&conditions, kind).expect("a condition");
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_str()),
            ("False", "StoreUnavailable")
        );
        assert!(
            condition.message.starts_with("503. See the store's words"),
            "{}",
            condition.message
        );
    }
}

#[test]
fn a_server_pod_that_was_evicted_is_not_one_that_starts() {
    for phase in ["Failed", "Succeeded"] {
        let mut evicted = server_pod(700, false);
        evicted.status.get_or_insert_default().phase = Some(phase.into());
        let observed = Observed {
            server_pods: vec![evicted, server_pod(5, true)],
            feeder_pods: vec![running_feeder()],
            ..Observed::default()
        };
        let (decision, conditions) = decided(&job(feeder("Feeding", true)), &observed);
        assert_eq!(find(&conditions, ConditionType::Failed), None, "{phase}");
        assert_eq!(
            (decision.servers_status.replicas, decision.servers_status.ready),
            (1, 1)
        );
        assert_eq!(decision.look_again, None);
    }
}

#[test]
fn an_end_that_the_controller_comes_to_is_written_before_it_is_carried_out() {
    let too_late = Observed {
        server_pods: vec![server_pod(600, false)],
        ..Observed::default()
    };
    let (decision, conditions) = decided(&job(feeder("Feeding", true)), &too_late);
    assert!(decision.ends_now);
    assert_eq!(
        find(&conditions, ConditionType::GPUsReleased),
        None,
        "the job is looked at again"
    );
    let status = with_condition(feeder("Feeding", true), ConditionType::Failed, "StartupTimeout");
    let (decision, conditions) = decided(&job(status), &too_late);
    assert!(!decision.ends_now);
    assert_eq!(decision.feeder, FeederWanted::Remove);
    assert_eq!(
        reason_of(&conditions, ConditionType::GPUsReleased),
        Some("ServersTerminating")
    );
    let (decision, _) = decided(&job(ended("AllRowsSucceeded")), &too_late);
    assert!(!decision.ends_now, "the feeder's report tells of it already");
}

#[test]
fn a_newer_operator_that_refuses_the_spec_leaves_what_runs() {
    let refused = |status: serde_json::Value, accepted: bool| {
        let mut job = job(status);
        if accepted {
            let resolved = validate(&job, &settings()).expect("valid").resolved;
            job.status.get_or_insert_default().controller.resolved = Some(resolved);
        }
        job.spec.server.as_mut().expect("servers").args = vec!["--port".into(), "1".into()];
        job
    };
    let running = |servers: Option<Deployment>| Observed {
        workloads: crate::controller::children::Workloads {
            feeder: Some(k8s_openapi::api::batch::v1::Job::default()),
            servers,
            ..Default::default()
        },
        ..Observed::default()
    };
    let with_servers = running(Some(Deployment::default()));
    let (decision, conditions) = decided(&refused(feeder("Feeding", true), true), &with_servers);
    assert_eq!((decision.feeder, decision.servers), (FeederWanted::Run, Some(2)));
    assert_eq!(find(&conditions, ConditionType::Failed), None);
    let (decision, _) = decided(&refused(feeder("Finalizing", false), true), &with_servers);
    assert_eq!((decision.feeder, decision.servers), (FeederWanted::Run, None));
    let (_, conditions) = decided(&refused(ended("AllRowsSucceeded"), true), &running(None));
    assert!(is_true(&conditions, ConditionType::Complete));
    let ends = |job: BatchInferenceJob, observed: Observed| {
        let (decision, conditions) = decided(&job, &observed);
        assert!(decision.ends_now);
        assert_eq!(decision.feeder, FeederWanted::Remove);
        assert_eq!(
            reason_of(&conditions, ConditionType::Failed),
            Some("EngineFieldConflict")
        );
    };
    ends(refused(json!({}), false), Observed::default());
    ends(refused(feeder("Feeding", true), true), running(None));
    let mut suspended = refused(feeder("Feeding", true), true);
    suspended.spec.suspend = Some(true);
    let (decision, _) = decided(&suspended, &running(None));
    assert_eq!((decision.feeder, decision.ends_now), (FeederWanted::Suspend, false));
    let mut stopped = refused(feeder("Feeding", true), true);
    stopped.spec.shutdown = Some(Shutdown::Terminate);
    let (decision, _) = decided(&stopped, &running(None));
    assert_eq!((decision.feeder, decision.ends_now), (FeederWanted::Run, false));
}

#[test]
fn servers_that_the_last_rows_do_not_need_go_once_they_are_marked_and_no_others() {
    let pod = |name: &str, is_marked: bool| {
        let mut pod = server_pod(5, true);
        pod.metadata.name = Some(name.into());
        if is_marked {
            let mark = ("controller.kubernetes.io/pod-deletion-cost".to_owned(), "-1".to_owned());
            pod.metadata.annotations = Some([mark].into());
        }
        pod
    };
    let servers = |idle: &[&str], pods: Vec<Pod>| {
        let mut status = feeder("Feeding", true);
        status["feeder"]["serversWanted"] = 1.into();
        status["feeder"]["idleServers"] = json!(idle);
        let observed = Observed {
            server_pods: pods,
            ..Observed::default()
        };
        decided(&job(status), &observed).0.servers
    };
    assert_eq!(
        servers(&["a"], vec![pod("a", false), pod("b", false)]),
        Some(2),
        "not marked yet"
    );
    assert_eq!(servers(&["a"], vec![pod("a", true), pod("b", false)]), Some(1));
    assert_eq!(
        servers(&[], vec![pod("a", true), pod("b", false)]),
        Some(2),
        "it is busy again"
    );
    assert_eq!(
        servers(&[], vec![pod("a", false), pod("b", false)]),
        Some(2),
        "the feeder does not know it yet"
    );
    assert_eq!(
        servers(&[], vec![pod("a", false), server_pod(5, false)]),
        Some(1),
        "one is starting"
    );
    assert_eq!(
        servers(&[], (0..5).map(|_| server_pod(5, true)).collect()),
        Some(2),
        "as many as the job has"
    );
}

#[path = "decide_failing_tests.rs"]
mod failing;
