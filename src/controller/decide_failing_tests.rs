//! Servers that fail, and nodes that are lost.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;

fn at(seconds_ago: i64) -> Timestamp {
    Timestamp::from_second(NOW - seconds_ago).expect("in range")
}

/// A server's pod that kubelet took up so long ago.
fn pod(started_ago: i64, container: serde_json::Value) -> Pod {
    let mut container = container;
    for (field, value) in [
        ("name", json!("server")),
        ("image", json!("registry.example/vllm:1")),
        ("imageID", json!("")),
        ("ready", json!(false)),
        ("restartCount", json!(0)),
    ] {
        container[field] = value;
    }
    serde_json::from_value(json!({
        "metadata": {"name": "p"},
        "spec": {"nodeName": "n", "containers": []},
        "status": {
            "startTime": at(started_ago),
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": at(started_ago)},
                {"type": "Initialized", "status": "True", "lastTransitionTime": at(started_ago)},
                {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "lastTransitionTime": at(started_ago)},
            ],
            "containerStatuses": [container],
        },
    }))
    .expect("a pod")
}

fn observed(pod: Pod) -> Observed {
    Observed {
        server_pods: vec![pod],
        ..Observed::default()
    }
}

fn out_of_memory(started_ago: i64) -> Pod {
    let message = "(APIServer pid=1) torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.63 GiB.";
    pod(
        started_ago,
        json!({"state": {"terminated": {"exitCode": 1, "reason": "Error", "message": message}}}),
    )
}

fn refused_image(started_ago: i64) -> Pod {
    let message = "failed to resolve reference \"registry.example/vllm:1\": registry.example/vllm:1: not found";
    pod(
        started_ago,
        json!({"state": {"waiting": {"reason": "ErrImagePull", "message": message}}}),
    )
}

#[test]
fn a_server_that_says_what_is_wrong_ends_the_job_at_its_first_end() {
    let (decision, conditions) = decided(&job(feeder("Feeding", true)), &observed(out_of_memory(20)));
    assert_eq!((decision.feeder, decision.servers), (FeederWanted::Remove, None));
    assert!(decision.ends_now);
    let failed = find(&conditions, ConditionType::Failed).expect("a condition");
    assert_eq!(failed.reason, "OutOfGPUMemory");
    assert!(
        failed.message.starts_with(
            "container server ended once: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.63 GiB. Use a GPU"
        ),
        "{}",
        failed.message
    );
}

#[test]
fn servers_that_are_not_needed_or_suspended_end_nothing() {
    let (_, conditions) = decided(&job(feeder("Finalizing", false)), &observed(out_of_memory(20)));
    assert_eq!(find(&conditions, ConditionType::Failed), None);
    let mut suspended = job(feeder("Feeding", true));
    suspended.spec.suspend = Some(true);
    let (_, conditions) = decided(&suspended, &observed(out_of_memory(20)));
    assert_eq!(find(&conditions, ConditionType::Failed), None);
}

#[test]
fn an_image_that_is_refused_ends_the_job_after_three_pulls() {
    let told = |ago: i64| {
        let mut status = feeder("Feeding", true);
        status["serversFailing"] = json!({"reason": "ImagePullFailed", "since": at(ago)});
        decided(&job(status), &observed(refused_image(ago)))
    };
    let (decision, conditions) = told(50);
    assert_eq!(
        reason_of(&conditions, ConditionType::ServersReady),
        Some("ImagePullFailed")
    );
    assert_eq!(find(&conditions, ConditionType::Failed), None);
    assert_eq!(
        decision.look_again,
        Some(Duration::from_secs(11)),
        "looked at again when it is certain"
    );
    let (decision, conditions) = told(60);
    assert_eq!(reason_of(&conditions, ConditionType::Failed), Some("ImagePullFailed"));
    assert_eq!(decision.servers_failing, None);
}

