//! One line more, less or other than it was, in each of the files.

use super::testing::{DATASET, Job, dataset_row, fields, id, index_of, invalid_line, output_line, seven};
use super::*;
use crate::openai::{RowNumber, RowSet};
use crate::results::{ERRORS, Kind, MANIFEST, RESULTS};

#[tokio::test]
async fn a_removed_line_is_told_as_one_row() {
    let rows = [(0, 1), (2, 4), (3, 5), (5, 8), (6, 9)];
    for (place, (row, line)) in rows.into_iter().enumerate() {
        let job = seven().await;
        job.edit(RESULTS, |lines| drop(lines.remove(place))).await;
        let told = job.told().await;
        assert_eq!(
            told[0],
            format!("row {row} (line {line} of the data set, custom_id `row-{row}`) is missing in results.jsonl")
        );
        assert_eq!(
            fields(&told[1..]),
            [
                "results.rows",
                "results.bytes",
                "results.sha256",
                "usage.promptTokens",
                "usage.completionTokens",
                "usage.totalTokens",
                "cost.tokenCost",
                "models[base].rows",
                "models[base].usage.promptTokens",
                "models[base].usage.completionTokens",
                "models[base].usage.totalTokens",
                "proof.results",
            ]
        );
    }
}

#[tokio::test]
async fn a_doubled_line_is_told_with_both_places() {
    for distance in [1, 3] {
        let job = seven().await;
        job.edit(RESULTS, |lines| lines.insert(1 + distance, lines[1].clone()))
            .await;
        assert_eq!(
            job.told_of_lines().await,
            [format!(
                "line {} of results.jsonl is row 2 (line 4 of the data set, custom_id `row-2`) once more: \
                 line 2 of results.jsonl has it already",
                2 + distance
            )]
        );
    }
}

#[tokio::test]
async fn swapped_lines_are_told_as_not_in_order() {
    let job = seven().await;
    job.edit(RESULTS, |lines| lines.swap(1, 2)).await;
    let told = job.told().await;
    assert_eq!(
        told[0],
        "line 2 of results.jsonl is row 3 (line 5 of the data set, custom_id `row-3`), not in input order"
    );
    assert_eq!(fields(&told[1..]), ["results.sha256"]);

    let job = seven().await;
    job.edit(RESULTS, |lines| lines.swap(0, 4)).await;
    assert_eq!(
        job.told_of_lines().await,
        [
            "line 1 of results.jsonl has custom_id `row-6`, where row 0 (line 1 of the data set, custom_id `row-0`) is due",
            "line 5 of results.jsonl has custom_id `row-0`, where row 6 (line 9 of the data set, custom_id `row-6`) is due",
        ]
    );
}

#[tokio::test]
async fn an_altered_line_is_told_by_what_is_altered() {
    let altered = async |from: &str, to: &str| {
        let job = seven().await;
        job.edit(RESULTS, |lines| lines[2] = lines[2].replace(from, to)).await;
        job.told().await
    };
    let told = altered("\"custom_id\":\"row-3\"", "\"custom_id\":\"row-x\"").await;
    assert_eq!(
        told[0],
        "line 3 of results.jsonl has custom_id `row-x`, where row 3 (line 5 of the data set, custom_id `row-3`) is due"
    );
    assert_eq!(fields(&told[1..]), ["results.sha256"]);

    let told = altered("\"text\":\"row-3\"", "\"text\":\"row-4\"").await;
    assert_eq!(
        told[0],
        "line 3 of results.jsonl (row 3, custom_id `row-3`) was changed: the segments hold another line"
    );
    assert_eq!(fields(&told[1..]), ["results.sha256"]);

    let told = altered("\"completion_tokens\":2", "\"completion_tokens\":3").await;
    assert!(fields(&told).contains(&"usage.completionTokens"), "{told:?}");
    assert!(fields(&told).contains(&"models[base].usage.totalTokens"), "{told:?}");

    let told = altered("\"response\"", "\"response").await;
    assert!(
        told[0].starts_with("line 3 of results.jsonl is not a row: it is not a JSON object (")
            && told[0].ends_with("; row 3 (line 5 of the data set, custom_id `row-3`) is due there"),
        "{told:?}"
    );

    let told = altered("\"status_code\":200", "\"status_code\":500").await;
    assert_eq!(
        told[0],
        "line 3 of results.jsonl (custom_id `row-3`) is not an answer of success"
    );
}

#[tokio::test]
async fn without_segments_an_altered_text_is_told_by_the_checksum() {
    let source = seven().await;
    let job = Job::copy_of(&source, &[DATASET, MANIFEST, RESULTS, ERRORS]).await;
    assert!(matches!(job.verify().await, Verdict::Proven(_)));
    job.edit(RESULTS, |lines| {
        lines[2] = lines[2].replace("\"text\":\"row-3\"", "\"text\":\"row-4\"");
    })
    .await;
    assert_eq!(fields(&job.told().await), ["results.sha256"]);
}

#[tokio::test]
async fn a_row_in_the_wrong_file_is_told_once() {
    let job = seven().await;
    let moved = output_line(&id(3), Kind::Error);
    job.edit(RESULTS, |lines| drop(lines.remove(2))).await;
    job.edit(ERRORS, |lines| lines.insert(1, moved)).await;
    assert_eq!(
        job.told_of_lines().await,
        ["line 2 of errors.jsonl is row 3 (line 5 of the data set, custom_id `row-3`), which is due in results.jsonl"]
    );

    let job = seven().await;
    job.edit(ERRORS, |lines| lines[0] = output_line(&id(1), Kind::Result))
        .await;
    assert_eq!(
        job.told_of_lines().await,
        ["line 1 of errors.jsonl (custom_id `row-1`) is an answer of success, and no error"]
    );
}

