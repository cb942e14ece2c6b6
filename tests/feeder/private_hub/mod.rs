//! A hub of one's own: by HTTPS with a certificate of a private authority, and only through a proxy.
//!
//! [`hub`] is what it says, [`authority`] who signs its certificate.

mod authority;
mod hub;

use std::path::Path;

use serde_json::{Value, json};

use crate::connect_proxy::ConnectProxy;
use crate::rows::{MODEL, lines};
use crate::world::{JOB, World};
use authority::Authority;
use hub::{COMMIT, GATED, HOST, Hub, TOKEN};

/// The name of the authority that signs.
const NAME: &str = "authority of a team";

/// Every request to the hub is one to the proxy first, which alone finds it.
fn connect() -> String {
    format!("CONNECT {HOST}:443 HTTP/1.1")
}

/// A job for this model. Feeders have what the chart's values `hub` and the job's token come to (`controller/build/hub.rs`).
async fn world(folder: &str, model: &str, proxy: &ConnectProxy, trusted: &Path) -> World {
    let mut world = World::with_server(folder, &lines(3)).await;
    let url = format!("https://{HOST}");
    let trusted = trusted.display().to_string();
    world.ask_hub(&url);
    for (name, value) in [
        ("HF_ENDPOINT", url.as_str()),
        ("HTTPS_PROXY", &proxy.url()),
        // For the client of a kubeconfig, which no feeder in a cluster has: it compares this with the proxy's address (kube, `NoProxy`).
        ("NO_PROXY", "127.0.0.1"),
        ("SSL_CERT_FILE", &trusted),
        ("REQUESTS_CA_BUNDLE", &trusted),
        ("MODEL_HF_TOKEN", TOKEN),
    ] {
        world.add_variable(name, value);
    }
    world.kubernetes.change_job(JOB, |job| {
        job["status"]["resolved"]["model"] = json!(model);
    });
    world
}

fn warning(status: &Value) -> &str {
    status["feeder"]["warnings"][0].as_str().expect("a warning")
}

#[tokio::test]
async fn a_private_hub_is_asked_through_the_proxy_with_the_jobs_token() {
    let authority = Authority::called(NAME);
    let hub = Hub::start(&authority).await;
    let proxy = ConnectProxy::to(hub.address()).await;
    let mut world = world("private-hub", MODEL, &proxy, authority.certificate()).await;
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded", "{status}");
    assert_eq!(status["feeder"]["warnings"], Value::Null, "{status}");
    assert_eq!(status["model"], json!({"revision": COMMIT}));
    let asked = proxy.asked();
    assert!(
        !asked.is_empty() && asked.iter().all(|line| *line == connect()),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_model_that_a_private_hub_does_not_give_to_the_token_ends_the_job_before_any_server() {
    let authority = Authority::called(NAME);
    let hub = Hub::start(&authority).await;
    let proxy = ConnectProxy::to(hub.address()).await;
    let mut world = world("private-hub-gated", GATED, &proxy, authority.certificate()).await;
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "ModelAccessDenied", "{status}");
    let message = status["feeder"]["message"].as_str().expect("a message");
    let told = format!("https://{HOST} does not give the model {GATED} to this job (403 Forbidden: ask its owner)");
    assert!(message.starts_with(&told), "{message}");
    assert!(!message.contains(TOKEN), "{message}");
    assert_eq!(world.servers_needed(), [false]);
    assert!(proxy.asked().contains(&connect()), "{:?}", proxy.asked());
}

#[tokio::test]
async fn a_private_hub_whose_authority_is_not_trusted_is_told_with_what_to_do() {
    // One that was made anew has the name of the one before.
    for (number, trusted) in [NAME, "authority of another team"].into_iter().enumerate() {
        let hub = Hub::start(&Authority::called(NAME)).await;
        let proxy = ConnectProxy::to(hub.address()).await;
        let trusted = Authority::called(trusted);
        let folder = format!("private-hub-untrusted-{number}");
        let mut world = world(&folder, MODEL, &proxy, trusted.certificate()).await;
        let status = world.run().await;
        assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded", "{status}");
        let warning = warning(&status);
        let told = format!("https://{HOST} could not be asked of the model {MODEL}");
        assert!(warning.starts_with(&told), "{warning}");
        assert!(warning.contains("the chart's value hub.caConfigMap"), "{warning}");
        // Nothing of that passes by itself.
        assert_eq!(proxy.asked(), [connect()]);
    }
}