#[test]
fn a_failure_that_may_pass_is_first_told_and_noted() {
    let (decision, conditions) = decided(&job(feeder("Feeding", true)), &observed(refused_image(500)));
    assert_eq!(find(&conditions, ConditionType::Failed), None);
    let noted = decision.servers_failing.map(|failing| (failing.reason, failing.since));
    assert_eq!(noted, Some(("ImagePullFailed".into(), Time(at(0)))));
}

/// A pod whose node does not answer: its node's controller made it unready and left the rest as it was.
fn silent(unready_ago: i64) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p"},
        "spec": {"nodeName": "n", "containers": []},
        "status": {
            "startTime": at(5000),
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": at(5000)},
                {"type": "Ready", "status": "False", "lastTransitionTime": at(unready_ago)},
            ],
            "containerStatuses": [{
                "name": "server", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                "state": {"running": {}},
            }],
        },
    }))
    .expect("a pod")
}

#[test]
fn a_node_that_does_not_answer_is_told_and_is_no_late_start() {
    let (decision, conditions) = decided(&job(feeder("Feeding", true)), &observed(silent(900)));
    assert_eq!(find(&conditions, ConditionType::Failed), None);
    assert_eq!(decision.servers, Some(2));
    let ready = find(&conditions, ConditionType::ServersReady).expect("a condition");
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "NodeLost"));
    assert!(
        ready
            .message
            .starts_with("node n does not answer, and pod p is still on it"),
        "{}",
        ready.message
    );
}

#[test]
fn the_last_rows_do_not_wait_for_a_server_on_a_lost_node() {
    let mut status = feeder("Feeding", true);
    status["feeder"]["serversWanted"] = 1.into();
    let servers = |pods: Vec<Pod>| {
        let pods = Observed {
            server_pods: pods,
            ..Observed::default()
        };
        decided(&job(status.clone()), &pods).0.servers
    };
    assert_eq!(servers(vec![server_pod(900, true)]), Some(1));
    assert_eq!(servers(vec![silent(1)]), Some(2), "one that can be reached");
    assert_eq!(
        servers(vec![silent(1), silent(1)]),
        Some(2),
        "never more than the job has replicas"
    );
    let mut evicted = silent(1);
    evicted.metadata.deletion_timestamp = Some(Time(at(0)));
    assert_eq!(servers(vec![evicted]), Some(1), "its ReplicaSet has made another");
}

#[test]
fn whether_gpus_on_a_lost_node_are_free_is_unknown_and_the_end_does_not_wait() {
    let told = |pods: Vec<Pod>| {
        let gone = Observed {
            server_pods: pods,
            ..Observed::default()
        };
        let (decision, conditions) = decided(&job(ended("AllRowsSucceeded")), &gone);
        assert!(is_true(&conditions, ConditionType::Complete));
        let released = find(&conditions, ConditionType::GPUsReleased).expect("a condition");
        (released.status.clone(), released.reason.clone(), decision.look_again)
    };
    let says = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    let deleted = |ago: i64| {
        let mut pod = server_pod(900, false);
        pod.metadata.deletion_timestamp = Some(Time(at(ago)));
        pod
    };
    let (status, reason, look_again) = told(vec![deleted(10)]);
    assert_eq!((status, reason), says("False", "ServersTerminating"));
    assert_eq!(
        look_again,
        Some(Duration::from_secs(21)),
        "looked at again when it should be gone"
    );
    for lost in [deleted(30), silent(1)] {
        let (status, reason, look_again) = told(vec![lost]);
        assert_eq!((status, reason), says("Unknown", "NodeLost"));
        assert_eq!(look_again, None, "the pod's end is told by the watch");
    }
    let (status, reason, _) = told(Vec::new());
    assert_eq!((status, reason), says("True", "ServersGone"));
}

/// A pod that kubelet evicted, for a limit of its own.
fn evicted(name: &str, started_ago: i64) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "status": {"phase": "Failed", "reason": "Evicted", "startTime": at(started_ago),
                   "message": "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. "},
    }))
    .expect("a pod")
}

