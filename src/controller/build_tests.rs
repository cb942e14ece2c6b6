use serde_json::json;

use super::*;
use crate::api::Engine;
use crate::controller::decide::decide;
use crate::controller::dereference::Observed;
use crate::controller::settings::EngineSettings;
use crate::controller::validate::validate;

fn job(spec: serde_json::Value) -> BatchInferenceJob {
    serde_json::from_value(json!({
        "apiVersion": "batchinference.dev/v1alpha1",
        "kind": "BatchInferenceJob",
        "metadata": {"name": "triangles", "namespace": "geometry", "uid": "0a1b2c3d-0000-0000-0000-000000000000", "generation": 1},
        "spec": spec,
        "status": {"feeder": {"attempt": 1, "state": "Feeding", "serversNeeded": true}},
    }))
    .expect("a job")
}

fn settings(version: &str) -> Settings {
    Settings::new(format!("batch-inference-operator:{version}"))
}

fn built(job: &BatchInferenceJob, settings: &Settings, observed: &Observed) -> Children {
    let validated = validate(job, settings).expect("a valid job");
    let now = k8s_openapi::jiff::Timestamp::UNIX_EPOCH;
    build(
        &validated,
        &decide(job, Ok(&validated), observed, settings, now),
        settings,
        &observed.workloads,
    )
}

fn smallest() -> serde_json::Value {
    json!({
        "dataset": {"uri": "s3://my-bucket/rows.jsonl"},
        "server": {"baseModel": "qwen3-8b"},
        "output": {"uri": "s3://my-bucket/triangles/"},
    })
}

