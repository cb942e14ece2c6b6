//! Which job fills a repository's folder now, so that two do not download the same. Two that write to one file at once may damage it, which
//! is found before it takes its name: each file is read from the disk and checked then, and downloaded again where it is wrong.
//!
//! It is a file that its holder writes again and again, not a lock of the operating system: those are kept by the node (gcsfuse, NFS
//! mounted with `nolock`), need a service of their own (NFS 3) or are not there at all on what a ReadWriteMany claim may be. Creating a file
//! that must not be there yet is atomic on all of them (`open(2)`, `O_EXCL`). A holder that was killed renews it no longer, and whoever
//! waits takes it when he has seen no change for two minutes by his own clock: no two clocks are compared, neither of nodes nor of a file
//! server.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::fs;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use super::error::FillError;

/// How often what is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rhythm {
    /// A holder writes the lock this often, and whoever waits looks this often.
    pub(super) beat: Duration,
    /// A lock that has not changed for this long is nobody's.
    pub(super) stale_after: Duration,
}

/// An NFS client may show a file as it was a minute ago (nfs(5), `acregmax` and `acdirmax`).
pub(super) const RHYTHM: Rhythm = Rhythm {
    beat: Duration::from_secs(10),
    stale_after: Duration::from_mins(2),
};

/// Who takes locks: one start of one job's pod.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    job: String,
    uid: String,
    start: String,
    /// It has had a lock: whoever of the same job has it now is later.
    has_held: Arc<AtomicBool>,
}

/// A lock as its holder, or whoever wants it, has it.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    holder: Holder,
    rhythm: Rhythm,
}

/// What is in the file: always as many bytes for one holder, as it is written in place. Renaming another file to it would leave those who
/// still have the old one open without news.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Content {
    /// Namespace and name, for people.
    job: String,
    uid: String,
    /// Tells one start of a job's pod from the next.
    start: String,
    /// Counts.
    beat: String,
}

impl Holder {
    /// A new start of a job's pod. `job` is its namespace and name, for people.
    pub(super) fn new(job: String, uid: String) -> Self {
        Self {
            job,
            uid,
            start: format!("{:016x}", rand::random::<u64>()),
            has_held: Arc::default(),
        }
    }

    /// Whether a lock is that of an earlier start of the same job.
    fn is_after(&self, content: &Content) -> bool {
        content.uid == self.uid && !self.has_held.load(Ordering::Relaxed)
    }
}

impl Lock {
    /// The lock at this path for a holder.
    pub(super) fn new(path: PathBuf, holder: Holder, rhythm: Rhythm) -> Self {
        Self { path, holder, rhythm }
    }

