//! The order of the work: what the model's repository has, which of it the engine reads, what of that is there, and the rest from the
//! hub.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures::{StreamExt, stream};

use super::download::Source;
use super::error::FillError;
use super::folder::Folder;
use super::lock::{Holder, Lock, Rhythm};
use super::marker::Marker;
use super::meter::Meter;
use super::snapshot;
use crate::engine::gguf::Choice;
use crate::engine::model_files::{Selection, select};
use crate::engine::repository::Repository;
use crate::engine::repository_file::{Checksum, RepositoryFile, is_commit};
use crate::engine::{Engine, ModelLimits};
use crate::storage::{HubError, ModelHub};

/// Files that are downloaded at a time: one connection rarely has all that the network gives.
const AT_A_TIME: usize = 4;

/// What one job's servers need.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) engine: Engine,
    pub(super) repository: String,
    /// A commit where it is known, else a branch or tag.
    pub(super) revision: String,
    /// For llama-server.
    pub(super) choice: Choice,
}

/// What is known so far, for whoever reports.
pub(super) trait Told {
    /// What is to be there.
    fn expects(&self, commit: &str, selection: &Selection);
    /// This job fills the cache from now on.
    fn fills(&self);
    /// Another job fills the same model.
    fn waits_for(&self, job: &str);
}

/// Fills a model cache for one job.
#[derive(Debug)]
pub(super) struct Filler<T> {
    pub(super) hub: ModelHub,
    /// Where the claim is mounted.
    pub(super) volume: PathBuf,
    pub(super) wanted: Wanted,
    /// Not where an earlier filling for this job has let the model in.
    pub(super) limits: Option<ModelLimits>,
    pub(super) holder: Holder,
    pub(super) rhythm: Rhythm,
    pub(super) meter: Arc<Meter>,
    pub(super) told: T,
}

/// A commit of a repository.
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) marker: Marker,
    pub(super) repository: Repository,
    /// All that the repository has.
    pub(super) files: Vec<RepositoryFile>,
    /// What of that servers read.
    pub(super) selection: Selection,
}

impl<T: Told> Filler<T> {
    /// Sees that everything is there that servers read. May be stopped anywhere and run again.
    ///
    /// # Errors
    ///
    /// [`FillError`].
    pub(super) async fn fill(&self) -> Result<(), FillError> {
        self.meter.begin();
        let folder = Folder::new(&self.volume, &self.wanted.repository);
        let listing = self.listing(&folder).await?;
        let is_there = self.is_there(&folder, &listing).await;
        self.refuse(&folder, &listing, (!is_there).then_some(&self.hub)).await?;
        self.told.expects(&listing.commit, &listing.selection);
        if is_there {
            self.note_revision(&folder, &listing.commit).await;
            self.meter.begin();
            self.meter.add(listing.selection.bytes());
            return Ok(());
        }
        folder.make(&listing.commit).await?;
        let lock = self.lock(&folder);
        lock.acquire(|job| self.told.waits_for(job)).await?;
        self.told.fills();
        let filled = tokio::select! {
            filled = self.fill_alone(&folder, listing) => filled,
            lost = lock.hold() => return Err(lost),
        };
        lock.release().await;
        filled
    }

    /// Gives back what others wait for, when the filling was stopped in the middle.
    pub(super) async fn give_back(&self) {
        let folder = Folder::new(&self.volume, &self.wanted.repository);
        self.lock(&folder).release().await;
    }

    fn lock(&self, folder: &Folder) -> Lock {
        Lock::new(folder.lock(), self.holder.clone(), self.rhythm)
    }

    /// What is on the volume is asked before the hub: of a commit, that is enough.
    async fn listing(&self, folder: &Folder) -> Result<Listing, FillError> {
        let revision = &self.wanted.revision;
        if is_commit(revision)
            && let Some(marker) = Marker::read(folder, revision).await
            && marker.is_of_hub()
        {
            return self.select(revision, marker);
        }
        match self.ask().await {
            Err(error) => self.listing_without_hub(folder, error).await,
            Ok((commit, marker)) => {
                let before = Marker::read(folder, &commit).await;
                self.select(&commit, marker.with_checked_of(before))
            }
        }
    }

    /// A cache that was filled before needs no hub: neither one that says nothing, nor one that has the model no longer, or not for this job.
    /// What the latter refuses was given to whoever filled the claim, so that it must be there to the last file. A snapshot of somebody's own
    /// client may lack what the repository has, so that no job is refused for it.
    async fn listing_without_hub(&self, folder: &Folder, why: FillError) -> Result<Listing, FillError> {
        let Some((commit, marker)) = self.known(folder).await else {
            return Err(why);
        };
        let is_away = matches!(why, FillError::Hub(HubError::Unreachable(_)) | FillError::Unclear(_));
        let lists_all = marker.is_of_hub();
        let listing = self.select(&commit, marker);
        let is_taken = match &listing {
            Ok(listing) => is_away || self.is_there(folder, listing).await,
            Err(_) => is_away && lists_all,
        };
        if !is_taken {
            return Err(why);
        }
        tracing::warn!(%why, %commit, "the hub does not give the model, which is taken as it was last");
        listing
    }

