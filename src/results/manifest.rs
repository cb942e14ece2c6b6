//! `manifest.json`: what a job came to. Whoever creates it has decided the end.

use serde::{Deserialize, Serialize};

use crate::api::amount::Amount;
use crate::api::prices::Prices;
use crate::openai::RowSet;
use crate::storage::Store;

use super::MANIFEST;
use super::checksum::Checksum;
use super::claim::{Identity, JobReference};
use super::ended::Ended;
use super::error::Error;
use super::format;
use super::header::{ModelRows, Tokens, is_zero};
use super::segment_id::SegmentId;

pub(super) const FORMAT: &str = "batchinference.dev/manifest/v1";

/// The content of `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The format's name and version.
    pub format: String,
    /// How the job ended: `outcome`, and `stopped` when it was stopped.
    #[serde(flatten)]
    pub ended: Ended,
    /// What work it is, as in `job.json`.
    pub identity: Identity,
    /// The job that ended it.
    pub job: JobReference,
    /// What was read.
    pub dataset: DatasetFacts,
    /// The file of answered rows.
    pub results: OutputFile,
    /// The file of failed rows.
    pub errors: OutputFile,
    /// Tokens of all rows, each row once.
    pub usage: Usage,
    /// What those tokens cost. Not in a manifest of a job that knew no prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// The rows and tokens of each model, by name.
    pub models: Vec<ModelUsage>,
    /// Why the files are complete.
    pub proof: Proof,
    /// What the files were made from.
    pub segments: Vec<SegmentUsed>,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339.
    pub finished_at: String,
    /// Of the program that wrote it.
    pub operator_version: String,
}

/// The data set as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetFacts {
    /// Where it was.
    pub uri: String,
    /// Rows in it.
    pub rows: u64,
    /// Bytes in it.
    pub bytes: u64,
    /// Of those bytes.
    pub sha256: Checksum,
}

/// One file of rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFile {
    /// Relative to the manifest.
    pub key: String,
    /// Lines in it.
    pub rows: u64,
    /// Bytes in it.
    pub bytes: u64,
    /// Of those bytes.
    pub sha256: Checksum,
}

/// Sums of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// Both.
    pub total_tokens: u64,
}

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        let Tokens {
            prompt_tokens,
            completion_tokens,
        } = tokens;
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
        }
    }
}

/// What tokens cost. What devices cost is known only once the last of them is given back, which is after the manifest; of them
/// there are the prices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// In the currency of the prices.
    pub token_cost: Amount,
    /// Those of the job that ended it.
    pub prices: Prices,
}

impl Cost {
    /// Of these tokens, at these prices.
    #[must_use]
    pub fn new(usage: Usage, prices: Prices) -> Self {
        Self {
            token_cost: prices.of_tokens(usage.total_tokens),
            prices,
        }
    }
}

/// The rows and tokens of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelUsage {
    /// The model's or adapter's name.
    pub name: String,
    /// Rows that it answered.
    pub rows: u64,
    /// Rows that name it and failed; counted of adapters only.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u64,
    /// The tokens of those that it answered.
    pub usage: Usage,
}

impl From<&ModelRows> for ModelUsage {
    fn from(counted: &ModelRows) -> Self {
        Self {
            name: counted.name.clone(),
            rows: counted.rows,
            failed: counted.failed,
            usage: counted.usage.into(),
        }
    }
}

impl From<&ModelUsage> for ModelRows {
    fn from(said: &ModelUsage) -> Self {
        Self {
            name: said.name.clone(),
            rows: said.rows,
            failed: said.failed,
            usage: Tokens {
                prompt_tokens: said.usage.prompt_tokens,
                completion_tokens: said.usage.completion_tokens,
            },
        }
    }
}

/// Why the files are complete: one walk over all segments met every row number from 0 to `rows_in` - 1 in
/// ascending order, and wrote each to one of the two files. Nothing is written unless that holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// For people.
    pub statement: String,
    /// Rows in the data set.
    pub rows_in: u64,
    /// Lines in the results.
    pub results: u64,
    /// Lines in the errors.
    pub errors: u64,
    /// Copies of rows that a later attempt had made as well, and that were left out.
    pub duplicates_dropped: u64,
    /// The numbers of the rows in the errors; all others are in the results. With it, a reader of all three
    /// files can compare every `custom_id` in one pass, without sorting.
    pub error_rows: RowSet,
    /// The numbers of those rows in the errors whose line of the data set is no good request, so that they were never sent. Their
    /// `custom_id` may be missing, or another row's: what names them is `error.line`.
    #[serde(default, skip_serializing_if = "RowSet::is_empty")]
    pub invalid_rows: RowSet,
}

impl Proof {
    pub(super) fn new(results: u64, error_rows: RowSet, invalid_rows: RowSet, duplicates_dropped: u64) -> Self {
        let errors = error_rows.len();
        let rows_in = results + errors;
        Self {
            statement: format!(
                "{rows_in} rows in = {results} results + {errors} errors, \
                 each row exactly once, in input order"
            ),
            rows_in,
            results,
            errors,
            duplicates_dropped,
            error_rows,
            invalid_rows,
        }
    }
}

/// One segment that the files were made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentUsed {
    /// Relative to the manifest.
    pub key: String,
    /// Rows in it, left out ones included.
    pub rows: u64,
    /// Of its rows' bytes, as its header has it.
    pub sha256: Checksum,
}

impl SegmentUsed {
    pub(super) fn new(id: SegmentId, rows: u64, sha256: Checksum) -> Self {
        Self {
            key: id.key(),
            rows,
            sha256,
        }
    }
}

/// Reads the manifest of an output; `None` while nobody has decided the end.
///
/// # Errors
///
/// [`Error`] when the store fails or the object is not ours.
pub async fn read_manifest(store: &Store) -> Result<Option<Manifest>, Error> {
    let Some(json) = store.read(MANIFEST).await? else {
        return Ok(None);
    };
    Manifest::parse(&json).map(Some).map_err(|source| Error::Unreadable {
        uri: store.uri_of(MANIFEST),
        source,
    })
}

impl Manifest {
    /// Reads the content of a `manifest.json`.
    ///
    /// # Errors
    ///
    /// When it is not one, or one of a later version.
    pub fn parse(json: &[u8]) -> serde_json::Result<Self> {
        let manifest: Self = serde_json::from_slice(json)?;
        format::check(&manifest.format, FORMAT)?;
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_file_is_read_and_written_back() {
        let golden = include_str!("golden/manifest.json");
        let manifest = Manifest::parse(golden.as_bytes()).unwrap();
        let written = serde_json::to_string_pretty(&manifest).unwrap() + "\n";
        assert_eq!(written, golden);
    }

    #[test]
    fn a_manifest_of_a_later_version_is_refused() {
        let later = include_str!("golden/manifest.json").replace("/v1", "/v2");
        let error = Manifest::parse(later.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("batchinference.dev/manifest/v2"), "{error}");
    }
}
