//! Data sets good and bad through inspection, and through reading them back.

use super::{
    inspect::inspect_in_blocks,
    testing::{StoredFile, gzip, models, row, row_with_body, source_of, zstd},
    *,
};
use crate::api::adapters::AdaptersSpec;
use crate::engine::AdapterNames;
use crate::openai::LineNumber;

const SMALL: BlockLimits = BlockLimits { rows: 3, bytes: 400 };

async fn inspect_source(source: &Source) -> Result<Inspection, InspectError> {
    let directory = tempfile::tempdir().unwrap();
    let scratch = Scratch {
        directory: directory.path().to_owned(),
        ids_in_memory: 2,
    };
    let source = source.clone().with_read_bytes(7);
    let inspected = inspect_in_blocks(&source, &models(), &scratch, SMALL).await;
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    inspected
}

async fn accepted(content: impl AsRef<[u8]>) -> Inspection {
    inspect_source(&source_of(content).await).await.unwrap()
}

async fn refused(content: impl AsRef<[u8]>) -> Refusal {
    refused_source(&source_of(content).await).await
}

async fn refused_source(source: &Source) -> Refusal {
    match inspect_source(source).await {
        Err(InspectError::Refused(refusal))
        | Ok(Inspection {
            refusal: Some(refusal), ..
        }) => *refusal,
        other => panic!("not refused: {other:?}"),
    }
}

async fn read_back(source: &Source, index: &Index) -> Vec<RequestRead> {
    let mut rows = Vec::new();
    let mut reader = BlockReader::new(source);
    for block in &index.blocks {
        rows.extend(reader.rows(block, &SkippedRows::default()).await.unwrap());
    }
    let request = |row| match row {
        DatasetRow::Request(request) => request,
        DatasetRow::Skipped(skipped) => panic!("{skipped:?}"),
    };
    rows.into_iter().map(request).collect()
}

fn rows(count: usize) -> String {
    (0..count).map(|number| row(&format!("row-{number}")) + "\n").collect()
}

#[tokio::test]
async fn a_good_data_set_reads_back_row_by_row() {
    let content = rows(10);
    let source = source_of(&content).await;
    let Inspection { index, refusal } = inspect_source(&source).await.unwrap();
    assert_eq!(refusal, None);
    assert_eq!((index.rows, index.bytes), (10, content.len() as u64));
    assert_eq!(index.unknown_fields, []);
    assert_eq!(index.sha256, Sha256Digest::of(content.as_bytes()));
    assert_eq!(index.blocks.len(), 4);
    assert!(
        index.version.contains("size=") && index.version.contains("etag="),
        "{}",
        index.version
    );
    let read = read_back(&source, &index).await;
    assert_eq!(read.len(), 10);
    for (row, number) in read.iter().zip(0..) {
        assert_eq!((row.number.0, row.line.0), (number, number + 1));
        assert_eq!(row.request.custom_id.as_str(), format!("row-{number}"));
    }
}

#[tokio::test]
async fn an_index_survives_being_written_down() {
    let source = source_of(rows(10)).await;
    let index = inspect_source(&source).await.unwrap().index;
    assert_eq!(Index::decode(&index.encode()).unwrap(), index);
}

#[tokio::test]
async fn line_ends_blank_lines_and_the_byte_order_mark_do_not_matter() {
    let content = format!("\u{feff}\r\n{}\r\n  \n\r\n{}\n\n\n\n{}", row("a"), row("b"), row("c"));
    let source = source_of(&content).await;
    let index = inspect_source(&source).await.unwrap().index;
    let read = read_back(&source, &index).await;
    let places: Vec<_> = read
        .iter()
        .map(|row| (row.number.0, row.line.0, row.request.custom_id.as_str()))
        .collect();
    assert_eq!(places, [(0, 2, "a"), (1, 5, "b"), (2, 9, "c")]);

    let source = source_of(format!("\u{feff}{}", row("a"))).await;
    let index = inspect_source(&source).await.unwrap().index;
    assert_eq!(read_back(&source, &index).await[0].line, LineNumber::FIRST);
}

