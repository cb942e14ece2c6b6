//! What the server knows about its requests.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

/// Counts of rows (requests to the API, not of health or metrics). Times are microseconds since 1970, 0 before the first.
#[derive(Debug, Default)]
pub struct Counts {
    pub connections: u64,
    pub received: u64,
    pub answered: u64,
    /// The most rows that were in the server at once.
    pub most_in_flight: u64,
    /// When the first row was there completely.
    pub first_received: u64,
    /// When the last answer was begun.
    pub last_answered: u64,
}

impl Counts {
    pub fn receive(&mut self, now: u64) {
        if self.received == 0 {
            self.first_received = now;
        }
        self.received += 1;
        self.most_in_flight = self.most_in_flight.max(self.received - self.answered);
    }

    pub fn answer(&mut self, now: u64) {
        self.answered += 1;
        self.last_answered = now;
    }

    pub fn to_json(&self) -> String {
        json!({
            "connections": self.connections,
            "received": self.received,
            "answered": self.answered,
            "mostInFlight": self.most_in_flight,
            "firstReceived": self.first_received,
            "lastAnswered": self.last_answered,
        })
        .to_string()
    }
}

/// Microseconds since 1970.
pub fn clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
