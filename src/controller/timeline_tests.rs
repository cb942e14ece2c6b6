use serde_json::{Value, json};

use super::*;

const GPU: &str = "nvidia.com/gpu";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("in range")
}

fn pod(uid: &str, scheduled: i64, status: &Value) -> Pod {
    let mut pod = json!({
        "metadata": {"name": uid, "uid": uid},
        "spec": {"containers": [{"name": "server", "resources": {"limits": {GPU: "2", "memory": "1Gi"}}}]},
        "status": {"conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": at(scheduled)}]},
    });
    let fields = status.as_object().cloned().unwrap_or_default();
    pod["status"].as_object_mut().expect("an object").extend(fields);
    serde_json::from_value(pod).expect("a pod")
}

fn ended(at_second: i64) -> Value {
    json!({"phase": "Failed", "containerStatuses": [{"name": "server", "image": "", "imageID": "", "ready": false, "restartCount": 0,
           "state": {"terminated": {"exitCode": 1, "finishedAt": at(at_second)}}}]})
}

fn look(before: &ServersStatus, pods: &[Pod], seconds: i64) -> ServersStatus {
    count_devices(before, ServersStatus::default(), pods, at(seconds))
}

fn gpu_seconds(status: &ServersStatus) -> i64 {
    status.device_seconds.get(GPU).copied().unwrap_or_default()
}

#[test]
fn devices_are_counted_from_scheduled_to_gone() {
    let (first, second) = (pod("a", 100, &json!({})), pod("b", 130, &json!({})));
    let mut status = look(&ServersStatus::default(), std::slice::from_ref(&first), 110);
    assert_eq!(gpu_seconds(&status), 20);
    status = look(&status, &[first.clone(), second.clone()], 150);
    assert_eq!(gpu_seconds(&status), 2 * 50 + 2 * 20);
    status = look(&status, std::slice::from_ref(&second), 160);
    assert_eq!(gpu_seconds(&status), 2 * 60 + 2 * 30);
    status = look(&status, &[], 200);
    assert_eq!(gpu_seconds(&status), 2 * 60 + 2 * 70);
    assert_eq!(look(&status, &[], 5000), status, "nothing more is counted");
    assert_eq!(status.device_seconds, status.ended_device_seconds);
}

#[test]
fn a_pod_that_ended_and_is_still_there_counts_up_to_its_end_once() {
    let mut status = look(&ServersStatus::default(), &[pod("a", 100, &json!({}))], 110);
    let failed = pod("a", 100, &ended(115));
    for seconds in [120, 200, 300] {
        status = look(&status, std::slice::from_ref(&failed), seconds);
        assert_eq!(gpu_seconds(&status), 30);
    }
    assert_eq!(gpu_seconds(&look(&status, &[], 400)), 30);
}

