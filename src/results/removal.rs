//! Segments are removed once nobody can need them.
//!
//! The one who could is a finaliser that is late: it listed segments before there was a manifest, and replaces the files by its own
//! at any time later. It then puts back those of the manifest, which takes the segments. But when every row was in one segment
//! only, whoever merges all rows writes the same bytes, and there is nothing to put back.

use std::collections::BTreeSet;
use std::fmt;

use crate::storage::{self, Store, StoreUri};

use super::SEGMENTS;
use super::error::Error;
use super::manifest::Manifest;
use super::restore;
use super::segment_id::SegmentId;
use super::stored_segment;

/// What became of the segments of a finished output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// That many were deleted, and none is there.
    Removed(usize),
    /// They stay.
    Kept(Kept),
}

/// Why segments stay; the text is for the job's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The store does not let them be deleted.
    NotAllowed(StoreUri),
    /// Another feeder has finished the same rows, and may need them to end.
    RowsTwice(StoreUri),
    /// A file is not what the manifest says.
    FileChanged(StoreUri),
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed(uri) => write!(
                f,
                "`{uri}` stays, as the store refused to delete it: it is not needed any more"
            ),
            Self::RowsTwice(uri) => write!(
                f,
                "`{uri}` stays, as two feeders have finished the same rows: it may be deleted when no feeder of this job runs"
            ),
            Self::FileChanged(uri) => write!(f, "`{uri}` stays, as a file is not what the manifest says"),
        }
    }
}

/// Deletes the segments of a finished output, after both files were read and found to be what the manifest says. May be killed
/// anywhere and run again.
///
/// # Errors
///
/// [`Error`] when the store fails; some of them may be gone.
pub async fn remove_segments(store: &Store, manifest: &Manifest) -> Result<Removal, Error> {
    let uri = store.uri_of(SEGMENTS);
    let there = stored_segment::all(store).await?;
    let used = manifest.segments.iter();
    let used: BTreeSet<_> = used.filter_map(|segment| SegmentId::from_key(&segment.key)).collect();
    let is_used = |id: SegmentId| used.contains(&id) || used.iter().any(|other| other.replaces(id));
    let is_single = manifest.proof.duplicates_dropped == 0 && there.iter().all(|piece| is_used(piece.id));
    if !is_single {
        return Ok(Removal::Kept(Kept::RowsTwice(uri)));
    }
    if !there.is_empty() && !restore::are_intact(store, manifest).await? {
        return Ok(Removal::Kept(Kept::FileChanged(uri)));
    }
    match store.delete(there.iter().map(|piece| piece.id.key())).await {
        Ok(()) => Ok(Removal::Removed(there.len())),
        Err(storage::Error::AccessDenied { .. }) => Ok(Removal::Kept(Kept::NotAllowed(uri))),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::super::finalise::finalise;
    use super::super::segment::Segment;
    use super::super::testing::{FailingStore, finished, id, put_segment, replace, row, text};
    use super::super::{RESULTS, restore};
    use super::*;

    async fn ended(store: &Store) -> Manifest {
        put_segment(store, &Segment::new(id(1, 0), vec![row(0, "a")])).await;
        put_segment(store, &Segment::new(id(2, 0), vec![row(1, "b")])).await;
        finalise(store, &finished(2)).await.unwrap()
    }

    async fn segments(store: &Store) -> usize {
        stored_segment::all(store).await.unwrap().len()
    }

    #[tokio::test]
    async fn segments_are_removed_and_the_files_stay() {
        let store = Store::in_memory();
        let manifest = ended(&store).await;
        assert_eq!(remove_segments(&store, &manifest).await.unwrap(), Removal::Removed(2));
        assert_eq!(segments(&store).await, 0);
        assert_eq!(remove_segments(&store, &manifest).await.unwrap(), Removal::Removed(0));
        assert_eq!(finalise(&store, &finished(2)).await.unwrap(), manifest);
        restore(&store, &manifest).await.unwrap();
    }

    #[tokio::test]
    async fn without_the_right_they_stay_and_it_is_said() {
        let store = FailingStore::that_keeps(&Arc::new(InMemory::new()));
        let manifest = ended(&store).await;
        let Removal::Kept(kept) = remove_segments(&store, &manifest).await.unwrap() else {
            panic!("removed");
        };
        assert_eq!(
            kept.to_string(),
            "`s3://bucket/run/segments/` stays, as the store refused to delete it: it is not needed any more"
        );
        assert_eq!(segments(&store).await, 2);
    }

    #[tokio::test]
    async fn rows_of_two_feeders_and_changed_files_keep_them() {
        let store = Store::in_memory();
        let manifest = ended(&store).await;
        let right = text(&store, RESULTS).await;
        replace(&store, RESULTS, &right.replace('b', "c")).await;
        let kept = remove_segments(&store, &manifest).await.unwrap();
        assert!(matches!(kept, Removal::Kept(Kept::FileChanged(_))), "{kept:?}");
        replace(&store, RESULTS, &right).await;
        put_segment(&store, &Segment::new(id(1, 1), vec![row(1, "late")])).await;
        let kept = remove_segments(&store, &manifest).await.unwrap();
        assert!(matches!(kept, Removal::Kept(Kept::RowsTwice(_))), "{kept:?}");
        assert_eq!(segments(&store).await, 3);

        let store = Store::in_memory();
        put_segment(&store, &Segment::new(id(1, 0), vec![row(0, "a"), row(1, "a")])).await;
        let manifest = {
            put_segment(&store, &Segment::new(id(2, 0), vec![row(1, "b")])).await;
            finalise(&store, &finished(2)).await.unwrap()
        };
        let kept = remove_segments(&store, &manifest).await.unwrap();
        assert!(matches!(kept, Removal::Kept(Kept::RowsTwice(_))), "{kept:?}");
    }
}
