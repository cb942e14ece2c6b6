use serde_json::json;

use super::*;

fn pod(status: serde_json::Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).expect("a pod")
}

fn waiting(reason: &str, message: &str) -> Pod {
    pod(json!({"containerStatuses": [{
        "name": "feeder", "image": "i", "imageID": "", "ready": false, "restartCount": 3,
        "state": {"waiting": {"reason": reason, "message": message}},
        "lastState": {"terminated": {"exitCode": 1, "message": "out of memory\n"}},
    }]}))
}

#[test]
fn the_words_of_kubelet_and_scheduler_become_reasons() {
    let unscheduled = |message: &str| {
        pod(
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]}),
        )
    };
    let cases = vec![
        (
            waiting("CreateContainerConfigError", "secret \"keys\" not found"),
            Reason::SecretMissing,
            "secret \"keys\" not found",
        ),
        (
            waiting(
                "CreateContainerConfigError",
                "secret \"batch-inference-store\" not found",
            ),
            Reason::SecretMissing,
            "not found: it is the namespace's default store, which a job without spec.output.uri, or with spec.dataset.name, needs. \
             Its key `uri` says where the store is (s3://BUCKET/PREFIX/",
        ),
        (
            waiting("CreateContainerConfigError", "couldn't find key token in Secret ns/hf"),
            Reason::SecretMissing,
            "key token",
        ),
        (
            waiting("CreateContainerConfigError", "configmap \"c\" not found"),
            Reason::ConfigMapMissing,
            "\"c\"",
        ),
        (
            waiting("CreateContainerConfigError", "configmap \"no-secrets\" not found"),
            Reason::ConfigMapMissing,
            "\"no-secrets\"",
        ),
        (
            waiting(
                "CreateContainerConfigError",
                "couldn't find key secret in ConfigMap ns/secret",
            ),
            Reason::ConfigMapMissing,
            "key secret",
        ),
        (
            waiting("ImagePullBackOff", "Back-off pulling image"),
            Reason::ImagePullFailed,
            "cannot be pulled",
        ),
        (
            waiting("CrashLoopBackOff", "back-off 10s"),
            Reason::ServerCrashLooping,
            "out of memory",
        ),
        (
            unscheduled("0/1 nodes are available: persistentvolumeclaim \"data\" not found. not found"),
            Reason::ClaimMissing,
            "\"data\" not found",
        ),
        (
            unscheduled("0/1 nodes are available: 1 Insufficient nvidia.com/gpu."),
            Reason::Unschedulable,
            "Insufficient",
        ),
    ];
    for (pod, reason, words) in cases {
        let wait = why_pods_wait(Program::Server(Engine::VLLM), &[pod]).expect("waits");
        assert_eq!(wait.reason, reason);
        assert!(wait.message.contains(words), "{}", wait.message);
    }
}

#[test]
fn a_pod_that_is_being_created_gives_no_reason() {
    assert_eq!(
        why_pods_wait(Program::Server(Engine::VLLM), &[waiting("ContainerCreating", "")]),
        None
    );
    assert_eq!(why_pods_wait(Program::Server(Engine::VLLM), &[pod(json!({}))]), None);
}

#[test]
fn a_node_that_is_busy_reading_secrets_gives_no_reason() {
    let pod = pod(json!({"containerStatuses": [{
        "name": "feeder", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {
            "reason": "CreateContainerConfigError",
            "message": "failed to sync secret cache: timed out waiting for the condition",
        }},
    }]}));
    assert_eq!(why_pods_wait(Program::Feeder, &[pod]), None);
}

#[test]
fn the_feeder_s_image_is_not_that_of_the_servers() {
    let wait = why_pods_wait(Program::Feeder, &[waiting("ErrImagePull", "not found")]).expect("waits");
    assert_eq!(wait.reason.as_str(), "FeederImagePullFailed");
    assert!(!wait.explain().contains("spec.server"), "{}", wait.explain());
}

fn container(state: serde_json::Value, last_state: serde_json::Value) -> Pod {
    pod(json!({"containerStatuses": [{
        "name": "server", "image": "i", "imageID": "", "ready": false, "restartCount": 1,
        "state": state, "lastState": last_state,
    }]}))
}

