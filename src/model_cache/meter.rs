//! How much is there, counted by whoever brings it and read by whoever reports.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of one job's model.
#[derive(Debug, Default)]
pub(super) struct Meter {
    there: AtomicU64,
    downloaded: AtomicU64,
}

impl Meter {
    /// Begins to count what is there anew: files are looked at once more.
    pub(super) fn begin(&self) {
        self.there.store(0, Ordering::Relaxed);
    }

    /// So many bytes more are there.
    pub(super) fn add(&self, bytes: u64) {
        self.there.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes that were thought to be there are not.
    pub(super) fn take_back(&self, bytes: u64) {
        self.there.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// So many bytes more came from the hub, and are there.
    pub(super) fn add_downloaded(&self, bytes: u64) {
        self.downloaded.fetch_add(bytes, Ordering::Relaxed);
        self.add(bytes);
    }

    pub(super) fn there(&self) -> u64 {
        self.there.load(Ordering::Relaxed)
    }

    pub(super) fn downloaded(&self) -> u64 {
        self.downloaded.load(Ordering::Relaxed)
    }
}