/// A failed pod whose server was lost by kubelet, so that its end has no time.
fn failed(conditions: &Value) -> Value {
    let unknown = json!({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "finishedAt": null}});
    json!({"phase": "Failed", "conditions": conditions,
           "containerStatuses": [{"name": "server", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": unknown}]})
}

#[test]
fn a_pod_whose_end_has_no_time_holds_nothing_after_it_is_known_to_have_failed() {
    let condition = |kind: &str, status: &str, seconds: i64| json!({"type": kind, "status": status, "lastTransitionTime": at(seconds)});
    let scheduled = || condition("PodScheduled", "True", 100);
    let table = [
        (
            "it was not taken",
            json!({"phase": "Failed", "reason": "UnexpectedAdmissionError"}),
            110,
        ),
        (
            "nor when its node starts anew",
            json!({"phase": "Failed", "reason": "NodeAffinity", "conditions": []}),
            110,
        ),
        (
            "it was ready",
            failed(&json!([scheduled(), condition("Ready", "False", 115)])),
            115,
        ),
        (
            "it was never ready",
            failed(&json!([scheduled(), condition("ContainersReady", "False", 101)])),
            110,
        ),
        (
            "it was taken away",
            failed(&json!([
                scheduled(),
                condition("Ready", "False", 101),
                condition("DisruptionTarget", "True", 118)
            ])),
            118,
        ),
    ];
    for (what, status, until) in table {
        let mut seen = look(&ServersStatus::default(), &[pod("a", 100, &json!({}))], 110);
        let failed = [pod("a", 100, &status)];
        for seconds in [120, 5000] {
            seen = look(&seen, &failed, seconds);
            assert_eq!((gpu_seconds(&seen), seen.held.len()), (2 * (until - 100), 0), "{what}");
        }
        let late = look(&ServersStatus::default(), &failed, 5000);
        assert_eq!((gpu_seconds(&late), late.held.len()), (0, 0), "{what}");
    }
}

#[test]
fn while_nothing_changes_devices_are_counted_once_a_minute() {
    let pods = [pod("a", 100, &json!({}))];
    let first = look(&ServersStatus::default(), &pods, 110);
    assert_eq!(look(&first, &pods, 169), first);
    let later = look(&first, &pods, 170);
    assert_eq!((gpu_seconds(&later), later.counted_at), (140, Some(Time(at(170)))));
}

#[test]
fn a_clock_that_is_set_back_takes_no_device_seconds_away() {
    let pods = [pod("a", 100, &json!({}))];
    let before = look(&ServersStatus::default(), &pods, 200);
    assert_eq!(look(&before, &pods, 50), before);
    assert_eq!(gpu_seconds(&look(&before, &[], 50)), gpu_seconds(&before));
}

#[test]
fn a_pod_without_devices_or_node_holds_none() {
    let mut pending = pod("a", 100, &json!({}));
    pending.status = None;
    assert_eq!(
        look(&ServersStatus::default(), &[pending], 500),
        ServersStatus::default()
    );
    let mut cpu = pod("a", 100, &json!({}));
    cpu.spec = None;
    assert_eq!(gpu_seconds(&look(&ServersStatus::default(), &[cpu], 500)), 0);
}

/// A feeder that needs no servers, with so many of ten rows finished.
fn reported(state: &str, finished: i64, durable: i64) -> FeederStatus {
    let feeder = json!({"attempt": 1, "state": state, "serversNeeded": false, "lastDurableAt": at(durable)});
    let progress = json!({"total": 10, "completed": finished - 1, "failed": 1, "percent": finished * 10});
    serde_json::from_value(json!({"feeder": feeder, "progress": progress})).expect("a status")
}

#[test]
fn servers_that_are_given_back_in_mid_run_leave_the_last_row_to_come() {
    let last_row_at = |state, finished| {
        let reported = reported(state, finished, 70);
        let line = timeline(None, &[], &PodTimes::default(), Some(&reported));
        line.last_row_at.map(|time| time.0.as_second())
    };
    assert_eq!(last_row_at("Feeding", 9), None, "its store refuses the keys");
    assert_eq!(last_row_at("Feeding", 10), Some(70));
    assert_eq!(last_row_at("Finalizing", 9), Some(70), "it ends before its last row");
    assert_eq!(last_row_at("Ended", 9), Some(70));
}

#[test]
fn what_was_once_known_stays() {
    let condition = |kind: &str, seconds: i64| -> Condition {
        serde_json::from_value(
            json!({"type": kind, "status": "True", "reason": "R", "message": "", "lastTransitionTime": at(seconds)}),
        )
        .expect("a condition")
    };
    let running = json!({
        "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": at(20)},
            {"type": "Ready", "status": "True", "lastTransitionTime": at(40)},
        ],
        "containerStatuses": [{"name": "server", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                               "state": {"running": {"startedAt": at(30)}}}],
    });
    let reported = |state: &str, durable: i64| reported(state, 9, durable);
    let validated = [condition("Validated", 10)];
    let pods = PodTimes::of(&[pod("late", 25, &json!({})), pod("a", 20, &running)]);
    let first = timeline(None, &validated, &pods, Some(&reported("Feeding", 50)));
    let seconds = |time: &Option<Time>| time.as_ref().map(|time| time.0.as_second());
    let all = |line: &Timeline| {
        [
            &line.validated_at,
            &line.scheduled_at,
            &line.image_pulled_at,
            &line.servers_ready_at,
            &line.first_row_at,
            &line.last_row_at,
            &line.gpus_released_at,
        ]
        .map(seconds)
    };
    assert_eq!(
        all(&first),
        [Some(10), Some(20), Some(30), Some(40), Some(50), None, None]
    );
    let ends = [condition("Validated", 10), condition("GPUsReleased", 80)];
    let last = timeline(
        Some(&first),
        &ends,
        &PodTimes::default(),
        Some(&reported("Finalizing", 70)),
    );
    assert_eq!(
        all(&last),
        [Some(10), Some(20), Some(30), Some(40), Some(50), Some(70), Some(80)]
    );
}