#[tokio::test]
async fn bodies_come_back_byte_for_byte() {
    let bodies = [
        r#"{ "model" : "gpt-4o-mini" ,"temperature":1.0 }"#,
        r#"{"seed":12345678901234567890,"seed":1e400,"seed":-0}"#,
        r#"{"messages":[{"content":"\u00e9\ud83d\ude00 \/ é"}],"model":""}"#,
        r#"{"model":"qwen3-8b","nested":{"model":"other","model":1}}"#,
    ];
    let lines: Vec<_> = bodies
        .iter()
        .zip(0..)
        .map(|(body, id)| row_with_body(&id.to_string(), body))
        .collect();
    let source = source_of(lines.join("\n")).await;
    let index = inspect_source(&source).await.unwrap().index;
    let read = read_back(&source, &index).await;
    let read: Vec<_> = read
        .iter()
        .map(|row| str::from_utf8(row.request.body.as_bytes()).unwrap())
        .collect();
    assert_eq!(read, bodies);
}

#[tokio::test]
async fn every_bad_row_is_counted_and_the_first_ten_are_described() {
    let deep = row_with_body(
        "deep",
        &format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)),
    );
    let mut content = rows(3).into_bytes();
    content.extend_from_slice(b"\nnot json\n\xff\n");
    content.extend_from_slice(format!("{deep}\n{}\n", row("row-1")).as_bytes());
    content.extend_from_slice(br#"{"custom_id":17}"#);
    let refusal = refused(&content).await;
    assert_eq!((refusal.rows, refusal.invalid_rows), (8, 5));
    let described: Vec<_> = refusal.first_invalid_rows.iter().map(ToString::to_string).collect();
    assert_eq!(
        described,
        [
            "line 5: not JSON: expected ident at column 2",
            "line 6: byte 1 of the line is not UTF-8; save the file as UTF-8",
            "line 7: nested deeper than 128 levels of arrays and objects; flatten it",
            "line 8: custom_id `row-1` stands already in line 2; give each row its own",
            r#"line 9: custom_id is the number 17; write it as a string: "17""#,
        ]
    );
    assert!(
        refusal
            .to_string()
            .starts_with("5 of 8 rows are invalid: line 5: not JSON"),
        "{refusal}"
    );
    assert!(refusal.to_string().ends_with("; and 2 more"), "{refusal}");
    assert_eq!(refusal.sha256, Sha256Digest::of(&content));

    let refusal = refused("x\n".repeat(25)).await;
    assert_eq!(
        (refusal.rows, refusal.invalid_rows, refusal.first_invalid_rows.len()),
        (25, 25, 10)
    );
}

#[tokio::test]
async fn a_repeated_id_names_both_lines_wherever_they_are() {
    let content = rows(9) + &row("row-7") + "\n" + &row("row-0") + "\n" + &row("row-7");
    let refusal = refused(content).await;
    assert_eq!(refusal.invalid_rows, 3);
    let described: Vec<_> = refusal.first_invalid_rows.iter().map(ToString::to_string).collect();
    assert_eq!(
        described,
        [
            "line 10: custom_id `row-7` stands already in line 8; give each row its own",
            "line 11: custom_id `row-0` stands already in line 1; give each row its own",
            "line 12: custom_id `row-7` stands already in line 8; give each row its own",
        ]
    );
}

#[tokio::test]
async fn all_repeated_ids_are_counted_and_ten_are_described() {
    let refusal = refused(rows(15) + &rows(15)).await;
    assert_eq!((refusal.rows, refusal.invalid_rows), (30, 15));
    let lines: Vec<_> = refusal.first_invalid_rows.iter().map(|row| row.line.0).collect();
    assert_eq!(lines, (16..26).collect::<Vec<_>>());
}

#[tokio::test]
async fn ids_that_differ_only_in_escapes_are_the_same() {
    let refusal = refused(row("ab") + "\n" + &row(r"\u0061b")).await;
    assert_eq!(refusal.first_invalid_rows[0].line, LineNumber(2));
}

#[tokio::test]
async fn a_model_that_nothing_serves_is_refused_with_what_to_write() {
    let row = |id: usize, model: &str| row_with_body(&id.to_string(), &format!("{{\"model\":\"{model}\"}}")) + "\n";
    let content: String = ["qwen3-8b", "gpt-4", "", "my-adapter", "gpt-4", "gpt-4o-mini"]
        .iter()
        .enumerate()
        .map(|(id, model)| row(id, model))
        .collect();
    let refusal = refused(content).await;
    assert_eq!((refusal.invalid_rows, refusal.unknown_model_rows), (0, 3));
    assert_eq!(
        refusal.to_string(),
        "nothing here serves the model `gpt-4` of 2 rows (first in line 2), \
         the model `my-adapter` of 1 row (first in line 4); \
         write `qwen3-8b` or `gpt-4o-mini`, or leave body.model empty; a name that is a LoRA adapter needs spec.server.adapters, and one \
         that is another name of the base model goes into spec.server.servedModelNames; spec.endpoint takes neither"
    );
}