/// Every child as YAML, without the copy of the pod template in the annotation, which would be the same text twice.
fn snapshot(children: &Children) -> String {
    fn yaml<K: serde::Serialize>(child: Option<&K>) -> Option<String> {
        let mut value = serde_json::to_value(child?).expect("serialises");
        if let Some(template) = value.pointer_mut("/metadata/annotations/batchinference.dev~1pod-template") {
            *template = "(the template)".into();
        }
        Some(serde_yaml::to_string(&value).expect("serialises"))
    }
    let all = [
        yaml(children.service_account.as_ref()),
        yaml(children.role.as_ref()),
        yaml(children.role_binding.as_ref()),
        yaml(children.network_policy.as_ref()),
        yaml(children.service.as_ref()),
        yaml(children.workloads.feeder.as_ref()),
        yaml(children.workloads.servers.as_ref()),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join("---\n")
}

#[test]
fn children_of_the_smallest_job() {
    insta::assert_snapshot!(snapshot(&built(&job(smallest()), &settings("1"), &Observed::default())));
}

#[test]
fn children_of_a_job_that_sets_everything() {
    let everything = json!({
        "dataset": {"uri": "s3://in/rows.jsonl", "credentialsSecretRef": {"name": "in-keys"}},
        "server": {
            "engine": "VLLM",
            "baseModel": "meta-llama/Llama-3.1-8B-Instruct",
            "revision": "main",
            "servedModelNames": ["gpt-4o-mini"],
            "imageTag": "v0.33.0",
            "hfTokenSecretRef": {"name": "hugging-face", "key": "token"},
            "quantization": "fp8",
            "replicas": 3,
            "args": ["--max-num-seqs", "64"],
            "env": [{"name": "VLLM_LOGGING_LEVEL", "value": "DEBUG"}],
            "resources": {"limits": {"nvidia.com/gpu": 2, "memory": "64Gi"}},
            "podTemplate": {
                "metadata": {"labels": {"team": "geometry"}},
                "spec": {"nodeSelector": {"gpu": "a100"}, "containers": [{"name": "server", "imagePullPolicy": "Always"}]},
            },
            "startupTimeoutSeconds": 1200,
        },
        "feeder": {
            "serviceAccountName": "reader",
            "resources": {"requests": {"cpu": "1"}},
            "scratch": {"sizeLimit": "10Gi"},
            "podTemplate": {"spec": {"priorityClassName": "batch"}},
        },
        "output": {"uri": "s3://out/triangles/", "credentialsSecretRef": {"name": "out-keys"}},
    });
    insta::assert_snapshot!(snapshot(&built(&job(everything), &settings("1"), &Observed::default())));
}

#[test]
fn children_of_a_job_on_llama_cpp_with_files() {
    for (name, dataset) in [
        ("claim", json!({"uri": "pvc://data/sets/rows.jsonl"})),
        (
            "config_map",
            json!({"configMap": {"name": "rows", "key": "rows.jsonl"}}),
        ),
    ] {
        let spec = json!({
            "dataset": dataset,
            "server": {"engine": "LlamaCpp", "baseModel": "/models/model.gguf", "image": "llama:1"},
            "output": {"uri": "s3://out/"},
        });
        insta::assert_snapshot!(name, snapshot(&built(&job(spec), &settings("1"), &Observed::default())));
    }
}

#[test]
fn a_job_that_names_its_data_set_only_gets_the_keys_of_the_default_store_for_both() {
    let spec = json!({"dataset": {"name": "rows"}, "server": {"baseModel": "qwen3-8b"}});
    let children = built(&job(spec), &settings("1"), &Observed::default());
    let feeder = serde_json::to_value(children.workloads.feeder).expect("serialises");
    let secret = json!({"name": "batch-inference-store"});
    assert_eq!(
        feeder["spec"]["template"]["spec"]["containers"][0]["envFrom"],
        json!([{"prefix": "DATASET_", "secretRef": secret}, {"prefix": "OUTPUT_", "secretRef": secret}])
    );
}

/// The environment of a container, by name: a value, or the Secret's key.
fn env_of(workload: &serde_json::Value) -> std::collections::BTreeMap<String, String> {
    let env = workload["spec"]["template"]["spec"]["containers"][0]["env"].as_array();
    let variables = env.into_iter().flatten().map(|variable| {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let key = &variable["valueFrom"]["secretKeyRef"]["key"];
        let value = if key.is_null() { &variable["value"] } else { key };
        (text(&variable["name"]), text(value))
    });
    variables.collect()
}

#[test]
fn servers_are_told_of_adapters_and_who_may_fetch_them() {
    let mut spec = smallest();
    spec["server"] = json!({
        "engine": "LoRAX", "baseModel": "llama-3-1-8b",
        "adapters": {"source": "PBase", "credentialsSecretRef": {"name": "predibase"}},
    });
    let children = built(&job(spec), &settings("1"), &Observed::default());
    let feeder = serde_json::to_value(children.workloads.feeder).expect("serialises");
    let servers = serde_json::to_value(children.workloads.servers).expect("serialises");
    assert_eq!(env_of(&feeder)["ADAPTER_API_TOKEN"], "PREDIBASE_API_TOKEN");
    assert_eq!(env_of(&servers)["PREDIBASE_API_TOKEN"], "PREDIBASE_API_TOKEN");
    assert_eq!(env_of(&servers)["LORAX_USE_GLOBAL_HF_TOKEN"], "1");
    assert_eq!(
        env_of(&servers)["LOG_LEVEL"],
        "error",
        "its log would have the token that rows carry"
    );
    let waits_for = &feeder["spec"]["template"]["spec"]["initContainers"][0]["env"][0]["name"];
    assert_eq!(waits_for, "PREDIBASE_API_TOKEN", "a missing Secret costs no GPU");
}

#[test]
fn adapters_in_s3_are_fetched_before_a_server_starts_whose_engine_cannot() {
    let mut spec = smallest();
    spec["server"]["adapters"] =
        json!({"source": "S3", "location": "s3://loras/v1", "credentialsSecretRef": {"name": "lora-keys"}});
    let mut job = job(spec);
    let adapter = |name: &str, error: Option<&str>| json!({"name": name, "rows": 1, "completed": 0, "failed": 0, "promptTokens": 0, "completionTokens": 0, "error": error});
    // A row's name is no place for a key of the Secret.
    let with_variable = adapter("a$(ADAPTERS_AWS_SECRET_ACCESS_KEY)", None);
    let adapters =
        json!({"count": 2, "mostUsed": [adapter("sql", None), adapter("missing", Some("no")), with_variable]});
    let reported = &mut job.status.as_mut().expect("a status").reported;
    reported.adapters = serde_json::from_value(adapters).expect("adapters");
    let children = built(&job, &settings("1"), &Observed::default());
    let servers = serde_json::to_value(children.workloads.servers).expect("serialises");
    let pod = &servers["spec"]["template"]["spec"];
    let fetcher = &pod["initContainers"][0];
    assert_eq!(
        fetcher["args"],
        json!([
            "fetch-adapters",
            "--into",
            "/var/lib/adapters",
            "s3://loras/v1/sql",
            "s3://loras/v1/a$$(ADAPTERS_AWS_SECRET_ACCESS_KEY)"
        ])
    );
    assert_eq!(
        fetcher["envFrom"],
        json!([{"prefix": "ADAPTERS_", "secretRef": {"name": "lora-keys"}}])
    );
    let mounts = |container: &serde_json::Value| {
        let mounts = container["volumeMounts"].as_array().expect("mounts");
        mounts.iter().any(|mount| mount["mountPath"] == "/var/lib/adapters")
    };
    assert!(mounts(fetcher) && mounts(&pod["containers"][0]), "{pod}");
    assert!(!env_of(&servers).contains_key("AWS_ACCESS_KEY_ID"), "{pod}");
    let feeder = serde_json::to_value(children.workloads.feeder).expect("serialises");
    let keys = &feeder["spec"]["template"]["spec"]["containers"][0]["envFrom"];
    assert_eq!(
        keys[0]["prefix"], "ADAPTERS_",
        "the feeder looks whether they are there"
    );
}

#[test]
fn servers_have_slots_for_the_adapters_that_the_feeder_has_found() {
    let mut spec = smallest();
    spec["server"]["adapters"] = json!({});
    spec["server"]["args"] = json!(["--max-num-seqs", "64"]);
    let mut job = job(spec);
    let resolved = validate(&job, &settings("1")).expect("a valid job").resolved;
    assert!(
        !resolved.args.contains(&"--enable-lora".to_owned()),
        "{:?}",
        resolved.args
    );
    let before = built(&job, &settings("1"), &Observed::default()).workloads.servers;
    let before = serde_json::to_value(before).expect("serialises");
    assert!(!env_of(&before).contains_key("VLLM_ALLOW_RUNTIME_LORA_UPDATING"));
    let status = job.status.as_mut().expect("a status");
    status.controller.resolved = Some(resolved);
    status.reported.adapters = serde_json::from_value(json!({
        "count": 2, "maxRank": 16, "mostUsed": [{"name": "org/a", "rows": 1, "completed": 0, "failed": 0,
        "promptTokens": 0, "completionTokens": 0}],
    }))
    .expect("adapters");
    let children = built(&job, &settings("1"), &Observed::default());
    let servers = serde_json::to_value(children.workloads.servers).expect("serialises");
    let args = &servers["spec"]["template"]["spec"]["containers"][0]["args"];
    let args: Vec<_> = args
        .as_array()
        .expect("arguments")
        .iter()
        .filter_map(|arg| arg.as_str())
        .collect();
    let expected =
        "--enable-lora --max-loras 2 --max-cpu-loras 64 --max-lora-rank 16 --api-server-count 1 --max-num-seqs 64";
    assert!(args.join(" ").ends_with(expected), "{args:?}");
    assert_eq!(env_of(&servers)["VLLM_ALLOW_RUNTIME_LORA_UPDATING"], "1");
}

#[test]
fn the_feeder_may_write_the_config_map_of_its_output_and_no_other() {
    let mut spec = smallest();
    spec["output"] = json!({"configMap": {"name": "out"}});
    let children = built(&job(spec), &settings("1"), &Observed::default());
    let role = serde_json::to_value(children.role).expect("serialises");
    let of_config_maps = |rule: &&serde_json::Value| rule["resources"] == json!(["configmaps"]);
    let rules: Vec<_> = role["rules"]
        .as_array()
        .expect("rules")
        .iter()
        .filter(of_config_maps)
        .collect();
    assert_eq!(
        json!(rules),
        json!([
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},
            {
                "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["out", "out-segments"],
                "verbs": ["get", "update", "delete"],
            },
        ])
    );
    let feeder = serde_json::to_value(children.workloads.feeder).expect("serialises");
    assert_eq!(
        feeder["spec"]["template"]["spec"]["containers"][0]["envFrom"],
        json!([])
    );
}

