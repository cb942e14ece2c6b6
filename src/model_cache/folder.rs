//! Where a model lies on the volume: as a Hugging Face hub's own clients keep it, so that they find it, and so that what they have
//! brought there is found (<https://huggingface.co/docs/huggingface_hub/guides/manage-cache>).
//!
//!     hub/models--ORG--NAME/blobs/CHECKSUM                     the files
//!     hub/models--ORG--NAME/blobs/CHECKSUM.incomplete          one on its way
//!     hub/models--ORG--NAME/snapshots/COMMIT/PATH              a link to a file
//!     hub/models--ORG--NAME/refs/REVISION                      the commit of a branch
//!     batch-inference/models--ORG--NAME/lock, COMMIT.json      who fills it, and what is known to be good

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::fs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::error::FillError;
use crate::engine::model_cache;
use crate::engine::repository_file::{Checksum, RepositoryFile, is_plain_path};

/// What is there besides the models.
const OWN: &str = "batch-inference";
/// Servers of any user read the files.
const READABLE: u32 = 0o644;
/// In bytes: a commit has 40.
const LARGEST_REFERENCE: usize = 1 << 10;

/// The folders of one repository.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    hub: PathBuf,
    own: PathBuf,
}

impl Folder {
    /// Those of a repository, on the volume that is mounted at `volume`.
    pub(super) fn new(volume: &Path, repository: &str) -> Self {
        let name = model_cache::folder(repository);
        Self {
            hub: volume.join(model_cache::HUB).join(&name),
            own: volume.join(OWN).join(name),
        }
    }

    /// Makes them.
    pub(super) async fn make(&self, commit: &str) -> Result<(), FillError> {
        for path in [self.own.clone(), self.hub.join("blobs"), self.snapshot(commit)] {
            fs::create_dir_all(&path).await.map_err(FillError::at(&path))?;
        }
        Ok(())
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.own.join("lock")
    }

    pub(super) fn marker(&self, commit: &str) -> PathBuf {
        self.own.join(format!("{commit}.json"))
    }

    pub(super) fn blob(&self, checksum: &Checksum) -> PathBuf {
        self.hub.join("blobs").join(checksum.as_str())
    }

    /// A file on its way, by the name that hub clients give it, too.
    pub(super) fn incomplete(&self, checksum: &Checksum) -> PathBuf {
        self.hub.join("blobs").join(format!("{}.incomplete", checksum.as_str()))
    }

    pub(super) fn in_snapshot(&self, commit: &str, file: &RepositoryFile) -> PathBuf {
        self.snapshot(commit).join(file.path())
    }

    /// Where all files of a commit are.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.hub.join("snapshots").join(commit)
    }

    /// The commit that a revision stood for when it was last asked for.
    pub(super) async fn read_reference(&self, revision: &str) -> Option<String> {
        let path = self.reference(revision)?;
        let commit = String::from_utf8(read_at_most(&path, LARGEST_REFERENCE).await?).ok()?;
        Some(commit.trim().to_owned())
    }

    /// Notes which commit a revision stands for. Readers in Rust (hf-hub, in LoRAX) look a commit up there, too.
    pub(super) async fn write_reference(&self, revision: &str, commit: &str) -> Result<(), FillError> {
        let Some(path) = self.reference(revision) else {
            return Ok(());
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).await.map_err(FillError::at(folder))?;
        }
        write_whole(&path, commit.as_bytes()).await
    }

    /// None for a revision that would lead elsewhere.
    fn reference(&self, revision: &str) -> Option<PathBuf> {
        is_plain_path(revision).then(|| self.hub.join("refs").join(revision))
    }

    /// Puts a whole file in its place, for everybody to read.
    pub(super) async fn keep(&self, file: &RepositoryFile) -> Result<(), FillError> {
        let (from, to) = (self.incomplete(file.checksum()), self.blob(file.checksum()));
        // Some file servers know no modes: then everybody has those of the mount.
        let _ = fs::set_permissions(&from, std::fs::Permissions::from_mode(READABLE)).await;
        fs::rename(&from, &to).await.map_err(FillError::at(&to))
    }

    /// Puts a file, whose content was checked, into a snapshot: as a link to it, or itself where the volume has no links. Whatever else is
    /// there in its place was not checked.
    pub(super) async fn link(&self, commit: &str, file: &RepositoryFile) -> Result<(), FillError> {
        let path = self.in_snapshot(commit, file);
        let up = "../".repeat(file.path().matches('/').count() + 2);
        let target = PathBuf::from(format!("{up}blobs/{}", file.checksum().as_str()));
        if fs::read_link(&path).await.is_ok_and(|found| found == target) {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).await.map_err(FillError::at(folder))?;
        }
        let new = beside(&path);
        let made = link_or_copy(&target, &self.blob(file.checksum()), &new).await;
        let put = match made {
            Ok(()) => fs::rename(&new, &path).await,
            Err(error) => Err(error),
        };
        // It is still there after a failure, and where both were names of the same file already (rename(2)).
        let _ = fs::remove_file(&new).await;
        put.map_err(FillError::at(&path))
    }
}

/// Makes `new` a symbolic link, where the volume has those, else a second name of the file, else a copy.
async fn link_or_copy(target: &Path, blob: &Path, new: &Path) -> io::Result<()> {
    match fs::symlink(target, new).await {
        Err(error) if has_no_links(&error) => {}
        linked => return linked,
    }
    match fs::hard_link(blob, new).await {
        Err(error) if has_no_links(&error) => {}
        linked => return linked,
    }
    fs::copy(blob, new).await.map(drop)
}

/// What a volume says that has no such links (`symlink(2)`, `link(2)`).
fn has_no_links(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
    )
}

/// A name beside a file's, for what takes its place as a whole.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:08x}", rand::random::<u32>()));
    path.with_file_name(name)
}

/// The size of a file, or of what a link leads to; none when there is none.
pub(super) async fn size_of(path: &Path) -> Option<u64> {
    let metadata = fs::metadata(path).await.ok()?;
    metadata.is_file().then_some(metadata.len())
}

/// The content of a file of at most so many bytes; none of one that is larger, as anybody may write to the volume, or cannot be read.
pub(super) async fn read_at_most(path: &Path, most: usize) -> Option<Vec<u8>> {
    let file = fs::File::open(path).await.ok()?;
    let mut content = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut content).await.ok()?;
    (content.len() <= most).then_some(content)
}

/// Removes a file that may be there.
pub(super) async fn remove(path: &Path) -> Result<(), FillError> {
    match fs::remove_file(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FillError::at(path)(error)),
        _ => Ok(()),
    }
}

/// Writes a small file so that nobody ever sees a part of it.
pub(super) async fn write_whole(path: &Path, content: &[u8]) -> Result<(), FillError> {
    let new = beside(path);
    let failed = FillError::at(&new);
    let written = async {
        let mut file = fs::File::create(&new).await?;
        file.write_all(content).await?;
        // Else the failure of a write is not told.
        file.flush().await?;
        file.sync_all().await
    };
    let written: io::Result<()> = written.await;
    if written.is_err() {
        let _ = fs::remove_file(&new).await;
    }
    written.map_err(failed)?;
    fs::rename(&new, path).await.map_err(FillError::at(path))
}
