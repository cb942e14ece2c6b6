//! The options that the fake llama-server takes are those of the real one in the cluster's image.

use serde_json::json;

use super::fake_model_server::Flags;
use super::tenant::{PATIENCE, Tenant};
use super::until::until;

#[tokio::test]
async fn the_fake_llama_server_takes_the_options_of_the_real_one() {
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
    let differ: Vec<_> = real
        .names()
        .chain(fake.names())
        .filter(|name| real.arity(name) != fake.arity(name))
        .collect();
    assert!(
        differ.is_empty(),
        "{differ:?} differ: write llama-server-help.txt anew from this image's `llama-server --help`"
    );
}