#[test]
fn the_feeder_runs_as_the_service_account_that_the_job_names_and_its_role_is_bound_to_it() {
    let mut spec = smallest();
    spec["feeder"] = json!({"serviceAccountName": "may-use-the-bucket"});
    let children = built(&job(spec), &settings("1"), &Observed::default());
    assert!(children.service_account.is_none());
    let feeder = serde_json::to_value(children.workloads.feeder).expect("serialises");
    let pod = &feeder["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "may-use-the-bucket");
    assert_eq!(pod["automountServiceAccountToken"], true);
    let binding = serde_json::to_value(children.role_binding).expect("serialises");
    let subject = json!({"kind": "ServiceAccount", "name": "may-use-the-bucket", "namespace": "geometry"});
    assert_eq!(binding["subjects"], json!([subject]));
}

/// The volumes of the feeder's pod with a claim in them, and what is mounted from each.
fn claims_of_feeder(dataset: &str, output: &str) -> serde_json::Value {
    let mut spec = smallest();
    spec["dataset"]["uri"] = dataset.into();
    spec["output"]["uri"] = output.into();
    let children = built(&job(spec), &settings("1"), &Observed::default());
    let feeder = serde_json::to_value(children.workloads.feeder).expect("serialises");
    let pod = &feeder["spec"]["template"]["spec"];
    let claims = pod["volumes"].as_array().expect("volumes").iter();
    let claims = claims.filter(|volume| volume.get("persistentVolumeClaim").is_some());
    let mounts = pod["containers"][0]["volumeMounts"].as_array().expect("mounts").iter();
    let mounts = mounts.filter(|mount| mount["name"] != "scratch");
    json!({"claims": claims.collect::<Vec<_>>(), "mounts": mounts.collect::<Vec<_>>()})
}

#[test]
fn the_claim_of_the_output_can_be_written_and_one_that_has_both_is_in_the_pod_once() {
    let output = json!({"name": "output", "persistentVolumeClaim": {"claimName": "results"}});
    let output_mount = json!({"name": "output", "mountPath": "/output"});
    assert_eq!(
        claims_of_feeder("pvc://data/rows.jsonl", "pvc://results/out"),
        json!({
            "claims": [output, {"name": "dataset", "persistentVolumeClaim": {"claimName": "data", "readOnly": true}}],
            "mounts": [output_mount, {"name": "dataset", "mountPath": "/dataset", "readOnly": true}],
        })
    );
    assert_eq!(
        claims_of_feeder("pvc://results/rows.jsonl", "pvc://results/out"),
        json!({
            "claims": [output],
            "mounts": [output_mount, {"name": "output", "mountPath": "/dataset", "readOnly": true}],
        })
    );
}

#[test]
fn a_newer_operator_keeps_the_pod_templates_that_run() {
    let first = built(&job(smallest()), &settings("1"), &Observed::default());
    let observed = Observed {
        workloads: first.workloads.clone(),
        ..Observed::default()
    };
    let mut newer = settings("2");
    let other = EngineSettings {
        image: Some("vllm/vllm-openai:v9".into()),
        ..EngineSettings::default()
    };
    newer.engines.insert(Engine::VLLM, other);
    assert_eq!(built(&job(smallest()), &newer, &observed), first);
}

#[test]
fn what_was_changed_by_hand_is_put_back() {
    let first = built(&job(smallest()), &settings("1"), &Observed::default());
    let mut edited = first.clone();
    let pod = edited
        .workloads
        .servers
        .as_mut()
        .and_then(|servers| servers.spec.template.spec.as_mut())
        .expect("a pod");
    pod.containers[0].image = Some("other".into());
    let observed = Observed {
        workloads: edited.workloads,
        ..Observed::default()
    };
    assert_eq!(built(&job(smallest()), &settings("1"), &observed), first);
}

#[test]
fn labels_of_a_person_cannot_hide_a_pod() {
    let mut spec = smallest();
    spec["server"]["podTemplate"] = json!({"metadata": {"labels": {"batchinference.dev/job-uid": "another"}}});
    let children = built(&job(spec), &settings("1"), &Observed::default());
    let template = children.workloads.servers.expect("servers").spec.template;
    let labels = template.metadata.and_then(|metadata| metadata.labels).expect("labels");
    assert_eq!(
        labels["batchinference.dev/job-uid"],
        "0a1b2c3d-0000-0000-0000-000000000000"
    );
}

#[test]
fn the_feeder_waits_for_what_the_servers_variables_refer_to() {
    let reference = |name: &str, secret: &str, key: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}});
    let literal = json!({"name": "LEVEL", "value": "DEBUG"});
    let mut spec = smallest();
    spec["server"]["hfTokenSecretRef"] = json!({"name": "hugging-face", "key": "token"});
    spec["server"]["env"] = json!([reference("WANDB_API_KEY", "mine", "k"), literal]);
    let children = built(&job(spec), &settings("1"), &Observed::default());
    let feeder = serde_json::to_value(children.workloads.feeder).expect("serialises");
    assert_eq!(
        feeder["spec"]["template"]["spec"]["initContainers"][0]["env"],
        json!([
            reference("HF_TOKEN", "hugging-face", "token"),
            reference("WANDB_API_KEY", "mine", "k")
        ])
    );
}

