use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};

use super::*;
use crate::api::BatchInferenceJob;
use crate::api::condition::{find, is_true, reason_of};
use crate::api::phase::Phase;
use crate::api::status::ControllerStatus;
use crate::controller::apply::Obstacle;
use crate::controller::decide::{Decision, FeederWanted, decide};
use crate::controller::dereference::Observed;
use crate::controller::settings::Settings;
use crate::controller::update_status::next_status;
use crate::controller::validate::validate;

const NOW: i64 = 1_800_000_000;

fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW - seconds).expect("in range")
}

/// What a test knows of a job.
#[derive(Clone)]
struct Known {
    spec: Value,
    status: Value,
    observed: Observed,
}

impl Known {
    /// A job that was taken up a minute ago, with this in its spec, and a feeder in that state.
    fn new(spec: &Value, state: &str, servers_needed: bool) -> Self {
        let mut status = json!({"startTime": ago(60).to_string()});
        if !state.is_empty() {
            status["feeder"] = json!({"attempt": 1, "state": state, "serversNeeded": servers_needed});
        }
        Self {
            spec: spec.clone(),
            status,
            observed: Observed::default(),
        }
    }

    fn job(&self) -> BatchInferenceJob {
        let mut spec = json!({
            "dataset": {"uri": "s3://bucket/rows.jsonl"},
            "server": {"baseModel": "Qwen/Qwen3-8B", "replicas": 2},
            "output": {"uri": "s3://bucket/out/"},
        });
        let given = self.spec.as_object().cloned().unwrap_or_default();
        spec.as_object_mut().expect("an object").extend(given);
        serde_json::from_value(json!({
            "apiVersion": "batchinference.dev/v1alpha1", "kind": "BatchInferenceJob",
            "metadata": {"name": "triangles", "namespace": "geometry", "uid": "u-1", "generation": 3},
            "spec": spec, "status": self.status,
        }))
        .expect("a job")
    }

    /// With a Deployment of servers and the feeder's Job there.
    fn with_children(mut self) -> Self {
        self.observed.workloads.servers = Some(Deployment::default());
        self.observed.workloads.feeder = Some(Job::default());
        self
    }

    /// With a feeder's pod that runs.
    fn with_feeder_pod(mut self) -> Self {
        let pod = json!({"metadata": {"name": "f"},
                         "status": {"containerStatuses": [{"name": "feeder", "image": "", "imageID": "", "ready": true,
                                                           "restartCount": 0, "state": {"running": {}}}]}});
        self.observed.feeder_pods = vec![serde_json::from_value(pod).expect("a pod")];
        self
    }

    /// With no feeder since so many seconds.
    fn without_feeder(mut self, since: i64) -> Self {
        self.status["feederGoneSince"] = json!(ago(since).to_string());
        self
    }

    /// With the decision to end before the last row, taken so many seconds ago.
    fn stopping(mut self, mode: &str, since: i64) -> Self {
        self.status["stopping"] =
            json!({"reason": "Cancelled", "mode": mode, "message": "as asked", "since": ago(since).to_string()});
        self
    }

    fn with_condition(mut self, kind: &str, status: &str, since: i64) -> Self {
        let condition = json!({"type": kind, "status": status, "reason": "Resumed", "message": "",
                               "lastTransitionTime": ago(since).to_string()});
        let mut conditions = self.status["conditions"].as_array().cloned().unwrap_or_default();
        conditions.push(condition);
        self.status["conditions"] = conditions.into();
        self
    }

    fn decide(&self) -> (Decision, ControllerStatus) {
        self.decide_at(ago(0))
    }

    fn decide_at(&self, now: Timestamp) -> (Decision, ControllerStatus) {
        let job = self.job();
        let settings = Settings::new("operator:1");
        let validated = validate(&job, &settings);
        let decision = decide(&job, validated.as_ref(), &self.observed, &settings, now);
        let status = next_status(&job, validated.as_ref().ok(), &decision, None, now);
        (decision, status)
    }
}