    async fn ask(&self) -> Result<(String, Marker), FillError> {
        let Wanted {
            repository, revision, ..
        } = &self.wanted;
        let answer = self.hub.model_with_files(repository, revision).await?;
        let unclear = |error: serde_json::Error| FillError::Unclear(error.to_string());
        let commit = Repository::read(&answer).map_err(unclear)?.sha;
        let commit = commit.filter(|commit| is_commit(commit));
        let commit = commit.ok_or_else(|| FillError::Unclear("it names no commit".to_owned()))?;
        Ok((commit, Marker::new(&answer).map_err(unclear)?))
    }

    /// The commit that the revision stood for when it was last asked for, by this program or by somebody's own client, with what is there of
    /// it.
    async fn known(&self, folder: &Folder) -> Option<(String, Marker)> {
        let revision = &self.wanted.revision;
        let commit = if is_commit(revision) {
            revision.clone()
        } else {
            let noted = folder.read_reference(revision).await;
            noted.filter(|noted| is_commit(noted))?
        };
        let before = Marker::read(folder, &commit).await;
        if let Some(marker) = before.as_ref().filter(|marker| marker.is_of_hub()) {
            return Some((commit, marker.clone()));
        }
        let answer = snapshot::answer(folder, &commit).await?;
        let marker = Marker::of_snapshot(&answer).ok()?;
        Some((commit, marker.with_checked_of(before)))
    }

    fn select(&self, commit: &str, marker: Marker) -> Result<Listing, FillError> {
        let Wanted {
            engine,
            repository,
            choice,
            ..
        } = &self.wanted;
        let read = Repository::read(marker.answer());
        let read = read.map_err(|error| FillError::Unclear(error.to_string()))?;
        let files = read.described_files();
        let files = files
            .map_err(|file| FillError::Unclear(format!("it does not say size and checksum of the file {file}")))?;
        if files.is_empty() {
            return Err(FillError::Unclear("it lists no file".to_owned()));
        }
        Ok(Listing {
            commit: commit.to_owned(),
            selection: select(*engine, repository, &files, choice)?,
            repository: read,
            files,
            marker,
        })
    }

    async fn is_there(&self, folder: &Folder, listing: &Listing) -> bool {
        for file in &listing.selection.files {
            if !listing.marker.holds(folder, &listing.commit, file).await {
                return false;
            }
        }
        true
    }

    /// Notes which commit the revision stands for, for a time without a hub. Servers are told the commit.
    async fn note_revision(&self, folder: &Folder, commit: &str) {
        let revision = &self.wanted.revision;
        if folder.read_reference(revision).await.as_deref() == Some(commit) {
            return;
        }
        if let Err(error) = folder.write_reference(revision, commit).await {
            tracing::warn!(%error, "the commit of the revision could not be noted in the model cache");
        }
    }

    /// What is left, when no other job does it.
    async fn fill_alone(&self, folder: &Folder, listing: Listing) -> Result<(), FillError> {
        let Listing {
            commit,
            marker,
            selection,
            ..
        } = listing;
        // Another job may have gone on until now.
        let mut marker = marker.with_checked_of(Marker::read(folder, &commit).await);
        let mut missing: BTreeMap<&Checksum, Vec<&RepositoryFile>> = BTreeMap::new();
        for file in &selection.files {
            if marker.holds(folder, &commit, file).await {
                self.meter.add(file.size());
            } else {
                missing.entry(file.checksum()).or_default().push(file);
            }
        }
        folder.write_reference(&commit, &commit).await?;
        self.bring(folder, &commit, &mut marker, missing).await?;
        self.note_revision(folder, &commit).await;
        self.meter.begin();
        self.meter.add(selection.bytes());
        Ok(())
    }

    /// Brings files; those of the same content are one. What one fails with does not give up the others, and each is noted at once, so that the
    /// next try reads none of them again. The first failure.
    async fn bring(
        &self,
        folder: &Folder,
        commit: &str,
        marker: &mut Marker,
        missing: BTreeMap<&Checksum, Vec<&RepositoryFile>>,
    ) -> Result<(), FillError> {
        let source = Source {
            hub: &self.hub,
            repository: &self.wanted.repository,
            commit,
            folder,
            meter: &self.meter,
        };
        let downloads = missing.into_values().map(move |alike| async move {
            let brought = source.bring(alike[0]).await;
            (alike, brought)
        });
        let mut downloads = stream::iter(downloads).buffer_unordered(AT_A_TIME);
        let mut all = Ok(());
        while let Some((alike, brought)) = downloads.next().await {
            let kept = match brought {
                Ok(()) => note(folder, commit, marker, &alike).await,
                Err(error) => Err(error),
            };
            all = all.and(kept);
        }
        all
    }
}

/// Puts files of the same content, which is there, into the snapshot, and notes that they are good.
async fn note(folder: &Folder, commit: &str, marker: &mut Marker, alike: &[&RepositoryFile]) -> Result<(), FillError> {
    for file in alike {
        folder.link(commit, file).await?;
        marker.note(file);
    }
    marker.write(folder, commit).await
}

#[cfg(test)]
#[path = "fill_tests.rs"]
mod tests;