/// The pod of a job's servers.
fn server_pod(spec: serde_json::Value, settings: &Settings) -> serde_json::Value {
    let children = built(&job(spec), settings, &Observed::default());
    let servers = serde_json::to_value(children.workloads.servers).expect("serialises");
    servers["spec"]["template"]["spec"].clone()
}

#[test]
fn servers_have_what_their_profile_says_and_a_template_goes_before_it() {
    let mut settings = settings("1");
    let profile = json!({
        "resources": {"limits": {"nvidia.com/gpu": 1}, "requests": {"cpu": 6}},
        "deviceMemory": "16Gi",
        "nodeSelector": {"gpu": "t4", "zone": "a"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}, {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "runtimeClassName": "nvidia",
        "image": {"VLLM": "registry.example/vllm:v0.32.0-t4"},
    });
    let profile = serde_json::from_value(profile).expect("a profile");
    settings.resource_profiles.insert("nvidia-gpu-t4".into(), profile);
    let mut spec = smallest();
    spec["server"]["resourceProfile"] = json!("nvidia-gpu-t4");
    insta::assert_snapshot!(
        "profile",
        serde_yaml::to_string(&server_pod(spec.clone(), &settings)).expect("serialises")
    );
    spec["server"]["podTemplate"] = json!({"spec": {
        "nodeSelector": {"zone": "b"}, "runtimeClassName": "other", "tolerations": [{"key": "spot"}],
    }});
    let pod = server_pod(spec, &settings);
    assert_eq!(pod["nodeSelector"], json!({"zone": "b"}));
    assert_eq!(pod["runtimeClassName"], "other");
    let keys: Vec<_> = pod["tolerations"]
        .as_array()
        .expect("tolerations")
        .iter()
        .map(|toleration| &toleration["key"])
        .collect();
    assert_eq!(keys, ["spot", "gpu", "nvidia.com/gpu"]);
}

#[test]
fn servers_have_what_the_installation_says_of_their_engine() {
    let mut settings = settings("1");
    let engine = json!({
        "image": "registry.example/vllm:1",
        "pullSecrets": [{"name": "registry"}],
        "env": [{"name": "HF_HOME", "value": "/elsewhere"}, {"name": "LEVEL", "value": "INFO"}, {"name": "PROXY", "value": "a"}],
    });
    settings
        .engines
        .insert(Engine::VLLM, serde_json::from_value(engine).expect("settings"));
    let mut spec = smallest();
    spec["server"]["env"] = json!([{"name": "LEVEL", "value": "DEBUG"}]);
    let pod = server_pod(spec, &settings);
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "registry"}]));
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "registry.example/vllm:1");
    let values = |name: &str| -> Vec<_> {
        let env = container["env"].as_array().expect("variables");
        env.iter()
            .filter(|variable| variable["name"] == name)
            .map(|variable| &variable["value"])
            .collect()
    };
    assert_eq!(
        (values("HF_HOME"), values("LEVEL"), values("PROXY")),
        (vec![&json!("/elsewhere")], vec![&json!("DEBUG")], vec![&json!("a")])
    );
    settings.engines.clear();
    assert_eq!(server_pod(smallest(), &settings).get("imagePullSecrets"), None);
}