#[test]
fn a_job_that_is_made_suspended_takes_nothing() {
    let (decision, status) = Known::new(&json!({"suspend": true}), "", false).decide();
    assert_eq!((decision.feeder, decision.servers), (FeederWanted::Suspend, None));
    assert_eq!(status.phase, Some(Phase::Suspended));
    assert!(!is_true(&status.conditions, ConditionType::Reconciling));
    assert_eq!(
        reason_of(&status.conditions, ConditionType::Validated),
        Some("Suspended")
    );
}

#[test]
fn a_suspended_job_has_neither_servers_nor_a_running_feeder_and_goes_on_when_resumed() {
    let suspended = Known::new(&json!({"suspend": true}), "Feeding", true).with_children();
    let (decision, status) = suspended.decide();
    assert_eq!((decision.feeder, decision.servers), (FeederWanted::Suspend, None));
    assert_eq!(status.phase, Some(Phase::Suspended));
    assert_eq!(
        reason_of(&status.conditions, ConditionType::GPUsReleased),
        Some("ServersTerminating")
    );

    let resumed = Known {
        spec: json!({"suspend": false}),
        ..suspended.with_condition("Suspended", "True", 30)
    };
    let (decision, status) = resumed.decide();
    assert_eq!((decision.feeder, decision.servers), (FeederWanted::Run, Some(2)));
    assert_eq!(reason_of(&status.conditions, ConditionType::Suspended), Some("Resumed"));
    assert_eq!(status.phase, Some(Phase::Provisioning));
}

#[test]
fn a_suspended_job_that_is_scaled_has_no_servers_and_that_many_when_it_is_resumed() {
    let scaled = |suspend: bool| json!({"suspend": suspend, "server": {"baseModel": "Qwen/Qwen3-8B", "replicas": 4}});
    let suspended = Known::new(&scaled(true), "Feeding", true);
    let (decision, _) = suspended.decide();
    assert_eq!((decision.feeder, decision.servers), (FeederWanted::Suspend, None));
    let resumed = Known {
        spec: scaled(false),
        ..suspended.with_condition("Suspended", "True", 30)
    };
    let (decision, _) = resumed.decide();
    assert_eq!((decision.feeder, decision.servers), (FeederWanted::Run, Some(4)));
}

#[test]
fn a_suspended_job_whose_tokens_are_used_up_is_left_to_its_feeder_when_it_is_resumed() {
    let spec = |suspend: bool| json!({"suspend": suspend, "budget": {"maxTotalTokens": 100}});
    let mut suspended = Known::new(&spec(true), "Feeding", true).with_children();
    suspended.status["usage"] = json!({"promptTokens": 101, "completionTokens": 0, "totalTokens": 101});
    let (decision, status) = suspended.decide();
    assert_eq!((decision.feeder, decision.servers), (FeederWanted::Suspend, None));
    assert_eq!((decision.stopping, status.phase), (None, Some(Phase::Suspended)));
    let resumed = Known {
        spec: spec(false),
        ..suspended
    };
    let (decision, _) = resumed.decide();
    assert_eq!((decision.feeder, decision.stopping), (FeederWanted::Run, None));
}

#[test]
fn a_job_that_is_resumed_while_its_old_servers_end_wants_new_ones_and_says_what_it_waits_for() {
    let mut resumed = Known::new(&json!({"suspend": false}), "Feeding", true)
        .with_children()
        .with_condition("Suspended", "True", 30);
    let pod = json!({"metadata": {"name": "s", "uid": "s", "deletionTimestamp": ago(1).to_string()},
                     "status": {"conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": ago(60)}]}});
    resumed.observed.server_pods = vec![serde_json::from_value(pod).expect("a pod")];
    let (decision, _) = resumed.decide();
    assert_eq!((decision.feeder, decision.servers), (FeederWanted::Run, Some(2)));
    // What the API server's cache says of the Deployment that is still being deleted.
    let wait = Wait::new(
        Reason::WaitingForOldChild,
        "Deployment d of this job is still being deleted",
    );
    let obstacle = Obstacle::Waits(wait);
    let status = next_status(&resumed.job(), None, &decision, Some(&obstacle), ago(0));
    let ready = find(&status.conditions, ConditionType::ServersReady).expect("it is told");
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "WaitingForOldChild")
    );
}

