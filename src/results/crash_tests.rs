//! Any rows, any order of answers, any crash, any feeder or finaliser that wakes up late: the end has each row once, in input order.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::memory::InMemory;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use super::ledger::SEGMENT_AGE;
use super::record::{FinishedRow, Kind};
use super::segment::Segment;
use super::segment_id::SegmentId;
use super::testing::{FailingStore, Faults, error_row, finished, id, put_segment, row, text};
use super::{
    Checksum, ERRORS, Error, LedgerWriter, Manifest, RESULTS, finalise, read_manifest, remove_segments, resume,
    stored_segment,
};
use crate::openai::RowNumber;
use crate::storage::Store;

#[derive(Clone, Debug)]
enum Step {
    /// A new attempt starts, perhaps while older ones live; its store breaks down as told.
    Start(Faults),
    /// One of the feeders finishes rows, and then time passes.
    Work { feeder: Index, rows: Vec<(u64, bool)> },
    /// One of the feeders dies.
    Kill(Index),
}

fn faults() -> impl Strategy<Value = Faults> {
    let operations = prop_oneof![3 => Just(usize::MAX), 2 => 0..60_usize];
    (operations, any::<bool>(), any::<u64>(), any::<bool>()).prop_map(|(operations, lose_answers, pauses, keeps)| {
        Faults {
            operations,
            lose_answers,
            pauses,
            keeps,
        }
    })
}

fn steps(rows: u64) -> impl Strategy<Value = Vec<Step>> {
    let some_rows = prop::collection::vec((0..rows, any::<bool>()), 1..6);
    let step = prop_oneof![
        1 => faults().prop_map(Step::Start),
        12 => (any::<Index>(), some_rows).prop_map(|(feeder, rows)| Step::Work { feeder, rows }),
        1 => any::<Index>().prop_map(Step::Kill),
    ];
    prop::collection::vec(step, 1..80)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    runtime.unwrap().block_on(future)
}

struct World {
    memory: Arc<InMemory>,
    attempt: u32,
    /// Whether nothing may be deleted, so that every segment that ever was is there in the end.
    keeps: bool,
    feeders: Vec<(u32, LedgerWriter)>,
}

impl World {
    async fn start(&mut self, faults: Faults) {
        self.attempt += 1;
        let keeps = self.keeps;
        let store = FailingStore::with(&self.memory, Faults { keeps, ..faults });
        let Ok(ledger) = resume(&store, self.attempt).await else {
            return;
        };
        self.feeders.push((self.attempt, LedgerWriter::start(store, ledger)));
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Start(faults) => self.start(faults).await,
            Step::Work { feeder, rows } if !self.feeders.is_empty() => {
                let (attempt, feeder) = feeder.get(&self.feeders);
                for (number, failed) in rows {
                    let of_kind = if failed { error_row } else { row };
                    feeder.record(of_kind(number, &format!("attempt {attempt}")));
                }
                tokio::time::sleep(SEGMENT_AGE * 2).await;
            }
            Step::Kill(feeder) if !self.feeders.is_empty() => {
                drop(self.feeders.remove(feeder.index(self.feeders.len())));
            }
            Step::Work { .. } | Step::Kill(_) => {}
        }
    }

    /// The last attempt, on a store that works, does what is left, while those before it still live.
    async fn finish(&mut self, store: &Store, rows: u64) {
        let ledger = resume(store, self.attempt + 1).await.unwrap();
        let durable = ledger.durable().clone();
        for (_, feeder) in &self.feeders {
            let told = (0..rows).map(RowNumber).filter(|row| feeder.is_durable(*row));
            let lost: Vec<_> = told.filter(|row| !durable.contains(*row)).collect();
            assert!(lost.is_empty(), "told durable, but not there: {lost:?}");
        }
        let feeder = LedgerWriter::start(store.clone(), ledger);
        for number in (0..rows).rev() {
            feeder.record(row(number, "last attempt"));
        }
        feeder.flush().await;
        self.feeders.clear();
    }
}

/// The lowest copy of each row that was ever stored.
async fn lowest(store: &Store) -> BTreeMap<RowNumber, FinishedRow> {
    let mut lowest = BTreeMap::new();
    let mut pieces = stored_segment::all(store).await.unwrap();
    pieces.sort_unstable();
    for piece in pieces {
        if piece.id != SegmentId::new(piece.id.attempt, piece.id.number) {
            continue;
        }
        let object = store.read(&piece.id.key()).await.unwrap().unwrap();
        for row in Segment::decode(&object).unwrap().rows().unwrap() {
            lowest.entry(row.row).or_insert(row);
        }
    }
    lowest
}

