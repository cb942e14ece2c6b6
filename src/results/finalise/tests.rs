use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use object_store::memory::InMemory;
use proptest::prelude::*;

use super::super::checksum::Checksum;
use super::super::claim::Work;
use super::super::record::{FinishedRow, Kind};
use super::super::segment::Segment;
use super::super::stopped::{StopReason, stop};
use super::super::testing::{FailingStore, error_row, finished, id, put_segment, row, text};
use super::super::{ERRORS, RESULTS};
use super::*;
use crate::openai::RowNumber;

async fn put_all(store: &Store, segments: &[Segment]) {
    for segment in segments {
        put_segment(store, segment).await;
    }
}

fn three_rows() -> Vec<Segment> {
    vec![
        Segment::new(id(1, 0), vec![row(2, "a"), error_row(1, "a")]),
        Segment::new(id(2, 0), vec![row(0, "b"), row(2, "b")]),
    ]
}

#[tokio::test]
async fn rows_become_two_files_in_input_order_and_a_manifest() {
    let store = Store::in_memory();
    put_all(&store, &three_rows()).await;
    let finished = Finished {
        invalid_rows: [RowNumber(1)].into_iter().collect(),
        ..finished(3)
    };
    let manifest = finalise(&store, &finished).await.unwrap();

    let results = "{\"row\":0,\"text\":\"b\"}\n{\"row\":2,\"text\":\"a\"}\n";
    assert_eq!(text(&store, RESULTS).await, results);
    assert_eq!(text(&store, ERRORS).await, "{\"row\":1,\"text\":\"a\"}\n");
    assert_eq!(manifest.results.sha256, Checksum::of(results.as_bytes()));
    assert_eq!(read_manifest(&store).await.unwrap(), Some(manifest));
    assert_eq!(text(&store, MANIFEST).await, include_str!("../golden/manifest.json"));
}

#[tokio::test]
async fn an_empty_file_of_errors_is_there_too() {
    let store = Store::in_memory();
    put_all(&store, &[Segment::new(id(1, 0), vec![row(0, "a")])]).await;
    let manifest = finalise(&store, &finished(1)).await.unwrap();
    assert_eq!(store.size(ERRORS).await.unwrap(), Some(0));
    assert_eq!(manifest.ended, Ended::AllRowsSucceeded);
    assert_eq!(manifest.errors.sha256, Checksum::of(b""));
}

#[tokio::test]
async fn a_decision_to_stop_is_the_outcome_and_says_why() {
    let store = Store::in_memory();
    put_all(&store, &three_rows()).await;
    let stopped = Stopped {
        reason: StopReason::DeadlineExceeded,
        message: "spec.activeDeadlineSeconds is 60".into(),
        at: "2026-11-24T08:04:00Z".into(),
    };
    stop(&store, &stopped).await.unwrap();
    let manifest = finalise(&store, &finished(3)).await.unwrap();
    assert_eq!(manifest.ended, Ended::Stopped(stopped));
    assert_eq!(read_manifest(&store).await.unwrap(), Some(manifest));
    let json = text(&store, MANIFEST).await;
    let fields = "\"outcome\": \"DeadlineExceeded\",\n  \"stopped\": {\n    \"code\": \"batch_expired\",";
    assert!(json.contains(fields), "{json}");
}

#[tokio::test]
async fn a_manifest_that_is_there_decides() {
    let store = Store::in_memory();
    put_all(&store, &three_rows()).await;
    let first = finalise(&store, &finished(3)).await.unwrap();
    let late = Segment::new(id(1, 1), vec![row(0, "a late lower attempt")]);
    put_segment(&store, &late).await;
    let again = Finished {
        finished_at: "2026-11-24T09:00:00Z".into(),
        ..finished(3)
    };
    assert_eq!(finalise(&store, &again).await.unwrap(), first);
    assert!(!text(&store, RESULTS).await.contains("late"));
}

#[tokio::test]
async fn a_slower_finaliser_leaves_the_results_of_the_faster_alone() {
    let store = Store::in_memory();
    put_all(&store, &three_rows()).await;
    let slower = Merged::begin(&store, &finished(3)).await.unwrap();
    let late = Segment::new(id(1, 1), vec![row(0, "a late lower attempt")]);
    put_segment(&store, &late).await;
    let first = finalise(&store, &finished(3)).await.unwrap();
    let second = slower.complete(&store, &finished(3)).await.unwrap();
    assert_eq!(second, first);
    assert!(text(&store, RESULTS).await.contains("late"));
}

