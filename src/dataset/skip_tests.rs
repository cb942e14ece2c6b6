//! Data sets with bad rows that their jobs go on without.

use super::{
    inspect::inspect_in_blocks,
    testing::{StoredFile, gzip, models, row, row_with_body, source_of, zstd},
    *,
};
use crate::openai::{RowNumber, RowSet};

const SMALL: BlockLimits = BlockLimits { rows: 3, bytes: 400 };

async fn inspect_source(source: &Source) -> Result<Index, InspectError> {
    let scratch = tempfile::tempdir().unwrap();
    let scratch = Scratch::new(scratch.path());
    let Inspection { index, refusal } = inspect_in_blocks(source, &models(), &scratch, SMALL).await?;
    let refusal = refusal.expect("there are bad rows");
    assert_eq!(refusal.invalid_rows, index.skipped.rows.len());
    Ok(index)
}

/// Each row of the blocks: its name, and what is wrong with it.
async fn read_back(source: &Source, index: &Index) -> Vec<(String, String)> {
    let mut reader = BlockReader::new(source);
    let mut rows = Vec::new();
    for block in &index.blocks {
        for row in reader.rows(block, &index.skipped).await.unwrap() {
            rows.push(match row {
                DatasetRow::Request(row) => (row.request.custom_id.as_str().to_owned(), String::new()),
                DatasetRow::Skipped(row) => {
                    let id = row.custom_id.map_or_else(String::new, |id| id.as_str().to_owned());
                    (id, format!("line {}: {}", row.line, row.reason))
                }
            });
        }
    }
    rows
}

#[tokio::test]
async fn bad_rows_are_found_again_with_their_lines_and_reasons() {
    let no_method = row("b").replace("POST", "GET");
    let content = [&row("a"), "", "{oops", &no_method, &row("c"), &row("a"), &row("d")].join("\n");
    let source = source_of(content).await;
    let index = inspect_source(&source).await.unwrap();
    assert_eq!((index.rows, index.rows_to_send()), (6, 3));
    let skipped: Vec<_> = index.skipped.rows.iter().map(|row| row.0).collect();
    assert_eq!(skipped, [1, 2, 4]);
    let first: Vec<_> = index.skipped.first.iter().map(|row| row.line.0).collect();
    assert_eq!(first, [3, 4, 6]);
    assert_eq!(
        index.skipped.first[2].reason,
        "custom_id `a` stands already in line 1; give each row its own"
    );
    let read = read_back(&source, &index).await;
    let read: Vec<_> = read.iter().map(|(id, reason)| (id.as_str(), reason.as_str())).collect();
    assert_eq!(
        read,
        [
            ("a", ""),
            ("", "line 3: not JSON: key must be a string at column 2"),
            ("b", "line 4: method is the string \"GET\"; write \"POST\""),
            ("c", ""),
            (
                "a",
                "line 6: custom_id `a` stands already in an earlier line; give each row its own"
            ),
            ("d", ""),
        ]
    );
    assert_eq!(Index::decode(&index.encode()).unwrap(), index);
}

#[tokio::test]
async fn a_row_that_is_too_long_is_in_no_block() {
    for before in [0, 1, 3] {
        let mut content: Vec<u8> = (0..before)
            .flat_map(|number| (row(&number.to_string()) + "\n").into_bytes())
            .collect();
        content.resize(content.len() + MAX_ROW_BYTES + 1, b' ');
        content.extend_from_slice(format!("\n{}\n", row("last")).as_bytes());
        let source = source_of(content).await;
        let index = inspect_source(&source).await.unwrap();
        let [too_long] = index.skipped.too_long[..] else {
            panic!("{index:?}")
        };
        assert_eq!((too_long.row.0, too_long.line.0), (before, before + 1));
        assert_eq!(too_long.length, MAX_ROW_BYTES as u64 + 1);
        assert_eq!((index.rows, index.rows_to_send()), (before + 2, before + 1));
        assert!(index.skipped.rows.contains(too_long.row));
        let read = read_back(&source, &index).await;
        assert_eq!(read.len() as u64, before + 1);
        assert_eq!(index.blocks.last().unwrap().first_row.0, before + 1);
        assert_eq!(Index::decode(&index.encode()).unwrap(), index);
        let mut wrong = index;
        wrong.skipped.too_long.clear();
        assert!(matches!(
            Index::decode(&wrong.encode()),
            Err(IndexError::Inconsistent { .. })
        ));
    }
}

#[tokio::test]
async fn a_data_set_of_which_no_row_can_be_sent_is_refused() {
    let inspected = inspect_source(&source_of("{}\n[]\n").await).await;
    let Err(InspectError::Refused(refusal)) = inspected else {
        panic!("not refused: {inspected:?}")
    };
    assert!(
        refusal.to_string().starts_with("2 of 2 rows are invalid: line 1: "),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_model_that_nothing_serves_is_no_row_to_skip() {
    let content = row("a") + "\n" + &row_with_body("b", r#"{"model":"other"}"#);
    let inspected = inspect_source(&source_of(content).await).await;
    assert!(matches!(inspected, Err(InspectError::Refused(_))), "{inspected:?}");
}

#[tokio::test]
async fn a_row_is_never_skipped_that_is_good_and_repeats_no_id() {
    let source = source_of(format!("{}\n[1]\n", row("a"))).await;
    let mut index = inspect_source(&source).await.unwrap();
    index.skipped.rows = [RowNumber(0)].into_iter().collect();
    let mut reader = BlockReader::new(&source);
    let read = reader.rows(&index.blocks[0], &index.skipped).await;
    assert!(matches!(read, Err(ReadError::Good { .. })), "{read:?}");
    index.skipped.rows = RowSet::default();
    let read = reader.rows(&index.blocks[0], &index.skipped).await;
    assert!(matches!(read, Err(ReadError::Row { .. })), "{read:?}");
}

#[tokio::test]
async fn a_row_that_is_too_long_is_skipped_in_compressed_data_sets_too() {
    let mut content = (row("first") + "\n").into_bytes();
    content.resize(content.len() + MAX_ROW_BYTES + 1, b' ');
    content.extend_from_slice(format!("\n{}\n", row("last")).as_bytes());
    for (name, stored) in [("rows.jsonl.gz", gzip(&content)), ("rows.jsonl.zst", zstd(&content))] {
        let file = StoredFile::named(name, stored).await;
        let index = inspect_source(&file.source).await.unwrap();
        assert_eq!((index.rows, index.skipped.too_long[0].row.0), (3, 1), "{name}");
        let read = read_back(&file.source, &index).await;
        let ids: Vec<_> = read.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["first", "last"], "{name}");
    }
}

#[tokio::test]
async fn a_skipped_row_that_changed_is_noticed() {
    let file = StoredFile::new(format!("{}\n[1]\n", row("a"))).await;
    let index = inspect_source(&file.source).await.unwrap();
    file.write(format!("{}\n[2]\n", row("a"))).await;
    let read = BlockReader::new(&file.source)
        .rows(&index.blocks[0], &index.skipped)
        .await;
    assert!(
        matches!(read, Err(ReadError::Source(SourceError::Changed { .. }))),
        "{read:?}"
    );
}