/// What a template says of the servers' variables counts as what the job says.
#[test]
fn the_feeder_has_the_token_that_a_template_gives_the_servers() {
    let token = json!({"secretKeyRef": {"name": "hugging-face", "key": "token"}});
    let mut spec = smallest();
    let mut container = json!({"name": "server", "env": [{"name": "HF_TOKEN", "valueFrom": token}]});
    for (env_from, more) in [
        (json!([]), json!([])),
        (
            json!([{"secretRef": {"name": "keys"}}]),
            json!([{"name": "MODEL_TOKEN_UNKNOWN", "value": "1"}]),
        ),
    ] {
        container["envFrom"] = env_from;
        spec["server"]["podTemplate"] = json!({"spec": {"containers": [container]}});
        let children = built(&job(spec.clone()), &settings("1"), &Observed::default());
        let feeder = serde_json::to_value(children.workloads.feeder).expect("serialises");
        let pod = &feeder["spec"]["template"]["spec"];
        let mut expected = json!([{"name": "MODEL_HF_TOKEN", "valueFrom": token}]);
        let expected = expected.as_array_mut().expect("an array");
        expected.extend(more.as_array().expect("an array").clone());
        assert_eq!(pod["containers"][0]["env"], json!(expected));
        assert_eq!(
            pod["initContainers"][0]["env"],
            json!([{"name": "HF_TOKEN", "valueFrom": token}])
        );
    }
}