#[test]
fn servers_that_exceed_their_disk_again_and_again_end_the_job() {
    let two = Observed {
        server_pods: vec![evicted("a", 90), evicted("b", 60)],
        ..Observed::default()
    };
    let (decision, conditions) = decided(&job(feeder("Feeding", true)), &two);
    assert!(!decision.ends_now);
    let waits = find(&conditions, ConditionType::ServersReady).expect("a condition");
    assert_eq!(waits.reason, "EphemeralStorageExceeded");
    assert!(
        waits.message.starts_with("kubelet evicted pod b: Pod ephemeral"),
        "{}",
        waits.message
    );
    let mut three = two;
    three.server_pods.push(evicted("c", 30));
    let (decision, conditions) = decided(&job(feeder("Feeding", true)), &three);
    assert!(decision.ends_now);
    assert_eq!(
        reason_of(&conditions, ConditionType::Failed),
        Some("EphemeralStorageExceeded")
    );
    three.server_pods.push(server_pod(5, true));
    let (decision, _) = decided(&job(feeder("Feeding", true)), &three);
    assert!(!decision.ends_now, "one works");
}

/// A pod that kubelet did not take, for a device that is not healthy.
fn rejected(started_ago: i64) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p"},
        "spec": {"nodeName": "n", "containers": []},
        "status": {"phase": "Failed", "reason": "UnexpectedAdmissionError", "startTime": at(started_ago),
                   "message": "Pod was rejected: Allocate failed due to no healthy devices present"},
    }))
    .expect("a pod")
}

#[test]
fn pods_that_kubelet_does_not_take_are_waited_for_in_its_words() {
    let servers = |pods: Vec<Pod>| Observed {
        server_pods: pods,
        ..Observed::default()
    };
    let told = |pods: Vec<Pod>| {
        let (decision, conditions) = decided(&job(feeder("Feeding", true)), &servers(pods));
        assert!(!decision.ends_now);
        let ready = find(&conditions, ConditionType::ServersReady).expect("a condition");
        (ready.reason.clone(), ready.message.clone())
    };
    let (reason, message) = told((1..800).map(rejected).collect());
    assert_eq!(reason, "PodRejected");
    assert!(
        message.contains("no healthy devices present. See kubelet's words"),
        "{message}"
    );
    let (reason, _) = told(vec![rejected(700), evicted("e", 900)]);
    assert_eq!(reason, "PodRejected", "what happened last");
    let beside = told(vec![server_pod(900, true), rejected(5)]).1;
    assert!(
        beside.starts_with("1 of 2 ready; of the others: PodRejected, "),
        "{beside}"
    );
    // The feeder's Job has no pod but such.
    let mut observed = with_feeders_job(30, false);
    observed.feeder_pods.push(rejected(5));
    let (_, conditions) = decided(&job(json!({})), &observed);
    assert_eq!(reason_of(&conditions, ConditionType::Validated), Some("PodRejected"));
}

#[test]
fn servers_that_wait_are_told_beside_those_that_are_ready() {
    let pending: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p"},
        "status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                                   "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."}]},
    }))
    .expect("a pod");
    let observed = Observed {
        server_pods: vec![server_pod(5, true), pending],
        ..Observed::default()
    };
    let (_, conditions) = decided(&job(feeder("Feeding", true)), &observed);
    let ready = find(&conditions, ConditionType::ServersReady).expect("a condition");
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", "ServersReady"));
    let expected = "1 of 2 ready; of the others: Unschedulable, ";
    assert!(ready.message.starts_with(expected), "{}", ready.message);
}

fn with_feeders_job(started_ago: i64, suspend: bool) -> Observed {
    let feeder = json!({"metadata": {"name": "triangles-feeder"},
                        "spec": {"suspend": suspend, "template": {}}, "status": {"startTime": at(started_ago)}});
    let mut observed = Observed::default();
    observed.workloads.feeder = Some(serde_json::from_value(feeder).expect("a Job"));
    observed
}

