//! What the installation and the engine's version let in. The feeder asks that of the hub before; but it may have been told not to ask, or had
//! no answer.

use super::error::FillError;
use super::fill::{Filler, Listing};
use super::folder::Folder;
use crate::engine::repository::{CONFIG, Config, WeightsIndex};
use crate::engine::{refuse_architecture, refuse_size};
use crate::storage::HubError;

/// Which models may be brought.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// The most parameters that one may have.
    pub(super) most_parameters: u64,
    /// The servers' image.
    pub(super) image: String,
}

impl<T> Filler<T> {
    /// Refuses a model that is too large, or that the engine is certain not to load.
    pub(super) async fn refuse(&self, folder: &Folder, listing: &Listing) -> Result<(), FillError> {
        let Some(Limits { most_parameters, image }) = &self.limits else {
            return Ok(());
        };
        let model = &self.wanted.repository;
        let config = self.small_file(folder, listing, CONFIG).await?;
        let config = config.map(|file| Config::read(&file)).unwrap_or_default();
        refuse_architecture(self.wanted.engine, image, model, config.architecture())?;
        let index = match listing.repository.index_to_count() {
            Some(name) => self.small_file(folder, listing, name).await?,
            None => None,
        };
        let index = index.and_then(|file| WeightsIndex::read(&file));
        match listing.repository.parameters(&config, index.as_ref()) {
            Some(parameters) => Ok(refuse_size(model, parameters, *most_parameters)?),
            None => Ok(()),
        }
    }

    /// A file of the repository, from the volume where it is known to be good there; none where there is none, or no hub to ask.
    async fn small_file(&self, folder: &Folder, listing: &Listing, name: &str) -> Result<Option<Vec<u8>>, FillError> {
        if !listing.repository.has(name) {
            return Ok(None);
        }
        let Listing {
            commit,
            marker,
            selection,
            ..
        } = listing;
        let known = selection.files.iter().find(|file| file.path() == name);
        if let Some(file) = known
            && marker.holds(folder, commit, file).await
            && let Ok(content) = tokio::fs::read(folder.in_snapshot(commit, file)).await
        {
            return Ok(Some(content));
        }
        match self.hub.file(&self.wanted.repository, commit, name).await {
            Ok(content) => Ok(Some(content.to_vec())),
            Err(HubError::Unreachable(why)) => {
                tracing::info!(%why, file = name, "the file cannot be read");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}
