//! What is known of a commit on the volume: what its repository has, and which files were found to be as they should be. Written last,
//! so that what it names needs neither the hub nor a look at every byte.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::FillError;
use super::folder::{Folder, read_at_most, size_of, write_whole};
use crate::engine::repository_file::RepositoryFile;

const FORMAT: &str = "batchinference.dev/model-cache/v1";
/// In bytes: a hub's answer, of which at most 32 MiB are read, and paths of it once more.
const LARGEST: usize = 64 << 20;

/// The marker of a commit.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Marker {
    format: String,
    /// The hub's answer of then: of a commit it stays what it was.
    repository: Box<RawValue>,
    /// Files whose content was checked, with their sizes in bytes.
    checked: BTreeMap<String, u64>,
    /// That no hub has answered, and the files are those that somebody's own client brought.
    #[serde(default)]
    is_of_snapshot: bool,
}

impl Marker {
    /// One of a repository of which no file is known to be good. `answer` is the hub's.
    pub(super) fn new(answer: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(Self {
            format: FORMAT.to_owned(),
            repository: serde_json::from_slice(answer)?,
            checked: BTreeMap::new(),
            is_of_snapshot: false,
        })
    }

    /// One of a snapshot that somebody's own client brought. `answer` is what a hub would say of it.
    pub(super) fn of_snapshot(answer: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(Self {
            is_of_snapshot: true,
            ..Self::new(answer)?
        })
    }

    /// Whether it has all files of the commit.
    pub(super) fn is_of_hub(&self) -> bool {
        !self.is_of_snapshot
    }

    /// With the files that another one of the same commit knows to be good: they stay so.
    pub(super) fn with_checked_of(mut self, other: Option<Self>) -> Self {
        self.checked
            .extend(other.map(|other| other.checked).unwrap_or_default());
        self
    }

    /// The one on the volume; none where there is none that can be read.
    pub(super) async fn read(folder: &Folder, commit: &str) -> Option<Self> {
        let content = read_at_most(&folder.marker(commit), LARGEST).await?;
        let marker: Self = serde_json::from_slice(&content).ok()?;
        (marker.format == FORMAT).then_some(marker)
    }

    pub(super) async fn write(&self, folder: &Folder, commit: &str) -> Result<(), FillError> {
        let content = serde_json::to_vec(self).map_err(|error| FillError::Unclear(error.to_string()))?;
        write_whole(&folder.marker(commit), &content).await
    }

    /// The hub's answer.
    pub(super) fn answer(&self) -> &[u8] {
        self.repository.get().as_bytes()
    }

    /// Notes that a file is as it should be.
    pub(super) fn note(&mut self, file: &RepositoryFile) {
        self.checked.insert(file.path().to_owned(), file.size());
    }

    /// Whether a file was checked, and is still there.
    pub(super) async fn holds(&self, folder: &Folder, commit: &str, file: &RepositoryFile) -> bool {
        let is_checked = self.checked.get(file.path()) == Some(&file.size());
        is_checked && size_of(&folder.in_snapshot(commit, file)).await == Some(file.size())
    }
}