#[test]
fn a_job_that_writes_its_results_is_neither_suspended_nor_stopped() {
    let spec = json!({"suspend": true, "shutdown": "Terminate", "activeDeadlineSeconds": 1});
    let (decision, status) = Known::new(&spec, "Finalizing", false).decide();
    assert_eq!((decision.feeder, decision.stopping), (FeederWanted::Run, None));
    assert_eq!(status.phase, Some(Phase::Finalizing));
}

#[test]
fn stop_keeps_the_servers_that_are_there_and_terminate_none() {
    let shutdown = |mode: &str| Known::new(&json!({"shutdown": mode}), "Feeding", true);
    let servers = |known: Known| {
        let (decision, _) = known.decide();
        assert_eq!(decision.feeder, FeederWanted::Run, "it writes the results");
        (decision.servers, decision.stopping.map(|stopping| stopping.mode))
    };
    assert_eq!(
        servers(shutdown("Stop").with_children()),
        (Some(2), Some(Shutdown::Stop))
    );
    assert_eq!(
        servers(shutdown("Stop")),
        (None, Some(Shutdown::Stop)),
        "none are started for it"
    );
    let terminate = (None, Some(Shutdown::Terminate));
    assert_eq!(servers(shutdown("Terminate").with_children()), terminate);
    let first_stop = shutdown("Terminate").stopping("Stop", 5).with_children();
    assert_eq!(servers(first_stop), terminate, "Stop becomes Terminate");
}

#[test]
fn a_job_that_is_stopped_before_its_data_set_is_checked_ends_at_once() {
    for state in ["", "Inspecting"] {
        let (decision, status) = Known::new(&json!({"shutdown": "Stop"}), state, false).decide();
        assert!(decision.ends_now);
        assert_eq!((decision.feeder, decision.servers), (FeederWanted::Remove, None));
        assert_eq!(status.phase, Some(Phase::Cancelled));
        let failed = find(&status.conditions, ConditionType::Failed).expect("it failed");
        assert!(failed.message.contains("there are no results"), "{}", failed.message);
    }
}

#[test]
fn a_suspended_job_that_is_stopped_gets_a_feeder_and_no_server() {
    let spec = json!({"suspend": true, "shutdown": "Stop"});
    let mut known = Known::new(&spec, "Feeding", true).with_children();
    known.observed.workloads.servers = None;
    let (decision, status) = known.decide();
    assert_eq!((decision.feeder, decision.servers), (FeederWanted::Run, None));
    assert_ne!(status.phase, Some(Phase::Suspended));
}

#[test]
fn a_job_ends_without_results_when_no_feeder_runs_for_ten_minutes() {
    let stopping = |since| Known::new(&json!({"shutdown": "Stop"}), "Feeding", true).stopping("Stop", since);
    let ends = |known: Known| known.decide().0.ends_now;
    assert!(!ends(stopping(599).without_feeder(6000)));
    assert!(ends(stopping(600).without_feeder(6000)));
    assert!(!ends(stopping(6000).without_feeder(599)));
    assert!(!ends(stopping(6000)), "it has only just been noticed");
    let waits_for_the_store = stopping(6000).without_feeder(5000).with_feeder_pod();
    assert!(!ends(waits_for_the_store));
    let (_, status) = stopping(6000).without_feeder(600).decide();
    assert_eq!(
        reason_of(&status.conditions, ConditionType::Failed),
        Some("ResultsNotFinalized")
    );
    let (decision, _) = stopping(100).without_feeder(200).decide();
    assert_eq!(decision.look_again, Some(std::time::Duration::from_secs(501)));
}

