//! Finished rows: kept as segments while a job runs, merged into its results at the end.
//!
//! Formats and their promises stand in `docs/reference/output.md`. May use `storage` and `openai`;
//! knows nothing of servers, of Kubernetes, or of what a row says.
//!
//! Start with [`claim`] (whose output it is), then [`LedgerWriter`] (a row becomes durable), then
//! [`finalise`] (the end). [`Segment`] is the format between the two.

mod checksum;
mod claim;
mod compact;
mod compaction;
mod compactor;
#[cfg(test)]
mod crash_tests;
mod ended;
mod error;
mod files;
mod finalise;
mod format;
mod header;
mod lease;
mod ledger;
mod ledger_writer;
mod manifest;
mod merge;
mod merge_plan;
mod record;
mod removal;
mod replay;
mod restore;
mod resume;
mod rows_file;
mod segment;
mod segment_id;
mod segment_reader;
mod stopped;
mod stored_segment;
#[cfg(test)]
mod testing;

pub use checksum::{Checksum, ChecksumError, Hasher};
pub use claim::{Adapter, Claim, Claimed, Identity, JobReference, OutputNotEmpty, Work, claim, read_claim};
pub use ended::{Ended, Outcome};
pub use error::Error;
pub use finalise::{Finished, finalise};
pub use header::{Damage, Header, ModelRows, RowsOfKind, Tokens};
pub use lease::{LEASE_LOOKED_AT_EVERY, LEASE_RENEWED_EVERY, Lease, Renewed, StoreClock, Term, latest_term};
pub use ledger::{Durable, Ledger, SEGMENT_AGE, SEGMENT_BYTES};
pub use ledger_writer::{LedgerStatus, LedgerWriter, Trouble};
pub use manifest::{Cost, DatasetFacts, Manifest, ModelUsage, OutputFile, Proof, SegmentUsed, Usage, read_manifest};
pub use record::{FinishedRow, Kind};
pub use removal::{Kept, Removal, remove_segments};
pub use replay::{Replay, ReplayedRow};
pub use restore::restore;
pub use resume::{highest_attempt, resume};
pub use segment::Segment;
pub use segment_id::SegmentId;
pub use stopped::{StopReason, Stopped, read_stopped, stop};

use crate::storage::Store;

/// Removes what feeders that were killed have left: in the middle of a put on a volume, and between a compacted segment and the end of
/// those that it stands for. Best after other jobs are known to be gone.
pub async fn remove_leftovers(store: &Store) {
    if let Err(error) = compact::remove_all_replaced(store).await {
        tracing::info!(%error, "segments that others stand for could not be removed");
    }
    match store
        .remove_leftovers(
            &[JOB, INDEX, RESULTS, ERRORS, STOPPED, MANIFEST],
            &[SEGMENTS, LEASES, PROBES],
        )
        .await
    {
        Ok(0) => {}
        Ok(files) => tracing::info!(files, "files of puts that were cut off are removed"),
        Err(error) => tracing::warn!(%error, "files of puts that were cut off cannot be removed"),
    }
}

/// Who may write here, and what for: created first.
pub const JOB: &str = "job.json";
/// What inspection found, for a feeder that starts again.
pub const INDEX: &str = "index.json";
/// Rows that were answered, in input order.
pub const RESULTS: &str = "results.jsonl";
/// Rows that failed, in input order.
pub const ERRORS: &str = "errors.jsonl";
/// Why the job was stopped, if it was.
pub const STOPPED: &str = "stopped.json";
/// What the job came to: created last.
pub const MANIFEST: &str = "manifest.json";
/// The folder of what the job at work writes again and again.
pub const LEASES: &str = "leases/";
/// The folder of what is only tried.
pub const PROBES: &str = "preflight/";
/// The folder of segments.
pub const SEGMENTS: &str = "segments/";
