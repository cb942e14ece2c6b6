use std::time::Duration;

use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::api::status::FeederStatus;
use crate::dataset::{ModelNames, Scratch, inspect};
use crate::feeder::report::Report;
use crate::feeder::reporter::{Reporter, StatusWriter, WriteError};
use crate::results::{Identity, Work};

struct Unheard;

impl StatusWriter for Unheard {
    async fn write(&self, _: &FeederStatus) -> Result<(), WriteError> {
        Ok(())
    }
}

/// Reads rows with such ids, of which none is finished.
async fn read(ids: impl Iterator<Item = String>, memory: &Memory) -> Rows {
    let rows = ids.map(|id| format!(r#"{{"custom_id":"{id}","method":"POST","url":"/v1/completions","body":{{}}}}"#));
    let (store, path) = (Arc::new(InMemory::new()), Path::from("rows.jsonl"));
    let content = rows.collect::<Vec<_>>().join("\n");
    store.put(&path, content.into()).await.unwrap();
    let source = Source::new(store, path, "s3://bucket/rows.jsonl", "");
    let scratch = tempfile::tempdir().unwrap();
    let inspected = inspect(&source, &ModelNames::new(["base"]), &Scratch::new(scratch.path())).await;
    let identity = Identity::of(&Work {
        dataset_sha256: crate::results::Checksum::of(b"rows"),
        model: "base".into(),
        revision: None,
        quantization: None,
        adapters: Vec::new(),
    });
    let (reporter, _) = Reporter::new(Report::first(None), Unheard);
    let reader = RowReader {
        source,
        index: Arc::new(inspected.unwrap().index),
        durable: Durable::default(),
        model: "base".into(),
        adapters: RowAdapters::Known(Arc::default()),
        lines: Lines::new(identity, "base", Duration::from_secs(1)),
        memory: memory.clone(),
        patience: Patience {
            reporter,
            shutdown: CancellationToken::new(),
        },
    };
    reader.start()
}

#[test]
fn rows_of_one_adapter_stand_together_beginning_with_the_last_one() {
    let row = |number: u64, adapter: Option<&str>| {
        ReadRow::ToSend(Arc::new(Row {
            number: RowNumber(number),
            custom_id: CustomId::try_from(number.to_string()).unwrap(),
            endpoint: Endpoint::Completions,
            body: Bytes::new(),
            adapter: adapter.map(Arc::from),
            affinity: 0,
            _memory: Held::default(),
        }))
    };
    let numbers = |rows: &[ReadRow]| -> Vec<u64> {
        let number = |row: &ReadRow| match row {
            ReadRow::ToSend(row) => row.number.0,
            ReadRow::Invalid(row) | ReadRow::Missed(row) => row.row.0,
        };
        rows.iter().map(number).collect()
    };
    let names = [None, Some("b"), Some("a"), None, Some("b"), Some("a")];
    let window = |from: u64| -> Vec<ReadRow> { (from..).zip(names).map(|(number, name)| row(number, name)).collect() };
    let mut last = None;
    let mut first = window(0);
    group(&mut first, &mut last);
    assert_eq!(numbers(&first), [0, 3, 2, 5, 1, 4]);
    assert_eq!(last.as_deref(), Some("b"));
    let mut second = window(6);
    group(&mut second, &mut last);
    assert_eq!(numbers(&second), [7, 10, 6, 9, 8, 11]);
}

#[tokio::test(start_paused = true)]
async fn rows_with_long_ids_wait_for_memory_as_long_rows_do() {
    const ID_BYTES: usize = 1 << 20;
    // The least that is ever shared out: 8 MiB for requests.
    let memory = Memory::new(0);
    let id = |row: usize| "x".repeat(ID_BYTES) + &row.to_string();
    let mut rows = read((0..20).map(id), &memory).await;
    let mut held = Vec::new();
    // Time passes only when nothing else can happen.
    while let Ok(more) = timeout(Duration::from_secs(1), rows.recv()).await {
        held.extend(more.expect("rows are left").unwrap());
    }
    assert_eq!(held.len(), 7);
    let mut read = 0;
    while !held.is_empty() {
        read += held.len();
        held.clear();
        held.extend(rows.recv().await.transpose().unwrap().unwrap_or_default());
    }
    assert_eq!(read, 20);
}
