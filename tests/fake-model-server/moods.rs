//! What a server as a whole does for a while, until a test ends it: turn requests away, or hang.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::answers;
use super::settings::Program;

/// Requests are turned away at the door, before they queue. They are not counted as answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storm {
    /// With this status.
    pub status: u16,
    /// With this header, in seconds or as a date.
    pub retry_after: Option<String>,
    /// So many of every `of` requests, the first of them.
    pub turned_away: u64,
    pub of: u64,
}

impl Storm {
    /// Every request is turned away.
    pub fn of_all(status: u16) -> Self {
        Self {
            status,
            retry_after: None,
            turned_away: 1,
            of: 1,
        }
    }
}

/// The storm that there is now.
#[derive(Debug, Default)]
pub struct Storms {
    now: Mutex<Option<Storm>>,
    requests: AtomicU64,
    turned_away: AtomicU64,
}

impl Storms {
    pub fn set(&self, storm: Option<Storm>) {
        self.requests.store(0, Ordering::SeqCst);
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = storm;
    }

    /// How many requests were turned away.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::SeqCst)
    }

    /// The answer to a request that is turned away.
    pub fn turn_away(&self, program: Program) -> Option<Response> {
        let storm = self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        if number % storm.of.max(1) >= storm.turned_away {
            return None;
        }
        self.turned_away.fetch_add(1, Ordering::SeqCst);
        let status = StatusCode::from_u16(storm.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let mut response = answers::error(program, status, "no room");
        if let Some(value) = storm.retry_after.and_then(|text| HeaderValue::from_str(&text).ok()) {
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        Some(response)
    }
}

/// A server that hangs takes requests and answers none; its metrics stand still, and its health path answers as always.
#[derive(Debug, Default)]
pub struct Hang(watch::Sender<Option<String>>);

impl Hang {
    /// Hangs, with these metrics.
    pub fn begin(&self, metrics: String) {
        self.0.send_replace(Some(metrics));
    }

    /// Goes on as if nothing had been.
    pub fn end(&self) {
        self.0.send_replace(None);
    }

    /// The metrics that stand still.
    pub fn metrics(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Returns when it does not hang.
    pub async fn wait(&self) {
        let ended = self.0.subscribe().wait_for(Option::is_none).await.map(drop);
        ended.expect("the sender lives as long as the server");
    }
}
