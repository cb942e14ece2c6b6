//! A file of this machine, in parts.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use bytes::Bytes;

use super::UploadError;
use crate::storage::part_bytes;

/// Large enough that what each costs beside its bytes (a connection, a process) does not count, small enough to be sent again.
const SMALLEST_PART: u64 = 8 << 20;

/// A file that is read in parts, any number of times.
pub struct Pieces {
    file: File,
    path: PathBuf,
    /// Its size, in bytes, when it was opened.
    pub bytes: u64,
    part: u64,
}

impl Pieces {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// [`UploadError::File`].
    pub fn open(path: &str) -> Result<Self, UploadError> {
        let unreadable = |source| UploadError::File {
            path: path.into(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        Ok(Self {
            file,
            path: path.into(),
            bytes,
            part: part_bytes(bytes).max(SMALLEST_PART),
        })
    }

    /// The size of every part but the last, in bytes.
    #[must_use]
    pub fn part_bytes(&self) -> usize {
        usize::try_from(self.part).unwrap_or(usize::MAX)
    }

    /// How many parts there are.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::try_from(self.bytes.div_ceil(self.part)).unwrap_or(usize::MAX)
    }

    /// Reads one, counted from 0.
    ///
    /// # Errors
    ///
    /// [`UploadError::File`], also when the file is shorter than it was.
    pub fn read(&self, number: usize) -> Result<Bytes, UploadError> {
        let start = self.part * number as u64;
        let size = self.part.min(self.bytes.saturating_sub(start));
        let mut piece = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        let read = self.file.read_exact_at(&mut piece, start);
        read.map_err(|source| UploadError::File {
            path: self.path.clone(),
            source,
        })?;
        Ok(piece.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_file_are_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let part = usize::try_from(SMALLEST_PART).unwrap();
        for bytes in [1, part - 1, part, part + 1, 2 * part + 7] {
            let content: Vec<u8> = (0..=255).cycle().take(bytes).collect();
            std::fs::write(&path, &content).unwrap();
            let pieces = Pieces::open(path.to_str().unwrap()).unwrap();
            let read: Vec<Bytes> = (0..pieces.count()).map(|number| pieces.read(number).unwrap()).collect();
            let (_, whole) = read.split_last().unwrap();
            assert!(whole.iter().all(|piece| piece.len() == pieces.part_bytes()), "{bytes}");
            assert!(read.concat() == content, "{bytes}");
        }
    }

    #[test]
    fn a_file_that_shrinks_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, "0123456789").unwrap();
        let pieces = Pieces::open(path.to_str().unwrap()).unwrap();
        std::fs::write(&path, "0").unwrap();
        let error = pieces.read(0).unwrap_err().to_string();
        assert!(error.ends_with("rows.jsonl` cannot be read"), "{error}");
    }
}
