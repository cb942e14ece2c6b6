//! The bound on what rows and their answers take, by the container's memory limit.
//!
//! A request holds its memory from when it is read until its row is finished; an answer holds its own from when it is read until
//! its line is durable. Who finds no memory waits, and with it the server's bytes on their way (TCP). One answer at a time may
//! go beyond the bound, or answers that are half read could wait for each other for ever.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A semaphore counts in `u32`, so memory is counted in these many bytes.
const UNIT: usize = 1024;
/// What the program takes whatever the rows are: itself, segments on their way, a row of 16 MiB as it is read.
const OVERHEAD: u64 = 128 << 20;
/// Less than this is not shared out: a container that small is too small for large rows, not for small ones.
const LEAST: u64 = 32 << 20;
/// Where there is no limit, or none that can be read.
const DEFAULT_LIMIT: u64 = 1 << 30;
/// Answers up to this size are part of what each row in flight has: they are most of all.
const UNCOUNTED_ANSWER: usize = 16 << 10;
/// What a row in flight takes besides its request: a small answer, and the buffers of its connection here and in the kernel, which
/// counts them to the container.
const ROW_IN_FLIGHT: u64 = 32 << 10;
/// An answer is there twice while its line is written.
const COPIES: usize = 2;

/// What there is to share. Cloning is cheap and shares it.
#[derive(Clone, Debug)]
pub struct Memory {
    requests: Pool,
    answers: Pool,
    rows_in_flight: usize,
    /// For one answer, when there is nothing left.
    beyond: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
struct Pool {
    units: u32,
    free: Arc<Semaphore>,
}

impl Pool {
    fn new(bytes: u64) -> Self {
        let units = u32::try_from(bytes / UNIT as u64).unwrap_or(u32::MAX);
        // A semaphore holds no more than this.
        let units = units.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Self {
            units,
            free: Arc::new(Semaphore::new(units as usize)),
        }
    }

    /// Waits for memory, for all of it if there is not that much.
    async fn take(&self, units: u32) -> OwnedSemaphorePermit {
        let free = Arc::clone(&self.free);
        match free.acquire_many_owned(units.min(self.units)).await {
            Ok(permit) => permit,
            // Nobody closes it.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Memory that is taken. Dropping it gives it back.
#[derive(Debug, Default)]
pub struct Held {
    permit: Option<OwnedSemaphorePermit>,
    beyond: Option<OwnedSemaphorePermit>,
}

impl Memory {
    /// For a container that may use so many bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        let shared = limit.saturating_sub(OVERHEAD).max(LEAST);
        Self {
            requests: Pool::new(shared / 4),
            answers: Pool::new(shared / 2),
            rows_in_flight: usize::try_from(shared / 4 / ROW_IN_FLIGHT).unwrap_or(usize::MAX),
            beyond: Arc::new(Semaphore::new(1)),
        }
    }

    /// For the container that this process is in: version 2 and version 1 of
    /// <https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files>
    #[must_use]
    pub fn of_container() -> Self {
        let files = [
            "/sys/fs/cgroup/memory.max",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        ];
        let mut texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
        let limit = texts.find_map(|text| limit_in(&text));
        Self::new(limit.unwrap_or(DEFAULT_LIMIT))
    }

    /// How many rows may be in flight by this bound.
    #[must_use]
    pub fn rows_in_flight(&self) -> usize {
        self.rows_in_flight
    }

    /// Waits until a request of so many bytes may be held.
    pub async fn for_request(&self, bytes: usize) -> Held {
        Held {
            permit: Some(self.requests.take(units(bytes)).await),
            beyond: None,
        }
    }

    /// The same without waiting: `None` when there is not enough now.
    #[must_use]
    pub fn try_for_request(&self, bytes: usize) -> Option<Held> {
        let free = Arc::clone(&self.requests.free);
        let permit = free.try_acquire_many_owned(units(bytes).min(self.requests.units));
        let permit = permit.ok()?;
        Some(Held {
            permit: Some(permit),
            beyond: None,
        })
    }

    /// Waits until so many bytes of an answer may be held, with those that are held already.
    pub async fn for_answer(&self, held: &mut Held, bytes: usize) {
        let counted = bytes.saturating_sub(UNCOUNTED_ANSWER);
        let has = held.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = (units(counted * COPIES) as usize).saturating_sub(has);
        if counted == 0 || missing == 0 || held.beyond.is_some() {
            return;
        }
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        if has + missing as usize > self.answers.units as usize {
            held.beyond = self.beyond().await;
            return;
        }
        tokio::select! {
            biased;
            more = self.answers.take(missing) => match &mut held.permit {
                Some(permit) => permit.merge(more),
                none => *none = Some(more),
            },
            beyond = self.beyond() => held.beyond = beyond,
        }
    }

    async fn beyond(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.beyond).acquire_owned().await.ok()
    }
}

impl Held {
    /// Bytes that keep this memory as long as they live.
    #[must_use]
    pub fn with(self, bytes: Vec<u8>) -> Bytes {
        if self.permit.is_none() && self.beyond.is_none() {
            return bytes.into();
        }
        Bytes::from_owner(Owner { bytes, _held: self })
    }
}

struct Owner {
    bytes: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// `None` where there is no limit: the word `max`, or, in version 1, more than any machine has.
fn limit_in(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < 1 << 50)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const MIB: usize = 1 << 20;

