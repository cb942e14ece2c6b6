//! Finds ids that two rows have, in bounded memory: sorted runs on scratch disk, merged at the end.

mod run;

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, binary_heap::PeekMut},
    io,
    path::{Path, PathBuf},
};

use twox_hash::XxHash3_128;

use self::run::{Record, Run};
use crate::openai::{CustomId, RowNumber, RowSet};

/// The scratch directory cannot hold the ids.
#[derive(Debug, thiserror::Error)]
#[error("the custom_ids cannot be sorted in the scratch directory `{}`", directory.display())]
pub struct ScratchError {
    directory: PathBuf,
    source: io::Error,
}

/// An id that two rows have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Duplicate {
    /// Who has it again.
    pub(super) second: RowNumber,
    /// Who has it first.
    pub(super) first: RowNumber,
}

/// Every row that repeats an id of an earlier one.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Duplicates {
    /// All of them.
    pub(super) rows: RowSet,
    /// The first of them in the file.
    pub(super) earliest: BTreeSet<Duplicate>,
}

/// Runs of one level that become one of the next: bounds open files and the memory of a merge, at any number of ids.
const MERGED_AT_ONCE: usize = 64;

/// All ids of a data set. Two ids are taken as equal when their XXH3 of 128 bits is: among a thousand million different ids,
/// the chance that any two agree is below 10⁻²⁰. Whoever makes two on purpose has only their own data set refused.
#[derive(Debug)]
pub(super) struct CustomIds {
    directory: PathBuf,
    in_memory: usize,
    records: Vec<Record>,
    /// Those of level n + 1 were each merged from [`MERGED_AT_ONCE`] of level n.
    runs: Vec<Vec<Run>>,
}

impl CustomIds {
    /// Keeps up to `in_memory` ids (32 bytes each) in memory, and files of sorted ids in `directory`.
    pub(super) fn new(directory: &Path, in_memory: usize) -> Self {
        let in_memory = in_memory.max(1);
        Self {
            directory: directory.to_owned(),
            in_memory,
            // At once: what grows leaves holes behind. Memory is used when it is written to.
            records: Vec::with_capacity(in_memory),
            runs: Vec::new(),
        }
    }

    /// Adds an id, if memory has room: after `false`, [`spill`](Self::spill) and add it again.
    #[must_use]
    pub(super) fn insert(&mut self, id: &CustomId, row: RowNumber) -> bool {
        let has_room = self.records.len() < self.in_memory;
        if has_room {
            let hash = XxHash3_128::oneshot(id.as_str().as_bytes());
            self.records.push(Record { hash, row });
        }
        has_room
    }

    /// Compares all ids; `report` bounds the rows that are named.
    pub(super) async fn duplicates(mut self, report: usize) -> Result<Duplicates, ScratchError> {
        let directory = self.directory.clone();
        blocking(&directory, move || {
            self.records.sort_unstable();
            let mut sources: Vec<Source> = vec![Box::new(self.records.into_iter().map(Ok))];
            for run in self.runs.into_iter().flatten() {
                sources.push(Box::new(run.read()?));
            }
            find(Merge::new(sources)?, report)
        })
        .await
    }

    /// Moves the ids from memory to disk.
    pub(super) async fn spill(&mut self) -> Result<(), ScratchError> {
        let mut records = std::mem::take(&mut self.records);
        let mut runs = std::mem::take(&mut self.runs);
        let directory = self.directory.clone();
        let spilled = blocking(&self.directory, move || {
            records.sort_unstable();
            let run = Run::write(&directory, records.iter().copied().map(Ok))?;
            add_run(&directory, &mut runs, run)?;
            records.clear();
            Ok((runs, records))
        });
        (self.runs, self.records) = spilled.await?;
        Ok(())
    }
}

fn add_run(directory: &Path, runs: &mut Vec<Vec<Run>>, mut run: Run) -> io::Result<()> {
    for level in runs.iter_mut() {
        level.push(run);
        if level.len() < MERGED_AT_ONCE {
            return Ok(());
        }
        let mut sources: Vec<Source> = Vec::new();
        for run in level.drain(..) {
            sources.push(Box::new(run.read()?));
        }
        run = Run::write(directory, Merge::new(sources)?)?;
    }
    runs.push(vec![run]);
    Ok(())
}

async fn blocking<T: Send + 'static>(
    directory: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ScratchError> {
    let done = tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)
        .and_then(|result| result);
    done.map_err(|source| ScratchError {
        directory: directory.to_owned(),
        source,
    })
}

type Source = Box<dyn Iterator<Item = io::Result<Record>>>;

