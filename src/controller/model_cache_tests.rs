use serde_json::{Value, json};

use super::*;
use crate::api::condition::{ConditionType, find};
use crate::controller::build::build;
use crate::controller::cache::kept;
use crate::controller::children::{Children, Workloads};
use crate::controller::decide::{Decision, decide, may_pass};
use crate::controller::dereference::Observed;
use crate::controller::settings::{EngineSettings, Settings};
use crate::controller::update_status::next_status;
use crate::controller::validate::validate;

const COMMIT: &str = "b968826d9c46dd6066d109eabc6255188de91218";

fn job(server: Value, status: Value) -> BatchInferenceJob {
    let mut server = server;
    server["modelCache"] = json!({"persistentVolumeClaim": {"claimName": "models"}});
    serde_json::from_value(json!({
        "apiVersion": "batchinference.dev/v1alpha1",
        "kind": "BatchInferenceJob",
        "metadata": {"name": "triangles", "namespace": "geometry", "uid": "0a1b2c3d-0000-0000-0000-000000000000", "generation": 1},
        "spec": {"dataset": {"uri": "s3://bucket/rows.jsonl"}, "server": server, "output": {"uri": "s3://bucket/out/"}},
        "status": status,
    }))
    .expect("a job")
}

fn settings() -> Settings {
    Settings::new("operator:1")
}

fn claim(access_modes: &[&str]) -> PersistentVolumeClaim {
    serde_json::from_value(json!({
        "metadata": {"name": "models"},
        "spec": {"accessModes": access_modes},
        "status": {"phase": "Pending"},
    }))
    .expect("a claim")
}

fn accept(job: &BatchInferenceJob, claim: Option<&PersistentVolumeClaim>) -> Result<ValidatedJob, Wait> {
    validate(job, &settings()).and_then(|validated| accepted(validated, claim))
}

/// The status of a job whose rows need servers, with what is told of its cache.
fn feeding(cache: Value) -> Value {
    json!({"feeder": {"attempt": 1, "state": "Feeding", "serversNeeded": true}, "modelCache": cache})
}

fn filled() -> Value {
    json!({"state": "Ready", "revision": COMMIT, "bytes": 7, "totalBytes": 7})
}

/// What is there when the cache was just filled.
fn just_filled() -> Observed {
    let filler = json!({
        "metadata": {"name": "triangles-model-cache"}, "spec": {"template": {}},
        "status": {"conditions": [{"type": "Complete", "status": "True"}]},
    });
    let mut observed = Observed::default();
    observed.workloads.model_cache = Some(serde_json::from_value(filler).expect("a Job"));
    observed
}

fn decided(job: &BatchInferenceJob, observed: &Observed) -> (Decision, Children) {
    let validated = accept(job, Some(&claim(&["ReadWriteMany"]))).expect("a valid job");
    let now = k8s_openapi::jiff::Timestamp::UNIX_EPOCH;
    let decision = decide(job, Ok(&validated), observed, &settings(), now);
    let children = build(&validated, &decision, &settings(), &observed.workloads);
    (decision, children)
}

/// What `ServersReady` says: its reason and its message.
fn said(job: &BatchInferenceJob, observed: &Observed) -> (String, String) {
    let (decision, _) = decided(job, observed);
    let now = k8s_openapi::jiff::Timestamp::UNIX_EPOCH;
    let status = next_status(job, None, &decision, None, now);
    let ready = find(&status.conditions, ConditionType::ServersReady).expect("the condition");
    (ready.reason.clone(), ready.message.clone())
}