async fn assert_lowest(store: &Store, rows: &BTreeMap<RowNumber, FinishedRow>) {
    for (key, kind) in [(RESULTS, Kind::Result), (ERRORS, Kind::Error)] {
        let of_kind = rows.values().filter(|row| row.kind == kind);
        let want: String = of_kind
            .map(|row| String::from_utf8(row.line.to_vec()).unwrap() + "\n")
            .collect();
        assert_eq!(text(store, key).await, want);
    }
}

async fn assert_each_once(store: &Store, rows: u64) {
    let mut all = Vec::new();
    for key in [RESULTS, ERRORS] {
        let text = text(store, key).await;
        let numbers = text.lines().map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["row"].as_u64().unwrap()
        });
        let numbers: Vec<_> = numbers.collect();
        assert!(numbers.is_sorted(), "{key}: {numbers:?}");
        all.extend(numbers);
    }
    all.sort_unstable();
    assert_eq!(all, (0..rows).collect::<Vec<_>>());
}

async fn assert_described(store: &Store, manifest: &Manifest) {
    for file in [&manifest.results, &manifest.errors] {
        let text = text(store, &file.key).await;
        assert_eq!(Checksum::of(text.as_bytes()), file.sha256, "{text}");
    }
}

/// Segments that together hold all rows; some of them more than once.
fn segments() -> impl Strategy<Value = (u64, Vec<Segment>)> {
    let copies = prop_oneof![Just(0..1), Just(0..20)];
    (1_u64..30, 1_usize..6, copies).prop_flat_map(|(rows, segments, copies)| {
        let home = prop::collection::vec(0..segments, usize::try_from(rows).unwrap_or(0));
        let copies = prop::collection::vec((0..segments, 0..rows), copies);
        (home, copies).prop_map(move |(home, copies)| {
            let mut contents: Vec<Vec<FinishedRow>> = vec![Vec::new(); segments];
            for (segment, number) in home.into_iter().zip(0..rows).chain(copies) {
                contents[segment].push(row(number, &format!("segment {segment}")));
            }
            let named = (0..).zip(contents);
            let segments = named.map(|(index, rows)| Segment::new(id(2 + index / 3, index % 3), rows));
            (rows, segments.collect())
        })
    })
}

async fn end(store: &Store, rows: u64) -> Result<(), Error> {
    let manifest = finalise(store, &finished(rows)).await?;
    remove_segments(store, &manifest).await?;
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_feeders_die_or_wake_up_each_row_comes_once_in_order(
        (rows, steps) in (1_u64..120).prop_flat_map(|rows| (Just(rows), steps(rows))),
        keeps in any::<bool>(),
    ) {
        block_on(async {
            let memory = Arc::new(InMemory::new());
            let mut world = World { memory: Arc::clone(&memory), attempt: 0, keeps, feeders: Vec::new() };
            for step in steps {
                world.step(step).await;
            }
            let store = FailingStore::with(&memory, Faults { keeps, ..Faults::NONE });
            world.finish(&store, rows).await;
            let lowest = lowest(&store).await;
            let manifest = finalise(&store, &finished(rows)).await.unwrap();
            assert_described(&store, &manifest).await;
            assert_each_once(&store, rows).await;
            if keeps {
                assert_lowest(&store, &lowest).await;
            }
        });
    }

    #[test]
    fn of_finalisers_that_die_anywhere_one_decides_and_its_files_stay(
        (rows, segments) in segments(),
        one in faults(),
        other in faults(),
        late in prop::option::of(0_usize..40),
    ) {
        block_on(async {
            let memory = Arc::new(InMemory::new());
            let store = FailingStore::never(&memory);
            for segment in &segments {
                put_segment(&store, segment).await;
            }
            let (one, other) = (FailingStore::with(&memory, one), FailingStore::with(&memory, other));
            let late = async {
                for _ in 0..late? {
                    tokio::task::yield_now().await;
                }
                put_segment(&store, &Segment::new(id(1, 0), vec![row(0, "late")])).await;
                Some(())
            };
            let _ = tokio::join!(end(&one, rows), end(&other, rows), late);
            let before = read_manifest(&store).await.unwrap();
            let manifest = finalise(&store, &finished(rows)).await.unwrap();
            assert!(before.is_none_or(|before| before == manifest));
            assert_described(&store, &manifest).await;
            assert_each_once(&store, rows).await;
            end(&store, rows).await.unwrap();
            assert_described(&store, &manifest).await;
        });
    }
}
