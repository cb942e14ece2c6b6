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
use sha2::{Digest, Sha256};

use super::request::{Facts, Request, broken, facts, failed};
use crate::storage::error::ScratchFailed;

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
    /// Copies all that `request` asks for into `scratch`.
    ///
    /// # Errors
    ///
    /// The server's, or the disk's; that it has too little room, too.
    pub async fn of(request: &Request, scratch: &Scratch) -> Result<Self> {
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
        copy.facts = fill(&copy.file, request, scratch).await?;
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

impl Scratch {
    fn has_room_for(&self, bytes: u64) -> Result<()> {
        match self.limit {
            Some(limit) if bytes > limit => Err(disk(io::Error::other(format!(
                "it has more than the {limit} bytes that a copy may take"
            )))),
            _ => Ok(()),
        }
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

async fn fill(file: &File, request: &Request, scratch: &Scratch) -> Result<Facts> {
    let response = request.whole().await?;
    let told = response.content_length();
    scratch.has_room_for(told.unwrap_or_default())?;
    let mut facts = facts(response.headers(), 0);
    let mut writer = BufWriter::new(file);
    let mut sha256 = Sha256::new();
    let mut body = std::pin::pin!(response.bytes_stream());
    while let Some(bytes) = body.try_next().await.map_err(broken)? {
        sha256.update(&bytes);
        facts.size += bytes.len() as u64;
        scratch.has_room_for(facts.size)?;
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

fn disk(error: io::Error) -> Error {
    Error::Generic {
        store: "scratch",
        source: ScratchFailed(error).into(),
    }
}