#[test]
fn a_pace_that_a_feeder_left_is_taken_back_once_it_is_gone_and_the_job_suspended() {
    let progress = |pace: Value| {
        let mut progress = json!({"total": 21, "completed": 20, "failed": 0, "percent": 95});
        progress
            .as_object_mut()
            .expect("an object")
            .extend(pace.as_object().cloned().unwrap_or_default());
        progress
    };
    let with = |spec: Value, pace: Value| {
        let mut known = Known::new(&spec, "Feeding", true);
        known.status["progress"] = progress(pace);
        known
    };
    let suspended = |pace: Value| with(json!({"suspend": true}), pace);
    let is_old = |known: &Known| known.decide().0.tells_old_pace;
    let rate = || json!({"rowsPerSecond": "2.5"});
    assert!(is_old(&suspended(rate())));
    assert!(is_old(&suspended(
        json!({"estimatedCompletionTime": ago(-60).to_string()})
    )));
    assert!(!is_old(&suspended(json!({}))), "it was taken back");
    assert!(!is_old(&suspended(rate()).with_feeder_pod()), "it will do so itself");
    assert!(!is_old(&with(json!({}), rate())), "another feeder comes at once");
}

#[test]
fn a_feeder_that_is_gone_for_long_gives_its_servers_back_until_it_runs_again() {
    let feeding = || Known::new(&json!({}), "Feeding", true).with_children();
    let (decision, status) = feeding().decide();
    assert_eq!(
        (decision.servers, decision.look_again),
        (Some(2), Some(std::time::Duration::from_secs(901)))
    );
    assert_eq!(status.feeder_gone_since.map(|time| time.0), Some(ago(0)));
    let (decision, status) = feeding().without_feeder(900).decide();
    assert_eq!((decision.feeder, decision.servers), (FeederWanted::Run, None));
    assert_eq!(
        reason_of(&status.conditions, ConditionType::ServersReady),
        Some("FeederLost")
    );
    assert_eq!(status.feeder_gone_since.map(|time| time.0), Some(ago(900)));
    let (decision, status) = feeding().without_feeder(900).with_feeder_pod().decide();
    assert_eq!((decision.servers, decision.look_again), (Some(2), None));
    assert_eq!(status.feeder_gone_since, None);
}

#[test]
fn a_feeder_that_ends_again_and_again_is_gone() {
    let crashing = |running_for: i64| {
        let mut known = Known::new(&json!({}), "Feeding", true)
            .with_children()
            .with_feeder_pod();
        let pod = json!({"metadata": {"name": "f"},
                         "status": {"containerStatuses": [{"name": "feeder", "image": "", "imageID": "", "ready": true, "restartCount": 9,
                                                           "state": {"running": {"startedAt": ago(running_for).to_string()}}}]}});
        known.observed.feeder_pods = vec![serde_json::from_value(pod).expect("a pod")];
        known.without_feeder(900)
    };
    let (decision, status) = crashing(59).decide();
    assert_eq!(decision.servers, None, "it has not lived for a minute");
    assert_eq!(status.feeder_gone_since.map(|time| time.0), Some(ago(900)));
    assert_eq!(decision.look_again, Some(std::time::Duration::from_secs(2)));
    let (decision, status) = crashing(60).decide();
    assert_eq!((decision.servers, status.feeder_gone_since), (Some(2), None));
    let stopping = crashing(1).stopping("Stop", 6000);
    assert!(!stopping.decide().0.ends_now, "it may be writing the results");
}

#[test]
fn a_feeder_on_a_node_whose_clock_is_ahead_keeps_its_servers() {
    let an_hour = 3600;
    let running = |running_for: i64| {
        let mut known = Known::new(&json!({}), "Feeding", true)
            .with_children()
            .with_feeder_pod();
        let scheduled = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": ago(100).to_string()});
        let began = ago(running_for - an_hour).to_string();
        let container = json!({"name": "feeder", "image": "", "imageID": "", "ready": true, "restartCount": 1,
                               "state": {"running": {"startedAt": began}}});
        let pod = json!({"metadata": {"name": "f"},
                         "status": {"startTime": ago(100 - an_hour).to_string(), "conditions": [scheduled],
                                    "containerStatuses": [container]}});
        known.observed.feeder_pods = vec![serde_json::from_value(pod).expect("a pod")];
        known.without_feeder(900).decide().0.servers
    };
    assert_eq!(running(60), Some(2));
    assert_eq!(running(59), None, "it has not lived for a minute, as any other");
}

