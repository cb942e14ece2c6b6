//! A controller that dies before or after any of its writes, again and again, changes nothing about how a job ends.
//!
//! The controller runs in the test, with a client that has it die ([`super::mortal`]): at each write of a job's life once before and
//! once after it, and at writes by chance. `CONTROLLER_CRASH_SEEDS` is how many seeds of chance are run,
//! `CONTROLLER_CRASH_FIRST_SEED` the first of them (unset: any).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use batch_inference_operator::controller::run::run;
use batch_inference_operator::controller::settings::Settings;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::DeleteParams;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use super::controller_killed::ends_as_if_undisturbed;
use super::mortal::{Fate, mortal_client};
use super::{RELEASE, SYSTEM, scale};
use crate::job::Job;
use crate::rows::twenty_and_one_held;
use crate::tenant::Tenant;
use crate::until::until;

const SEEDS: u64 = 1;
/// A controller's grace period, and as long again.
const ENDED_WITHIN: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_controller_that_dies_before_and_after_each_of_its_writes_changes_no_end() {
    let tenant = Tenant::start("crash-points").await;
    let settings = settings(&tenant.client).await;
    let _no_other = NoOperator::start(&tenant.client).await;
    let fate = Arc::new(Fate::at_each_write());
    Box::pin(one_life("crash-each", &fate, settings)).await;
    let deaths = fate.deaths();
    eprintln!("deaths: {deaths:#?}");
    let died = |when: &str, write: &str| deaths.contains_key(&format!("{when} {write}"));
    for write in WRITES {
        assert!(died("before", write), "nobody died before {write}");
        assert!(died("after", write), "nobody died after {write}");
    }
}

/// What a controller writes in a job's life. Events are written too, but one that died with its controller is not told by the next.
const WRITES: [&str; 9] = [
    "PATCH batchinferencejobs status",
    "PATCH serviceaccounts",
    "PATCH roles",
    "PATCH rolebindings",
    "PATCH networkpolicies",
    "PATCH jobs",
    "PATCH services",
    "PATCH deployments",
    "DELETE deployments",
];

#[tokio::test]
async fn a_controller_that_dies_at_any_of_its_writes_changes_no_end() {
    let seeds = number("CONTROLLER_CRASH_SEEDS").unwrap_or(SEEDS);
    let first = number("CONTROLLER_CRASH_FIRST_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let tenant = Tenant::start("crash-seeds").await;
    let settings = settings(&tenant.client).await;
    let _no_other = NoOperator::start(&tenant.client).await;
    let mut deaths = BTreeMap::new();
    for seed in first..first + seeds {
        eprintln!("seed {seed}: CONTROLLER_CRASH_FIRST_SEED={seed} CONTROLLER_CRASH_SEEDS=1");
        let fate = Arc::new(Fate::by_chance(seed));
        Box::pin(one_life(&format!("crash-{seed}"), &fate, settings.clone())).await;
        for (write, count) in fate.deaths() {
            *deaths.entry(write).or_insert(0) += count;
        }
    }
    eprintln!("deaths: {deaths:#?}");
    assert!(!deaths.is_empty(), "nobody died");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A job from its beginning to its end, with controllers that die.
async fn one_life(name: &str, fate: &Arc<Fate>, settings: Settings) {
    let tenant = Tenant::start(name).await;
    let rows = twenty_and_one_held();
    tenant.put("rows.jsonl", &rows).await;
    let ended = CancellationToken::new();
    let life = async {
        tenant.submit(&Job::new(&tenant, "job")).await;
        tenant.until_received(21).await;
        tenant.release("job", "held").await;
        ends_as_if_undisturbed(&tenant, &rows).await;
        ended.cancel();
    };
    tokio::join!(controllers(fate, &settings, &tenant.namespace, &ended), life);
}

/// One controller after another, until the job has ended.
async fn controllers(fate: &Arc<Fate>, settings: &Settings, namespace: &str, ended: &CancellationToken) {
    loop {
        let client = mortal_client(fate, namespace).await;
        let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
        let address = ([127, 0, 0, 1], 0).into();
        tokio::select! {
            stopped = run(client, settings.clone(), address, CancellationToken::new()) => panic!("{stopped:?}"),
            () = fate.death() => {}
            () = ended.cancelled() => return,
        }
        // Its term is over; only the waiting for that is left out.
        let _ = leases.delete(RELEASE, &DeleteParams::default()).await;
    }
}

/// The settings of the operator that is installed.
async fn settings(client: &Client) -> Settings {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), SYSTEM);
    let installed = deployments.get(RELEASE).await.expect("the operator");
    let pod = installed.spec.template.spec.expect("a pod");
    Settings {
        feeder_image: pod.containers[0].image.clone().expect("an image"),
        feeder_lost_timeout: Duration::from_mins(15),
        extra_ingress: Vec::new(),
        engines: BTreeMap::new(),
        ..Settings::default()
    }
}

/// While it is there, the operator that is installed does not run.
struct NoOperator;

impl NoOperator {
    /// Waits until none is left: one that is ending still does what is in its hands.
    async fn start(client: &Client) -> Self {
        scale(0).await;
        let guard = Self;
        until("no controller is left", ENDED_WITHIN, async || {
            super::pods(client).await?.is_empty().then_some(())
        })
        .await;
        guard
    }
}

impl Drop for NoOperator {
    fn drop(&mut self) {
        super::scale_back();
    }
}
