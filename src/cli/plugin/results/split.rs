//! The two files of a finished output, as they are.

use std::path::Path;

use super::error::FetchError;
use super::part_file::PartFile;
use super::stored_file::StoredFile;
use crate::results::{Manifest, OutputFile};
use crate::storage::Store;

/// Fetches both files into a folder, which is made. Each goes on where an earlier fetch broke off.
///
/// # Errors
///
/// [`FetchError`]; what is fetched stays in `.part` files.
pub async fn fetch(store: &Store, manifest: &Manifest, folder: &Path) -> Result<(), FetchError> {
    std::fs::create_dir_all(folder).map_err(|source| FetchError::Disk {
        path: folder.to_owned(),
        source,
    })?;
    for file in [&manifest.results, &manifest.errors] {
        fetch_one(store, file, folder).await?;
    }
    Ok(())
}

async fn fetch_one(store: &Store, file: &OutputFile, folder: &Path) -> Result<(), FetchError> {
    let mut part = PartFile::open(&folder.join(&file.key))?;
    let mut stored = StoredFile::open(store, file).await?;
    let mut has_skipped = false;
    part.lines(|line| {
        has_skipped = true;
        stored.skip(line);
    })?;
    match write(stored, &mut part).await {
        Err(error) if error.is_change() && has_skipped => {
            part.clear()?;
            write(StoredFile::open(store, file).await?, &mut part).await?;
        }
        written => written?,
    }
    part.finish()
}

async fn write(mut stored: StoredFile, part: &mut PartFile) -> Result<(), FetchError> {
    while let Some(chunk) = stored.chunk().await? {
        part.write(&chunk)?;
    }
    stored.check()
}

#[cfg(test)]
mod tests {
    use super::super::combined::tests::{finished, read};
    use super::*;

    #[tokio::test]
    async fn both_files_are_fetched_as_they_are_and_broken_ones_go_on() {
        let (store, manifest) = finished().await;
        for left in [
            "",
            "result 0\nres",
            "something else\n",
            "result 0\nresult 2\nresult 3\nmore\n",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let output = folder.path().join("out");
            std::fs::create_dir(&output).unwrap();
            std::fs::write(output.join("results.jsonl.part"), left).unwrap();
            fetch(&store, &manifest, &output).await.unwrap();
            assert_eq!(
                read(&output.join("results.jsonl")),
                "result 0\nresult 2\nresult 3\n",
                "{left}"
            );
            assert_eq!(read(&output.join("errors.jsonl")), "error 1\nerror 4\n");
            assert_eq!(std::fs::read_dir(&output).unwrap().count(), 2);
        }
    }
}