#[test]
fn a_claim_is_used_by_as_many_servers_as_can_mount_it() {
    use Reason::{ClaimMissing, ModelCacheUnsuitable};
    for (modes, replicas, expected) in [
        (Some(&["ReadWriteMany"][..]), 3, Ok(None)),
        (Some(&["ReadWriteOnce", "ReadWriteMany"]), 3, Ok(None)),
        (Some(&["ReadWriteOnce"]), 1, Ok(Some(1))),
        (Some(&["ReadWriteOncePod"]), 1, Ok(Some(1))),
        (Some(&["ReadWriteOnce"]), 2, Err(ModelCacheUnsuitable)),
        (Some(&["ReadOnlyMany"]), 1, Err(ModelCacheUnsuitable)),
        (None, 1, Err(ClaimMissing)),
    ] {
        let job = job(json!({"baseModel": "qwen3-8b", "replicas": replicas}), json!({}));
        let claim = modes.map(claim);
        let accepted = accept(&job, claim.as_ref());
        let found = accepted.map(|validated| validated.resolved.most_replicas);
        assert_eq!(found.map_err(|wait| wait.reason), expected, "{modes:?} {replicas}");
    }
    let job = job(json!({"baseModel": "qwen3-8b", "replicas": 2}), json!({}));
    let refused = accept(&job, Some(&claim(&["ReadWriteOnce"]))).expect_err("a refusal");
    assert!(!may_pass(&refused));
    assert!(
        refused
            .message
            .contains("has access mode ReadWriteOnce, so that 1 server can mount it, and spec.server.replicas is 2"),
        "{}",
        refused.message
    );
    assert!(may_pass(&accept(&job, None).expect_err("a wait")));
}

#[test]
fn the_modes_of_the_volume_go_before_those_that_were_asked_for_and_a_device_holds_no_files() {
    let job = job(json!({"baseModel": "qwen3-8b"}), json!({}));
    let mut bound = claim(&["ReadWriteOnce"]);
    bound.status.as_mut().expect("a status").access_modes = Some(vec!["ReadWriteMany".into()]);
    let accepted = accept(&job, Some(&bound)).expect("a job");
    assert_eq!(accepted.resolved.most_replicas, None);
    bound.spec.as_mut().expect("a spec").volume_mode = Some("Block".into());
    let refused = accept(&job, Some(&bound)).expect_err("a refusal");
    assert!(refused.message.contains("block device"), "{}", refused.message);
}

#[test]
fn what_the_installation_says_of_another_source_is_refused_and_where_it_keeps_models_is_not() {
    let with = |engine: Engine, name: &str| {
        let env = serde_json::from_value(json!([{"name": name, "value": "1"}])).expect("variables");
        let mut settings = settings();
        let of_engine = EngineSettings {
            env,
            ..EngineSettings::default()
        };
        settings.engines.insert(engine, of_engine);
        settings
    };
    for (engine, name, is_refused) in [
        (Engine::VLLM, "VLLM_USE_MODELSCOPE", true),
        (Engine::SGLang, "SGLANG_USE_MODELSCOPE", true),
        (Engine::LoRAX, "SOURCE", true),
        (Engine::LlamaCpp, "LLAMA_ARG_MMPROJ_AUTO", true),
        (Engine::VLLM, "HF_HOME", false),
    ] {
        let mut job = job(
            json!({"engine": engine, "baseModel": "llama-3-1-8b-instruct"}),
            json!({}),
        );
        let found = validate(&job, &with(engine, name));
        let message = found.err().map(|wait| wait.message);
        let expected = format!("the chart's value engines (ask whoever installed the operator) has {name}");
        assert_eq!(message.is_some(), is_refused, "{name}: {message:?}");
        assert!(message.is_none_or(|message| message.contains(&expected)), "{name}");
        let before = validate(&job, &settings()).expect("a valid job").resolved;
        job.status.get_or_insert_default().controller.resolved = Some(before);
        assert!(validate(&job, &with(engine, name)).is_ok(), "a job that was taken up");
    }
}

/// A pod template that goes over a variable of the operator's own.
fn with_variable(name: &str) -> Value {
    json!({"spec": {"containers": [{"name": "server", "env": [{"name": name, "value": "0"}]}]}})
}

