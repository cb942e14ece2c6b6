//! A client of a controller that dies at its writes: before a write, which then never leaves, or after it, with an answer that nobody
//! gets.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::FutureExt;
use http::{Method, Request};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;
use tower::{Layer, Service};

/// By chance, so many of all writes are the last of a controller.
const DEADLY: f64 = 0.3;

/// A client for the test cluster whose user dies when `fate` has it so. It is told by [`Fate::death`], and gets no answer any more.
pub async fn mortal_client(fate: &Arc<Fate>, namespace: &str) -> Client {
    let mut config = Config::infer().await.expect("the test cluster");
    namespace.clone_into(&mut config.default_namespace);
    let builder = ClientBuilder::try_from(config).expect("a client");
    builder.with_layer(&MortalLayer(Arc::clone(fate))).build()
}

/// Who dies when.
pub struct Fate {
    rule: Mutex<Rule>,
    deaths: Mutex<BTreeMap<String, u32>>,
    death: Notify,
}

enum Rule {
    Chance(Box<StdRng>),
    /// How often each write was tried.
    Each(HashMap<String, u32>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    Before,
    After,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::After => "after",
        })
    }
}

impl Fate {
    /// Death before some writes and after others, the same ones for the same seed and the same writes.
    pub fn by_chance(seed: u64) -> Self {
        Self::new(Rule::Chance(Box::new(StdRng::seed_from_u64(seed))))
    }

    /// Death before each write, and when it is tried again, after it.
    pub fn at_each_write() -> Self {
        Self::new(Rule::Each(HashMap::new()))
    }

    fn new(rule: Rule) -> Self {
        Self {
            rule: Mutex::new(rule),
            deaths: Mutex::default(),
            death: Notify::new(),
        }
    }

    /// Waits until one is to die.
    pub async fn death(&self) {
        self.death.notified().await;
    }

    /// How many died when, such as `before PATCH jobs`.
    pub fn deaths(&self) -> BTreeMap<String, u32> {
        self.deaths.lock().expect("a count").clone()
    }

    fn of(&self, write: &str, body: &[u8]) -> Option<Death> {
        let death = match &mut *self.rule.lock().expect("a rule") {
            Rule::Chance(dice) => {
                let (dies, before) = (dice.random_bool(DEADLY), dice.random_bool(0.5));
                dies.then_some(if before { Death::Before } else { Death::After })
            }
            Rule::Each(tries) => {
                let times = tries.entry(format!("{write} {}", without_numbers(body))).or_insert(0);
                *times += 1;
                match times {
                    1 => Some(Death::Before),
                    2 => Some(Death::After),
                    _ => None,
                }
            }
        }?;
        *self
            .deaths
            .lock()
            .expect("a count")
            .entry(format!("{death} {write}"))
            .or_insert(0) += 1;
        Some(death)
    }
}

/// What is the same when it is written again: times, counts and hashes are not.
fn without_numbers(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.chars().filter(|it| !it.is_ascii_hexdigit()).collect()
}

/// What a request writes, by method, kind and subresource. None that writes nothing, or only the Lease.
fn write(request: &Request<Body>) -> Option<String> {
    let path = request.uri().path();
    let is_write = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(request.method());
    let is_trial = request.uri().query().is_some_and(|query| query.contains("dryRun"));
    if !is_write || is_trial || path.contains("/leases") {
        return None;
    }
    // An object's name is the test's.
    let mut parts = path.split('/').skip_while(|part| *part != "namespaces").skip(2);
    let (kind, subresource) = (parts.next().unwrap_or_default(), parts.nth(1).unwrap_or_default());
    Some(
        format!("{} {kind} {subresource}", request.method())
            .trim_end()
            .to_owned(),
    )
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
        let Some(write) = write(&request) else {
            return Box::pin(self.inner.call(request));
        };
        let fate = Arc::clone(&self.fate);
        let (head, body) = request.into_parts();
        let body = body
            .collect_bytes()
            .now_or_never()
            .expect("a body in memory")
            .expect("a body");
        let death = fate.of(&write, &body);
        if death == Some(Death::Before) {
            return Box::pin(async move {
                fate.death.notify_one();
                std::future::pending().await
            });
        }
        let answer = self.inner.call(Request::from_parts(head, Body::from(body)));
        Box::pin(async move {
            let answer = answer.await;
            if death == Some(Death::After) {
                fate.death.notify_one();
                return std::future::pending().await;
            }
            answer
        })
    }
}