#[test]
fn what_only_the_servers_env_from_names_is_waited_for_without_a_gpu() {
    let env_from = json!([{"secretRef": {"name": "keys"}}]);
    let mut spec = smallest();
    spec["server"]["podTemplate"] = json!({"spec": {"containers": [{"name": "server", "envFrom": env_from}]}});
    let children = built(&job(spec), &settings("1"), &Observed::default());
    let feeder = serde_json::to_value(children.workloads.feeder).expect("serialises");
    let waits = &feeder["spec"]["template"]["spec"]["initContainers"][0];
    assert_eq!(
        (&waits["name"], &waits["envFrom"]),
        (&json!("prerequisites"), &env_from)
    );
}

/// The feeder asks the hub as the servers will.
#[test]
fn feeder_and_servers_reach_the_hub_in_the_same_way() {
    let mut settings = settings("1");
    let hub = json!({
        "endpoint": "https://hub.example", "httpsProxy": "http://proxy.example:3128", "noProxy": ".example",
        "caConfigMap": {"name": "trusted", "key": "ca.crt"},
    });
    settings.hub = serde_json::from_value(hub).expect("settings");
    let mut spec = smallest();
    spec["server"]["hfTokenSecretRef"] = json!({"name": "hugging-face", "key": "token"});
    spec["server"]["env"] = json!([{"name": "HF_HUB_OFFLINE", "value": "1"}, {"name": "LEVEL", "value": "DEBUG"}]);
    let children = built(&job(spec), &settings, &Observed::default());
    let pods = [
        serde_json::to_value(children.workloads.feeder).expect("serialises"),
        serde_json::to_value(children.workloads.servers).expect("serialises"),
    ];
    for pod in pods.iter().map(|workload| &workload["spec"]["template"]["spec"]) {
        let env = pod["containers"][0]["env"].as_array().expect("variables");
        for (name, value) in [
            ("HF_ENDPOINT", "https://hub.example"),
            ("HTTPS_PROXY", "http://proxy.example:3128"),
            ("NO_PROXY", ".example"),
            ("SSL_CERT_FILE", "/etc/batch-inference/certificates/ca.crt"),
            ("REQUESTS_CA_BUNDLE", "/etc/batch-inference/certificates/ca.crt"),
        ] {
            assert!(
                env.contains(&json!({"name": name, "value": value})),
                "{name} in {env:?}"
            );
        }
        let volume = json!({"name": "batch-inference-certificates", "configMap": {"name": "trusted"}});
        let mount = json!({
            "name": "batch-inference-certificates", "mountPath": "/etc/batch-inference/certificates", "readOnly": true,
        });
        assert!(pod["volumes"].as_array().expect("volumes").contains(&volume), "{pod}");
        let mounts = pod["containers"][0]["volumeMounts"].as_array().expect("mounts");
        assert!(mounts.contains(&mount), "{mounts:?}");
    }
    let feeder = pods[0]["spec"]["template"]["spec"]["containers"][0]["env"].as_array();
    let of_model: Vec<_> = feeder
        .expect("variables")
        .iter()
        .filter(|variable| variable["name"].as_str().expect("a name").starts_with("MODEL_"))
        .collect();
    let token = json!({"secretKeyRef": {"name": "hugging-face", "key": "token"}});
    assert_eq!(
        json!(of_model),
        json!([
            {"name": "MODEL_HF_ENDPOINT", "value": "https://hub.example"},
            {"name": "MODEL_HF_TOKEN", "valueFrom": token},
            {"name": "MODEL_HF_HUB_OFFLINE", "value": "1"},
        ])
    );
}