#[test]
fn a_cache_that_nobody_would_read_is_refused() {
    for (server, reason) in [
        (json!({"baseModel": "/models/qwen"}), Reason::SpecInvalid),
        (
            json!({"engine": "Custom", "baseModel": "m", "image": "i", "podTemplate": {"spec": {"containers": [{
                "name": "server", "ports": [{"containerPort": 80}], "readinessProbe": {"tcpSocket": {"port": 80}},
            }]}}}),
            Reason::SpecInvalid,
        ),
        (
            json!({"baseModel": "qwen3-8b", "env": [{"name": "HF_HOME", "value": "/x"}]}),
            Reason::EngineFieldConflict,
        ),
        (
            json!({"baseModel": "qwen3-8b", "podTemplate": with_variable("HF_HUB_CACHE")}),
            Reason::EngineFieldConflict,
        ),
        (
            json!({"baseModel": "qwen3-8b", "podTemplate": with_variable("HF_HUB_OFFLINE")}),
            Reason::EngineFieldConflict,
        ),
        (
            json!({"baseModel": "qwen3-8b", "args": ["--download-dir", "/x"]}),
            Reason::EngineFieldConflict,
        ),
        (
            json!({"baseModel": "qwen3-8b", "adapters": {}}),
            Reason::AdaptersUnsupported,
        ),
    ] {
        let refused = validate(&job(server.clone(), json!({})), &settings()).expect_err("a refusal");
        assert_eq!(refused.reason, reason, "{server}: {}", refused.message);
    }
    let harmless = json!({"baseModel": "qwen3-8b", "podTemplate": with_variable("HF_XET_HIGH_PERFORMANCE")});
    assert!(validate(&job(harmless, json!({})), &settings()).is_ok());
}

#[test]
fn the_cache_is_filled_before_there_is_a_server_and_then_nothing_fills_it() {
    let server = || json!({"baseModel": "qwen3-8b"});
    for (status, fills, servers) in [
        (
            json!({"feeder": {"attempt": 1, "state": "Inspecting", "serversNeeded": false}}),
            false,
            None,
        ),
        (feeding(json!(null)), true, None),
        (feeding(json!({"state": "Filling", "bytes": 1})), true, None),
        (feeding(filled()), false, Some(1)),
    ] {
        let (decision, children) = decided(&job(server(), status.clone()), &just_filled());
        assert_eq!(
            (decision.fills_model_cache, decision.servers),
            (fills, servers),
            "{status}"
        );
        assert_eq!(children.workloads.model_cache.is_some(), fills, "{status}");
        assert_eq!(children.workloads.servers.is_some(), servers.is_some(), "{status}");
        // GPUs that are about to be needed are not said to be released.
        let is_needed = fills || servers.is_some();
        let released = decision.conditions.iter();
        let released = released.filter(|update| update.kind == ConditionType::GPUsReleased);
        let said: Vec<_> = released.map(|update| update.reason).collect();
        let expected = if is_needed {
            vec![Reason::ServersRunning]
        } else {
            Vec::new()
        };
        assert_eq!(said, expected, "{status}");
    }
}

/// Somebody may have cleared the claim while the job was suspended.
#[test]
fn a_job_that_begins_again_looks_whether_its_model_is_still_there() {
    let job = job(json!({"baseModel": "qwen3-8b"}), feeding(filled()));
    let (decision, _) = decided(&job, &Observed::default());
    assert_eq!((decision.fills_model_cache, decision.servers), (true, None));
    let mut failed = just_filled();
    let filler = failed
        .workloads
        .model_cache
        .as_mut()
        .and_then(|filler| filler.status.as_mut());
    let condition = filler.and_then(|status| status.conditions.as_mut()?.first_mut());
    condition.expect("a condition").type_ = "Failed".into();
    assert!(decided(&job, &failed).0.fills_model_cache);
}

#[test]
fn what_has_filled_the_cache_stays_until_servers_are_there() {
    let job = job(json!({"baseModel": "qwen3-8b"}), feeding(filled()));
    let mut found = just_filled();
    let (to_start, _) = decided(&job, &found);
    let filler = found.workloads.model_cache.clone().expect("a Job");
    assert!(!is_over(&filler, &to_start, &found.workloads));
    let nothing = Decision {
        servers: None,
        ..to_start.clone()
    };
    assert!(is_over(&filler, &nothing, &found.workloads));
    let again = Decision {
        servers: None,
        fills_model_cache: true,
        ..to_start.clone()
    };
    assert!(is_over(&filler, &again, &found.workloads));
    found.workloads.servers = Some(k8s_openapi::api::apps::v1::Deployment::default());
    assert!(is_over(&filler, &to_start, &found.workloads));
}

