//! The files that a manifest describes, written again from its segments when they are not there as it says.

use futures::{StreamExt, TryStreamExt, stream};

use crate::storage::Store;

use super::checksum::Hasher;
use super::error::Error;
use super::files::Files;
use super::manifest::{Manifest, OutputFile};
use super::merge_plan::MergePlan;
use super::stored_segment;
use super::{ERRORS, RESULTS};

/// Read at a time, to compare a checksum.
const CHUNK_BYTES: usize = 1 << 20;
/// So that latency does not count.
const CHUNKS_IN_FLIGHT: usize = 4;

/// Sees to it that both files are there, with the sizes that a manifest says. While there are segments to write them again from, one
/// who was late may have replaced a file and died before it put the manifest's back: then they are read, to the last byte.
///
/// # Errors
///
/// [`Error::FileLost`] when the manifest's segments are not all there any more.
pub async fn restore(store: &Store, manifest: &Manifest) -> Result<(), Error> {
    if !stored_segment::all(store).await?.is_empty() {
        return verify(store, manifest).await;
    }
    for (key, file) in files_of(manifest) {
        if store.size(key).await? != Some(file.bytes) {
            return write_again(store, manifest, key).await;
        }
    }
    Ok(())
}

/// Sees to it that both files are what a manifest says, byte for byte.
pub(super) async fn verify(store: &Store, manifest: &Manifest) -> Result<(), Error> {
    for (key, file) in files_of(manifest) {
        if !is_intact(store, key, file).await? {
            return write_again(store, manifest, key).await;
        }
    }
    Ok(())
}

