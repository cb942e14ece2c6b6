//! A feeder that cannot come back gives its GPUs up, and gets others when it is back.

use batch_inference_operator::api::condition::ConditionType;
use batch_inference_operator::api::reason::Reason;

use super::{CHART, Controller, RELEASE, SYSTEM, upgrade_to};
use crate::commands::take_back;
use crate::job::Job;
use crate::stages::{allow_pods, in_flight, until_held_row_is_sent_again};
use crate::tenant::{PATIENCE, Tenant};
use crate::troubleshooting::page::shows;
use crate::until::until;

/// A controller that gives a feeder ten seconds, until it is dropped.
struct Impatient;

impl Impatient {
    async fn install(tenant: &Tenant) -> Self {
        let installed = Self;
        upgrade_to(CHART, "feederLostTimeoutSeconds=10").await;
        Controller::running(&tenant.client).await;
        installed
    }
}

impl Drop for Impatient {
    fn drop(&mut self) {
        take_back(
            "helm",
            &["rollback", RELEASE, "--namespace", SYSTEM, "--wait", "--timeout", "2m"],
        );
    }
}

#[tokio::test]
async fn a_feeder_that_cannot_come_back_gives_its_servers_back_and_has_others_when_it_can() {
    let tenant = Tenant::start("feeder-lost").await;
    let impatient = Impatient::install(&tenant).await;
    let rows = in_flight(&tenant, Job::new(&tenant, "job"), "job").await;
    let job = tenant.job("job").await;
    let before = tenant.server_pods(&job).await.remove(0);
    // Nothing may be made from now on, and what is there stays.
    allow_pods(&tenant, 0).await;
    let feeder = tenant.feeder_pod(&job).await.metadata.name.expect("a name");
    tenant.kubectl(&["delete", "pod", &feeder]).await.expect("a deletion");
    let what = "No feeder could run for `feederLostTimeoutSeconds`; here, as a quota allows no pod.";
    shows(&tenant, "job", ConditionType::ServersReady, Reason::FeederLost, what).await;
    until("the servers are given back", PATIENCE, async || {
        tenant.server_pods(&job).await.is_empty().then_some(())
    })
    .await;

    let quota = ["delete", "resourcequota", "pods"];
    tenant.kubectl(&quota).await.expect("a deletion");
    until_held_row_is_sent_again(&tenant).await;
    let after = tenant.server_pods(&job).await.remove(0);
    assert_ne!(after.metadata.uid, before.metadata.uid);
    tenant.release("job", "held").await;
    let output = tenant.complete("job", &rows).await;
    assert_eq!(output.errors, "");
    assert_eq!(tenant.received().len(), 21);
    drop(impatient);
    Controller::running(&tenant.client).await;
}
