//! Every row of a finished output in one file, in input order: the manifest says which rows are in which of its two files.

use super::error::FetchError;
use super::rows_sink::RowsSink;
use super::stored_file::StoredFile;
use crate::openai::RowNumber;
use crate::results::Manifest;
use crate::storage::Store;

/// Fetches all rows. A file goes on where an earlier fetch broke off; rows of other work in it are noticed by their checksum, and
/// then it is fetched from the start.
///
/// # Errors
///
/// [`FetchError`]; what is fetched stays in the `.part` file.
pub async fn fetch(store: &Store, manifest: &Manifest, mut sink: RowsSink) -> Result<(), FetchError> {
    let mut rows = Rows::open(store, manifest).await?;
    if let RowsSink::File(file) = &mut sink {
        file.lines(|line| rows.skip(line))?;
    }
    let has_skipped = rows.next.0 > 0;
    match rows.write(&mut sink).await {
        Err(error) if error.is_change() && has_skipped => {
            if let RowsSink::File(file) = &mut sink {
                file.clear()?;
            }
            Rows::open(store, manifest).await?.write(&mut sink).await?;
        }
        written => written?,
    }
    sink.finish()
}

/// Both files, read side by side.
struct Rows<'a> {
    manifest: &'a Manifest,
    results: StoredFile,
    errors: StoredFile,
    next: RowNumber,
}

impl<'a> Rows<'a> {
    async fn open(store: &Store, manifest: &'a Manifest) -> Result<Self, FetchError> {
        Ok(Self {
            manifest,
            results: StoredFile::open(store, &manifest.results).await?,
            errors: StoredFile::open(store, &manifest.errors).await?,
            next: RowNumber(0),
        })
    }

    /// The file that has the next row.
    fn file(&mut self) -> &mut StoredFile {
        if self.manifest.proof.error_rows.contains(self.next) {
            &mut self.errors
        } else {
            &mut self.results
        }
    }

    fn skip(&mut self, line: &[u8]) {
        self.file().skip(line);
        self.next.0 += 1;
    }

    async fn write(mut self, sink: &mut RowsSink) -> Result<(), FetchError> {
        while self.next.0 < self.manifest.proof.rows_in {
            let line = self.file().line().await?;
            sink.write(&line)?;
            self.next.0 += 1;
        }
        self.results.check()?;
        self.errors.check()
    }
}

#[cfg(test)]
#[path = "combined_tests.rs"]
pub(super) mod tests;