#[test]
fn the_deadline_counts_from_the_start_and_anew_from_each_time_that_the_job_is_resumed() {
    let spec = json!({"activeDeadlineSeconds": 50});
    let started = Known::new(&spec, "Feeding", true);
    let reason = |known: &Known| {
        known
            .decide()
            .0
            .stopping
            .map(|stopping| (stopping.reason, stopping.mode))
    };
    let exceeded = Some((StoppingReason::DeadlineExceeded, Shutdown::Terminate));
    assert_eq!(reason(&started), exceeded);
    assert_eq!(
        reason(&started.clone().with_condition("Suspended", "False", 51)),
        exceeded
    );
    let resumed = started
        .clone()
        .with_condition("Suspended", "False", 20)
        .with_feeder_pod();
    assert_eq!(reason(&resumed), None);
    assert_eq!(resumed.decide().0.look_again, Some(std::time::Duration::from_secs(31)));
    let suspended = Known {
        spec: json!({"activeDeadlineSeconds": 50, "suspend": true}),
        ..started
    };
    assert_eq!(reason(&suspended), None);
    let longer = Known::new(&json!({"activeDeadlineSeconds": 100}), "Feeding", true).with_feeder_pod();
    assert_eq!(
        (reason(&longer), longer.decide().0.look_again),
        (None, Some(std::time::Duration::from_secs(41)))
    );
}

#[test]
fn a_clock_that_is_set_back_keeps_no_decision_waiting_for_the_old_time() {
    let an_hour_from_now = -3600;
    let stopped = Known::new(&json!({"shutdown": "Stop"}), "Feeding", true);
    let (decision, status) = stopped
        .stopping("Stop", an_hour_from_now)
        .without_feeder(an_hour_from_now)
        .decide();
    assert_eq!(decision.look_again, Some(std::time::Duration::from_secs(601)));
    assert_eq!(status.feeder_gone_since.map(|time| time.0), Some(ago(0)));
    let feeding = Known::new(&json!({}), "Feeding", true).with_children();
    let (decision, _) = feeding.without_feeder(an_hour_from_now).decide();
    assert_eq!(decision.look_again, Some(std::time::Duration::from_secs(901)));
}

#[test]
fn a_clock_that_jumps_is_no_reason_to_write() {
    let mut known = Known::new(&json!({}), "Feeding", true)
        .with_children()
        .with_feeder_pod();
    let (_, status) = known.decide();
    known.status = serde_json::to_value(&status).expect("a status");
    known.status["feeder"] = json!({"attempt": 1, "state": "Feeding", "serversNeeded": true});
    for hours in [-1, 1] {
        assert_eq!(known.decide_at(ago(hours * 3600)).1, status, "{hours}");
    }
}

#[test]
fn the_first_decision_stays() {
    let spec = json!({"activeDeadlineSeconds": 1});
    let (decision, _) = Known::new(&spec, "Feeding", true).stopping("Stop", 5).decide();
    let stopping = decision.stopping.expect("it stands");
    assert_eq!(
        (stopping.reason, stopping.mode),
        (StoppingReason::Cancelled, Shutdown::Stop)
    );
}

/// A job that may spend 1.00 on its four GPUs, which cost 0.004 a second, and that holds them since so many seconds.
fn holding_gpus(state: &str, since: i64) -> Known {
    let spec = json!({"budget": {"maxGPUCost": "1"}});
    let mut known = Known::new(&spec, state, true).with_children().with_feeder_pod();
    known.status["resolved"] = json!({
        "engine": "VLLM", "image": "vllm", "model": "m", "servedModelName": "m", "args": [], "resources": {},
        "prices": {"currency": "EUR", "perMillionTokens": "2", "perGpuHour": {"nvidia.com/gpu": "3.60"}},
    });
    let pod = json!({
        "metadata": {"name": "s", "uid": "s"},
        "spec": {"containers": [{"name": "server", "resources": {"limits": {"nvidia.com/gpu": "4"}}}]},
        "status": {"conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": ago(since)}]},
    });
    known.observed.server_pods = vec![serde_json::from_value(pod).expect("a pod")];
    known
}

