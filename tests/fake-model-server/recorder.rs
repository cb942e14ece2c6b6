//! Keeps what servers tell of their requests, also after they are gone: the server side runs in a test, the client side in a
//! fake server with `FAKE_RECORDER`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::requests::Count;

/// What happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    Received,
    Answered,
}

/// Something that happened to a row on a server.
#[expect(clippy::struct_field_names, reason = "the JSON calls it so")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub pod: String,
    pub event: EventKind,
    /// The body's `user`.
    pub id: String,
    /// Milliseconds since 1970, by the server's clock.
    pub at_ms: u64,
}

type Events = Arc<Mutex<Vec<Event>>>;

/// A server that keeps events until it is dropped.
pub struct Recorder {
    address: SocketAddr,
    events: Events,
    serving: JoinHandle<()>,
}

impl Recorder {
    /// Starts on the current runtime; port 0 takes a free one.
    pub async fn start(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let events = Events::default();
        let app = Router::new()
            .route("/events", post(keep))
            .with_state(Arc::clone(&events));
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                eprintln!("the recorder ended: {error}");
            }
        });
        Ok(Self {
            address,
            events,
            serving,
        })
    }

    /// The value of `FAKE_RECORDER` for servers that reach the address it listens on.
    pub fn url(&self) -> String {
        self.url_at(&self.address.ip().to_string())
    }

    /// The value of `FAKE_RECORDER` for servers that reach this machine under another name or address.
    pub fn url_at(&self, host: &str) -> String {
        format!("http://{host}:{}/events", self.address.port())
    }

    /// All events, in the order in which they came.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often each row was received and answered, over all servers.
    pub fn counts(&self) -> BTreeMap<String, Count> {
        let mut counts: BTreeMap<String, Count> = BTreeMap::new();
        for event in self.events() {
            let count = counts.entry(event.id).or_default();
            match event.event {
                EventKind::Received => count.received += 1,
                EventKind::Answered => count.answered += 1,
            }
        }
        counts
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn keep(State(events): State<Events>, Json(event): Json<Event>) {
    events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
}

/// Tells a recorder.
#[derive(Debug)]
pub struct RecorderClient {
    client: reqwest::Client,
    url: String,
    pod: String,
}

impl RecorderClient {
    /// For a recorder's URL, in the name of a pod.
    pub fn new(url: String, pod: String) -> Self {
        // Without certificates: the image has none, and the recorder speaks plain HTTP.
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .build()
            .expect("these options are always accepted");
        Self { client, url, pod }
    }

    /// Returns when the recorder has the event.
    pub async fn tell(&self, event: EventKind, id: &str) -> Result<(), reqwest::Error> {
        let event = Event {
            pod: self.pod.clone(),
            event,
            id: id.to_owned(),
            at_ms: now_ms(),
        };
        let answer = self.client.post(&self.url).json(&event).send().await?;
        answer.error_for_status().map(drop)
    }
}

fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