fn ended(exit_code: i32, reason: &str, words: &str) -> serde_json::Value {
    json!({"terminated": {"exitCode": exit_code, "reason": reason, "message": words}})
}

#[test]
fn the_end_of_a_server_is_told_from_the_first_one_on() {
    let waits = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}});
    let running = || json!({"running": {}});
    let no_flag = "vllm serve: error: unrecognized arguments: --x";
    let table = vec![
        (
            container(
                ended(1, "Error", "Traceback (most recent call last):\n  x\nRuntimeError: no"),
                json!(null),
            ),
            Some((
                Reason::ServerCrashLooping,
                "ended 2 times (exit code 1); its last words: RuntimeError: no",
            )),
        ),
        (
            container(ended(2, "Error", no_flag), json!(null)),
            Some((Reason::InvalidServerArguments, "unrecognized arguments: --x")),
        ),
        (
            container(running(), ended(2, "Error", no_flag)),
            Some((Reason::InvalidServerArguments, "ended once: vllm serve: error")),
        ),
        (container(running(), ended(1, "Error", "RuntimeError: no")), None),
        (container(running(), ended(0, "Completed", no_flag)), None),
        (container(running(), json!(null)), None),
        // Kubelet's reason of a container that the kernel killed, with or without words of its own.
        (
            container(
                waits.clone(),
                ended(137, "OOMKilled", "Loading safetensors checkpoint shards:  40%"),
            ),
            Some((Reason::ServerCrashLooping, "(OOMKilled): raise resources.limits.memory")),
        ),
        (
            container(
                waits.clone(),
                ended(
                    128,
                    "StartError",
                    "failed to create containerd task: exec: \"vllm\": not found",
                ),
            ),
            Some((Reason::ContainerNotStarting, "exec: \"vllm\": not found")),
        ),
        (
            container(waits, json!(null)),
            Some((Reason::ServerCrashLooping, "its last words: none")),
        ),
    ];
    for (pod, expected) in table {
        let wait = why_pods_wait(Program::Server(Engine::VLLM), std::slice::from_ref(&pod));
        let Some((reason, words)) = expected else {
            assert_eq!(wait, None, "{pod:?}");
            continue;
        };
        let wait = wait.expect("waits");
        assert_eq!(wait.reason, reason, "{pod:?}");
        assert!(wait.message.contains(words), "{:?} should have {words:?}", wait.message);
    }
}

#[test]
fn a_feeder_that_ended_says_itself_why() {
    let pod = container(ended(1, "Error", "vllm serve: error: x"), json!(null));
    assert_eq!(why_pods_wait(Program::Feeder, &[pod]), None);
}

#[test]
fn a_registry_that_does_not_answer_is_no_wrong_image() {
    let words = "failed to do request: Head \"https://r/v2/\": dial tcp 10.0.0.1:443: i/o timeout";
    for program in [Program::Feeder, Program::Server(Engine::LlamaCpp)] {
        let wait = why_pods_wait(program, &[waiting("ErrImagePull", words)]).expect("waits");
        assert_eq!(wait.reason, Reason::RegistryUnavailable);
    }
}

#[test]
fn pods_that_were_taken_away_are_passed_over() {
    for status in [
        json!({"phase": "Failed", "reason": "Evicted"}),
        json!({"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]}),
    ] {
        let mut gone = waiting("CrashLoopBackOff", "back-off 10s");
        let given: k8s_openapi::api::core::v1::PodStatus = serde_json::from_value(status).expect("a status");
        let status = gone.status.get_or_insert_default();
        (status.phase, status.reason, status.conditions) = (given.phase, given.reason, given.conditions);
        assert_eq!(why_pods_wait(Program::Server(Engine::VLLM), &[gone]), None);
    }
}

#[test]
fn a_feeder_with_too_little_memory_is_named_with_what_to_do() {
    let killed = pod(json!({"containerStatuses": [{
        "name": "feeder", "image": "i", "imageID": "", "ready": false, "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }]}));
    let wait = why_pods_wait(Program::Feeder, &[killed]).expect("waits");
    assert_eq!(wait.reason, Reason::FeederCrashLooping);
    assert!(
        wait.message.contains("raise resources.limits.memory"),
        "{}",
        wait.message
    );
}