/// Whoever deletes the status of a running job's cache does not stop its servers.
#[test]
fn servers_that_run_have_their_model() {
    let observed = Observed {
        workloads: Workloads {
            servers: Some(k8s_openapi::api::apps::v1::Deployment::default()),
            ..Workloads::default()
        },
        ..Observed::default()
    };
    for cache in [
        json!(null),
        json!({"state": "Failed", "bytes": 0, "reason": "ModelAccessDenied"}),
    ] {
        let job = job(json!({"baseModel": "qwen3-8b"}), feeding(cache));
        let (decision, _) = decided(&job, &observed);
        assert_eq!((decision.fills_model_cache, decision.servers), (false, Some(1)));
        assert!(!decision.ends_now);
    }
}

#[test]
fn a_pod_that_is_never_made_is_told_after_half_a_minute() {
    let with_job = |started: &str| -> Observed {
        let filler = json!({"metadata": {"name": "triangles-model-cache"}, "spec": {"template": {}}, "status": {"startTime": started}});
        let mut observed = Observed::default();
        observed.workloads.model_cache = Some(serde_json::from_value(filler).expect("a Job"));
        observed
    };
    let job = job(json!({"baseModel": "qwen3-8b"}), feeding(json!(null)));
    // It is 1970 now.
    let young = with_job("1969-12-31T23:59:50Z");
    assert_eq!(said(&job, &young).0, "ModelCaching");
    let soon = std::time::Duration::from_secs(21);
    assert_eq!(decided(&job, &young).0.look_again, Some(soon));
    let old = with_job("1969-12-31T23:59:30Z");
    let (reason, message) = said(&job, &old);
    assert_eq!(reason, "ModelCachePodMissing");
    assert!(message.starts_with("Job triangles-model-cache has no pod"), "{message}");
}

#[test]
fn a_suspended_job_fills_nothing() {
    let mut job = job(json!({"baseModel": "qwen3-8b"}), feeding(json!(null)));
    job.spec.suspend = Some(true);
    assert!(!decided(&job, &Observed::default()).0.fills_model_cache);
}

#[test]
fn it_is_said_how_far_the_filling_has_come_and_what_it_waits_for() {
    let with = |cache: Value| job(json!({"baseModel": "qwen3-8b"}), feeding(cache));
    for (cache, reason, message) in [
        (
            json!(null),
            "ModelCaching",
            "the pod is starting that brings the model to the claim models",
        ),
        (
            json!({"state": "Filling", "bytes": 5, "totalBytes": 9}),
            "ModelCaching",
            "5 of 9 bytes of the model are on the claim models",
        ),
        (
            json!({"state": "Filling", "bytes": 5, "totalBytes": 9, "reason": "ModelCacheFull", "message": "the claim models has no room left"}),
            "ModelCacheFull",
            "the claim models has no room left; 5 of 9 bytes of the model are on the claim models. Enlarge the claim",
        ),
    ] {
        let (found, words) = said(&with(cache.clone()), &Observed::default());
        assert_eq!(found, reason, "{cache}");
        assert!(words.starts_with(message), "{words}");
    }
    let pod = json!({"status": {"conditions": [{
        "type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient cpu.",
    }]}});
    let unschedulable = Observed {
        model_cache_pods: vec![serde_json::from_value(pod).expect("a pod")],
        ..Observed::default()
    };
    assert_eq!(said(&with(json!(null)), &unschedulable).0, "Unschedulable");
}

