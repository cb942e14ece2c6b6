//! What a job has finished so far, from the segments of its output.

use super::error::FetchError;
use super::rows_sink::RowsSink;
use crate::openai::RowNumber;
use crate::results::{Error, Replay};
use crate::storage::Store;

/// How often segments are listed again when some are gone: each time the job has merged some into fewer.
const TRIES: usize = 8;

/// Fetches the rows that are durable, in input order, and gives their number. A file is fetched from the start: more rows may be
/// there than an earlier fetch saw.
///
/// # Errors
///
/// [`FetchError`].
pub async fn fetch(store: &Store, mut sink: RowsSink) -> Result<u64, FetchError> {
    if let RowsSink::File(file) = &mut sink {
        file.clear()?;
    }
    let mut written = Written::default();
    for _ in 1..TRIES {
        match rest(store, &mut written, &mut sink).await {
            Err(FetchError::Results(Error::Store(error))) if error.is_not_found() => {}
            Err(error) => return Err(error),
            Ok(()) => {
                sink.finish()?;
                return Ok(written.rows);
            }
        }
    }
    rest(store, &mut written, &mut sink).await?;
    sink.finish()?;
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
    use bytes::Bytes;

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

    #[tokio::test]
    async fn rows_so_far_are_in_input_order_and_each_once() {
        let store = Store::in_memory();
        put_segment(&store, 0, &[0, 5, 9]).await;
        put_segment(&store, 1, &[3, 5]).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        // Longer than what comes now.
        std::fs::write(folder.path().join("rows.jsonl.part"), "x".repeat(1000)).unwrap();
        let rows = fetch(&store, RowsSink::at(Some(&path)).unwrap()).await.unwrap();
        let lines = [0, 3, 5, 9].map(|row| format!("{{\"custom_id\":\"{row}\"}}\n"));
        assert_eq!((rows, std::fs::read_to_string(&path).unwrap()), (4, lines.concat()));
    }

    #[tokio::test]
    async fn an_output_without_rows_gives_an_empty_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let rows = fetch(&Store::in_memory(), RowsSink::at(Some(&path)).unwrap())
            .await
            .unwrap();
        assert_eq!((rows, std::fs::read_to_string(&path).unwrap().as_str()), (0, ""));
    }
}
