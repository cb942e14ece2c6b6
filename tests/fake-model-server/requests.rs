//! Counting requests by row, and how many are in flight.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// How often a row was received and answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    pub received: u64,
    pub answered: u64,
}

/// An answer that was given.
#[derive(Clone, Debug)]
pub struct Given {
    pub id: String,
    pub received: Instant,
    pub answered: Instant,
}

/// The counts of one server.
#[derive(Debug, Default)]
pub struct Requests {
    counts: Mutex<BTreeMap<String, Count>>,
    answers: Mutex<Vec<Given>>,
    last_received: Mutex<Option<Instant>>,
    in_flight: AtomicUsize,
}

/// A request in flight, until it is dropped: also when the client goes away.
pub struct InFlight<'a>(&'a Requests);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Requests {
    /// Counts a received request, and tells how many of the row there were.
    pub fn received(&self, id: &str) -> u64 {
        *self.last_received.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.change(id, |count| {
            count.received += 1;
            count.received
        })
    }

    /// When the last request came, answered or not.
    pub fn last_received(&self) -> Option<Instant> {
        *self.last_received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an answered request.
    pub fn answered(&self, id: &str, received: Instant) {
        self.change(id, |count| count.answered += 1);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.push(Given {
            id: id.to_owned(),
            received,
            answered: Instant::now(),
        });
    }

    /// How many answers were given.
    pub fn answers_given(&self) -> usize {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Every answer, in the order in which they were given.
    pub fn answers(&self) -> Vec<Given> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Holds a place among the requests in flight.
    pub fn enter(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    /// How many requests are in flight, queued ones included.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The counts by row.
    pub fn counts(&self) -> BTreeMap<String, Count> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change<T>(&self, id: &str, change: impl FnOnce(&mut Count) -> T) -> T {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        change(counts.entry(id.to_owned()).or_default())
    }
}