fn custom(container: &serde_json::Value) -> serde_json::Value {
    json!({
        "dataset": {"uri": "s3://my-bucket/rows.jsonl"},
        "server": {"engine": "Custom", "baseModel": "tgi", "podTemplate": {"spec": {"containers": [container]}}},
        "output": {"uri": "s3://my-bucket/triangles/"},
    })
}

#[test]
fn children_of_a_job_with_a_server_of_its_own() {
    let spec = custom(&json!({
        "name": "server",
        "image": "ghcr.io/huggingface/text-generation-inference:3.3.6",
        "command": ["text-generation-launcher"],
        "args": ["--model-id", "org/model", "--port", "8081"],
        "ports": [{"name": "grpc", "containerPort": 9000}, {"name": "http", "containerPort": 8081}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "initialDelaySeconds": 5, "periodSeconds": 3, "successThreshold": 2},
        "resources": {"limits": {"nvidia.com/gpu": "2"}},
    }));
    insta::assert_snapshot!(snapshot(&built(&job(spec), &settings("1"), &Observed::default())));
}

#[test]
fn children_of_a_job_whose_rows_go_to_an_endpoint() {
    let mut spec = smallest();
    spec.as_object_mut().expect("a spec").remove("server");
    spec["endpoint"] = json!({
        "url": "https://llm.example.com/v1", "model": "qwen", "apiKeySecretRef": {"name": "llm", "key": "api-key"},
    });
    insta::assert_snapshot!(snapshot(&built(&job(spec), &settings("1"), &Observed::default())));
}

#[test]
fn children_of_jobs_on_lorax_and_sglang() {
    for engine in ["LoRAX", "SGLang"] {
        let mut spec = smallest();
        spec["server"] = json!({
            "engine": engine, "baseModel": "llama-3-1-8b-instruct", "hfTokenSecretRef": {"name": "hugging-face", "key": "token"},
        });
        let children = built(&job(spec), &settings("1"), &Observed::default());
        let servers = serde_json::to_value(children.workloads.servers).expect("serialises");
        let pod = &servers["spec"]["template"]["spec"];
        insta::assert_snapshot!(engine, serde_yaml::to_string(pod).expect("serialises"));
    }
}

/// Admission plugin `OwnerReferencesPermissionEnforcement` (OpenShift) refuses `blockOwnerDeletion` from whoever may not update the
/// owner's finalizers.
#[test]
fn no_child_blocks_the_deletion_of_its_job() {
    assert!(!snapshot(&built(&job(smallest()), &settings("1"), &Observed::default())).contains("blockOwnerDeletion"));
}

#[test]
fn the_job_s_labels_for_kueue_are_on_its_servers_and_a_mesh_can_be_let_in() {
    let mut job = job(smallest());
    job.metadata.labels = Some(
        [("kueue.x-k8s.io/queue-name", "gpus"), ("team", "geometry")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    );
    job.spec.server.as_mut().expect("servers").pod_template =
        serde_json::from_value(serde_json::json!({"metadata": {"annotations": {"linkerd.io/inject": "enabled"}}})).ok();
    let children = built(&job, &settings("1"), &Observed::default());
    let template = children.workloads.servers.expect("servers").spec.template;
    let metadata = template.metadata.expect("metadata");
    let labels = metadata.labels.expect("labels");
    assert_eq!(
        labels.get("kueue.x-k8s.io/queue-name").map(String::as_str),
        Some("gpus")
    );
    assert_eq!(labels.get("team"), None);
    let annotations = metadata.annotations.expect("annotations");
    assert_eq!(annotations["linkerd.io/inject"], "enabled");
    assert_eq!(annotations["sidecar.istio.io/inject"], "false");
}
