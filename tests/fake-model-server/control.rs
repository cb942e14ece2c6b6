//! How a test commands a running server:
//!
//! | | |
//! | --- | --- |
//! | `GET /control/requests` | how often each row was received and answered |
//! | `POST /control/release/NAME`, `POST /control/release-all` | lets held answers go |
//! | `PUT /control/storm` with a [`Storm`], `DELETE /control/storm` | turns requests away, and no longer |
//! | `PUT /control/hang`, `DELETE /control/hang` | answers no row, and goes on |
//! | `POST /control/crash` | resets all connections, and nobody listens for a while |
//! | `POST /control/eat` | takes memory until the kernel ends the process |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use tokio::sync::watch;

use super::moods::Storm;
use super::requests::Count;
use super::server::Shared;

/// Which held answers may go. What is released stays so: a row that comes later is not held.
#[derive(Debug)]
pub struct Holds(watch::Sender<Released>);

#[derive(Debug, Default)]
struct Released {
    all: bool,
    names: BTreeSet<String>,
}

impl Default for Holds {
    fn default() -> Self {
        Self(watch::Sender::new(Released::default()))
    }
}

impl Holds {
    /// Returns when the name is released.
    pub async fn wait(&self, name: &str) {
        let mut released = self.0.subscribe();
        let waited = released
            .wait_for(|released| released.all || released.names.contains(name))
            .await;
        waited.expect("the sender lives as long as the server");
    }

    /// Lets the answers held under a name go.
    pub fn release(&self, name: &str) {
        self.0.send_modify(|released| {
            released.names.insert(name.to_owned());
        });
    }

    /// Lets every held answer go.
    pub fn release_all(&self) {
        self.0.send_modify(|released| released.all = true);
    }
}

/// The routes.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/control/requests", get(requests))
        .route("/control/release/{name}", post(release))
        .route("/control/release-all", post(release_all))
        .route("/control/storm", put(storm).delete(no_storm))
        .route("/control/hang", put(hang).delete(no_hang))
        .route("/control/crash", post(crash))
        .route("/control/eat", post(eat))
}

async fn requests(State(shared): State<Arc<Shared>>) -> Json<BTreeMap<String, Count>> {
    Json(shared.requests.counts())
}

async fn release(State(shared): State<Arc<Shared>>, Path(name): Path<String>) {
    shared.holds.release(&name);
}

async fn release_all(State(shared): State<Arc<Shared>>) {
    shared.holds.release_all();
}

async fn storm(State(shared): State<Arc<Shared>>, Json(storm): Json<Storm>) {
    shared.storms.set(Some(storm));
}

async fn no_storm(State(shared): State<Arc<Shared>>) {
    shared.storms.set(None);
}

async fn hang(State(shared): State<Arc<Shared>>) {
    shared.hang.begin(shared.metrics());
}

async fn no_hang(State(shared): State<Arc<Shared>>) {
    shared.hang.end();
}

/// The answer to this request is lost too.
async fn crash(State(shared): State<Arc<Shared>>) {
    shared.crashes.crash(shared.settings.crash);
}

/// Where nothing limits the process, it stops at a gibibyte.
async fn eat() {
    let eaten: Vec<Vec<u8>> = (0..64).map(|_| vec![1; 16 << 20]).collect();
    std::future::pending::<()>().await;
    drop(eaten);
}
