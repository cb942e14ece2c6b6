use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::*;
use crate::engine::Engine;

const STARTED: i64 = 1_800_000_000;

fn at(seconds_after_start: i64) -> Timestamp {
    Timestamp::from_second(STARTED + seconds_after_start).expect("in range")
}

/// A pod that started at [`STARTED`], became unready so much later, and has this container.
fn pod_unready_at(unready: i64, container: serde_json::Value) -> Pod {
    let mut container = container;
    for (field, value) in [
        ("name", json!("server")),
        ("image", json!("i")),
        ("imageID", json!("")),
        ("ready", json!(false)),
    ] {
        container[field] = value;
    }
    serde_json::from_value(json!({
        "metadata": {"name": "p"},
        "status": {
            "startTime": at(0),
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": at(0)},
                {"type": "Initialized", "status": "True", "lastTransitionTime": at(0)},
                {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "lastTransitionTime": at(unready)},
            ],
            "containerStatuses": [container],
        },
    }))
    .expect("a pod")
}

fn pod(container: serde_json::Value) -> Pod {
    pod_unready_at(0, container)
}

fn waiting(reason: &str, message: &str) -> serde_json::Value {
    json!({"restartCount": 0, "state": {"waiting": {"reason": reason, "message": message}}})
}

/// A container that ended with these words, and was started anew so often.
fn ended(restarts: i32, exit_code: i32, words: &str) -> serde_json::Value {
    json!({"restartCount": restarts, "state": {"terminated": {"exitCode": exit_code, "reason": "Error", "message": words}}})
}

fn crash_loop(restarts: i32, words: &str) -> serde_json::Value {
    json!({
        "restartCount": restarts,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container=server pod=p_ns(u)"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": words}},
    })
}

fn failure(pods: &[Pod]) -> Option<(Reason, i64)> {
    failure_on(Engine::VLLM, pods)
}

fn failure_on(engine: Engine, pods: &[Pod]) -> Option<(Reason, i64)> {
    let failure = failing(Program::Server(engine), pods, None, at(0)).failure?;
    let due = failure.due.as_second() - STARTED;
    Some((failure.wait.reason, due))
}

const OUT_OF_MEMORY: &str = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.63 GiB.";
const NO_MODEL: &str = "Invalid repository ID or local directory specified: 'x'.";
const NOT_FOUND: &str = "failed to resolve reference \"ghcr.io/me/app:1\": ghcr.io/me/app:1: not found";
const TOO_SLOW: &str = "context deadline exceeded";
const NAME_TAKEN: &str =
    "failed to reserve container name \"server_p_ns_u_0\": name \"server_p_ns_u_0\" is reserved for \"4f\"";
const NO_ANSWER: &str = "failed to do request: Head \"https://r/v2/\": dial tcp 10.0.0.1:443: i/o timeout";

