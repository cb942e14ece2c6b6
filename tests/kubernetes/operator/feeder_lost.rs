//! A feeder that cannot come back gives its GPUs up, and gets others when it is back.

use batch_inference_operator::api::condition::ConditionType;
use batch_inference_operator::api::reason::Reason;

use super::{CHART, Upgraded};
use crate::job::Job;
use crate::stages::{allow_pods, in_flight, until_held_row_is_sent_again};
use crate::tenant::{PATIENCE, Tenant};
use crate::troubleshooting::page::shows;
use crate::until::until;

#[tokio::test]
async fn a_feeder_that_cannot_come_back_gives_its_servers_back_and_has_others_when_it_can() {
    let tenant = Tenant::start("feeder-lost").await;
    let _impatient = Upgraded::to(&tenant.client, CHART, "feederLostTimeoutSeconds=10").await;
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
}
