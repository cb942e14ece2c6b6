//! Brings one file onto the volume: goes on where an earlier start broke off, and gives the file its name only when its checksum is right.

use std::path::Path;

use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

use super::error::FillError;
use super::folder::{Folder, remove, size_of};
use super::hasher::Hasher;
use super::meter::Meter;
use crate::engine::repository_file::RepositoryFile;
use crate::storage::{Download, ModelHub};

/// From where to where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) hub: &'a ModelHub,
    pub(super) repository: &'a str,
    pub(super) commit: &'a str,
    pub(super) folder: &'a Folder,
    pub(super) meter: &'a Meter,
}

/// What is there of a file on its way.
struct Partial {
    hasher: Hasher,
    bytes: u64,
}

impl Source<'_> {
    /// Sees that a file is there, whole and as the hub describes it.
    ///
    /// # Errors
    ///
    /// [`FillError`]; what came of the file stays, unless it is wrong.
    pub(super) async fn bring(&self, file: &RepositoryFile) -> Result<(), FillError> {
        if self.has(file).await? {
            self.meter.add(file.size());
            return Ok(());
        }
        let path = self.folder.incomplete(file.checksum());
        let mut partial = take_up(file, &path).await?;
        self.meter.add(partial.bytes);
        if partial.bytes < file.size() {
            partial = self.complete(file, partial, &path).await?;
        }
        check(file, partial, &path).await?;
        self.folder.keep(file).await
    }

    /// Whether the file is there, left by an earlier start that was killed, or by somebody's own client. One that is wrong is removed.
    async fn has(&self, file: &RepositoryFile) -> Result<bool, FillError> {
        let path = self.folder.blob(file.checksum());
        if size_of(&path).await == Some(file.size()) {
            let read = Hasher::for_file(file).add_file(path.clone()).await;
            let (hasher, _) = read.map_err(FillError::at(&path))?;
            if hasher.finish() == file.checksum().as_str() {
                return Ok(true);
            }
        }
        remove(&path).await?;
        Ok(false)
    }

    /// Downloads what is missing.
    async fn complete(&self, file: &RepositoryFile, partial: Partial, path: &Path) -> Result<Partial, FillError> {
        let there = partial.bytes;
        let asked = self.hub.download(self.repository, self.commit, file.path(), there);
        let download = asked.await?;
        match download.start() {
            start if start == there => self.append(download, partial, path).await,
            // The hub gives no parts.
            0 => {
                self.meter.take_back(there);
                File::create(path).await.map_err(FillError::at(path))?;
                let nothing = Partial {
                    hasher: Hasher::for_file(file),
                    bytes: 0,
                };
                self.append(download, nothing, path).await
            }
            start => Err(FillError::Unclear(format!(
                "{} was asked for from byte {there} on, and came from byte {start} on",
                file.path()
            ))),
        }
    }

    /// Writes what comes behind what is there. It stays on the disk for the next try, whatever goes wrong.
    async fn append(&self, mut download: Download, mut partial: Partial, path: &Path) -> Result<Partial, FillError> {
        let mut output = open_to_append(path).await?;
        let came: Result<(), FillError> = loop {
            match download.chunk().await {
                Ok(Some(chunk)) => {
                    output.write_all(&chunk).await.map_err(FillError::at(path))?;
                    partial.hasher.update(&chunk);
                    partial.bytes += chunk.len() as u64;
                    self.meter.add_downloaded(chunk.len() as u64);
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            }
        };
        output.flush().await.map_err(FillError::at(path))?;
        output.sync_all().await.map_err(FillError::at(path))?;
        came.map(|()| partial)
    }
}

/// What an earlier start left of a file; an empty file, where that is nothing of use.
async fn take_up(file: &RepositoryFile, path: &Path) -> Result<Partial, FillError> {
    let hasher = Hasher::for_file(file);
    if size_of(path).await.is_some_and(|size| size <= file.size()) {
        let (hasher, bytes) = hasher.add_file(path.to_owned()).await.map_err(FillError::at(path))?;
        return Ok(Partial { hasher, bytes });
    }
    File::create(path).await.map_err(FillError::at(path))?;
    Ok(Partial { hasher, bytes: 0 })
}

async fn open_to_append(path: &Path) -> Result<File, FillError> {
    let opened = OpenOptions::new().append(true).open(path).await;
    opened.map_err(FillError::at(path))
}

/// Refuses a file that is not as the hub describes it. One that is only not whole stays, to be gone on with.
async fn check(file: &RepositoryFile, partial: Partial, path: &Path) -> Result<(), FillError> {
    let Partial { hasher, bytes } = partial;
    if bytes < file.size() {
        return Err(FillError::CutShort {
            file: file.path().to_owned(),
            bytes,
            size: file.size(),
        });
    }
    let (found, expected) = (hasher.finish(), file.checksum().as_str());
    if found == expected {
        return Ok(());
    }
    remove(path).await?;
    Err(FillError::Damaged {
        file: file.path().to_owned(),
        expected: expected.to_owned(),
        found,
    })
}