    /// Waits until it is this job's. `tell` is told whose it is meanwhile.
    ///
    /// # Errors
    ///
    /// The volume's.
    pub(super) async fn acquire(&self, tell: impl Fn(&str)) -> Result<(), FillError> {
        self.wait(tell).await?;
        self.holder.has_held.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn wait(&self, tell: impl Fn(&str)) -> Result<(), FillError> {
        let mut seen: Option<(Vec<u8>, Instant)> = None;
        loop {
            if self.create().await.map_err(FillError::at(&self.path))? {
                return Ok(());
            }
            let Some(found) = self.read().await? else {
                // It was given back just now, or is seen by one of two requests to a file server and not by the other.
                sleep(self.rhythm.beat).await;
                continue;
            };
            let holder = read_content(&found);
            if holder.as_ref().is_some_and(|holder| self.holder.is_after(holder)) {
                if self.take_over().await? {
                    return Ok(());
                }
                continue;
            }
            let since = match &seen {
                Some((before, since)) if *before == found => *since,
                _ => Instant::now(),
            };
            if since.elapsed() >= self.rhythm.stale_after {
                self.take_away(&found).await?;
                seen = None;
                continue;
            }
            seen = Some((found, since));
            tell(holder.as_ref().map_or("another job", |holder| holder.job.as_str()));
            sleep(self.rhythm.beat).await;
        }
    }

    /// Takes the lock of an earlier start of the same job. That one was killed, or is on a node that only lost touch: it is given the time to
    /// notice, so that no two write to the same files.
    async fn take_over(&self) -> Result<bool, FillError> {
        self.beat(0).await?;
        sleep(self.rhythm.beat * 2).await;
        self.is_ours().await
    }

    /// Renews it for as long as it is held.
    pub(super) async fn hold(&self) -> FillError {
        for beat in 1_u64.. {
            sleep(self.rhythm.beat).await;
            match self.is_ours().await {
                Ok(true) => {
                    if let Err(error) = self.beat(beat).await {
                        tracing::warn!(%error, "the lock of the model cache could not be renewed");
                    }
                }
                Ok(false) => break,
                Err(error) => tracing::warn!(%error, "the lock of the model cache could not be read"),
            }
        }
        FillError::LockLost
    }

    /// Gives it back.
    pub(super) async fn release(&self) {
        if let Ok(true) = self.is_ours().await
            && let Err(error) = fs::remove_file(&self.path).await
        {
            tracing::warn!(%error, "the lock of the model cache could not be given back, and others wait until it is stale");
        }
    }

    async fn create(&self) -> io::Result<bool> {
        let created = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&self.path)
            .await;
        let mut file = match created {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            created => created?,
        };
        let written = async {
            file.write_all(&self.content(0)).await?;
            file.flush().await?;
            file.sync_all().await
        };
        let written: io::Result<()> = written.await;
        if written.is_err() {
            // Nobody could tell whose it is, and all would wait.
            let _ = fs::remove_file(&self.path).await;
        }
        written.map(|()| true)
    }

    async fn is_ours(&self) -> Result<bool, FillError> {
        let found = self.read().await?;
        let holder = found.as_deref().and_then(read_content);
        Ok(holder.is_some_and(|holder| holder.start == self.holder.start))
    }

    async fn read(&self) -> Result<Option<Vec<u8>>, FillError> {
        match fs::read(&self.path).await {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FillError::at(&self.path)(error)),
        }
    }

    /// Writes it in place, never anew: one that was taken away stays so.
    async fn beat(&self, beat: u64) -> Result<(), FillError> {
        let written = async {
            let mut file = fs::OpenOptions::new().write(true).open(&self.path).await?;
            let content = self.content(beat);
            file.write_all(&content).await?;
            file.flush().await?;
            file.set_len(content.len() as u64).await?;
            file.sync_all().await
        };
        written.await.map_err(FillError::at(&self.path))
    }

    /// Takes away a lock that nobody renews. Of several who do, one succeeds: each moves it to a name of his own first. Whoever has moved another one
    /// than he has seen, because someone was faster, puts it back.
    async fn take_away(&self, stale: &[u8]) -> Result<(), FillError> {
        let aside = self.path.with_file_name(format!("lock.{}", self.holder.start));
        match fs::rename(&self.path, &aside).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            moved => moved.map_err(FillError::at(&aside))?,
        }
        let moved = fs::read(&aside).await.map_err(FillError::at(&aside))?;
        if moved != stale {
            // Not over one that is there by now; whose it was notices that he has lost it.
            let _ = fs::hard_link(&aside, &self.path).await;
        }
        fs::remove_file(&aside).await.map_err(FillError::at(&aside))
    }

    fn content(&self, beat: u64) -> Vec<u8> {
        let content = Content {
            job: self.holder.job.clone(),
            uid: self.holder.uid.clone(),
            start: self.holder.start.clone(),
            beat: format!("{beat:020}"),
        };
        serde_json::to_vec(&content).unwrap_or_default()
    }
}

fn read_content(content: &[u8]) -> Option<Content> {
    serde_json::from_slice(content).ok()
}

#[cfg(test)]
#[path = "lock_tests.rs"]
mod tests;
