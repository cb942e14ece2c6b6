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
        let there = take_up(file, &path).await?;
        self.meter.add(there);
        self.complete(file, there, &path).await?;
        check(file, &path).await?;
        self.folder.keep(file).await
    }

    /// Whether the file is there, left by an earlier start that was killed, or by somebody's own client. One that is wrong is removed.
    async fn has(&self, file: &RepositoryFile) -> Result<bool, FillError> {
        let path = self.folder.blob(file.checksum());
        if size_of(&path).await == Some(file.size()) && checksum_of(file, &path).await? == file.checksum().as_str() {
            return Ok(true);
        }
        remove(&path).await?;
        Ok(false)
    }

    /// Downloads what is missing behind the bytes that are there. A connection that breaks off is followed by another, as long as each brings
    /// something.
    async fn complete(&self, file: &RepositoryFile, mut there: u64, path: &Path) -> Result<(), FillError> {
        while there < file.size() {
            let before = there;
            let downloaded = self.download(file, &mut there, path).await;
            if let Err(error) = downloaded
                && (there <= before || !error.is_broken_connection())
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Downloads over one connection; `there` is always what is on the disk.
    async fn download(&self, file: &RepositoryFile, there: &mut u64, path: &Path) -> Result<(), FillError> {
        let asked = self.hub.download(self.repository, self.commit, file.path(), *there);
        let download = asked.await?;
        match download.start() {
            start if start == *there => {}
            // The hub gives no parts.
            0 => {
                File::create(path).await.map_err(FillError::at(path))?;
                self.meter.take_back(*there);
                *there = 0;
            }
            start => {
                return Err(FillError::Unclear(format!(
                    "{} was asked for from byte {there} on, and came from byte {start} on",
                    file.path()
                )));
            }
        }
        self.append(download, there, path).await?;
        if *there < file.size() {
            return Err(FillError::CutShort {
                file: file.path().to_owned(),
                bytes: *there,
                size: file.size(),
            });
        }
        Ok(())
    }

    /// Writes what comes behind what is there. It stays on the disk for the next try, whatever goes wrong.
    async fn append(&self, mut download: Download, there: &mut u64, path: &Path) -> Result<(), FillError> {
        let mut output = open_to_append(path).await?;
        let came: Result<(), FillError> = loop {
            match download.chunk().await {
                Ok(Some(chunk)) => {
                    output.write_all(&chunk).await.map_err(FillError::at(path))?;
                    *there += chunk.len() as u64;
                    self.meter.add_downloaded(chunk.len() as u64);
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            }
        };
        output.flush().await.map_err(FillError::at(path))?;
        output.sync_all().await.map_err(FillError::at(path))?;
        came
    }
}

/// How many bytes an earlier start left of a file; an empty file, where that is nothing of use.
async fn take_up(file: &RepositoryFile, path: &Path) -> Result<u64, FillError> {
    if let Some(size) = size_of(path).await.filter(|size| *size <= file.size()) {
        return Ok(size);
    }
    File::create(path).await.map_err(FillError::at(path))?;
    Ok(0)
}

async fn open_to_append(path: &Path) -> Result<File, FillError> {
    let opened = OpenOptions::new().append(true).open(path).await;
    opened.map_err(FillError::at(path))
}

/// Refuses a file that is not as the hub describes it. It is read from the disk: what was written says nothing of what else was, by an
/// earlier start of the same job that is not gone yet, or by a write that was still under way when its download was given up.
async fn check(file: &RepositoryFile, path: &Path) -> Result<(), FillError> {
    let bytes = size_of(path).await.unwrap_or(0);
    let (found, expected) = if bytes == file.size() {
        let words = |checksum: &str| format!("the checksum {checksum}");
        (words(&checksum_of(file, path).await?), words(file.checksum().as_str()))
    } else {
        (format!("{bytes} bytes"), format!("{} bytes", file.size()))
    };
    if found == expected {
        return Ok(());
    }
    remove(path).await?;
    Err(FillError::Damaged {
        file: file.path().to_owned(),
        expected,
        found,
    })
}

/// The checksum of what is on the disk.
async fn checksum_of(file: &RepositoryFile, path: &Path) -> Result<String, FillError> {
    let read = Hasher::for_file(file).add_file(path.to_owned()).await;
    Ok(read.map_err(FillError::at(path))?.finish())
}