#[test]
fn what_ends_a_job_and_when() {
    let running_again = json!({
        "restartCount": 1,
        "state": {"running": {}},
        "lastState": {"terminated": {"exitCode": 1, "message": OUT_OF_MEMORY}},
    });
    let table = [
        (
            "last words",
            ended(0, 1, OUT_OF_MEMORY),
            Some((Reason::OutOfGPUMemory, 0)),
        ),
        (
            "last words in the back-off",
            crash_loop(1, OUT_OF_MEMORY),
            Some((Reason::OutOfGPUMemory, 0)),
        ),
        (
            "last words of one that runs again",
            running_again,
            Some((Reason::OutOfGPUMemory, 0)),
        ),
        (
            "arguments",
            ended(0, 2, "vllm serve: error: unrecognized arguments: --x"),
            Some((Reason::InvalidServerArguments, 0)),
        ),
        ("an end by itself", ended(0, 0, OUT_OF_MEMORY), None),
        ("unknown words", crash_loop(4, "Segmentation fault"), None),
        (
            "unknown words, often",
            crash_loop(5, "Segmentation fault"),
            Some((Reason::ServerCrashLooping, 0)),
        ),
        (
            "no image",
            waiting("ErrImagePull", NOT_FOUND),
            Some((Reason::ImagePullFailed, 60)),
        ),
        (
            "no image, in the back-off",
            waiting(
                "ImagePullBackOff",
                &format!("Back-off pulling image \"ghcr.io/me/app:1\": ErrImagePull: {NOT_FOUND}"),
            ),
            Some((Reason::ImagePullFailed, 60)),
        ),
        (
            "an image for an unknown reason",
            waiting("ImagePullBackOff", "Back-off pulling image \"i\""),
            None,
        ),
        ("a registry", waiting("ErrImagePull", NO_ANSWER), None),
        (
            "an image's name",
            waiting("InvalidImageName", "couldn't parse image name"),
            Some((Reason::ImagePullFailed, 0)),
        ),
        // pkg/kubelet/kuberuntime, and runc's words as containerd passes them on.
        (
            "no such program",
            waiting(
                "RunContainerError",
                "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"vllm\": executable file not found in $PATH: unknown",
            ),
            Some((Reason::ContainerNotStarting, 60)),
        ),
        (
            "a runtime that is slow",
            waiting("CreateContainerError", TOO_SLOW),
            None,
        ),
        ("its next call", waiting("CreateContainerError", NAME_TAKEN), None),
        (
            "a Secret",
            waiting("CreateContainerConfigError", "secret \"hf\" not found"),
            None,
        ),
        (
            "a ConfigMap",
            waiting("CreateContainerConfigError", "configmap \"c\" not found"),
            None,
        ),
        (
            "a Secret that kubelet has not read yet",
            waiting(
                "CreateContainerConfigError",
                "failed to sync secret cache: timed out waiting for the condition",
            ),
            None,
        ),
        ("a start", waiting("ContainerCreating", ""), None),
    ];
    for (what, container, expected) in table {
        assert_eq!(failure(&[pod(container)]), expected, "{what}");
    }
}

#[test]
fn a_model_that_is_not_there_ends_a_job_at_once_and_words_that_may_mean_the_hub_at_the_third_end() {
    const NO_REPOSITORY: &str = "Repository Not Found for url: https://huggingface.co/api/models/Qwen/Qwen3-9B.";
    const NO_REVISION: &str = "Revision Not Found for url: https://huggingface.co/Qwen/Qwen3-8B/resolve/x/config.json.";
    let not_found = Some((Reason::ModelNotFound, 0));
    for (container, expected) in [
        (ended(0, 1, NO_REPOSITORY), not_found),
        (ended(0, 1, NO_REVISION), not_found),
        (ended(0, 1, NO_MODEL), None),
        (ended(2, 1, NO_MODEL), not_found),
    ] {
        assert_eq!(failure(&[pod(container.clone())]), expected, "{container}");
    }
}

/// When the failure is certain that is seen in each of these looks, at the last of them.
fn due_after(looks: &[(i64, serde_json::Value)]) -> Option<i64> {
    let mut seen = Failing::default();
    for (seconds, container) in looks {
        let pods = [pod(container.clone())];
        seen = failing(
            Program::Server(Engine::VLLM),
            &pods,
            seen.passing.as_ref(),
            at(*seconds),
        );
    }
    seen.failure.map(|failure| failure.due.as_second() - STARTED)
}