#[tokio::test]
async fn adapters_are_counted_and_other_names_are_refused_still() {
    let row = |id: usize, model: &str| row_with_body(&id.to_string(), &format!("{{\"model\":\"{model}\"}}")) + "\n";
    let names = ["qwen3-8b", "org/sql", "", "org/sql", "org/other"];
    let content: String = names.iter().enumerate().map(|(id, model)| row(id, model)).collect();
    let models = models().with_adapters(Some(AdapterNames::new(AdaptersSpec::default())));
    let directory = tempfile::tempdir().unwrap();
    let inspect = async |content: String| {
        let scratch = Scratch::new(directory.path());
        inspect_in_blocks(&source_of(content).await, &models, &scratch, SMALL).await
    };
    let index = inspect(content.clone()).await.unwrap().index;
    let counted: Vec<_> = index
        .adapters
        .iter()
        .map(|adapter| (adapter.name.as_str(), adapter.rows))
        .collect();
    assert_eq!(counted, [("org/other", 1), ("org/sql", 2)]);
    let Err(InspectError::Refused(refusal)) = inspect(content + &row(9, "sql")).await else {
        panic!("not refused");
    };
    assert!(
        refusal
            .to_string()
            .contains("the model `sql` of 1 row (first in line 6); write the repository of an adapter"),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_file_without_rows_is_refused() {
    for empty in ["", "\n", " \r\n\t\n", "\u{feff}"] {
        assert_eq!(
            refused(empty).await.to_string(),
            "the data set has no rows",
            "{empty:?}"
        );
    }
}

#[tokio::test]
async fn a_row_over_the_limit_is_refused_and_the_rest_is_still_looked_at() {
    let mut content = rows(2).into_bytes();
    content.resize(content.len() + MAX_ROW_BYTES + 1, b' ');
    content.extend_from_slice(format!("\n{}\n{}", row("row-0"), row("last")).as_bytes());
    let source = source_of(content).await;
    let scratch = tempfile::tempdir().unwrap();
    let source = source.with_read_bytes(1 << 20);
    let inspected = inspect(&source, &models(), &Scratch::new(scratch.path())).await;
    let refusal = inspected.unwrap().refusal.unwrap();
    assert_eq!((refusal.rows, refusal.invalid_rows), (5, 2));
    let described: Vec<_> = refusal.first_invalid_rows.iter().map(ToString::to_string).collect();
    assert_eq!(
        described[0],
        "line 3: the row has 16777217 bytes; at most 16777216 are possible"
    );
    assert_eq!(
        described[1],
        "line 4: custom_id `row-0` stands already in line 1; give each row its own"
    );
}

#[tokio::test]
async fn unknown_fields_are_counted_and_let_pass() {
    let field = |name: &str, rows| UnknownField {
        name: name.to_owned(),
        rows,
    };
    let with_tag = row("a").replacen('{', r#"{"tag":1,"note":"x","#, 1);
    let other = row("b").replacen('{', r#"{"note":[],"#, 1);
    assert_eq!(
        accepted(with_tag + "\n" + &other).await.index.unknown_fields,
        [field("tag", 1), field("note", 2)]
    );
}

#[tokio::test]
async fn a_missing_data_set_is_an_error_of_its_own() {
    let file = StoredFile::new("").await;
    file.remove().await;
    let inspected = inspect_source(&file.source).await;
    assert!(
        matches!(inspected, Err(InspectError::Source(SourceError::NotFound { .. }))),
        "{inspected:?}"
    );
}

#[tokio::test]
async fn a_data_set_that_changed_after_inspection_is_refused_block_by_block() {
    let content = rows(6);
    let file = StoredFile::new(&content).await;
    let index = inspect_source(&file.source).await.unwrap().index;
    let [first, second] = index.blocks[..] else {
        panic!("{index:?}")
    };

    let mut reader = BlockReader::new(&file.source);
    file.write(content.replace("row-5", "row-6")).await;
    assert_eq!(reader.rows(&first, &SkippedRows::default()).await.unwrap().len(), 3);
    let error = reader.rows(&second, &SkippedRows::default()).await.unwrap_err();
    assert!(
        matches!(error, ReadError::Source(SourceError::Changed { .. })),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .contains("the 3 rows from line 4 on are not those that were inspected"),
        "{error}"
    );

    file.write(&content[..content.len() - 1]).await;
    let error = reader.rows(&second, &SkippedRows::default()).await.unwrap_err();
    assert!(
        matches!(error, ReadError::Source(SourceError::Changed { .. })),
        "{error:?}"
    );

    file.remove().await;
    let error = reader.rows(&first, &SkippedRows::default()).await.unwrap_err();
    assert!(
        matches!(error, ReadError::Source(SourceError::NotFound { .. })),
        "{error:?}"
    );
}

/// The same text in each form that a data set may have.
async fn stored_in_every_form(text: &str) -> Vec<StoredFile> {
    let halves = text.split_at(text.len() / 2);
    let compressed =
        |compress: fn(&[u8]) -> Vec<u8>| [compress(halves.0.as_bytes()), compress(halves.1.as_bytes())].concat();
    vec![
        StoredFile::named("rows.jsonl", text).await,
        StoredFile::named("rows.jsonl.gz", compressed(gzip)).await,
        StoredFile::named("rows.jsonl.zst", compressed(zstd)).await,
    ]
}

#[tokio::test]
async fn the_same_rows_come_out_however_they_are_stored() {
    let content = format!("\u{feff}\r\n{}\r\n  \n{}\n\n{}", row("a"), row("b"), rows(10));
    let files = stored_in_every_form(&content).await;
    let plain = inspect_source(&files[0].source).await.unwrap().index;
    let expected = read_back(&files[0].source, &plain).await;
    assert_eq!(
        (plain.bytes, plain.text_bytes),
        (content.len() as u64, content.len() as u64)
    );
    for file in &files[1..] {
        let index = inspect_source(&file.source).await.unwrap().index;
        assert_eq!(
            (index.rows, &index.blocks, index.text_bytes),
            (plain.rows, &plain.blocks, plain.text_bytes)
        );
        let stored = file.source.read(0..index.bytes).await.unwrap();
        assert_eq!(index.sha256, Sha256Digest::of(&stored));
        assert_eq!(read_back(&file.source, &index).await, expected);
        assert_eq!(Index::decode(&index.encode()).unwrap(), index);
    }
}

#[tokio::test]
async fn reading_may_begin_anywhere_and_go_back() {
    for file in stored_in_every_form(&rows(30)).await {
        let blocks = inspect_source(&file.source).await.unwrap().index.blocks;
        for order in [vec![4, 5, 9], vec![0, 3, 2, 2, 8]] {
            let mut reader = BlockReader::new(&file.source);
            for position in order {
                let read = reader.rows(&blocks[position], &SkippedRows::default()).await.unwrap();
                assert_eq!(read[0].number(), blocks[position].first_row);
            }
        }
    }
}

#[tokio::test]
async fn a_compressed_data_set_that_changed_or_was_cut_off_is_not_read_on() {
    for (compress, name) in [(gzip as fn(&[u8]) -> Vec<u8>, "rows.gz"), (zstd, "rows.zst")] {
        let file = StoredFile::named(name, compress(rows(30).as_bytes())).await;
        let blocks = inspect_source(&file.source).await.unwrap().index.blocks;
        let changed = compress(rows(30).replace("row-28", "row-82").as_bytes());
        let shorter = compress(rows(5).as_bytes());
        let cut_off = compress(rows(30).as_bytes())[..60].to_vec();
        for content in [changed, shorter, cut_off] {
            file.write(content).await;
            let mut reader = BlockReader::new(&file.source);
            let error = reader.rows(&blocks[9], &SkippedRows::default()).await.unwrap_err();
            assert!(
                matches!(error, ReadError::Source(SourceError::Changed { .. })),
                "{error:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_file_that_is_not_what_its_name_says_is_refused_with_the_place() {
    let plain = StoredFile::named("rows.jsonl.gz", rows(3)).await;
    let cut_off = StoredFile::named("rows.jsonl.zst", &zstd(rows(9).as_bytes())[..40]).await;
    for (file, expected) in [
        (plain, "is not readable as gzip after"),
        (cut_off, "after 40 bytes (0 bytes of text): it is cut off"),
    ] {
        let error = inspect_source(&file.source).await.unwrap_err();
        assert!(
            matches!(error, InspectError::Source(SourceError::Undecodable { .. })),
            "{error:?}"
        );
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_repeated_id_in_a_compressed_data_set_names_both_lines() {
    for file in stored_in_every_form(&(rows(9) + &row("row-7") + "\n" + &row("row-0"))).await {
        let refusal = refused_source(&file.source).await;
        let lines: Vec<_> = refusal.first_invalid_rows.iter().map(|row| row.line.0).collect();
        assert_eq!(lines, [10, 11]);
    }
}
