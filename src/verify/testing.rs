//! A finished output in memory, made by the code that makes them, and ways to spoil it.

use bytes::Bytes;
use serde_json::Value;

use crate::api::prices::Prices;
use crate::dataset::{Block, BlockChecksum, Index, LineSplitter, Sha256Digest, SkippedRows};
use crate::openai::{CustomId, LineNumber, Outcome, ResponseBody, ResultRow, RowNumber, RowSet, Usage};
use crate::results::{
    Checksum, Claim, DatasetFacts, Finished, FinishedRow, JobReference, Kind, MANIFEST, Segment, SegmentId, Work,
    claim, finalise,
};
use crate::storage::Store;

use super::prove::{Verdict, verify};

pub const DATASET: &str = "rows.jsonl";

/// A data set and its output in one store.
pub struct Job {
    pub store: Store,
}

/// A row named `id`.
pub fn dataset_row(id: &str) -> String {
    format!(r#"{{"custom_id":"{id}","method":"POST","url":"/v1/completions","body":{{"prompt":"Say {id}."}}}}"#)
}

/// The line of a row named `id`; an answer of success costs 7 and 2 tokens, and one of failure 3 and 0.
pub fn output_line(id: &str, kind: Kind) -> String {
    let custom_id = CustomId::try_from(id.to_owned()).unwrap();
    let (status_code, tokens) = match kind {
        Kind::Result => (200, "\"prompt_tokens\":7,\"completion_tokens\":2"),
        Kind::Error => (400, "\"prompt_tokens\":3"),
    };
    let body = ResponseBody::new(format!(r#"{{"text":"{id}","usage":{{{tokens}}}}}"#).into());
    let mut line = Vec::new();
    ResultRow {
        id: "batch_req",
        custom_id: Some(&custom_id),
        outcome: Outcome::Answered {
            status_code,
            request_id: "req",
            body: &body,
        },
    }
    .write_to(&mut line);
    String::from_utf8(line).unwrap()
}

/// The line of a row that is no good request.
pub fn invalid_line(line: u64, custom_id: Option<&str>) -> String {
    let custom_id = custom_id.map(|id| CustomId::try_from(id.to_owned()).unwrap());
    let mut text = Vec::new();
    ResultRow {
        id: "batch_req",
        custom_id: custom_id.as_ref(),
        outcome: Outcome::Invalid {
            line: LineNumber(line),
            message: "a reason",
        },
    }
    .write_to(&mut text);
    String::from_utf8(text).unwrap()
}

/// The row's name in [`Job::of`].
pub fn id(number: u64) -> String {
    format!("row-{number}")
}

impl Job {
    /// A finished job of that many rows; those of `errors` have failed. In the data set, every third row has a blank line
    /// before it.
    pub async fn of(rows: u64, errors: &[u64]) -> Self {
        let blank = |number: u64| if number % 3 == 2 { " \r\n" } else { "" };
        let lines: Vec<_> = (0..rows)
            .map(|n| blank(n).to_owned() + &dataset_row(&id(n)) + "\n")
            .collect();
        Self::finished(&lines.concat(), finished_rows(rows, errors), RowSet::default()).await
    }

    /// A finished job of which the second line is no request, and the last repeats the first one's id.
    pub async fn with_invalid_rows() -> Self {
        let dataset = [
            dataset_row("row-0"),
            "{}".into(),
            dataset_row("row-2"),
            dataset_row("row-0"),
        ]
        .join("\n")
            + "\n";
        let mut rows = finished_rows(4, &[1, 3]);
        for (row, custom_id) in [(1, None), (3, Some("row-0"))] {
            rows[row].line = invalid_line(row as u64 + 1, custom_id).into();
            rows[row].usage = Usage::default();
        }
        Self::finished(&dataset, rows, [1, 3].into_iter().map(RowNumber).collect()).await
    }

    async fn finished(dataset: &str, rows: Vec<FinishedRow>, invalid_rows: RowSet) -> Self {
        let job = Self {
            store: Store::in_memory(),
        };
        job.write(DATASET, dataset).await;
        job.finalise(dataset, rows, invalid_rows).await;
        assert!(matches!(Box::pin(job.verify()).await, Verdict::Proven(_)));
        job
    }

    async fn finalise(&self, dataset: &str, finished_rows: Vec<FinishedRow>, invalid_rows: RowSet) {
        let rows = finished_rows.len() as u64;
        let segment = Segment::new(SegmentId::new(1, 0), finished_rows);
        let bytes = segment.encode().unwrap().concat();
        self.store.create(&segment.header().id.key(), bytes).await.unwrap();
        let work = Work {
            dataset_sha256: Checksum::of(dataset.as_bytes()),
            model: "base".into(),
            revision: None,
            quantization: None,
            adapters: Vec::new(),
        };
        let job = JobReference {
            namespace: "default".into(),
            name: "triangles".into(),
            uid: "1".into(),
        };
        let ours = Claim::new(job.clone(), "s3://bucket/rows.jsonl", rows, work);
        claim_over_segments(&self.store, &ours).await;
        let facts = DatasetFacts {
            uri: "s3://bucket/rows.jsonl".into(),
            rows,
            bytes: dataset.len() as u64,
            sha256: Checksum::of(dataset.as_bytes()),
        };
        let finished = Finished {
            identity: ours.identity(),
            job,
            dataset: facts,
            invalid_rows,
            prices: Some(Prices::default()),
            started_at: "2026-11-24T08:00:00Z".into(),
            finished_at: "2026-11-24T08:05:00Z".into(),
            operator_version: "0.1.0".into(),
        };
        finalise(&self.store, &finished).await.unwrap();
    }

    /// Some files of another job.
    pub async fn copy_of(other: &Self, keys: &[&str]) -> Self {
        let job = Self {
            store: Store::in_memory(),
        };
        for key in keys {
            job.write(key, &other.read(key).await).await;
        }
        job
    }

    pub async fn verify(&self) -> Verdict {
        verify(&self.store, DATASET, &self.store).await.unwrap()
    }

    /// What differs, each as it is printed: rows and lines, then fields as `NAME: SAID`.
    pub async fn told(&self) -> Vec<String> {
        match self.verify().await {
            Verdict::Differs(differences) => differences.described().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// What differs but for fields of the manifest.
    pub async fn told_of_lines(&self) -> Vec<String> {
        let mut told = self.told().await;
        told.retain(|text| !text.starts_with(MANIFEST));
        told
    }

    pub async fn read(&self, key: &str) -> String {
        let bytes: Bytes = self.store.read(key).await.unwrap().unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    pub async fn write(&self, key: &str, content: &str) {
        let mut writer = self.store.overwrite(key, 0);
        writer.write(content.as_bytes()).await.unwrap();
        writer.finish().await.unwrap();
    }

    /// Changes the lines of a file.
    pub async fn edit(&self, key: &str, change: impl FnOnce(&mut Vec<String>)) {
        let content = self.read(key).await;
        let mut lines: Vec<String> = content.lines().map(ToOwned::to_owned).collect();
        change(&mut lines);
        let last_break = if lines.is_empty() { "" } else { "\n" };
        self.write(key, &(lines.join("\n") + last_break)).await;
    }

    /// Changes one value of the manifest.
    pub async fn set(&self, pointer: &str, value: Value) {
        let mut manifest: Value = serde_json::from_str(&self.read(MANIFEST).await).unwrap();
        *manifest.pointer_mut(pointer).unwrap() = value;
        self.write(MANIFEST, &manifest.to_string()).await;
    }
}

/// A claim comes before any segment, so it is written into a store of its own and copied.
async fn claim_over_segments(store: &Store, ours: &Claim) {
    let other = Store::in_memory();
    claim(&other, ours).await.unwrap();
    let bytes = other.read("job.json").await.unwrap().unwrap();
    store.create("job.json", bytes).await.unwrap();
}

fn finished_rows(rows: u64, errors: &[u64]) -> Vec<FinishedRow> {
    let row = |number: u64| {
        let kind = if errors.contains(&number) {
            Kind::Error
        } else {
            Kind::Result
        };
        let line = Bytes::from(output_line(&id(number), kind));
        let usage = crate::openai::ResultLine::parse(&line).unwrap().usage;
        FinishedRow {
            row: RowNumber(number),
            kind,
            usage,
            model: (kind == Kind::Result).then(|| "base".into()),
            line,
        }
    };
    (0..rows).map(row).collect()
}

/// Seven rows, of which the second and the fifth have failed: results are rows 0, 2, 3, 5, 6.
pub async fn seven() -> Job {
    Job::of(7, &[1, 4]).await
}

/// The fields of the manifest that are told.
pub fn fields(told: &[String]) -> Vec<&str> {
    let named = told
        .iter()
        .filter_map(|text| text.strip_prefix("manifest.json, field "));
    named.map(|text| text.split(':').next().unwrap()).collect()
}

/// An index with that many rows in each block.
pub fn index_of(dataset: &str, rows: u64) -> String {
    let mut splitter = LineSplitter::new(1000);
    let mut chunk = Bytes::copy_from_slice(dataset.as_bytes());
    let lines = std::iter::from_fn(|| splitter.next_in(&mut chunk)).map(Result::unwrap);
    let lines: Vec<_> = lines.filter(|line| !line.is_blank()).collect();
    let blocks = lines
        .chunks(usize::try_from(rows).unwrap())
        .zip(0..)
        .map(|(lines, block)| {
            let (first, last) = (&lines[0], &lines[lines.len() - 1]);
            let end = last.offset + last.raw.len() as u64;
            let range = usize::try_from(first.offset).unwrap()..usize::try_from(end).unwrap();
            Block {
                first_row: RowNumber(block * rows),
                first_line: first.number,
                offset: first.offset,
                length: end - first.offset,
                rows: lines.len() as u64,
                checksum: BlockChecksum::of(&dataset.as_bytes()[range]),
            }
        });
    let index = Index {
        rows: lines.len() as u64,
        bytes: dataset.len() as u64,
        text_bytes: dataset.len() as u64,
        version: String::new(),
        sha256: Sha256Digest::of(dataset.as_bytes()),
        model_names: crate::dataset::ModelNames::new([""; 0]),
        adapters: Vec::new(),
        unknown_fields: Vec::new(),
        skipped: SkippedRows::default(),
        blocks: blocks.collect(),
    };
    String::from_utf8(index.encode()).unwrap()
}
