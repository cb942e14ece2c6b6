use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::controller::pod_template;
use crate::engine::Catalog;

const PAGE: &str = include_str!("../../docs/reference/sizing.md");

/// A profile of one GPU with this memory.
fn gpu(memory: &Value) -> Value {
    json!({"resources": {"limits": {"nvidia.com/gpu": 1}}, "deviceMemory": memory})
}

/// What a server asks for when the job names `profile`, or none.
fn asked(server: &Value, profile: Option<(&str, &Value)>) -> Result<Resources, Wait> {
    let server: ServerSpec = serde_json::from_value(server.clone()).expect("a server");
    let model = BaseModel::read(Catalog::built_in(), server.engine, &server.base_model).expect("a model");
    let template = server.pod_template.as_ref();
    let template = template.map(|template| pod_template::parse(template, "t").expect("a template"));
    let profiles: BTreeMap<String, ResourceProfile> = profile
        .iter()
        .map(|(_, profile)| {
            (
                "p".to_owned(),
                serde_json::from_value((*profile).clone()).expect("a profile"),
            )
        })
        .collect();
    let profile = profile.map(|(written, _)| Chosen::find(written, &profiles).expect("the profile"));
    resolve(&Asked {
        server: &server,
        model: &model,
        template: template.as_ref(),
        profile,
    })
}

fn asks(server: &Value, profile: Option<(&str, &Value)>) -> Value {
    serde_json::to_value(asked(server, profile).expect("resources")).expect("serialises")
}

/// The rows of the page's examples, by cell.
fn examples() -> Vec<[&'static str; 6]> {
    let rows = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("| `{")?.strip_suffix(" |"));
    rows.map(|row| {
        let cells: Vec<_> = row.split(" | ").collect();
        cells.try_into().expect("six cells")
    })
    .collect()
}

#[test]
fn the_examples_of_the_page_are_right() {
    let examples = examples();
    assert_eq!(examples.len(), 9);
    for [server, memory, devices, request, limit, disk] in examples {
        let server = format!("{{{}", server.trim_end_matches('`'));
        let server: Value = serde_yaml::from_str(&server).expect("a server");
        let profile = (memory != "-").then(|| gpu(&json!(memory)));
        let asks = asks(&server, profile.as_ref().map(|profile| ("p", profile)));
        let written = |pointer: &str| asks.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned();
        let gpus = asks
            .pointer("/limits/nvidia.com~1gpu")
            .and_then(Value::as_str)
            .unwrap_or("0");
        assert_eq!(
            [
                gpus.to_owned(),
                written("/requests/memory"),
                written("/limits/memory"),
                written("/requests/ephemeral-storage")
            ],
            [devices, request, limit, disk],
            "{server} on {memory}"
        );
    }
}