/// A finaliser that is late: it has merged, and then another one comes to an end with other rows.
async fn overtaken(slower: &Store, faster: &Store) -> (Merged, Manifest) {
    put_all(faster, &three_rows()).await;
    let merged = Merged::begin(slower, &finished(3)).await.unwrap();
    let late = Segment::new(id(1, 1), vec![row(0, "a late lower attempt")]);
    put_segment(faster, &late).await;
    (merged, finalise(faster, &finished(3)).await.unwrap())
}

async fn assert_described(store: &Store, manifest: &Manifest) {
    for file in [&manifest.results, &manifest.errors] {
        let text = text(store, &file.key).await;
        assert_eq!(Checksum::of(text.as_bytes()), file.sha256, "{text}");
    }
}

#[tokio::test]
async fn whoever_replaced_the_files_of_a_manifest_puts_them_back() {
    let store = Store::in_memory();
    let (slower, first) = Box::pin(overtaken(&store, &store)).await;
    // It looked for a manifest a moment before there was one.
    let ours = slower.publish(&finished(3)).await.unwrap();
    assert_ne!(ours.results, first.results);
    let second = create_manifest(&store, &finished(3), ours).await.unwrap();
    assert_eq!(second, first);
    assert_described(&store, &first).await;
}

#[tokio::test]
async fn a_try_that_failed_between_the_two_files_is_put_right_by_the_next() {
    for operations in 0..8 {
        let memory = Arc::new(InMemory::new());
        let (dying, left) = FailingStore::until_raised(&memory);
        left.store(usize::MAX, Ordering::SeqCst);
        let store = FailingStore::never(&memory);
        let (slower, first) = Box::pin(overtaken(&dying, &store)).await;
        left.store(operations, Ordering::SeqCst);
        let tried = async {
            let ours = slower.publish(&finished(3)).await?;
            create_manifest(&dying, &finished(3), ours).await
        };
        let _ = tried.await;
        assert_eq!(finalise(&store, &finished(3)).await.unwrap(), first);
        assert_described(&store, &first).await;
    }
}

#[tokio::test]
async fn a_manifest_of_other_work_is_refused() {
    let store = Store::in_memory();
    put_all(&store, &three_rows()).await;
    finalise(&store, &finished(3)).await.unwrap();
    let other = Finished {
        identity: Identity::of(&Work {
            dataset_sha256: Checksum::of(b"other"),
            model: "base".into(),
            revision: None,
            quantization: None,
            adapters: Vec::new(),
        }),
        ..finished(3)
    };
    let error = finalise(&store, &other).await.unwrap_err();
    assert!(matches!(error, Error::OtherManifest { .. }), "{error}");
}

#[tokio::test]
async fn rows_that_are_missing_or_too_many_stop_before_anything_is_written() {
    let store = Store::in_memory();
    put_all(&store, &three_rows()).await;
    let error = |rows| {
        let store = store.clone();
        async move {
            let error = finalise(&store, &finished(rows)).await.unwrap_err();
            error.to_string()
        }
    };
    assert_eq!(error(5).await, "2 of 5 rows are in no segment, the first is row 3");
    assert_eq!(error(2).await, "a segment holds row 2, but the data set has 2 rows");
    assert_eq!(store.size(RESULTS).await.unwrap(), None);
    assert_eq!(store.size(MANIFEST).await.unwrap(), None);
}

#[tokio::test]
async fn a_damaged_segment_leaves_no_results_behind() {
    let store = Store::in_memory();
    let segment = Segment::new(id(1, 0), vec![row(0, "right")]);
    let bytes = String::from_utf8(segment.encode().unwrap().concat()).unwrap();
    let key = id(1, 0).key();
    store.create(&key, bytes.replace("right", "wrong")).await.unwrap();
    let error = finalise(&store, &finished(1)).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert_eq!(store.size(RESULTS).await.unwrap(), None);
}