#[test]
fn what_may_pass_has_its_time_from_when_it_is_first_told() {
    let start = || {
        waiting(
            "CreateContainerError",
            "failed to generate container \"4f\" spec: no command specified",
        )
    };
    let slow = || waiting("CreateContainerError", TOO_SLOW);
    let device = || waiting("RunContainerError", "no such device");
    let creating = || waiting("ContainerCreating", "");
    let refused = || waiting("ErrImagePull", NOT_FOUND);
    let away = || waiting("ErrImagePull", NO_ANSWER);
    let pauses = || waiting("ImagePullBackOff", "Back-off pulling image \"ghcr.io/me/app:1\"");
    let table = [
        ("after a long pull", vec![(300, start())], Some(360)),
        ("it lasts", vec![(300, start()), (350, device())], Some(360)),
        ("it passes", vec![(300, start()), (310, creating())], None),
        (
            "it passes and comes again",
            vec![(300, start()), (310, creating()), (355, start())],
            Some(415),
        ),
        (
            "the runtime is slow in between",
            vec![(300, start()), (310, slow()), (355, start())],
            Some(415),
        ),
        ("after another wait", vec![(0, refused()), (50, start())], Some(110)),
        (
            "a clock that is set back",
            vec![(300, start()), (100, start())],
            Some(160),
        ),
        (
            "an image from the first pull on",
            vec![(0, refused()), (50, refused())],
            Some(60),
        ),
        (
            "kubelet up to 1.31 says nothing in its pauses",
            vec![(0, refused()), (5, pauses()), (50, refused())],
            Some(60),
        ),
        (
            "and nothing is certain in them",
            vec![(0, refused()), (70, pauses())],
            None,
        ),
        (
            "a registry that comes up has two more of kubelet's pauses",
            vec![(0, away()), (70, refused())],
            Some(70 + 60 + 3 * 70),
        ),
        (
            "the longest ones",
            vec![(0, away()), (5000, refused())],
            Some(5000 + 660),
        ),
        ("it is away again", vec![(0, refused()), (40, away())], None),
        (
            "each time anew",
            vec![(0, refused()), (10, away()), (30, refused())],
            Some(30 + 60 + 3 * 30),
        ),
    ];
    for (what, looks, due) in table {
        assert_eq!(due_after(&looks), due, "{what}");
    }
}

#[test]
fn llama_server_without_its_adapter_is_not_started_again_and_again() {
    let words = "E cmn  common_init_: failed to load lora adapter '/adapters/sql.gguf'";
    let pods = [pod(ended(0, 1, words))];
    assert_eq!(failure_on(Engine::LlamaCpp, &pods), Some((Reason::AdapterNotLoaded, 0)));
}

#[test]
fn what_worked_is_no_mistake() {
    assert_eq!(
        failure(&[pod_unready_at(90, crash_loop(9, OUT_OF_MEMORY))]),
        None,
        "it was ready"
    );
    let ready: Pod = serde_json::from_value(json!({
        "metadata": {"name": "other"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }))
    .expect("a pod");
    assert_eq!(
        failure(&[pod(crash_loop(9, OUT_OF_MEMORY)), ready]),
        None,
        "another one is ready"
    );
}

#[test]
fn what_was_taken_away_or_has_no_node_ends_nothing() {
    let failed = || pod(ended(0, 137, OUT_OF_MEMORY));
    let with = |change: fn(&mut Pod)| {
        let mut pod = failed();
        change(&mut pod);
        failure(&[pod])
    };
    assert!(failure(&[failed()]).is_some());
    assert_eq!(
        with(|pod| pod.status.get_or_insert_default().reason = Some("Evicted".into())),
        None
    );
    assert_eq!(
        with(|pod| pod.status.get_or_insert_default().phase = Some("Failed".into())),
        None
    );
    assert_eq!(
        with(|pod| pod.metadata.deletion_timestamp = pod.status.as_ref().and_then(|status| status.start_time.clone())),
        None
    );
    let preempted = |pod: &mut Pod| {
        let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"});
        let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
        conditions.push(serde_json::from_value(condition).expect("a condition"));
    };
    assert_eq!(with(preempted), None);
    for words in [
        "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found",
        "0/1 nodes are available: persistentvolumeclaim \"data\" not found. not found",
    ] {
        let unscheduled: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p"},
            "status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": words}]},
        }))
        .expect("a pod");
        assert_eq!(failure(&[unscheduled]), None, "{words}");
    }
}
