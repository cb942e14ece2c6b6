//! Computes the checksum that a hub tells of a file.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::engine::repository_file::{Checksum, RepositoryFile};

/// How much is read at a time, in bytes.
const PIECE: usize = 1 << 20;

/// A checksum that is being computed.
pub(super) enum Hasher {
    Sha256(Sha256),
    GitBlob(Sha1),
}

impl Hasher {
    /// For a file that the hub describes.
    pub(super) fn for_file(file: &RepositoryFile) -> Self {
        match file.checksum() {
            Checksum::Sha256(_) => Self::Sha256(Sha256::new()),
            Checksum::GitBlob(_) => {
                let mut sha1 = Sha1::new();
                sha1.update(format!("blob {}\0", file.size()));
                Self::GitBlob(sha1)
            }
        }
    }

    /// Adds the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(sha256) => sha256.update(bytes),
            Self::GitBlob(sha1) => sha1.update(bytes),
        }
    }

    /// The digits for all bytes added.
    pub(super) fn finish(self) -> String {
        match self {
            Self::Sha256(sha256) => hexadecimal(&sha256.finalize()),
            Self::GitBlob(sha1) => hexadecimal(&sha1.finalize()),
        }
    }

    /// Adds all that is in a file on the disk.
    pub(super) async fn add_file(mut self, path: PathBuf) -> io::Result<Self> {
        let adding = tokio::task::spawn_blocking(move || {
            let mut file = File::open(path)?;
            let mut piece = vec![0; PIECE];
            loop {
                let read = file.read(&mut piece)?;
                if read == 0 {
                    return Ok(self);
                }
                self.update(&piece[..read]);
            }
        });
        adding.await.map_err(io::Error::other).flatten()
    }
}

fn hexadecimal(digest: &[u8]) -> String {
    let mut digits = String::new();
    for byte in digest {
        // Writing to a string does not fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(checksum: Checksum, content: &[u8]) -> String {
        let file = RepositoryFile::new("f", content.len() as u64, checksum).expect("a file");
        let mut hasher = Hasher::for_file(&file);
        hasher.update(content);
        hasher.finish()
    }

    /// As `sha256sum` and `git hash-object` print them.
    #[test]
    fn checksums_are_those_of_the_usual_tools() {
        let sha256 = Checksum::sha256(&"0".repeat(64)).expect("a checksum");
        assert_eq!(
            digits(sha256, b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let git = Checksum::git_blob(&"0".repeat(40)).expect("a checksum");
        assert_eq!(digits(git, b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    }
}