#[tokio::test]
async fn large_results_are_written_in_parts() {
    let store = Store::in_memory();
    let text_of_a_row = "x".repeat(1 << 20);
    let rows = (0..20).map(|n| row(n, &text_of_a_row)).collect();
    put_all(&store, &[Segment::new(id(1, 0), rows)]).await;
    let manifest = finalise(&store, &finished(20)).await.unwrap();
    let results = store.read(RESULTS).await.unwrap().unwrap();
    assert_eq!(manifest.results.bytes, results.len() as u64);
    assert_eq!(manifest.results.sha256, Checksum::of(&results));
}

/// Segments that together hold all rows, most of them more than once; attempts and numbers collide on purpose
/// with nothing, kinds differ from copy to copy.
fn scattered() -> impl Strategy<Value = (u64, Vec<Segment>)> {
    (1_u64..40, 1_usize..8).prop_flat_map(|(rows, segments)| {
        let home = prop::collection::vec(0..segments, usize::try_from(rows).unwrap_or(0));
        let copies = prop::collection::vec((0..segments, 0..rows), 0..60);
        let kinds = prop::collection::vec(any::<bool>(), segments);
        (home, copies, kinds).prop_map(move |(home, copies, kinds)| {
            let mut contents: Vec<Vec<FinishedRow>> = vec![Vec::new(); segments];
            let homes = home.into_iter().zip(0..rows);
            for (segment, number) in homes.chain(copies) {
                let text = format!("segment {segment}");
                let of_kind = if kinds[segment] { row } else { error_row };
                contents[segment].push(of_kind(number, &text));
            }
            let named = contents.into_iter().enumerate();
            let segments = named
                .map(|(index, rows)| {
                    let index = u32::try_from(index).unwrap_or(0);
                    Segment::new(id(1 + index / 3, index % 3), rows)
                })
                .collect();
            (rows, segments)
        })
    })
}

/// The lowest copy of each row, split by kind.
fn expected(segments: &[Segment]) -> (String, String) {
    let mut lowest = BTreeMap::new();
    for segment in segments {
        for row in segment.rows().unwrap() {
            lowest.entry(row.row).or_insert(row);
        }
    }
    let lines = |kind| {
        let rows = lowest.values().filter(|row| row.kind == kind);
        rows.map(|row| String::from_utf8(row.line.to_vec()).unwrap() + "\n")
            .collect()
    };
    (lines(Kind::Result), lines(Kind::Error))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_row_comes_once_in_order_from_its_lowest_segment((rows, segments) in scattered()) {
        block_on(async {
            let store = Store::in_memory();
            put_all(&store, &segments).await;
            let manifest = finalise(&store, &finished(rows)).await.unwrap();
            let (results, errors) = expected(&segments);
            assert_eq!(text(&store, RESULTS).await, results);
            assert_eq!(text(&store, ERRORS).await, errors);
            let copies: u64 = segments.iter().map(|s| s.header().rows()).sum();
            assert_eq!(manifest.proof.rows_in, rows);
            assert_eq!(manifest.proof.duplicates_dropped, copies - rows);
            assert_eq!(manifest.usage.prompt_tokens, manifest.results.rows * 10);
        });
    }

    #[test]
    fn killed_at_any_operation_and_run_again_the_end_is_the_same(
        (rows, segments) in scattered(),
        lose_answers in any::<bool>(),
    ) {
        block_on(async {
            let (results, errors) = expected(&segments);
            let mut killed_at = 0;
            loop {
                let memory = Arc::new(InMemory::new());
                let store = FailingStore::never(&memory);
                put_all(&store, &segments).await;
                let dying = FailingStore::over(&memory, killed_at, lose_answers);
                let first = finalise(&dying, &finished(rows)).await;
                let before = read_manifest(&store).await.unwrap();
                let again = Finished {
                    finished_at: "2026-11-24T09:00:00Z".into(),
                    ..finished(rows)
                };
                let manifest = finalise(&store, &again).await.unwrap();
                if let Some(before) = before {
                    assert_eq!(before, manifest);
                }
                assert_eq!(text(&store, RESULTS).await, results);
                assert_eq!(text(&store, ERRORS).await, errors);
                assert_eq!(manifest.results.sha256, Checksum::of(results.as_bytes()));
                assert_eq!(manifest.errors.sha256, Checksum::of(errors.as_bytes()));
                if first.is_ok() {
                    break;
                }
                killed_at += 1;
            }
        });
    }
}