#[test]
fn of_an_unknown_size_the_defaults_are_asked_for() {
    let gpu = |request: &str, limit: &str| json!({"limits": {"memory": limit, "nvidia.com/gpu": "1"}, "requests": {"cpu": "2", "memory": request}});
    for (server, expected) in [
        (json!({"baseModel": "org/model"}), gpu("8Gi", "32Gi")),
        (json!({"baseModel": "/models/mine"}), gpu("8Gi", "32Gi")),
        (
            json!({"engine": "LlamaCpp", "baseModel": "/models/mine.gguf"}),
            json!({"limits": {"memory": "8Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}),
        ),
        (
            json!({"engine": "Custom", "baseModel": "meta/llama-3.1-8b-instruct"}),
            json!({"limits": {"memory": "32Gi"}, "requests": {"cpu": "2", "memory": "8Gi"}}),
        ),
    ] {
        assert_eq!(asks(&server, None), expected, "{server}");
    }
}

#[test]
fn what_a_job_names_is_not_estimated() {
    let server = json!({"baseModel": "qwen3-8b", "resources": {
        "limits": {"memory": "64Gi", "nvidia.com/gpu": 2}, "requests": {"ephemeral-storage": "1Gi"},
    }});
    let expected = json!({
        "limits": {"memory": "64Gi", "nvidia.com/gpu": "2"},
        "requests": {"cpu": "4", "ephemeral-storage": "1Gi"},
    });
    assert_eq!(asks(&server, None), expected);
}

/// The devices of a server, by name.
fn devices_asked(server: &Value, profile: Option<(&str, &Value)>) -> Value {
    let mut limits = asked(server, profile).expect("resources").limits;
    limits.retain(|name, _| is_device(name));
    serde_json::to_value(limits).expect("serialises")
}

#[test]
fn no_device_is_added_where_a_template_claims_one() {
    let of_container =
        json!({"spec": {"containers": [{"name": "server", "resources": {"claims": [{"name": "gpu"}]}}]}});
    let of_pod =
        json!({"spec": {"containers": [], "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "gpu"}]}});
    let of_another = json!({"spec": {"containers": [{"name": "side", "resources": {"claims": [{"name": "nic"}]}}]}});
    for (template, expected) in [
        (of_container, json!({})),
        (of_pod, json!({"nvidia.com/gpu": "1"})),
        (of_another, json!({"nvidia.com/gpu": "1"})),
    ] {
        let server = json!({"baseModel": "qwen3-8b", "podTemplate": template});
        assert_eq!(devices_asked(&server, None), expected, "{server}");
    }
}

#[test]
fn claimed_devices_are_not_counted() {
    let template: PodTemplateSpec = serde_json::from_value(json!({
        "spec": {"containers": [{"name": "server", "resources": {"claims": [{"name": "gpu"}]}}]},
    }))
    .expect("a template");
    let none = Resources::default();
    let mut one = none.clone();
    one.limits.insert("amd.com/gpu".into(), Quantity("1".into()));
    for (resources, template, expected) in [
        (&none, Some(&template), Devices::Claimed),
        (&none, None, Devices::Counted(0)),
        (&one, Some(&template), Devices::Counted(1)),
    ] {
        assert_eq!(devices(resources, template), expected);
    }
}

#[test]
fn of_several_kinds_of_devices_those_that_compute_are_counted() {
    for (limits, expected) in [
        (json!({"nvidia.com/gpu": 8, "vpc.amazonaws.com/efa": 4}), 8),
        (json!({"rdma/hca_shared_devices_a": 1, "nvidia.com/gpu": 2}), 2),
        (
            json!({"nvidia.com/gpu": 1, "nvidia.com/gpumem": 8000, "nvidia.com/gpucores": 30}),
            1,
        ),
        (json!({"nvidia.com/gpu": 0, "vpc.amazonaws.com/efa": 4}), 0),
        (json!({"nvidia.com/mig-1g.10gb": 1, "nvidia.com/mig-2g.20gb": 1}), 2),
        (json!({"gpu.intel.com/i915": 2, "gpu.intel.com/memory.max": 9}), 2),
        (json!({"huawei.com/Ascend910": 4, "rdma/hca": 1}), 4),
        (json!({"aws.amazon.com/neuroncore": 2}), 2),
        (json!({"example.com/chip": 3, "example.com/other": 1}), 4),
        (json!({"cpu": 4}), 0),
    ] {
        let resources: Resources = serde_json::from_value(json!({"limits": limits})).expect("resources");
        assert_eq!(devices(&resources, None), Devices::Counted(expected), "{limits}");
    }
}

#[test]
fn a_profile_is_taken_as_often_as_the_job_says_or_the_model_needs() {
    let small = gpu(&json!("16Gi"));
    let pair = json!({"resources": {"limits": {"nvidia.com/gpu": 2}}, "deviceMemory": "16Gi"});
    let unknown = gpu(&Value::Null);
    let bare = json!({"deviceMemory": "16Gi"});
    let mig = json!({"resources": {"limits": {"nvidia.com/mig-1g.10gb": 1}}});
    let processors = json!({"resources": {"requests": {"cpu": 1}}});
    for (model, written, profile, expected) in [
        ("qwen3-8b", "p", &small, json!({"nvidia.com/gpu": "2"})),
        ("qwen3-8b", "p:1", &small, json!({"nvidia.com/gpu": "1"})),
        ("qwen3-8b", "p", &pair, json!({"nvidia.com/gpu": "2"})),
        ("qwen3-14b", "p", &pair, json!({"nvidia.com/gpu": "4"})),
        ("qwen3-8b", "p", &unknown, json!({"nvidia.com/gpu": "1"})),
        ("phi-2", "p", &small, json!({"nvidia.com/gpu": "1"})),
        ("qwen3-8b", "p", &bare, json!({"nvidia.com/gpu": "2"})),
        ("qwen3-8b", "p:4", &bare, json!({"nvidia.com/gpu": "4"})),
        ("qwen3-8b", "p:3", &mig, json!({"nvidia.com/mig-1g.10gb": "3"})),
        ("qwen3-8b", "p:8", &processors, json!({})),
    ] {
        let server = json!({"baseModel": model});
        assert_eq!(
            devices_asked(&server, Some((written, profile))),
            expected,
            "{model} {written} {profile}"
        );
    }
}

#[test]
fn what_a_job_names_goes_before_its_profile() {
    let profile = json!({
        "resources": {"limits": {"nvidia.com/gpu": 1}, "requests": {"cpu": 6, "memory": "24Gi", "nvidia.com/gpu": 1}},
        "deviceMemory": "16Gi",
    });
    let amd = json!({"limits": {"amd.com/gpu": "1", "memory": "16Gi"}});
    let server = json!({"baseModel": "qwen3-8b", "resources": amd});
    assert_eq!(
        asks(&server, Some(("p", &profile))),
        json!({
            "limits": {"amd.com/gpu": "1", "memory": "16Gi"},
            "requests": {"cpu": "6", "ephemeral-storage": "19Gi"},
        })
    );
    let server = json!({"baseModel": "qwen3-8b"});
    assert_eq!(
        asks(&server, Some(("p:2", &profile))),
        json!({
            "limits": {"nvidia.com/gpu": "2"},
            "requests": {"cpu": "12", "ephemeral-storage": "19Gi", "memory": "48Gi", "nvidia.com/gpu": "2"},
        })
    );
}

#[test]
fn a_model_for_more_than_eight_devices_is_refused_unless_a_count_is_written() {
    let tiny = gpu(&json!("4Gi"));
    let server = json!({"baseModel": "qwen3-14b"});
    let refusal = asked(&server, Some(("p", &tiny))).expect_err("too large");
    assert_eq!(refusal.reason, Reason::SpecInvalid);
    let start = "spec.server.resourceProfile: \"qwen3-14b\" is estimated to need more than 8 devices of 4 GiB";
    assert!(refusal.message.starts_with(start), "{}", refusal.message);
    assert_eq!(
        devices_asked(&server, Some(("p:16", &tiny))),
        json!({"nvidia.com/gpu": "16"})
    );
}

#[test]
fn a_volume_for_what_is_downloaded_takes_no_disk_of_the_node() {
    for (path, expected) in [
        ("/home/vllm/.cache", None),
        ("/home/vllm/.cache/huggingface", None),
        ("/home/vllm/.cache2", Some("19Gi")),
        ("/models", Some("19Gi")),
    ] {
        let container = json!({"name": "server", "volumeMounts": [{"name": "claim", "mountPath": path}]});
        let server = json!({"baseModel": "qwen3-8b", "podTemplate": {"spec": {"containers": [container]}}});
        let resources = asked(&server, None).expect("resources");
        let disk = resources
            .requests
            .get("ephemeral-storage")
            .map(|quantity| quantity.0.as_str());
        assert_eq!(disk, expected, "{path}");
    }
}