#[test]
fn a_feeder_whose_job_ended_without_a_word_is_made_anew_after_half_a_minute() {
    let job_ended = |ago: i64, kind: &str| {
        let conditions = json!([{"type": kind, "status": "True", "lastTransitionTime": at(ago)}]);
        let mut observed = with_feeders_job(4000, false);
        let job = observed.workloads.feeder.as_mut().expect("a Job");
        job.status.get_or_insert_default().conditions = serde_json::from_value(conditions).expect("conditions");
        observed
    };
    for kind in ["Complete", "Failed"] {
        let feeding = job(feeder("Feeding", true));
        let (decision, _) = decided(&feeding, &job_ended(10, kind));
        let soon = Some(std::time::Duration::from_secs(21));
        assert_eq!((decision.feeder, decision.look_again), (FeederWanted::Run, soon));
        let (decision, conditions) = decided(&feeding, &job_ended(30, kind));
        assert_eq!((decision.feeder, decision.servers), (FeederWanted::Replace, Some(2)));
        let told = reason_of(&conditions, ConditionType::ResultsAvailable);
        assert_eq!(told, Some("FeederPodMissing"));
    }
    let (decision, _) = decided(&job(ended("AllRowsSucceeded")), &job_ended(4000, "Complete"));
    assert_eq!((decision.feeder, decision.look_again), (FeederWanted::Leave, None));
    let mut suspended = job(feeder("Feeding", true));
    suspended.spec.suspend = Some(true);
    let (decision, conditions) = decided(&suspended, &job_ended(4000, "Failed"));
    assert_eq!(decision.feeder, FeederWanted::Suspend);
    let told = reason_of(&conditions, ConditionType::ResultsAvailable);
    assert_eq!(told, Some("ResultsPending"));
}

#[test]
fn a_feeder_without_a_pod_is_told_with_the_account_that_it_should_run_as() {
    let account = "see that the service account may-read of spec.feeder.serviceAccountName is there";
    for (name, is_told) in [(Some("may-read".to_owned()), true), (None, false)] {
        let mut job = job(json!({}));
        job.spec.feeder.get_or_insert_default().service_account_name = name;
        let (_, conditions) = decided(&job, &with_feeders_job(30, false));
        let condition = conditions.iter().find(|condition| condition.type_ == "Validated");
        let told = &condition.expect("a condition").message;
        assert!(told.contains("has had no pod since"), "{told}");
        assert_eq!(told.contains(account), is_told, "{told}");
    }
}

#[test]
fn a_feeder_without_a_pod_is_told_after_half_a_minute() {
    let reason = |observed: &Observed| {
        let (decision, conditions) = decided(&job(json!({})), observed);
        let reason = reason_of(&conditions, ConditionType::Validated).map(ToOwned::to_owned);
        (reason, decision.look_again)
    };
    let soon = Some(std::time::Duration::from_secs(21));
    assert_eq!(
        reason(&with_feeders_job(10, false)),
        (Some("FeederStarting".into()), soon)
    );
    assert_eq!(
        reason(&with_feeders_job(30, false)),
        (Some("FeederPodMissing".into()), None)
    );
    assert_eq!(reason(&with_feeders_job(30, true)).0, Some("FeederStarting".into()));
    let mut there = with_feeders_job(30, false);
    there.feeder_pods.push(running_feeder());
    assert_eq!(reason(&there).0, Some("FeederStarting".into()));
    // In mid-run it counts from when the last one was missed.
    let mut status = feeder("Feeding", true);
    for (gone_ago, expected) in [(10, "ResultsPending"), (30, "FeederPodMissing")] {
        status["feederGoneSince"] = json!(at(gone_ago));
        let (_, conditions) = decided(&job(status.clone()), &with_feeders_job(4000, false));
        assert_eq!(reason_of(&conditions, ConditionType::ResultsAvailable), Some(expected));
    }
}
