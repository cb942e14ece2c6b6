//! One streaming pass over a data set: is every row good, and where is it?

use std::path::PathBuf;

use bytes::Bytes;
use futures::TryStreamExt;
use sha2::{Digest, Sha256};

use super::{
    BlockLimits, Decoder, Index, InvalidRowReason, Line, LineSplitter, LineTooLong, MAX_ROW_BYTES, Meaning, ModelNames,
    Refusal, ScratchError, Sha256Digest, SkippedRows, Source, SourceError, TooLongRow,
    adapter_rows::AdapterCounts,
    block::BlockBuilder,
    custom_ids::CustomIds,
    findings::{DESCRIBED_ROWS, Findings},
    rows_again::describe,
    source::SourceVersion,
    unknown_fields::UnknownFields,
};
use crate::openai::{LineNumber, RequestRow, RowNumber};

/// Room on disk for comparing ids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scratch {
    /// An existing directory that only this inspection uses. Needs 24 bytes for each row, and as much
    /// again while files are merged.
    pub directory: PathBuf,
    /// Ids to hold in memory, at 32 bytes each, before they go to disk.
    pub ids_in_memory: usize,
}

impl Scratch {
    /// Scratch files in `directory`, and an eighth of a million ids (4 MiB) in memory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            ids_in_memory: 128 * 1024,
        }
    }
}

/// A data set of which some rows, at least, can be run.
#[derive(Clone, PartialEq, Debug)]
pub struct Inspection {
    /// What the data set is and where its rows are.
    pub index: Index,
    /// What to say when the job does not go on without rows that cannot be run. `None` when all can.
    pub refusal: Option<Box<Refusal>>,
}

/// Why there is no [`Inspection`].
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The data set was read, and no job can run it.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The data set cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is no room to compare ids.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
}

/// Reads a whole data set once and checks every row; `models` are the names that mean the base model and its adapters. A bad row does not
/// end it: its owner should see everything at once. A job may go on without bad rows, but not without those that name a model
/// that nothing serves, as it is mostly the job that is wrong then.
///
/// # Errors
///
/// See [`InspectError`]. A data set that is written to meanwhile is [`SourceError::Changed`].
pub async fn inspect(source: &Source, models: &ModelNames, scratch: &Scratch) -> Result<Inspection, InspectError> {
    inspect_in_blocks(source, models, scratch, BlockLimits::default()).await
}

/// The same, and the refusal describes the first `described` rows that cannot be run, not only the first ten: at one or two hundred
/// bytes of memory for each.
///
/// # Errors
///
/// See [`InspectError`].
pub async fn inspect_describing(
    described: usize,
    source: &Source,
    models: &ModelNames,
    scratch: &Scratch,
) -> Result<Inspection, InspectError> {
    let findings = Findings::describing(described);
    let inspector = Inspector::new(models, scratch, BlockLimits::default(), findings);
    read_whole(source, inspector).await
}

pub(super) async fn inspect_in_blocks(
    source: &Source,
    models: &ModelNames,
    scratch: &Scratch,
    limits: BlockLimits,
) -> Result<Inspection, InspectError> {
    let findings = Findings::describing(DESCRIBED_ROWS);
    read_whole(source, Inspector::new(models, scratch, limits, findings)).await
}

async fn read_whole(source: &Source, mut inspector: Inspector<'_>) -> Result<Inspection, InspectError> {
    let version = source.version().await?;
    let mut splitter = LineSplitter::new(MAX_ROW_BYTES);
    let mut file = Sha256::new();
    let mut chunks = source.stream(&version);
    let mut decoder = Decoder::new(source.compression());
    while let Some(stored) = chunks.try_next().await? {
        file.update(&stored);
        decoder.feed(stored);
        while let Some(mut text) = decoder.next_text().map_err(|error| source.undecodable(error))? {
            inspector.lines_in(&mut splitter, &mut text).await?;
        }
    }
    decoder.finish().map_err(|error| source.undecodable(error))?;
    if let Some(last) = splitter.finish() {
        inspector.line(last).await?;
    }
    let read = FileRead {
        version,
        sha256: file.into(),
        text_bytes: decoder.text_bytes(),
    };
    inspector.conclude(source, read).await
}

/// The object, when all of it was read.
struct FileRead {
    version: SourceVersion,
    sha256: Sha256Digest,
    text_bytes: u64,
}

struct Inspector<'a> {
    models: &'a ModelNames,
    rows: u64,
    blocks: BlockBuilder,
    custom_ids: CustomIds,
    findings: Findings,
    skipped: SkippedRows,
    unknown_fields: UnknownFields,
    adapters: AdapterCounts,
}

