//! A snapshot that somebody's own client brought, described as a hub would: for a claim that was filled by hand, where no hub answers.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::folder::Folder;
use crate::engine::repository_file::Checksum;

/// What a hub would answer for a commit, of the files that are there. Each is a link to a file that is named by its checksum; what is none
/// cannot be checked, and is left out.
pub(super) async fn answer(folder: &Folder, commit: &str) -> Option<Vec<u8>> {
    let root = folder.snapshot(commit);
    let walking = tokio::task::spawn_blocking(move || {
        let mut siblings = BTreeMap::new();
        walk(&root, &root, &mut siblings).map(|()| siblings)
    });
    let siblings: Vec<Value> = walking.await.ok()?.ok()?.into_values().collect();
    serde_json::to_vec(&json!({"sha": commit, "siblings": siblings})).ok()
}

fn walk(root: &Path, folder: &Path, siblings: &mut BTreeMap<String, Value>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            walk(root, &path, siblings)?;
        } else if let Some((name, sibling)) = sibling(root, &path) {
            siblings.insert(name, sibling);
        }
    }
    Ok(())
}

fn sibling(root: &Path, path: &Path) -> Option<(String, Value)> {
    let name = path.strip_prefix(root).ok()?.to_str()?.to_owned();
    let target = std::fs::read_link(path).ok()?;
    let checksum = target.file_name()?.to_str()?;
    let size = std::fs::metadata(path).ok()?.len();
    if Checksum::sha256(checksum).is_some() {
        let sibling = json!({"rfilename": name, "size": size, "lfs": {"sha256": checksum, "size": size}});
        return Some((name, sibling));
    }
    Checksum::git_blob(checksum)?;
    let sibling = json!({"rfilename": name, "size": size, "blobId": checksum});
    Some((name, sibling))
}