#[test]
fn a_container_beside_the_one_that_fills_the_cache_may_go_on() {
    let job = job(json!({"baseModel": "qwen3-8b"}), feeding(filled()));
    let filler = json!({"metadata": {"name": "triangles-model-cache", "uid": "filler"}, "spec": {"template": {}}});
    for (owner, exit_code, has_servers) in [("filler", 0, true), ("filler", 1, false), ("an older one", 0, false)] {
        let pod = json!({
            "metadata": {"ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "f", "uid": owner}]},
            "status": {"containerStatuses": [
                {"name": "feeder", "image": "i", "imageID": "i", "ready": false, "restartCount": 0,
                 "state": {"terminated": {"exitCode": exit_code}}},
                {"name": "proxy", "image": "i", "imageID": "i", "ready": true, "restartCount": 0, "state": {"running": {}}},
            ]},
        });
        // As the cache has it.
        let pod = kept::pod(serde_json::from_value(pod).expect("a pod"));
        let mut observed = Observed {
            model_cache_pods: pod.into_iter().collect(),
            ..Observed::default()
        };
        observed.workloads.model_cache = Some(serde_json::from_value(filler.clone()).expect("a Job"));
        let (_, children) = decided(&job, &observed);
        assert_eq!(children.workloads.servers.is_some(), has_servers, "{owner} {exit_code}");
    }
}

#[test]
fn a_cache_that_cannot_be_filled_ends_the_job_before_any_server() {
    let cache = json!({"state": "Failed", "bytes": 0, "reason": "ModelAccessDenied", "message": "403"});
    let job = job(json!({"baseModel": "qwen3-8b"}), feeding(cache));
    let (decision, children) = decided(&job, &Observed::default());
    assert!(decision.ends_now);
    assert_eq!(children.workloads.servers, None);
    let now = k8s_openapi::jiff::Timestamp::UNIX_EPOCH;
    let status = next_status(&job, None, &decision, None, now);
    let failed = find(&status.conditions, ConditionType::Failed).expect("an end");
    assert_eq!(failed.reason, "ModelAccessDenied");
}

#[test]
fn a_job_that_was_scaled_beyond_its_claim_has_as_many_servers_as_can_mount_it_and_says_so() {
    let server = json!({"baseModel": "qwen3-8b"});
    let first = accept(&job(server.clone(), json!({})), Some(&claim(&["ReadWriteOnce"]))).expect("a valid job");
    let mut job = job(server, feeding(filled()));
    let status = job.status.as_mut().expect("a status");
    status.controller.resolved = Some(first.resolved);
    job.spec.server.as_mut().expect("servers").replicas = Some(4);
    let pod = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let observed = Observed {
        server_pods: vec![serde_json::from_value(pod).expect("a pod")],
        ..just_filled()
    };
    assert_eq!(decided(&job, &observed).0.servers, Some(1));
    let (reason, message) = said(&job, &observed);
    assert_eq!(reason, "ServersReady");
    assert!(
        message.ends_with("spec.server.replicas is 4, and the claim models can be mounted by 1 server only"),
        "{message}"
    );
}

fn yaml<K: serde::Serialize>(child: Option<&K>) -> String {
    let mut value = serde_json::to_value(child.expect("a child")).expect("serialises");
    if let Some(template) = value.pointer_mut("/metadata/annotations/batchinference.dev~1pod-template") {
        *template = "(the template)".into();
    }
    serde_yaml::to_string(&value).expect("serialises")
}

#[test]
fn what_fills_the_cache_is_a_pod_like_the_feeder() {
    let mut settings = settings();
    let hub = json!({"endpoint": "https://hub.example", "caConfigMap": {"name": "trusted", "key": "ca.crt"}});
    settings.hub = serde_json::from_value(hub).expect("settings");
    let mut job = job(
        json!({"baseModel": "qwen3-8b", "hfTokenSecretRef": {"name": "hugging-face", "key": "token"}}),
        feeding(json!(null)),
    );
    job.spec.feeder = serde_json::from_value(json!({"podTemplate": {"spec": {"nodeSelector": {"pool": "cpu"}}}})).ok();
    let validated = validate(&job, &settings).expect("a valid job");
    let now = k8s_openapi::jiff::Timestamp::UNIX_EPOCH;
    let decision = decide(&job, Ok(&validated), &Observed::default(), &settings, now);
    let children = build(&validated, &decision, &settings, &Workloads::default());
    insta::assert_snapshot!("filler", yaml(children.workloads.model_cache.as_ref()));
}

/// The container of servers whose model is there.
fn server(engine: &str, model: &str, cache: Value) -> Value {
    let mut job = job(json!({"engine": engine, "baseModel": model}), feeding(cache));
    let first = accept(&job, Some(&claim(&["ReadWriteMany"]))).expect("a valid job");
    job.status.as_mut().expect("a status").controller.resolved = Some(first.resolved);
    let (_, children) = decided(&job, &just_filled());
    let servers = serde_json::to_value(children.workloads.servers).expect("serialises");
    servers["spec"]["template"]["spec"].clone()
}

#[test]
fn servers_read_their_model_from_the_cache_and_download_nothing() {
    for engine in ["VLLM", "LoRAX", "SGLang"] {
        let pod = server(engine, "llama-3-1-8b-instruct", filled());
        let name = "batch-inference-model-cache";
        let volume = json!({"name": name, "persistentVolumeClaim": {"claimName": "models", "readOnly": true}});
        let mount = json!({"name": name, "mountPath": "/model-cache", "readOnly": true});
        assert!(pod["volumes"].as_array().expect("volumes").contains(&volume), "{pod}");
        let container = &pod["containers"][0];
        assert!(
            container["volumeMounts"].as_array().expect("mounts").contains(&mount),
            "{pod}"
        );
        let env = container["env"].as_array().expect("variables");
        for (name, value) in [("HF_HUB_OFFLINE", "1"), ("HF_HUB_CACHE", "/model-cache/hub")] {
            assert!(
                env.contains(&json!({"name": name, "value": value})),
                "{engine}: {env:?}"
            );
        }
        let args = container["args"].as_array().expect("arguments");
        let revision = args.iter().position(|arg| arg == "--revision").expect("a revision");
        assert_eq!(args[revision + 1], COMMIT, "{engine}");
        // The weights take no disk of the node.
        assert_eq!(container["resources"]["requests"].get("ephemeral-storage"), None);
    }
}

#[test]
fn a_claim_that_the_template_has_already_is_one_volume() {
    let mounted = json!([{"name": "mine", "mountPath": "/mine"}]);
    let server = json!({"baseModel": "qwen3-8b", "podTemplate": {"spec": {
        "volumes": [{"name": "mine", "persistentVolumeClaim": {"claimName": "models"}}],
        "containers": [{"name": "server", "volumeMounts": mounted}],
    }}});
    let (_, children) = decided(&job(server, feeding(filled())), &just_filled());
    let servers = serde_json::to_value(children.workloads.servers).expect("serialises");
    let pod = &servers["spec"]["template"]["spec"];
    let volumes = pod["volumes"].as_array().expect("volumes").iter();
    let claims: Vec<_> = volumes
        .filter(|volume| volume.get("persistentVolumeClaim").is_some())
        .collect();
    let mine = json!({"name": "mine", "persistentVolumeClaim": {"claimName": "models"}});
    assert_eq!(claims, [&mine]);
    let mount = json!({"name": "mine", "mountPath": "/model-cache", "readOnly": true});
    let mounts = pod["containers"][0]["volumeMounts"].as_array().expect("mounts");
    assert!(mounts.contains(&mount) && mounts.contains(&mounted[0]), "{mounts:?}");
}

#[test]
fn llama_server_is_given_its_file() {
    let cache = json!({
        "state": "Ready", "revision": COMMIT, "bytes": 7, "totalBytes": 7, "file": "q8/m-Q8_0.gguf", "projector": "mmproj.gguf",
    });
    let pod = server("LlamaCpp", "org/m-GGUF", cache);
    let snapshot = format!("/model-cache/hub/models--org--m-GGUF/snapshots/{COMMIT}");
    let args = pod["containers"][0]["args"].as_array().expect("arguments");
    assert_eq!(
        args[..4],
        [
            json!("-m"),
            json!(format!("{snapshot}/q8/m-Q8_0.gguf")),
            json!("--mmproj"),
            json!(format!("{snapshot}/mmproj.gguf")),
        ]
    );
    assert!(!args.contains(&json!("-hf")));
}