impl<'a> Inspector<'a> {
    fn new(models: &'a ModelNames, scratch: &Scratch, limits: BlockLimits, findings: Findings) -> Self {
        Self {
            models,
            rows: 0,
            blocks: BlockBuilder::new(limits),
            custom_ids: CustomIds::new(&scratch.directory, scratch.ids_in_memory),
            findings,
            skipped: SkippedRows::default(),
            unknown_fields: UnknownFields::default(),
            adapters: AdapterCounts::default(),
        }
    }

    async fn lines_in(&mut self, splitter: &mut LineSplitter, chunk: &mut Bytes) -> Result<(), ScratchError> {
        while let Some(line) = splitter.next_in(chunk) {
            self.line(line).await?;
        }
        Ok(())
    }

    async fn line(&mut self, line: Result<Line, LineTooLong>) -> Result<(), ScratchError> {
        match line {
            Ok(line) if line.is_blank() => self.blocks.push_blank(&line),
            Ok(line) => self.row(&line).await?,
            Err(line) => self.too_long(line),
        }
        Ok(())
    }

    fn too_long(&mut self, LineTooLong { number: line, length }: LineTooLong) {
        let row = self.next_row();
        self.blocks.close();
        self.findings.invalid_row(line, InvalidRowReason::TooLong { length });
        self.skipped.rows.insert(row);
        self.skipped.too_long.push(TooLongRow { row, line, length });
    }

    fn next_row(&mut self) -> RowNumber {
        let row = RowNumber(self.rows);
        self.rows += 1;
        row
    }

    async fn row(&mut self, line: &Line) -> Result<(), ScratchError> {
        let number = self.next_row();
        self.blocks.push_row(number, line);
        let row = match RequestRow::parse(&line.content()) {
            Ok(row) => row,
            Err(error) => {
                self.findings.invalid_row(line.number, error.into());
                self.skipped.rows.insert(number);
                return Ok(());
            }
        };
        self.unknown_fields.add(row.unknown_fields);
        self.model(line.number, row.body.model());
        if !self.custom_ids.insert(&row.custom_id, number) {
            self.custom_ids.spill().await?;
            let _ = self.custom_ids.insert(&row.custom_id, number);
        }
        Ok(())
    }

    fn model(&mut self, line: LineNumber, name: Option<&str>) {
        let name = match self.models.meaning(name) {
            Meaning::Base => return,
            Meaning::Adapter(name) if self.adapters.add(name) => return,
            Meaning::Adapter(name) | Meaning::Unknown(name) => name,
        };
        self.findings.unknown_model(line, name);
    }

    async fn conclude(self, source: &Source, file: FileRead) -> Result<Inspection, InspectError> {
        let Self {
            models,
            rows,
            blocks,
            custom_ids,
            mut findings,
            mut skipped,
            unknown_fields,
            adapters,
        } = self;
        let blocks = blocks.finish();
        let duplicates = custom_ids.duplicates(findings.described()).await?;
        findings.more_invalid_rows(duplicates.rows.len() - duplicates.earliest.len() as u64);
        for (line, reason) in describe(source, &blocks, &duplicates.earliest).await? {
            findings.invalid_row(line, reason);
        }
        skipped.rows.extend(&duplicates.rows);
        skipped.repeated = duplicates.rows;
        skipped.first = findings.in_words();
        let index = Index {
            rows,
            bytes: file.version.size,
            text_bytes: file.text_bytes,
            version: file.version.to_string(),
            sha256: file.sha256,
            model_names: models.clone(),
            unknown_fields: unknown_fields.into_vec(),
            adapters: adapters.into_vec(),
            skipped,
            blocks,
        };
        let is_refused = findings.unknown_model_rows > 0 || index.rows_to_send() == 0;
        if !is_refused && findings.invalid_rows == 0 {
            return Ok(Inspection { index, refusal: None });
        }
        let refusal = Box::new(refusal(&index, findings, models));
        if is_refused {
            return Err(InspectError::Refused(refusal));
        }
        let refusal = Some(refusal);
        Ok(Inspection { index, refusal })
    }
}

fn refusal(index: &Index, findings: Findings, models: &ModelNames) -> Refusal {
    Refusal {
        rows: index.rows,
        bytes: index.bytes,
        version: index.version.clone(),
        sha256: index.sha256,
        invalid_rows: findings.invalid_rows,
        unknown_model_rows: findings.unknown_model_rows,
        unknown_models: findings.unknown_models(),
        first_invalid_rows: findings.into_first_invalid_rows(),
        model_advice: models.advice(),
    }
}
