//! A fake server inside a test.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};

use super::moods::Storm;
use super::requests::{Count, Given};
use super::server::{Server, Shared};
use super::settings::Settings;

/// A server on a thread of its own, until it is dropped. Dropping it is a crash: connections end without a word.
pub struct FakeModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Of its own, so that connections end with it and a test's paused clock does not touch it.
    runtime: Option<Runtime>,
}

impl FakeModelServer {
    /// Starts a server; see [`Settings::local`].
    pub fn start(settings: Settings) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let server = {
            let _inside = runtime.enter();
            Server::bind(settings)?
        };
        let (address, shared) = (server.address(), server.shared());
        runtime.spawn(async move {
            if let Err(error) = server.serve().await {
                eprintln!("the fake model server ended: {error}");
            }
        });
        Ok(Self {
            address,
            shared,
            runtime: Some(runtime),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How often each row was received and answered.
    pub fn requests(&self) -> BTreeMap<String, Count> {
        self.shared.requests.counts()
    }

    /// Every answer, in the order in which they were given.
    pub fn answers(&self) -> Vec<Given> {
        self.shared.requests.answers()
    }

    /// When the last request came, answered or not.
    pub fn last_received(&self) -> Option<Instant> {
        self.shared.requests.last_received()
    }

    /// Every adapter that it was asked to load, in that order.
    pub fn adapters_asked_for(&self) -> Vec<String> {
        let asked_for = self.shared.adapters.asked_for().into_iter();
        asked_for.map(|(_, name)| name).collect()
    }

    /// When it was asked to load an adapter for the last time.
    pub fn last_asked_for_adapter(&self) -> Option<Instant> {
        self.shared.adapters.asked_for().last().map(|(when, _)| *when)
    }

    /// Has no adapter from now on, as if it had been started anew.
    pub fn forget_adapters(&self) {
        self.shared.adapters.forget();
    }

    /// How many answers were given.
    pub fn answers_given(&self) -> usize {
        self.shared.requests.answers_given()
    }

    /// How many requests are in flight.
    pub fn in_flight(&self) -> usize {
        self.shared.requests.in_flight()
    }

    /// Lets the answers held under a name go.
    pub fn release(&self, name: &str) {
        self.shared.holds.release(name);
    }

    /// Lets every held answer go.
    pub fn release_all(&self) {
        self.shared.holds.release_all();
    }

    /// Turns requests away, or no longer.
    pub fn set_storm(&self, storm: Option<Storm>) {
        self.shared.storms.set(storm);
    }

    /// How many requests were turned away.
    pub fn turned_away(&self) -> u64 {
        self.shared.storms.turned_away()
    }

    /// Answers no row from now on, while its health is good and its metrics stand still.
    pub fn hang(&self) {
        self.shared.hang.begin(self.shared.metrics());
    }

    /// Goes on after it hung.
    pub fn recover(&self) {
        self.shared.hang.end();
    }

    /// Resets all connections; nobody listens for a while.
    pub fn crash(&self) {
        self.shared.crashes.crash(self.shared.settings.crash);
    }
}

impl Drop for FakeModelServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // In a test's own runtime a plain drop would panic.
            runtime.shutdown_background();
        }
    }
}
