//! Which job works here now, so that two do not pay for the same rows. Results never depend on it.
//!
//! Each holder has a *term*, an object that is created only once: of several who want the next term, one gets it. While it works it
//! writes that object again and again, and a term whose object has not been written for [`LEASE_EXPIRES_AFTER`] is over. Time is the
//! store's: no clock of a node counts, and nobody is asked whether a job still exists.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::storage::{Put, Store};

use super::LEASES;
use super::claim::JobReference;
use super::error::Error;
use super::format;

/// A holder writes its term this often.
pub const LEASE_RENEWED_EVERY: Duration = Duration::from_secs(15);
/// A term that was not written for this long is over.
pub const LEASE_EXPIRES_AFTER: Duration = Duration::from_mins(1);
/// Whoever waits looks this often.
pub const LEASE_LOOKED_AT_EVERY: Duration = Duration::from_secs(5);

const FORMAT: &str = "batchinference.dev/lease/v1";

/// The content of a term's object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    format: String,
    job: JobReference,
    /// Whether the holder has gone by itself.
    released: bool,
}

/// The latest term, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    number: u32,
    job: JobReference,
    released: bool,
    /// When it was last written, by the store's clock.
    modified: SystemTime,
}

impl Term {
    /// Whose it is.
    #[must_use]
    pub fn job(&self) -> &JobReference {
        &self.job
    }

    /// Whether a job may take the next term. Its own is taken up instead; see [`Lease::begin`].
    #[must_use]
    pub fn is_over(&self, clock: &StoreClock) -> bool {
        let age = clock.now.duration_since(self.modified).unwrap_or_default();
        self.released || age > LEASE_EXPIRES_AFTER
    }
}

/// The store's clock, as far as it was seen: it may be behind, and is never ahead. So nobody is thought to be gone too early.
#[derive(Clone, Copy, Debug)]
pub struct StoreClock {
    now: SystemTime,
    at: Instant,
}

impl StoreClock {
    /// The clock after an object was written at `written`, and not before `at`.
    #[must_use]
    pub fn new(written: SystemTime, at: Instant) -> Self {
        Self { now: written, at }
    }

    /// Looks at a term. Time passes only while it is looked at: when the store was away, its holder could not write either.
    pub fn look_at(&mut self, term: &Term, now: Instant) {
        let passed = now.duration_since(self.at).min(LEASE_LOOKED_AT_EVERY * 2);
        self.now = (self.now + passed).max(term.modified);
        self.at = now;
    }
}

/// The latest term of an output, `None` when nobody has worked there.
///
/// # Errors
///
/// [`Error`] when the store fails or the object is not ours.
pub async fn latest_term(store: &Store) -> Result<Option<Term>, Error> {
    let entries = store.list(LEASES).await?;
    let Some(number) = entries.iter().filter_map(|entry| number_of(&entry.key)).max() else {
        return Ok(None);
    };
    read(store, number).await
}

/// A job's right to work in an output, for as long as it is renewed.
#[derive(Clone, Debug)]
pub struct Lease {
    store: Store,
    number: u32,
    content: Content,
}

/// How a renewal ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The job goes on.
    Yes,
    /// Another job took over, as this one had not been heard of for too long.
    TakenBy(JobReference),
}

impl Lease {
    /// Takes up the job's own term, or else the one after `latest`; `None` when another job was faster.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store fails.
    pub async fn begin(store: &Store, job: &JobReference, latest: Option<&Term>) -> Result<Option<Self>, Error> {
        let is_own = latest.is_some_and(|term| term.job.uid == job.uid);
        let lease = Self {
            store: store.clone(),
            number: latest.map_or(0, |term| term.number) + u32::from(!is_own),
            content: Content {
                format: FORMAT.to_owned(),
                job: job.clone(),
                released: false,
            },
        };
        if is_own {
            return Ok(Some(lease));
        }
        let created = store
            .create(&key_of(lease.number), json(store, lease.number, &lease.content)?)
            .await?;
        Ok((created == Put::Created).then_some(lease))
    }

    /// Says that the job works still. To be called every [`LEASE_RENEWED_EVERY`].
    ///
    /// # Errors
    ///
    /// [`Error`] when the store fails; the lease may well be held still.
    pub async fn renew(&self) -> Result<Renewed, Error> {
        self.write(&self.content).await
    }

    /// Says that the job works no longer, so that no other waits in vain.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store fails.
    pub async fn release(&self) -> Result<Renewed, Error> {
        let released = Content {
            released: true,
            ..self.content.clone()
        };
        self.write(&released).await
    }

    async fn write(&self, content: &Content) -> Result<Renewed, Error> {
        // A store that ignores conditions may have given the same term to two: the later one has it.
        for number in [self.number + 1, self.number] {
            match read(&self.store, number).await? {
                Some(term) if term.job.uid != self.content.job.uid => return Ok(Renewed::TakenBy(term.job)),
                _ => {}
            }
        }
        let json = json(&self.store, self.number, content)?;
        self.store.replace(&key_of(self.number), json).await?;
        Ok(Renewed::Yes)
    }
}

async fn read(store: &Store, number: u32) -> Result<Option<Term>, Error> {
    let key = key_of(number);
    let Some(found) = store.read_dated(&key).await? else {
        return Ok(None);
    };
    let unreadable = |source| Error::Unreadable {
        uri: store.uri_of(&key),
        source,
    };
    let content = parse(&found.bytes).map_err(unreadable)?;
    Ok(Some(Term {
        number,
        job: content.job,
        released: content.released,
        modified: found.modified,
    }))
}

fn parse(json: &[u8]) -> serde_json::Result<Content> {
    let content: Content = serde_json::from_slice(json)?;
    format::check(&content.format, FORMAT)?;
    Ok(content)
}

fn json(store: &Store, number: u32, content: &Content) -> Result<Vec<u8>, Error> {
    let uri = || store.uri_of(&key_of(number));
    let mut json = serde_json::to_vec_pretty(content).map_err(|source| Error::Json { uri: uri(), source })?;
    json.push(b'\n');
    Ok(json)
}

fn key_of(number: u32) -> String {
    format!("{LEASES}{number:06}.json")
}

fn number_of(key: &str) -> Option<u32> {
    let name = key.strip_prefix(LEASES)?.strip_suffix(".json")?;
    let number = name.parse().ok()?;
    (key_of(number) == key).then_some(number)
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
