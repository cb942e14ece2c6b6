//! A controller that dies before or after any of its writes, again and again, changes nothing about how a job ends.
//!
//! The controller runs in the test, and a layer of its client decides by a seed at which writes it dies: before a write, which then
//! never leaves, or after it, with an answer that nobody gets. `CONTROLLER_CRASH_SEEDS` is how many seeds are run,
//! `CONTROLLER_CRASH_FIRST_SEED` the first of them (unset: any).

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use batch_inference_operator::controller::run::run;
use batch_inference_operator::controller::settings::Settings;
use http::{Method, Request};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::DeleteParams;
use kube::client::{Body, ClientBuilder};
use kube::{Api, Client, Config};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};

use super::controller_killed::ends_as_if_undisturbed;
use super::{RELEASE, SYSTEM, scale};
use crate::job::Job;
use crate::rows::twenty_and_one_held;
use crate::tenant::Tenant;

const SEEDS: u64 = 2;
/// Of all writes, so many are the last of a controller.
const DEADLY: f64 = 0.3;

#[tokio::test]
async fn a_controller_that_dies_at_any_of_its_writes_changes_no_end() {
    let seeds = number("CONTROLLER_CRASH_SEEDS").unwrap_or(SEEDS);
    let first = number("CONTROLLER_CRASH_FIRST_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let tenant = Tenant::start("crash-points").await;
    let settings = settings(&tenant.client).await;
    let _no_other = NoOperator::start().await;
    let mut deaths = BTreeMap::new();
    for seed in first..first + seeds {
        eprintln!("seed {seed}: CONTROLLER_CRASH_FIRST_SEED={seed} CONTROLLER_CRASH_SEEDS=1");
        for (point, count) in Box::pin(one_life(seed, settings.clone())).await {
            *deaths.entry(point).or_insert(0) += count;
        }
    }
    eprintln!("deaths: {deaths:#?}");
    assert!(!deaths.is_empty(), "nobody died");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A job from its beginning to its end, with controllers that die; at which writes they did.
async fn one_life(seed: u64, settings: Settings) -> BTreeMap<String, u32> {
    let tenant = Tenant::start(&format!("crash-{seed}")).await;
    let rows = twenty_and_one_held();
    tenant.put("rows.jsonl", &rows).await;
    let fate = Arc::new(Fate {
        dice: Mutex::new(StdRng::seed_from_u64(seed)),
        deaths: Mutex::default(),
        death: Notify::new(),
    });
    let ended = CancellationToken::new();
    let life = async {
        tenant.submit(&Job::new(&tenant, "job")).await;
        tenant.until_received(21).await;
        tenant.release("job", "held").await;
        ends_as_if_undisturbed(&tenant, &rows).await;
        ended.cancel();
    };
    tokio::join!(controllers(&fate, &settings, &tenant.namespace, &ended), life);
    fate.deaths()
}

/// One controller after another, until the job has ended.
async fn controllers(fate: &Arc<Fate>, settings: &Settings, namespace: &str, ended: &CancellationToken) {
    loop {
        let client = mortal_client(fate, namespace).await;
        let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
        let address = ([127, 0, 0, 1], 0).into();
        tokio::select! {
            stopped = run(client, settings.clone(), address, CancellationToken::new()) => panic!("{stopped:?}"),
            () = fate.death.notified() => {}
            () = ended.cancelled() => return,
        }
        // Its term is over; only the waiting for that is left out.
        let _ = leases.delete(RELEASE, &DeleteParams::default()).await;
    }
}

async fn mortal_client(fate: &Arc<Fate>, namespace: &str) -> Client {
    let mut config = Config::infer().await.expect("the test cluster");
    namespace.clone_into(&mut config.default_namespace);
    let builder = ClientBuilder::try_from(config).expect("a client");
    builder.with_layer(&MortalLayer(Arc::clone(fate))).build()
}

/// Who dies when.
struct Fate {
    dice: Mutex<StdRng>,
    deaths: Mutex<BTreeMap<String, u32>>,
    death: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Lives,
    DiesBefore,
    DiesAfter,
}

impl Fate {
    fn deaths(&self) -> BTreeMap<String, u32> {
        self.deaths.lock().expect("a count").clone()
    }

    fn of(&self, request: &Request<Body>) -> Write {
        let path = request.uri().path();
        let is_write = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(request.method());
        let is_trial = request.uri().query().is_some_and(|query| query.contains("dryRun"));
        if !is_write || is_trial || path.contains("/leases") {
            return Write::Lives;
        }
        let (dies, before) = {
            let mut dice = self.dice.lock().expect("dice");
            (dice.random_bool(DEADLY), dice.random_bool(0.5))
        };
        let write = match (dies, before) {
            (false, _) => return Write::Lives,
            (true, true) => Write::DiesBefore,
            (true, false) => Write::DiesAfter,
        };
        // The object's name is the test's; its kind and subresource are what was written.
        let mut parts = path.split('/').skip_while(|part| *part != "namespaces").skip(2);
        let (kind, subresource) = (parts.next().unwrap_or_default(), parts.nth(1).unwrap_or_default());
        let point = format!("{write:?} {} {kind} {subresource}", request.method());
        *self.deaths.lock().expect("a count").entry(point).or_insert(0) += 1;
        write
    }
}

struct MortalLayer(Arc<Fate>);

impl<S> Layer<S> for MortalLayer {
    type Service = Mortal<S>;

    fn layer(&self, inner: S) -> Mortal<S> {
        Mortal {
            inner,
            fate: Arc::clone(&self.0),
        }
    }
}

struct Mortal<S> {
    inner: S,
    fate: Arc<Fate>,
}

impl<S> Service<Request<Body>> for Mortal<S>
where
    S: Service<Request<Body>>,
    S::Future: Send + 'static,
    S::Response: Send,
    S::Error: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let write = self.fate.of(&request);
        let fate = Arc::clone(&self.fate);
        if write == Write::DiesBefore {
            return Box::pin(async move {
                fate.death.notify_one();
                std::future::pending().await
            });
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            if write == Write::DiesAfter {
                fate.death.notify_one();
                return std::future::pending().await;
            }
            answer
        })
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
    }
}

/// While it is there, the operator that is installed does not run.
struct NoOperator;

impl NoOperator {
    async fn start() -> Self {
        scale(0).await;
        Self
    }
}

impl Drop for NoOperator {
    fn drop(&mut self) {
        super::scale_back();
    }
}