#[test]
fn gpus_that_cost_more_than_they_may_are_given_back_and_the_feeder_writes_what_is_there() {
    let look_again = |since| {
        let (decision, _) = holding_gpus("Feeding", since).decide();
        assert_eq!((decision.stopping, decision.servers), (None, Some(2)));
        decision.look_again.map(|until| until.as_secs())
    };
    assert_eq!((look_again(100), look_again(250)), (Some(151), Some(1)));

    let (decision, status) = holding_gpus("Feeding", 251).decide();
    let stopping = decision.stopping.expect("a decision");
    assert_eq!(
        (stopping.reason, stopping.mode),
        (StoppingReason::BudgetExceeded, Shutdown::Terminate)
    );
    assert_eq!(
        stopping.message,
        "spec.budget.maxGPUCost is 1.00 EUR, and the servers' devices cost 1.004 EUR"
    );
    assert_eq!((decision.feeder, decision.servers), (FeederWanted::Run, None));
    assert_eq!((decision.ends_now, decision.look_again), (false, None));
    let cost = status.cost.and_then(|cost| cost.gpu_cost).map(|cost| cost.to_string());
    assert_eq!(cost.as_deref(), Some("1.004"));

    let (decision, _) = holding_gpus("Finalizing", 9000).decide();
    assert_eq!(decision.stopping, None, "every row has its end");
    let mut suspended = holding_gpus("Feeding", 251);
    suspended.spec["suspend"] = json!(true);
    let (decision, status) = suspended.decide();
    assert_eq!(decision.feeder, FeederWanted::Run);
    assert_ne!(status.phase, Some(Phase::Suspended));
}

#[test]
fn a_budget_for_gpus_without_a_price_is_refused_before_anything_is_made() {
    let (decision, status) = Known::new(&json!({"budget": {"maxGPUCost": "1"}}), "", false).decide();
    assert!(decision.ends_now);
    assert_eq!((decision.feeder, decision.servers), (FeederWanted::Remove, None));
    let failed = find(&status.conditions, ConditionType::Failed).expect("it failed");
    assert_eq!(failed.reason, "SpecInvalid");
    let names = "spec.budget.maxGPUCost: nvidia.com/gpu has no price";
    assert!(failed.message.starts_with(names), "{}", failed.message);
}

#[test]
fn a_job_keeps_the_prices_that_it_was_taken_up_with_and_its_end_is_told_with_all_that_it_cost() {
    let mut known = holding_gpus("Feeding", 10);
    let after = |known: &Known, tokens: i64, state: &str, seconds: i64| {
        let mut known = known.clone();
        let usage = json!({"promptTokens": tokens, "completionTokens": 0, "totalTokens": tokens});
        known.status["usage"] = usage;
        known.status["feeder"] =
            json!({"attempt": 1, "state": state, "serversNeeded": true, "reason": "AllRowsSucceeded"});
        known.decide_at(ago(-seconds)).1
    };
    let first = after(&known, 1_000_000, "Feeding", 0);
    known.status = serde_json::to_value(&first).expect("a status");
    let cost = |status: ControllerStatus| {
        let prices = status.resolved.and_then(|resolved| resolved.prices).expect("prices");
        let cost = status.cost.expect("a cost");
        assert_eq!((prices.currency.as_str(), cost.currency.as_str()), ("EUR", "EUR"));
        cost.token_cost.to_string()
    };
    assert_eq!(cost(first), "2.00");
    for (state, seconds, want) in [("Feeding", 59, "2.00"), ("Feeding", 60, "3.00"), ("Ended", 1, "3.00")] {
        let status = after(&known, 1_500_000, state, seconds);
        assert_eq!(cost(status), want, "{state} after {seconds} s");
    }
}