fn files_of(manifest: &Manifest) -> [(&'static str, &OutputFile); 2] {
    [(RESULTS, &manifest.results), (ERRORS, &manifest.errors)]
}

/// Whether both files are what a manifest says, byte for byte.
pub(super) async fn are_intact(store: &Store, manifest: &Manifest) -> Result<bool, Error> {
    for (key, file) in files_of(manifest) {
        if !is_intact(store, key, file).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn is_intact(store: &Store, key: &str, file: &OutputFile) -> Result<bool, Error> {
    if store.size(key).await? != Some(file.bytes) {
        return Ok(false);
    }
    let starts = (0..file.bytes).step_by(CHUNK_BYTES);
    let mut chunks = stream::iter(starts)
        .map(|start| store.read_range(key, start..file.bytes.min(start + CHUNK_BYTES as u64)))
        .buffered(CHUNKS_IN_FLIGHT);
    let mut hasher = Hasher::default();
    while let Some(chunk) = chunks.try_next().await? {
        hasher.update(&chunk);
    }
    Ok(hasher.finish() == file.sha256)
}

/// Writes both files, as one of them is not as it should be.
async fn write_again(store: &Store, manifest: &Manifest, lost: &str) -> Result<(), Error> {
    tracing::warn!(key = lost, "a file is not what the manifest says and is written again");
    let why = match merge_again(store, manifest).await {
        Ok(true) => return Ok(()),
        Ok(false) => "its segments have changed".to_owned(),
        Err(Error::MissingRows { missing, rows, .. }) if missing == rows => "its segments were removed".to_owned(),
        Err(error @ Error::Store(_)) => return Err(error),
        // What these errors advise does not help here.
        Err(Error::Damaged { uri, .. }) => format!("segment `{uri}` is damaged"),
        Err(error) => error.to_string(),
    };
    let uri = store.uri_of(lost);
    Err(Error::FileLost { uri, why })
}

/// False, and nothing is changed, when the manifest's segments do not give the files that it describes.
async fn merge_again(store: &Store, manifest: &Manifest) -> Result<bool, Error> {
    let files = stored_segment::while_compacted(async || {
        let pieces = stored_segment::used(store, &manifest.segments).await?;
        let plan = MergePlan::read(store, &pieces).await?;
        Files::merge(store, plan, manifest.dataset.rows).await
    })
    .await?;
    if (&files.results.described, &files.errors.described) != (&manifest.results, &manifest.errors) {
        files.abort().await;
        return Ok(false);
    }
    files.publish().await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::super::finalise::finalise;
    use super::super::segment::Segment;
    use super::super::testing::{FailingStore, error_row, finished, id, put_segment, replace, row, text};
    use super::*;

    /// A finished job of three rows. A late segment, of a lower name, is not among those that were used.
    async fn ended() -> (Arc<InMemory>, Store, Manifest) {
        let memory = Arc::new(InMemory::new());
        let store = FailingStore::never(&memory);
        put_segment(&store, &Segment::new(id(1, 1), vec![row(0, "a"), error_row(1, "a")])).await;
        put_segment(&store, &Segment::new(id(1, 2), vec![row(2, "b")])).await;
        let manifest = finalise(&store, &finished(3)).await.unwrap();
        put_segment(&store, &Segment::new(id(1, 0), vec![row(0, "late")])).await;
        (memory, store, manifest)
    }

    async fn remove(memory: &InMemory, key: &str) {
        memory.delete(&format!("run/{key}").into()).await.unwrap();
    }

    #[tokio::test]
    async fn files_of_the_right_size_are_not_read_once_the_segments_are_removed() {
        let (memory, store, manifest) = ended().await;
        for segment in stored_segment::all(&store).await.unwrap() {
            remove(&memory, &segment.id.key()).await;
        }
        let changed = text(&store, RESULTS).await.replace('b', "c");
        replace(&store, RESULTS, &changed).await;
        restore(&store, &manifest).await.unwrap();
        assert_eq!(text(&store, RESULTS).await, changed);
    }

    #[tokio::test]
    async fn a_file_that_is_gone_or_cut_short_is_written_again_as_it_was() {
        for (key, other) in [(RESULTS, ERRORS), (ERRORS, RESULTS)] {
            for removed in [true, false] {
                let (memory, store, manifest) = ended().await;
                let before = (text(&store, key).await, text(&store, other).await);
                if removed {
                    remove(&memory, key).await;
                } else {
                    replace(&store, key, &before.0[1..]).await;
                }
                restore(&store, &manifest).await.unwrap();
                assert_eq!((text(&store, key).await, text(&store, other).await), before);
            }
        }
    }

    #[tokio::test]
    async fn a_changed_byte_is_found_by_its_checksum() {
        let (_, store, manifest) = ended().await;
        let before = text(&store, RESULTS).await;
        replace(&store, RESULTS, &before.replace('b', "c")).await;
        restore(&store, &manifest).await.unwrap();
        assert_eq!(text(&store, RESULTS).await, before);
    }

    #[tokio::test]
    async fn without_the_segments_a_lost_file_is_named_and_the_other_left_alone() {
        let (memory, store, manifest) = ended().await;
        remove(&memory, ERRORS).await;
        remove(&memory, &id(1, 2).key()).await;
        let error = restore(&store, &manifest).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "`s3://bucket/run/errors.jsonl` is not what manifest.json says, and cannot be written again: 1 of 3 rows are \
             in no segment, the first is row 2: put the file back, or choose another output"
        );
        assert_eq!(store.size(ERRORS).await.unwrap(), None);
        assert_eq!(store.size(RESULTS).await.unwrap(), Some(manifest.results.bytes));
    }

    #[tokio::test]
    async fn segments_that_give_other_rows_are_not_taken() {
        let (memory, store, manifest) = ended().await;
        replace(&store, RESULTS, "").await;
        remove(&memory, &id(1, 2).key()).await;
        put_segment(&store, &Segment::new(id(1, 2), vec![row(2, "another")])).await;
        let error = restore(&store, &manifest).await.unwrap_err().to_string();
        assert!(error.contains("its segments have changed"), "{error}");
        assert_eq!(text(&store, RESULTS).await, "");
    }
}