    /// Room for 32 MiB of requests and 32 MiB of answers (each twice).
    fn memory() -> Memory {
        Memory::new(OVERHEAD + (128 << 20))
    }

    #[test]
    fn the_limit_of_the_container_is_read() {
        assert_eq!(limit_in("1073741824\n"), Some(1 << 30));
        assert_eq!(limit_in("max\n"), None);
        assert_eq!(limit_in("9223372036854771712\n"), None);
        assert_eq!(u64::from(Memory::new(0).requests.units) * UNIT as u64, LEAST / 4);
    }

    #[test]
    fn rows_in_flight_have_a_quarter_of_the_memory() {
        assert_eq!(Memory::new(DEFAULT_LIMIT).rows_in_flight(), 7168);
        assert_eq!(Memory::new(0).rows_in_flight(), 256);
    }

    #[test]
    fn requests_wait_for_memory_until_others_are_done() {
        let memory = memory();
        let first = memory.for_request(20 * MIB).now_or_never().unwrap();
        assert!(memory.for_request(20 * MIB).now_or_never().is_none());
        drop(first);
        assert!(memory.for_request(20 * MIB).now_or_never().is_some());
        let largest = memory.for_request(1000 * MIB).now_or_never();
        assert!(largest.is_some(), "a row larger than all memory takes all of it");
    }

    #[test]
    fn small_answers_take_nothing() {
        let memory = memory();
        let mut held = Held::default();
        memory.for_answer(&mut held, UNCOUNTED_ANSWER).now_or_never().unwrap();
        assert!(held.permit.is_none() && held.beyond.is_none());
    }

    #[test]
    fn one_answer_goes_on_when_all_are_half_read() {
        let memory = memory();
        let mut held: Vec<_> = (0..4).map(|_| Held::default()).collect();
        for held in &mut held {
            memory.for_answer(held, 8 * MIB).now_or_never().unwrap();
        }
        let goes_on = |held: &mut Held| memory.for_answer(held, 16 * MIB).now_or_never().is_some();
        assert_eq!(
            held.iter_mut().map(goes_on).collect::<Vec<_>>(),
            [true, false, false, false]
        );
        assert!(memory.for_answer(&mut held[0], 64 * MIB).now_or_never().is_some());
        let line = held.remove(0).with(vec![0; 10]);
        assert!(!goes_on(&mut held[0]), "the line is not durable yet");
        drop(line);
        assert!(goes_on(&mut held[0]));
    }
}
