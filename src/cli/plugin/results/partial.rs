//! What a job has finished so far, from the segments of its output.

use super::super::job::Job;
use super::error::FetchError;
use super::rows_sink::RowsSink;
use crate::openai::RowNumber;
use crate::results::{Error, MANIFEST, Replay};
use crate::storage::Store;

/// How often segments are listed again when some are gone: each time the job has merged some into fewer.
const TRIES: usize = 8;

/// Fetches the rows that are durable, in input order, and gives their number. A file is fetched from the start: more rows may be
/// there than an earlier fetch saw. `job` is the job as it was before; without one, nothing is known of it.
///
/// # Errors
///
/// [`FetchError`]; a file of that name is still what it was.
pub async fn fetch(store: &Store, job: Option<&Job>, mut sink: RowsSink) -> Result<u64, FetchError> {
    let rows = read(store, &mut sink).await?;
    // Behind the manifest, the segments are removed: what was read may be any part of the rows, or none.
    if !has_ended(job) && store.size(MANIFEST).await?.is_some() {
        return Err(FetchError::EndedMeanwhile);
    }
    sink.finish()?;
    Ok(rows)
}

/// A job that has ended without results has none of its own, whatever else is in its output.
fn has_ended(job: Option<&Job>) -> bool {
    job.is_some_and(|job| job.end().is_some())
}

async fn read(store: &Store, sink: &mut RowsSink) -> Result<u64, FetchError> {
    if let RowsSink::File(file) = sink {
        file.clear()?;
    }
    let mut written = Written::default();
    for _ in 1..TRIES {
        match rest(store, &mut written, sink).await {
            Err(FetchError::Results(Error::Store(error))) if error.is_not_found() => {}
            read => return read.map(|()| written.rows),
        }
    }
    rest(store, &mut written, sink).await?;
    Ok(written.rows)
}

/// Rows that need not be written again.
#[derive(Default)]
struct Written {
    rows: u64,
    last: Option<RowNumber>,
}

async fn rest(store: &Store, written: &mut Written, sink: &mut RowsSink) -> Result<(), FetchError> {
    let mut replay = Replay::so_far(store).await?;
    while let Some(row) = replay.next().await? {
        if written.last.is_some_and(|last| row.row <= last) {
            continue;
        }
        sink.write(&row.line)?;
        written.last = Some(row.row);
        written.rows += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::openai::Usage;
    use crate::results::{FinishedRow, Kind, Segment, SegmentId};

    async fn put_segment(store: &Store, number: u32, rows: &[u64]) {
        let rows = rows.iter().map(|row| FinishedRow {
            row: RowNumber(*row),
            kind: if row % 2 == 0 { Kind::Result } else { Kind::Error },
            usage: Usage {
                prompt_tokens: 1,
                completion_tokens: 1,
            },
            model: None,
            line: Bytes::from(format!(r#"{{"custom_id":"{row}"}}"#)),
        });
        let segment = Segment::new(SegmentId::new(1, number), rows.collect());
        let bytes = segment.encode().unwrap().concat();
        store.create(&SegmentId::new(1, number).key(), bytes).await.unwrap();
    }

    async fn fetch_to(path: &Path, store: &Store, job: Option<&Job>) -> Result<u64, FetchError> {
        fetch(store, job, RowsSink::at(Some(path)).unwrap()).await
    }

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[tokio::test]
    async fn rows_so_far_are_in_input_order_and_each_once() {
        let store = Store::in_memory();
        put_segment(&store, 0, &[0, 5, 9]).await;
        put_segment(&store, 1, &[3, 5]).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        // Longer than what comes now.
        std::fs::write(folder.path().join("rows.jsonl.part"), "x".repeat(1000)).unwrap();
        let rows = fetch_to(&path, &store, None).await.unwrap();
        let lines = [0, 3, 5, 9].map(|row| format!("{{\"custom_id\":\"{row}\"}}\n"));
        assert_eq!((rows, text(&path)), (4, lines.concat()));
    }

    #[tokio::test]
    async fn an_output_without_rows_gives_an_empty_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let rows = fetch_to(&path, &Store::in_memory(), None).await.unwrap();
        assert_eq!((rows, text(&path).as_str()), (0, ""));
    }

    #[tokio::test]
    async fn a_job_that_ends_meanwhile_leaves_the_file_as_it_was() {
        let store = Store::in_memory();
        // As it is between the manifest and the status: some of the segments are gone, or all.
        store.create(MANIFEST, "{}").await.unwrap();
        let running = Job::new(json!({"status": {"phase": "Finalizing"}}));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, "an earlier fetch\n").unwrap();
        for job in [None, Some(&running)] {
            let error = fetch_to(&path, &store, job).await.unwrap_err();
            assert!(matches!(error, FetchError::EndedMeanwhile), "{error}");
            assert_eq!(text(&path), "an earlier fetch\n");
        }
    }

    #[tokio::test]
    async fn a_job_that_failed_beside_other_work_gives_what_there_is() {
        let store = Store::in_memory();
        store.create(MANIFEST, "{}").await.unwrap();
        put_segment(&store, 0, &[2]).await;
        let failed = json!([{"type": "Failed", "status": "True", "reason": "OutputUnavailable"}]);
        let failed = Job::new(json!({"status": {"conditions": failed}}));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        assert_eq!(fetch_to(&path, &store, Some(&failed)).await.unwrap(), 1);
        assert_eq!(text(&path), "{\"custom_id\":\"2\"}\n");
    }
}
