//! A server hears its own feeder, the scrapers that the chart names, and nobody else, where somebody enforces NetworkPolicies.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::{CHART, Upgraded};
use crate::commands::{must, take_back};
use crate::job::Job;
use crate::rows::twenty_and_one_held;
use crate::tenant::{PATIENCE, Tenant, address, restricted};
use crate::until::until;

const STRANGER: &str = "stranger";
const SCRAPER: &str = "scraper";
const NAMES_THE_SCRAPER: &str = "networkPolicy.extraIngress[0].from[0].podSelector.matchLabels.app=scraper";
/// An image with a shell.
const SHELL: &str = "localhost/base:bookworm";
/// The agent is built when it is wanted for the first time.
const ENFORCED_WITHIN: Duration = Duration::from_mins(2);

/// Policies are enforced until this is dropped.
struct Enforced;

impl Enforced {
    async fn start() -> Self {
        let enforced = Self;
        must("tests/cluster/policies", &["start"]).await;
        enforced
    }
}

impl Drop for Enforced {
    fn drop(&mut self) {
        take_back("tests/cluster/policies", &["stop"]);
    }
}

/// Makes a pod that belongs to no job, with its name as a label.
async fn pod(tenant: &Tenant, name: &str) {
    let container =
        json!({"name": "shell", "image": SHELL, "command": ["sleep", "600"], "securityContext": restricted()});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
                     "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}});
    tenant.apply(&pod).await;
    let ready = ["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=2m"];
    tenant.kubectl(&ready).await.expect("a pod that runs");
}

/// Whether a pod gets a connection.
async fn reaches(tenant: &Tenant, pod: &str, address: &str, port: u16) -> bool {
    let connect = format!("exec 3<>/dev/tcp/{address}/{port}");
    let tried = ["exec", pod, "--", "timeout", "2", "bash", "-c", &connect];
    tenant.kubectl(&tried).await.is_ok()
}

async fn until_refused(tenant: &Tenant, server: &Pod) {
    until("the stranger does not reach the server", ENFORCED_WITHIN, async || {
        (!reaches(tenant, STRANGER, &address(server), 8080).await).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_hears_its_feeder_and_no_stranger_where_policies_are_enforced() {
    let tenant = Tenant::start("policy").await;
    let upgraded = Upgraded::to(&tenant.client, CHART, NAMES_THE_SCRAPER).await;
    let rows = twenty_and_one_held();
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "job")).await;
    pod(&tenant, STRANGER).await;
    pod(&tenant, SCRAPER).await;
    tenant.until_received(21).await;
    let job = tenant.job("job").await;
    let first = tenant.server_pods(&job).await.remove(0);
    assert!(
        reaches(&tenant, STRANGER, &address(&first), 8080).await,
        "nobody enforces anything yet"
    );

    let enforced = Enforced::start().await;
    until_refused(&tenant, &first).await;
    assert!(
        reaches(&tenant, SCRAPER, &address(&first), 8080).await,
        "networkPolicy.extraIngress names it"
    );
    let store = must(
        "kubectl",
        &[
            "--namespace",
            "test-store",
            "get",
            "endpoints",
            "object-store",
            "--output",
            "jsonpath={.subsets[0].addresses[0].ip}",
        ],
    )
    .await;
    assert!(
        reaches(&tenant, STRANGER, &store, 8333).await,
        "the stranger reaches nobody at all"
    );
    // Another server gets the row by a new connection.
    let name = first.metadata.name.expect("a name");
    tenant.kubectl(&["delete", "pod", &name]).await.expect("a deletion");
    tenant.until_received(22).await;
    let second = until("the second server", PATIENCE, async || {
        // One that was only just made has no address yet.
        let has_address = |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.pod_ip.is_some());
        tenant.server_pods(&job).await.pop().filter(has_address)
    })
    .await;
    until_refused(&tenant, &second).await;

    // The test itself is a stranger, too.
    drop(enforced);
    until("nothing is enforced any more", ENFORCED_WITHIN, async || {
        reaches(&tenant, STRANGER, &address(&second), 8080).await.then_some(())
    })
    .await;
    tenant.release("job", "held").await;
    tenant.complete("job", &rows).await;
    drop(upgraded);
}
