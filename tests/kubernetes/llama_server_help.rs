//! What the operator passes to llama-server is read by the fake one as by the real one in the cluster's image.

use batch_inference_operator::engine::adapters::{FoundAdapters, options};
use batch_inference_operator::engine::{
    AcceptedNames, BaseModel, Devices, Engine, GivenContainer, LaunchInput, Version, launch,
};
use serde_json::json;

use super::fake_model_server::Flags;
use super::tenant::{PATIENCE, Tenant};
use super::until::until;

#[tokio::test]
async fn the_fake_llama_server_reads_options_as_the_real_one_does() {
    let tenant = Tenant::without_keys("llama-server").await;
    tenant
        .apply(&json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "help"},
            "spec": {
                "restartPolicy": "Never",
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "help", "image": "localhost/llama-server:1", "args": ["--help"],
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        }))
        .await;
    let phase = ["get", "pod", "help", "--output", "jsonpath={.status.phase}"];
    until("the help is printed", PATIENCE, async || {
        (tenant.kubectl(&phase).await.as_deref() == Ok("Succeeded")).then_some(())
    })
    .await;

    let help = tenant.kubectl(&["logs", "help"]).await.expect("a log");

    let (real, fake) = (Flags::from_llama_server_help(&help), Flags::llama_server());
    assert!(real.names().count() > 100, "{help}");
    for (model, quantization) in [("/models/model.gguf", None), ("Qwen/Qwen3-8B-GGUF", Some("Q8_0"))] {
        let args = arguments(model, quantization);
        assert_eq!(real.read(&args), fake.read(&args), "{args:?}");
        assert!(real.read(&args).is_ok(), "the real llama-server refuses {args:?}");
    }
    // Debian's llama.cpp moves on by itself: options that the operator does not pass may differ for a while.
    let names = real.names().chain(fake.names());
    let differ: std::collections::BTreeSet<_> = names.filter(|name| real.arity(name) != fake.arity(name)).collect();
    println!("llama-server-help.txt differs from the image's `llama-server --help` in {differ:?}");
    assert!(
        differ.len() < 40,
        "write llama-server-help.txt anew: it differs in {differ:?}"
    );
}

fn own_version() -> Version {
    let image = Engine::LlamaCpp.default_image().expect("an image");
    Version::of(Engine::LlamaCpp, &image.to_string())
}

/// What the operator passes to llama-server.
fn arguments(model: &str, quantization: Option<&str>) -> Vec<String> {
    let model: BaseModel = model.parse().expect("a model");
    let names = AcceptedNames::new(&model, &["other-name".to_owned()]).expect("names");
    let input = LaunchInput {
        has_model_cache: false,
        engine: Engine::LlamaCpp,
        model: &model,
        names: &names,
        quantization,
        revision: None,
        adapters: None,
        devices: Devices::Counted(1),
        version: own_version(),
        extra_args: &[],
        env: &[],
        container: GivenContainer::default(),
    };
    let adapters = FoundAdapters {
        count: 1,
        max_rank: None,
        paths: vec!["/adapters/lora.gguf".to_owned()],
        version: own_version(),
        devices: Devices::Counted(1),
    };
    let args = launch(&input).expect("a launch").args;
    [args, options(Engine::LlamaCpp, &adapters)].concat()
}
