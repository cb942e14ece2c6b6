//! A copy of a file whose server gives no ranges.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{Error, Result};
use reqwest::Response;
use sha2::{Digest, Sha256};

use super::pause::Pause;
use super::request::{Facts, Request, broken, facts, failed};
use crate::storage::error::{ScratchFailed, scratch_failure};

/// Where a copy may be.
pub struct Scratch {
    pub directory: PathBuf,
    /// The most that it may take, in bytes: kubelet evicts a pod that has more on its scratch disk than the disk's limit.
    pub limit: Option<u64>,
}

/// Removed when dropped. One that a killed process has left is written over by the next.
pub struct Copy {
    file: Arc<File>,
    path: PathBuf,
    facts: Facts,
}

impl Copy {
    /// Copies all that `request` asks for into `scratch`. One that found no room when bytes had come for it begins `pause`.
    ///
    /// # Errors
    ///
    /// The server's, or the disk's; that it has too little room, too.
    pub async fn of(request: &Request, scratch: &Scratch, pause: &Pause) -> Result<Self> {
        // In a container, the process that comes after this one has its number.
        let path = scratch.directory.join(format!("dataset-{}", std::process::id()));
        let file = new_file(&path).map_err(disk)?;
        let mut copy = Self {
            file: Arc::new(file),
            path,
            facts: Facts {
                size: 0,
                etag: None,
                last_modified: std::time::UNIX_EPOCH,
            },
        };
        let room = scratch.room();
        let response = request.whole().await?;
        // Nothing of a file that says that it is too large is fetched.
        room.takes(response.content_length().unwrap_or_default())?;
        let filled = fill(&copy.file, response, &room).await;
        if let Some(what) = filled.as_ref().err().and_then(scratch_failure) {
            pause.begin(what);
        }
        copy.facts = filled?;
        Ok(copy)
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Reads what is there.
    ///
    /// # Errors
    ///
    /// The disk's.
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let file = Arc::clone(&self.file);
        let reading = tokio::task::spawn_blocking(move || {
            let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, range.start)?;
            Ok(Bytes::from(bytes))
        });
        reading.await.map_err(io::Error::other).flatten().map_err(disk)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the copy of the data set could not be removed");
        }
    }
}

/// The most that a copy can take, ever.
#[derive(Debug, PartialEq, Eq)]
struct Room {
    /// How much that is.
    bytes: u64,
    /// What sets it.
    bound: &'static str,
}

impl Scratch {
    /// What there is room for while nothing else is on the disk: what fits into that may fit later.
    fn room(&self) -> Room {
        let disk = Room {
            bytes: size_of_disk(&self.directory).unwrap_or(u64::MAX),
            bound: "the scratch disk has in all",
        };
        match self.limit {
            Some(limit) if limit <= disk.bytes => Room {
                bytes: limit,
                bound: "a copy may take",
            },
            _ => disk,
        }
    }
}

impl Room {
    fn takes(&self, bytes: u64) -> Result<()> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let Self { bytes, bound } = self;
        Err(disk(io::Error::other(format!(
            "it has more than the {bytes} bytes that {bound}"
        ))))
    }
}

/// In bytes, with what is taken. Unknown where the system does not say.
fn size_of_disk(directory: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    // Some file systems of networks say nothing.
    disk.f_blocks.checked_mul(disk.f_frsize).filter(|bytes| *bytes > 0)
}

fn new_file(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

async fn fill(file: &File, response: Response, room: &Room) -> Result<Facts> {
    let told = response.content_length();
    let mut facts = facts(response.headers(), 0);
    let mut writer = BufWriter::new(file);
    let mut sha256 = Sha256::new();
    let mut body = std::pin::pin!(response.bytes_stream());
    while let Some(bytes) = body.try_next().await.map_err(broken)? {
        sha256.update(&bytes);
        facts.size += bytes.len() as u64;
        room.takes(facts.size)?;
        // The page cache takes this at once, as a rule.
        writer.write_all(&bytes).map_err(disk)?;
    }
    writer.flush().map_err(disk)?;
    if told.is_some_and(|told| told != facts.size) {
        return Err(failed(format!("{} bytes came of {told:?}", facts.size)));
    }
    // A server that gives no ranges rarely tells versions apart, and the content always does.
    if facts.etag.is_none() {
        facts.etag = Some(format!("\"sha256-{}\"", BASE64_STANDARD.encode(sha256.finalize())));
    }
    Ok(facts)
}

/// A failure of the scratch disk.
pub fn disk(error: io::Error) -> Error {
    Error::Generic {
        store: "scratch",
        source: ScratchFailed(error).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_room_up_to_its_limit_or_the_size_of_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let room = |limit| {
            let directory = folder.path().to_owned();
            Scratch { directory, limit }.room()
        };
        let limited = room(Some(10));
        assert!(limited.takes(10).is_ok());
        let refused = scratch_failure(&limited.takes(11).unwrap_err());
        assert_eq!(
            refused.as_deref(),
            Some("it has more than the 10 bytes that a copy may take")
        );
        for unlimited in [room(None), room(Some(u64::MAX))] {
            assert!(unlimited.takes(1).is_ok());
            let refused = scratch_failure(&unlimited.takes(u64::MAX).unwrap_err());
            assert!(refused.unwrap().contains("that the scratch disk has in all"));
        }
    }
}
