//! A second controller takes over when the first is lost.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

use super::{Controller, RELEASE, STARTED_WITHIN, SYSTEM, ready_pods, scale, scale_back};
use crate::job::Job;
use crate::rows::chats;
use crate::tenant::Tenant;
use crate::until::until;

/// Promised are 20 s, of which the Lease takes up to 18.5.
const TAKES_OVER_WITHIN: Duration = Duration::from_secs(25);

/// Scales the operator back when dropped, also when a test fails.
struct TwoControllers;

impl TwoControllers {
    async fn start(client: &Client) -> Self {
        let two = Self;
        scale(2).await;
        until("two controllers that are ready", STARTED_WITHIN, async || {
            (ready_pods(client).await.len() == 2).then_some(())
        })
        .await;
        two
    }
}

impl Drop for TwoControllers {
    fn drop(&mut self) {
        scale_back();
    }
}

/// The pod of the controller that holds the Lease.
async fn leader(client: &Client) -> String {
    let leases: Api<Lease> = Api::namespaced(client.clone(), SYSTEM);
    let holder = until("a controller holds the Lease", STARTED_WITHIN, async || {
        let lease = leases.get_opt(RELEASE).await.ok()??;
        lease.spec?.holder_identity
    })
    .await;
    let (pod, _) = holder.rsplit_once('_').expect("a pod's name and a number");
    pod.to_owned()
}

#[tokio::test]
async fn the_standby_takes_over_when_the_leader_stands_still_and_the_leader_ends() {
    let tenant = Tenant::start("standby").await;
    let _two = TwoControllers::start(&tenant.client).await;
    let first = leader(&tenant.client).await;
    let controller = Controller::of_pod(&tenant.client, &first).await;
    controller.pause().await;
    let stood_still = Instant::now();
    let rows = chats(3, &json!({}));
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "job")).await;
    let job = tenant.job("job").await;
    tenant.feeder_pod(&job).await;
    assert!(stood_still.elapsed() < TAKES_OVER_WITHIN, "{:?}", stood_still.elapsed());
    assert_ne!(leader(&tenant.client).await, first);
    controller.resume().await;
    let pods: Api<Pod> = Api::namespaced(tenant.client.clone(), SYSTEM);
    until("the old leader has ended", STARTED_WITHIN, async || {
        let pod = pods.get_opt(&first).await.ok()??;
        let restarts = pod.status?.container_statuses?.first()?.restart_count;
        (restarts > 0).then_some(())
    })
    .await;
    tenant.complete("job", &rows).await;
    assert_eq!(job.name_any(), "job");
}
