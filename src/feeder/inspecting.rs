//! The data set is inspected, or was by an earlier start.

use std::path::PathBuf;
use std::sync::Arc;

use crate::api::dataset::InvalidRows;
use crate::api::reason::Reason;
use crate::dataset::{Index, InspectError, Inspection, Scratch, SourceError, SourceVersion, inspect};
use crate::results::INDEX;

use super::inspected;
use super::report::Place;
use super::steps::Feeder;
use super::trouble::{Stop, Trouble};

impl Feeder {
    pub(super) async fn inspect(&self) -> Result<Arc<Index>, Stop> {
        let earlier = self.patience.until_done(Place::Output, || self.earlier_index()).await?;
        let version = || async { Ok(self.version().await?) };
        let version = self.patience.until_done(Place::Dataset, version).await?;
        let names = self.job.model_names();
        // A name that was good then may be none now: names do not make other work. Nor does what becomes of invalid rows.
        let is_good = |index: &Index| {
            let may_skip = self.job.invalid_rows == InvalidRows::Skip || index.skipped.rows.is_empty();
            let is_same = version.tells_contents_apart() && index.version == version.to_string();
            may_skip && is_same && names.include(&index.model_names) && names.have(&index.adapters)
        };
        let index = match earlier.filter(is_good) {
            Some(index) => index,
            None => self.patience.until_done(Place::Dataset, || self.inspect_anew()).await?,
        };
        let dataset = inspected::status(&index);
        self.patience.reporter.update(|report| report.dataset = Some(dataset));
        Ok(Arc::new(index))
    }

    /// What is there now. A byte is read too: a look may be allowed to whom the content is refused, as with a key of KMS.
    async fn version(&self) -> Result<SourceVersion, SourceError> {
        let version = self.source.version().await?;
        if version.size > 0 {
            self.source.read(0..1).await?;
        }
        Ok(version)
    }

    async fn earlier_index(&self) -> Result<Option<Index>, Trouble> {
        let bytes = self.store.read(INDEX).await?;
        let decoded = bytes.map(|bytes| Index::decode(&bytes)).transpose();
        // Inspection costs a moment, and says whether the data set is still good.
        Ok(decoded.unwrap_or_else(|error| {
            tracing::warn!(%error, "the index cannot be used and the data set is inspected again");
            None
        }))
    }

    async fn inspect_anew(&self) -> Result<Index, Trouble> {
        let directory = empty_directory(self.scratch.join("inspection")).await?;
        let inspected = inspect(&self.source, &self.job.model_names(), &Scratch::new(directory)).await;
        let inspected = inspected.and_then(|inspection| self.accept(inspection));
        if let Err(InspectError::Refused(refusal)) = &inspected {
            let dataset = inspected::refused_status(refusal);
            self.patience.reporter.update(|report| report.dataset = Some(dataset));
        }
        let index = inspected?;
        let skipped = index.skipped.rows.len();
        if skipped > 0 {
            tracing::warn!(rows = skipped, "rows are no good requests, and become errors");
        }
        for field in &index.unknown_fields {
            tracing::warn!(name = %field.name, rows = field.rows, "rows have a field that means nothing here and is not sent");
        }
        Ok(index)
    }

    /// A data set with bad rows only where the job goes on without them.
    fn accept(&self, Inspection { index, refusal }: Inspection) -> Result<Index, InspectError> {
        match refusal.filter(|_| self.job.invalid_rows == InvalidRows::Fail) {
            Some(refusal) => Err(InspectError::Refused(refusal)),
            None => Ok(index),
        }
    }
}

/// A directory of its own for each inspection: a killed one may have left files.
async fn empty_directory(directory: PathBuf) -> Result<PathBuf, Trouble> {
    let emptied = match tokio::fs::remove_dir_all(&directory).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => tokio::fs::create_dir_all(&directory).await,
    };
    let trouble = |error| {
        let message = format!(
            "the scratch directory `{}` cannot be used: {error}",
            directory.display()
        );
        Trouble::wait(Reason::ScratchUnusable, message)
    };
    emptied.map_err(trouble)?;
    Ok(directory)
}
