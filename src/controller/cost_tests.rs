use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).expect("in range")
}

fn prices() -> Prices {
    serde_json::from_value(json!({
        "currency": "EUR", "perMillionTokens": "0.40", "perGpuHour": {"nvidia.com/gpu": "3.60", "example.com/free": "0"},
    }))
    .expect("prices")
}

fn usage(tokens: i64) -> UsageStatus {
    UsageStatus {
        total_tokens: tokens,
        ..UsageStatus::default()
    }
}

fn servers(status: &Value) -> ServersStatus {
    let mut whole = json!({"replicas": 0, "ready": 0});
    let fields = status.as_object().cloned().unwrap_or_default();
    whole.as_object_mut().expect("an object").extend(fields);
    serde_json::from_value(whole).expect("a status")
}

/// Since a hundred seconds before now, a pod of four GPUs runs; another one of them held 500 GPU seconds, and is gone.
fn running() -> ServersStatus {
    servers(&json!({
        "deviceSeconds": {"nvidia.com/gpu": 700}, "endedDeviceSeconds": {"nvidia.com/gpu": 500}, "countedAt": at(-50).to_string(),
        "held": [{"uid": "a", "since": at(-100).to_string(), "devices": {"nvidia.com/gpu": 4}}],
    }))
}

#[test]
fn tokens_and_devices_are_added_up_once_there_are_any() {
    let cost = |prices: &Prices, usage, servers: &ServersStatus| {
        let cost = cost(prices, usage, servers, at(0)).map(|cost| serde_json::to_value(cost).expect("serialises"));
        cost.unwrap_or_default()
    };
    let nothing = ServersStatus::default();
    assert_eq!(cost(&prices(), None, &nothing), Value::Null);
    assert_eq!(
        cost(&prices(), Some(usage(5_000_000)), &running()),
        json!({"tokenCost": "2.00", "gpuCost": "0.70", "currency": "EUR", "countedAt": at(0).to_string()})
    );
    assert_eq!(cost(&prices(), None, &running())["tokenCost"], "0.00");
    assert_eq!(cost(&prices(), Some(usage(0)), &nothing)["gpuCost"], "0.00");
    let unpriced = Prices::default();
    assert_eq!(
        cost(&unpriced, Some(usage(i64::MAX)), &running()),
        json!({"tokenCost": "4611686018427.387904", "currency": "USD", "countedAt": at(0).to_string()})
    );
}

#[test]
fn a_cost_that_grows_is_written_once_a_minute() {
    let of = |tokens, seconds| cost(&prices(), Some(usage(tokens)), &running(), at(seconds)).expect("a cost");
    let counted = of(1000, 0);
    for (tokens, seconds, want) in [
        (1000, 9000, true),
        (2000, 59, true),
        (2000, 60, false),
        (2000, -1, false),
    ] {
        assert_eq!(
            is_recent(Some(&counted), Some(&of(tokens, seconds))),
            want,
            "{tokens} after {seconds} s"
        );
    }
}

fn job(most: &str, prices: &Value) -> BatchInferenceJob {
    serde_json::from_value(json!({
        "apiVersion": "batchinference.dev/v1alpha1", "kind": "BatchInferenceJob", "metadata": {"name": "triangles"},
        "spec": {
            "dataset": {"inline": ""}, "server": {"baseModel": "m"}, "output": {"uri": "s3://b/o/"},
            "budget": {"maxGPUCost": most},
        },
        "status": {"resolved": {"engine": "VLLM", "image": "vllm", "model": "m", "servedModelName": "m", "args": [], "resources": {},
                                "prices": prices}},
    }))
    .expect("a job")
}

/// Whether it is exceeded, and until when it lasts, in seconds from now.
fn spent(most: &str, servers: &ServersStatus, seconds: i64) -> Option<(bool, Option<i64>)> {
    let prices = serde_json::to_value(prices()).expect("serialises");
    let budget = GpuBudget::of(&job(most, &prices), servers, at(seconds))?;
    let lasts_until = budget.lasts_until().map(|until| until.as_second() - NOW);
    Some((budget.exceeded().is_some(), lasts_until))
}

#[test]
fn gpus_are_counted_to_this_moment_and_their_budget_lasts_as_long_as_they_are_held() {
    // 500 GPU seconds of the pod that is gone, 400 of the other, and four more each second, at 0.001 each.
    for (most, seconds, want) in [
        ("1", 0, (false, Some(25))),
        ("0.90", 0, (false, Some(0))),
        ("0.899999", 0, (true, Some(0))),
        ("1", 25, (false, Some(25))),
        ("1", 26, (true, Some(26))),
        ("1000000000000", 0, (false, None)),
    ] {
        assert_eq!(spent(most, &running(), seconds), Some(want), "{most} after {seconds} s");
    }
    let gone = servers(&json!({"endedDeviceSeconds": {"nvidia.com/gpu": 500}}));
    assert_eq!(spent("0.50", &gone, 9000), Some((false, None)));
    assert_eq!(spent("0.49", &gone, 9000), Some((true, None)));
    let set_back = spent("1", &running(), -5000);
    assert_eq!(set_back.map(|(exceeded, _)| exceeded), Some(false));
}

#[test]
fn without_a_price_there_is_no_budget_to_count() {
    let of = |prices| GpuBudget::of(&job("1", &prices), &running(), at(0));
    assert!(of(json!({"currency": "USD", "perMillionTokens": "1"})).is_none());
    assert!(of(Value::Null).is_none());
}

#[test]
fn what_a_budget_cannot_count_is_named() {
    let unpriced = |limits: Value, template: Value| {
        let resolved = json!({"engine": "VLLM", "image": "vllm", "model": "m", "servedModelName": "m", "args": [],
                              "resources": {"limits": limits}, "prices": prices()});
        let resolved: Resolved = serde_json::from_value(resolved).expect("resolved");
        let template: PodTemplateSpec = serde_json::from_value(json!({"spec": template})).expect("a template");
        unpriced_device(&resolved, Some(&template))
    };
    let container = |limits: Value| json!({"containers": [{"name": "server", "resources": {"limits": limits}}]});
    let priced = json!({"nvidia.com/gpu": "1", "memory": "1Gi"});
    for (limits, template, want) in [
        (priced.clone(), container(json!({})), None),
        (priced.clone(), container(json!({"example.com/free": "1"})), None),
        (json!({"amd.com/gpu": "1"}), container(json!({})), Some("amd.com/gpu")),
        (
            priced.clone(),
            container(json!({"example.com/nic": "1"})),
            Some("example.com/nic"),
        ),
        (
            priced,
            json!({"containers": [], "resourceClaims": [{"name": "gpus"}]}),
            Some("resource claim gpus"),
        ),
    ] {
        assert_eq!(unpriced(limits, template).as_deref(), want);
    }
}
