//! An output without a manifest: what is there of its job.

use std::fmt;

use crate::results::{
    Error, JOB, MANIFEST, RESULTS, SEGMENTS, STOPPED, SegmentId, Stopped, read_claim, read_stopped, resume,
};
use crate::storage::{Store, StoreUri};

/// What a job that has not ended has left so far.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unfinished {
    /// Where the manifest would be.
    pub manifest: StoreUri,
    /// The job and the rows of its data set, by `job.json`.
    pub job: Option<(String, u64)>,
    /// Segments.
    pub segments: usize,
    /// Rows in them that were answered.
    pub results: u64,
    /// Rows in them that failed.
    pub errors: u64,
    /// Whether `results.jsonl` is there already.
    pub has_results: bool,
    /// The decision that no more rows are run, by `stopped.json`: whoever goes on is bound by it.
    pub stopped: Option<Stopped>,
}

impl Unfinished {
    /// Looks at what is there.
    ///
    /// # Errors
    ///
    /// The store fails, or something there is damaged.
    pub async fn read(store: &Store) -> Result<Self, Error> {
        let claim = read_claim(store).await?;
        let entries = store.list(SEGMENTS).await?;
        let segments = entries
            .iter()
            .filter_map(|entry| SegmentId::from_key(&entry.key))
            .count();
        let ledger = resume(store, 0).await?;
        let durable = ledger.durable();
        Ok(Self {
            manifest: store.uri_of(MANIFEST),
            job: claim.map(|claim| (claim.job().to_string(), claim.dataset_rows())),
            segments,
            results: durable.results.len(),
            errors: durable.errors.len(),
            has_results: store.size(RESULTS).await?.is_some(),
            stopped: read_stopped(store).await?,
        })
    }

    /// Whether nothing of a job is there, so that most likely another place was meant.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.job.is_none() && self.segments == 0 && !self.has_results && self.stopped.is_none()
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            manifest,
            results,
            errors,
            segments,
            ..
        } = self;
        if self.is_nothing() {
            return write!(
                f,
                "`{manifest}` does not exist, and nothing else of a job is there: correct --output"
            );
        }
        write!(f, "`{manifest}` does not exist: the job has not ended\n  ")?;
        match &self.job {
            Some((job, rows)) => write!(f, "{JOB}: job {job}, {rows} rows")?,
            None => write!(f, "no {JOB}")?,
        }
        let rows = results + errors;
        write!(
            f,
            "\n  {segments} segments with {rows} rows: {results} results, {errors} errors"
        )?;
        if self.has_results {
            write!(f, "\n  {RESULTS}, which does not count before there is a manifest")?;
        }
        match &self.stopped {
            Some(Stopped { reason, at, .. }) => write!(
                f,
                "\n  {STOPPED}: the job was decided to end as {reason:?} at {at}; a job with the same output writes what is there as \
                 its results, and to run the other rows choose another output"
            ),
            None => write!(
                f,
                "\n  no {STOPPED}: unless a job still works on it, create the job again with the same output and without \
                 spec.shutdown, and it goes on where it was"
            ),
        }
    }
}
