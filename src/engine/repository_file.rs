//! One file of a repository: its path, size and checksum. Types that only hold what may become a name on a disk.

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryFile {
    path: String,
    size: u64,
    checksum: Checksum,
}

/// What the hub says by which a file's content is known; in hexadecimal, lower case. Its clients name files in their caches by it
/// (the entity tag; `huggingface_hub`, `file_download.py`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Checksum {
    /// SHA-256 of the content, of a large file.
    Sha256(String),
    /// Git's own: SHA-1 of `blob SIZE`, a zero byte and the content.
    GitBlob(String),
}

impl RepositoryFile {
    /// A file; none when the path leads out of its repository, or is hidden from some systems.
    #[must_use]
    pub fn new(path: &str, size: u64, checksum: Checksum) -> Option<Self> {
        is_plain_path(path).then(|| Self {
            path: path.to_owned(),
            size,
            checksum,
        })
    }

    /// The path below the repository, with slashes.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// In bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Of the content.
    #[must_use]
    pub fn checksum(&self) -> &Checksum {
        &self.checksum
    }
}

impl Checksum {
    /// SHA-256, from its 64 digits.
    #[must_use]
    pub fn sha256(digits: &str) -> Option<Self> {
        is_hexadecimal(digits, 64).then(|| Self::Sha256(digits.to_owned()))
    }

    /// Git's, from its 40 digits.
    #[must_use]
    pub fn git_blob(digits: &str) -> Option<Self> {
        is_hexadecimal(digits, 40).then(|| Self::GitBlob(digits.to_owned()))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sha256(digits) | Self::GitBlob(digits) => digits,
        }
    }
}

/// Whether this is a whole commit, as git names it.
#[must_use]
pub fn is_commit(revision: &str) -> bool {
    is_hexadecimal(revision, 40)
}

/// Whether a relative path stays below where it begins.
#[must_use]
pub fn is_plain_path(path: &str) -> bool {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
    path.split('/').all(is_plain)
}

fn is_hexadecimal(digits: &str, length: usize) -> bool {
    let is_digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    digits.len() == length && digits.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_its_repository() {
        for (path, is_plain) in [
            ("config.json", true),
            ("1_Pooling/config.json", true),
            (".gitattributes", true),
            ("a..b/c", true),
            ("../config.json", false),
            ("a/../../b", false),
            ("/etc/passwd", false),
            ("a//b", false),
            ("a\\b", false),
            ("", false),
            (".", false),
        ] {
            assert_eq!(is_plain_path(path), is_plain, "{path}");
        }
    }

    #[test]
    fn a_checksum_is_so_many_hexadecimal_digits() {
        let (long, short) = ("a1".repeat(32), "b2".repeat(20));
        assert_eq!(Checksum::sha256(&long).expect("a checksum").as_str(), long);
        assert_eq!(Checksum::git_blob(&short).expect("a checksum").as_str(), short);
        for wrong in [&short, &"A1".repeat(32), &"../../../".repeat(8), &String::new()] {
            assert_eq!(Checksum::sha256(wrong), None, "{wrong}");
        }
        assert!(is_commit(&short) && !is_commit("main") && !is_commit(&long));
    }
}