#[tokio::test]
async fn a_changed_row_of_the_data_set_is_told() {
    let job = seven().await;
    job.edit(DATASET, |lines| lines[4] = dataset_row("row-y")).await;
    let told = job.told().await;
    assert_eq!(
        told[0],
        "line 3 of results.jsonl has custom_id `row-3`, where row 3 (line 5 of the data set, custom_id `row-y`) is due"
    );
    assert!(fields(&told).contains(&"dataset.sha256"), "{told:?}");

    let job = seven().await;
    job.edit(DATASET, |lines| lines[4] = "{}".into()).await;
    let told = job.told_of_lines().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("line 5 of the data set is not a row: custom_id is missing"),
        "{told:?}"
    );

    let job = seven().await;
    job.edit(DATASET, |lines| lines.push(dataset_row("row-7"))).await;
    assert_eq!(
        job.told_of_lines().await,
        ["row 7 (line 10 of the data set, custom_id `row-7`) is missing in results.jsonl"]
    );
}

#[tokio::test]
async fn a_changed_prompt_is_found_by_the_index() {
    let job = seven().await;
    let dataset = job.read(DATASET).await;
    job.write("index.json", &index_of(&dataset, 3)).await;
    job.write(DATASET, &dataset.replace("Say row-4.", "Say Row-4.")).await;
    let told = job.told().await;
    assert_eq!(
        told[0],
        "the data set is not the one that was read; it first differs in the 3 rows from row 3 (line 5) on, by index.json"
    );
    assert_eq!(fields(&told[1..]), ["dataset.sha256"]);
}

#[tokio::test]
async fn a_file_that_is_cut_off_is_told() {
    let job = seven().await;
    let results = job.read(RESULTS).await;
    job.write(RESULTS, &results[..results.len() - 1]).await;
    let cut = "line 5 of results.jsonl, the last, has no line break at its end: the file is cut off";
    assert_eq!(job.told_of_lines().await, [cut]);
    job.write(RESULTS, &results[..results.len() - 9]).await;
    let missing = "row 6 (line 9 of the data set, custom_id `row-6`) is missing in results.jsonl";
    assert_eq!(job.told_of_lines().await, [cut, missing]);
}

#[tokio::test]
async fn a_compressed_data_set_is_read_as_its_text() {
    let job = seven().await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, job.read(DATASET).await.as_bytes()).unwrap();
    let compressed = encoder.finish().unwrap();
    let told = async |name: &str, content: &[u8]| {
        job.store.create(name, content.to_vec()).await.unwrap();
        match verify(&job.store, name, &job.store).await.unwrap() {
            Verdict::Differs(differences) => differences.described().map(ToString::to_string).collect::<Vec<_>>(),
            verdict => panic!("{verdict:?}"),
        }
    };
    let of_other_bytes = told("rows.jsonl.gz", &compressed).await;
    assert_eq!(fields(&of_other_bytes), ["dataset.bytes", "dataset.sha256"]);
    let cut_off = told("cut.jsonl.gz", &compressed[..compressed.len() - 4]).await;
    assert!(
        cut_off[0].starts_with("the data set is not readable as gzip after") && cut_off[0].contains("cut off"),
        "{cut_off:?}"
    );
}

#[tokio::test]
async fn a_missing_file_and_blank_lines_are_told() {
    let job = seven().await;
    job.edit(ERRORS, |lines| lines.insert(1, String::new())).await;
    let told = job.told_of_lines().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("line 2 of errors.jsonl is not a row: it is not a JSON object"),
        "{told:?}"
    );

    let source = seven().await;
    let job = Job::copy_of(&source, &[DATASET, MANIFEST, RESULTS]).await;
    let told = job.told_of_lines().await;
    assert_eq!(told[0], "errors.jsonl does not exist");
    assert_eq!(told.len(), 3, "{told:?}");
}

#[tokio::test]
async fn an_invalid_row_is_matched_by_its_line() {
    let job = Job::with_invalid_rows().await;
    job.edit(ERRORS, |lines| lines[1] = invalid_line(3, Some("row-0")))
        .await;
    assert_eq!(
        job.told_of_lines().await,
        [
            "line 2 of errors.jsonl has error.line 3, where row 3 (line 4 of the data set, error.line 4) \
             is due"
        ]
    );

    // As one that was sent: its id is another row's.
    let job = Job::with_invalid_rows().await;
    job.edit(ERRORS, |lines| lines[1] = output_line("row-0", Kind::Error))
        .await;
    let told = job.told().await;
    assert!(
        told[0].starts_with("line 2 of errors.jsonl has custom_id `row-0`"),
        "{told:?}"
    );
    assert!(fields(&told).contains(&"proof.invalidRows"), "{told:?}");
}

#[tokio::test]
async fn a_row_that_is_no_request_must_be_said_to_be_invalid() {
    let job = Job::with_invalid_rows().await;
    let only_last: RowSet = [RowNumber(3)].into_iter().collect();
    job.set("/proof/invalidRows", serde_json::json!(only_last)).await;
    let told = job.told().await;
    assert!(
        told[0].starts_with("line 2 of the data set is not a row: custom_id is missing"),
        "{told:?}"
    );
    let result_too: RowSet = [0, 1].into_iter().map(RowNumber).collect();
    job.set("/proof/invalidRows", serde_json::json!(result_too)).await;
    let told = job.told().await;
    assert!(
        told.iter()
            .any(|text| text.contains("proof.invalidRows: row 0 is in it")),
        "{told:?}"
    );
}
