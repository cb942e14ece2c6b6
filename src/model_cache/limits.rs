//! What the installation and the engine's version let in. The feeder asks that of the hub before; but it may have been told not to ask, or had
//! no answer.

use super::error::FillError;
use super::fill::{Filler, Listing};
use super::folder::{Folder, read_at_most};
use super::hasher::Hasher;
use crate::engine::repository::{CONFIG, Config, WeightsIndex, most_bytes};
use crate::engine::repository_file::RepositoryFile;
use crate::storage::{HubError, ModelHub};

impl<T> Filler<T> {
    /// Refuses a model that is too large, or that the engine is certain not to load. `hub` is asked for what the volume does not have; none
    /// where it has all that servers read.
    pub(super) async fn refuse(
        &self,
        folder: &Folder,
        listing: &Listing,
        hub: Option<&ModelHub>,
    ) -> Result<(), FillError> {
        let Some(limits) = &self.limits else {
            return Ok(());
        };
        let repository = &listing.repository;
        let config = self.small_file(folder, listing, hub, CONFIG).await?;
        let config = config.map(|file| Config::read(&file)).unwrap_or_default();
        limits.refuse_kind(repository, &config)?;
        let index = match repository.index_to_count() {
            Some(name) => self.small_file(folder, listing, hub, name).await?,
            None => None,
        };
        let index = index.and_then(|file| WeightsIndex::read(&file));
        limits.refuse_size(repository, &config, index.as_ref())?;
        Ok(())
    }

    /// A file of the repository; none where there is none, where it is too large for what it should be, or where nobody can be asked for it.
    async fn small_file(
        &self,
        folder: &Folder,
        listing: &Listing,
        hub: Option<&ModelHub>,
        name: &str,
    ) -> Result<Option<Vec<u8>>, FillError> {
        let Some(file) = listing.files.iter().find(|file| file.path() == name) else {
            return Ok(None);
        };
        if file.size() > most_bytes(name) as u64 {
            tracing::info!(file = name, bytes = file.size(), "the file is too large to be read");
            return Ok(None);
        }
        if let Some(content) = on_volume(folder, &listing.commit, file).await {
            return Ok(Some(content));
        }
        let Some(hub) = hub else {
            return Ok(None);
        };
        match hub.file(&self.wanted.repository, &listing.commit, name).await {
            Ok(content) => Ok(Some(content.to_vec())),
            Err(HubError::Unreachable(why)) => {
                tracing::info!(%why, file = name, "the file cannot be read");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// What the volume has of a small file, whoever brought it, where that is as it should be.
async fn on_volume(folder: &Folder, commit: &str, file: &RepositoryFile) -> Option<Vec<u8>> {
    let content = read_at_most(&folder.in_snapshot(commit, file), most_bytes(file.path())).await?;
    let mut hasher = Hasher::for_file(file);
    hasher.update(&content);
    (hasher.finish() == file.checksum().as_str()).then_some(content)
}