/// All records of some sorted sources, sorted.
struct Merge {
    sources: Vec<Source>,
    heads: BinaryHeap<Reverse<(Record, usize)>>,
}

impl Merge {
    fn new(mut sources: Vec<Source>) -> io::Result<Self> {
        let mut heads = BinaryHeap::new();
        for (position, source) in sources.iter_mut().enumerate() {
            heads.extend(source.next().transpose()?.map(|record| Reverse((record, position))));
        }
        Ok(Self { sources, heads })
    }
}

impl Iterator for Merge {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<io::Result<Record>> {
        let mut head = self.heads.peek_mut()?;
        let Reverse((record, position)) = *head;
        match self.sources[position].next() {
            // Replaced where it is, as it often stays the lowest for a while.
            Some(Ok(next)) => *head = Reverse((next, position)),
            Some(Err(error)) => return Some(Err(error)),
            None => _ = PeekMut::pop(head),
        }
        Some(Ok(record))
    }
}

fn find(records: impl Iterator<Item = io::Result<Record>>, report: usize) -> io::Result<Duplicates> {
    let mut duplicates = Duplicates::default();
    let mut first: Option<Record> = None;
    for record in records {
        let record = record?;
        match first {
            Some(first) if first.hash == record.hash => duplicates.add(first.row, record.row, report),
            _ => first = Some(record),
        }
    }
    Ok(duplicates)
}

impl Duplicates {
    fn add(&mut self, first: RowNumber, second: RowNumber, report: usize) {
        self.rows.insert(second);
        self.earliest.insert(Duplicate { second, first });
        if self.earliest.len() > report {
            self.earliest.pop_last();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn duplicates(ids: &[u8], in_memory: usize, report: usize) -> Duplicates {
        let scratch = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(async {
            let mut custom_ids = CustomIds::new(scratch.path(), in_memory);
            for (id, row) in ids.iter().zip(1..) {
                let id = CustomId::try_from(format!("id-{id}")).unwrap();
                if !custom_ids.insert(&id, RowNumber(row)) {
                    custom_ids.spill().await.unwrap();
                    assert!(custom_ids.insert(&id, RowNumber(row)));
                }
            }
            custom_ids.duplicates(report).await.unwrap()
        });
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
        found
    }

    fn pairs(found: &Duplicates) -> Vec<(u64, u64)> {
        found
            .earliest
            .iter()
            .map(|duplicate| (duplicate.first.0, duplicate.second.0))
            .collect()
    }

    #[test]
    fn every_repetition_counts_and_names_the_first_row_of_its_id() {
        for in_memory in [1, 2, 3, 100] {
            let found = duplicates(&[7, 8, 9, 8, 7, 8], in_memory, 10);
            assert_eq!(
                (found.rows.len(), pairs(&found)),
                (3, vec![(2, 4), (1, 5), (2, 6)]),
                "{in_memory}"
            );
        }
    }

    #[test]
    fn runs_are_merged_to_fewer_and_nothing_is_lost() {
        let ids: Vec<_> = (0..=255).chain([3]).cycle().take(257 * 20).collect();
        let found = duplicates(&ids, 1, 1);
        assert_eq!((found.rows.len(), pairs(&found)), (257 * 20 - 256, vec![(4, 257)]));
    }

    #[test]
    fn the_earliest_repetitions_are_reported() {
        let found = duplicates(&[1, 2, 3, 3, 2, 1], 2, 2);
        assert_eq!((found.rows.len(), pairs(&found)), (3, vec![(3, 4), (2, 5)]));
    }

    #[tokio::test]
    async fn a_scratch_directory_that_cannot_be_written_is_named() {
        let mut custom_ids = CustomIds::new(Path::new("/nowhere/at/all"), 1);
        let id = CustomId::try_from("a".to_owned()).unwrap();
        assert!(custom_ids.insert(&id, RowNumber(1)) && !custom_ids.insert(&id, RowNumber(2)));
        let error = custom_ids.spill().await.unwrap_err();
        assert!(error.to_string().contains("`/nowhere/at/all`"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn runs_on_disk_find_what_a_plain_search_finds(
            ids in prop::collection::vec(0_u8..30, 0..60), in_memory in 1_usize..20,
        ) {
            let expected: Vec<_> = ids.iter().enumerate().filter_map(|(row, id)| {
                let first = ids.iter().position(|other| other == id)?;
                (first < row).then_some((first as u64 + 1, row as u64 + 1))
            }).collect();
            let found = duplicates(&ids, in_memory, 100);
            let rows: RowSet = expected.iter().map(|(_, row)| RowNumber(*row)).collect();
            prop_assert_eq!(&found.rows, &rows);
            prop_assert_eq!(pairs(&found), expected);
        }
    }
}
