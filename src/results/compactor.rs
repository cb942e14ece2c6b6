//! Compacts the segments that one attempt has stored, one group at a time and behind the rows' back.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use tokio::task::JoinSet;

use crate::storage::{self, Store};

use super::compact::{RADIX, compact, remove_replaced};
use super::compaction::{Group, Piece, plan};
use super::error::Error;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// With pauses that double: for a quarter of a minute.
const DELETE_AGAIN: usize = 4;

/// Dropping it stops what it does, which harms nothing.
#[derive(Debug)]
pub(super) struct Compactor {
    store: Store,
    /// Stored by this attempt and not compacted.
    pieces: Vec<Piece>,
    running: JoinSet<(Group, Result<Compacted, Error>)>,
    /// False once the store has refused to delete.
    may_delete: bool,
}

#[derive(Debug)]
enum Compacted {
    Done {
        piece: Piece,
        may_delete: bool,
    },
    /// For whatever reason, it never will be.
    LeftAlone,
}

impl Compactor {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            pieces: Vec::new(),
            running: JoinSet::new(),
            may_delete: true,
        }
    }

    /// Takes a segment that is durable.
    pub fn add(&mut self, piece: Piece) {
        self.pieces.push(piece);
        self.start_next();
    }

    /// Waits for what is running; for ever, when nothing is. May be dropped and called again.
    pub async fn settle(&mut self) {
        let Some(joined) = self.running.join_next().await else {
            return std::future::pending().await;
        };
        // A panic is not worth more than a group that stays as it is.
        let Ok((group, compacted)) = joined else { return };
        match compacted {
            Ok(Compacted::Done { piece, may_delete }) => {
                self.forget(&group);
                self.pieces.push(piece);
                self.may_delete &= may_delete;
                self.start_next();
            }
            Ok(Compacted::LeftAlone) => self.forget(&group),
            // The next segment that is stored is an occasion to try again.
            Err(error) => {
                tracing::info!(%error, "segments could not be compacted; their rows are durable all the same");
            }
        }
    }

    fn forget(&mut self, group: &Group) {
        self.pieces.retain(|piece| !group.pieces.contains(piece));
    }

    fn start_next(&mut self) {
        if !self.running.is_empty() {
            return;
        }
        let Some(group) = plan(self.pieces.clone(), RADIX).pop() else {
            return;
        };
        let (store, may_delete) = (self.store.clone(), self.may_delete);
        self.running.spawn(async move {
            let compacted = run(&store, &group, may_delete).await;
            (group, compacted)
        });
    }
}

async fn run(store: &Store, group: &Group, may_delete: bool) -> Result<Compacted, Error> {
    let Some(piece) = compact(store, group).await? else {
        return Ok(Compacted::LeftAlone);
    };
    if !may_delete {
        return Ok(Compacted::Done { piece, may_delete });
    }
    match remove(store, group).await {
        Ok(()) => Ok(Compacted::Done {
            piece,
            may_delete: true,
        }),
        Err(error @ storage::Error::AccessDenied { .. }) => {
            tracing::info!(%error, "compacted segments stay, as they may not be deleted");
            Ok(Compacted::Done {
                piece,
                may_delete: false,
            })
        }
        // Those that stay are passed over, and removed at the next start or at the end.
        Err(error) => {
            tracing::info!(%error, "compacted segments could not be deleted");
            Ok(Compacted::Done {
                piece,
                may_delete: true,
            })
        }
    }
}

/// A store that fails for a moment is asked again: where room is short, what is there twice is too much.
async fn remove(store: &Store, group: &Group) -> Result<(), storage::Error> {
    let pauses = ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_times(DELETE_AGAIN);
    let remove = || remove_replaced(store, group);
    let may_pass = |error: &storage::Error| !matches!(error, storage::Error::AccessDenied { .. });
    remove.retry(pauses).when(may_pass).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::super::segment::Segment;
    use super::super::segment_id::SegmentId;
    use super::super::testing::{FailingStore, id, put_segment, row, stored};
    use super::super::{stored_segment, testing::finished};
    use super::*;

    async fn put(store: &Store, number: u32) -> Piece {
        let segment = Segment::new(id(1, number), vec![row(u64::from(number) * 7 % 64, "a")]);
        let bytes = segment.encode().unwrap().concat().len() as u64;
        put_segment(store, &segment).await;
        Piece {
            id: id(1, number),
            bytes,
        }
    }

    async fn compacted(store: &Store, segments: u32) -> Compactor {
        let mut compactor = Compactor::new(store.clone());
        for number in 0..segments {
            let piece = put(store, number).await;
            compactor.add(piece);
            while !compactor.running.is_empty() {
                compactor.settle().await;
            }
        }
        compactor
    }

    #[tokio::test]
    async fn sixty_four_segments_become_one_with_the_same_rows() {
        let store = Store::in_memory();
        let compactor = compacted(&store, 65).await;
        let ids: Vec<_> = stored(&store).await.unwrap().iter().map(|s| s.header.id).collect();
        assert_eq!(ids, [SegmentId::compacted(1, 0, 63), id(1, 64)]);
        assert_eq!(stored_segment::all(&store).await.unwrap().len(), 2);
        assert_eq!(compactor.pieces.len(), 2);
        let manifest = super::super::finalise(&store, &finished(64)).await.unwrap();
        assert_eq!((manifest.results.rows, manifest.proof.duplicates_dropped), (64, 1));
    }

    #[tokio::test]
    async fn without_the_right_to_delete_all_stays_and_is_passed_over() {
        let memory = Arc::new(InMemory::new());
        let store = FailingStore::that_keeps(&memory);
        let compactor = compacted(&store, 16).await;
        assert!(!compactor.may_delete);
        assert_eq!(stored_segment::all(&store).await.unwrap().len(), 18);
        assert_eq!(stored_segment::visible(&store).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_group_of_which_a_segment_is_gone_is_left_alone() {
        let store = Store::in_memory();
        let mut compactor = Compactor::new(store.clone());
        for number in 0..8 {
            let piece = put(&store, number).await;
            if number == 7 {
                store.delete([id(1, 3).key()].into_iter()).await.unwrap();
            }
            compactor.add(piece);
        }
        compactor.settle().await;
        assert!(compactor.pieces.is_empty() && compactor.running.is_empty());
        assert_eq!(stored_segment::all(&store).await.unwrap().len(), 7);
    }
}
