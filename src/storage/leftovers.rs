//! What puts to a volume leave when they are cut off: `NAME#1` and so on, beside the object that was to be.
//!
//! `object_store` 0.14 (`local.rs`) writes there first and passes over such files in listings, but nobody removes them. A bucket has
//! none: its lifecycle rules clear parts of uploads.

use std::io;
use std::path::Path;

/// Removes those of the objects `keys` and of all that are directly in `folders`, below `root`; gives their number. Whoever is
/// writing one at the moment fails, and tries again.
///
/// # Errors
///
/// The first that could not be removed, or a folder that could not be read. A folder that is not there has none.
pub(super) fn remove(root: &Path, keys: &[&str], folders: &[&str]) -> io::Result<usize> {
    let own = |name: &str| keys.contains(&name);
    let mut removed = remove_in(root, own)?;
    for folder in folders {
        removed += remove_in(&root.join(folder), |_| true)?;
    }
    Ok(removed)
}

fn remove_in(folder: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<usize> {
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut removed = 0;
    for entry in entries {
        let path = entry?.path();
        if object_of(&path).is_some_and(&wanted) {
            std::fs::remove_file(&path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// The name of the object that a leftover was to become.
fn object_of(path: &Path) -> Option<&str> {
    let (name, number) = path.file_name()?.to_str()?.rsplit_once('#')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && path.is_file()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_leftovers_of_our_own_objects_are_removed() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("segments")).unwrap();
        let (ours, theirs) = (
            ["results.jsonl#1", "results.jsonl#12", "segments/a000001-00000000.seg#1"],
            [
                "results.jsonl",
                "notes#1",
                "results.jsonl#x",
                "results.jsonl#",
                "segments/a000001-00000000.seg",
            ],
        );
        for name in ours.iter().chain(&theirs) {
            std::fs::write(root.path().join(name), "x").unwrap();
        }
        assert_eq!(
            remove(root.path(), &["results.jsonl"], &["segments/", "none/"]).unwrap(),
            ours.len()
        );
        assert!(ours.iter().all(|name| !root.path().join(name).exists()));
        assert!(theirs.iter().all(|name| root.path().join(name).exists()));
    }
}
