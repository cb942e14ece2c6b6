//! The work on one job, step by step, without Kubernetes.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::api::reason::Reason;
use crate::api::shutdown::Stopping;
use crate::api::status::FeederStage;
use crate::dataset::{Index, Source};
use crate::results::{
    DatasetFacts, Finished, Identity, Kept, Lease, Ledger, Manifest, Removal, StoreClock, finalise, highest_attempt,
    read_manifest, remove_leftovers, remove_segments, restore, resume,
};
use crate::storage::Store;

use super::adapters::{AdapterCheck, ApiToken, Known};
use super::before_servers::{Begun, Taken};
use super::job::Job;
use super::model::ModelCheck;
use super::outcome::end_of;
use super::patience::Patience;
use super::preflight::{refused_at_start, refused_later, try_output};
use super::replicas::Replicas;
use super::report::{End, Pace, Place, progress, usage};
pub use super::trouble::Stop;
use super::turn::keep;

/// A feeder at work on one job.
#[derive(Debug)]
pub struct Feeder {
    /// What to do.
    pub job: Job,
    /// How the hub is asked of the model; not where servers have it from elsewhere.
    pub model: Option<ModelCheck>,
    /// How the hub is asked of adapters; not where servers have them from elsewhere.
    pub adapter_check: Option<AdapterCheck>,
    /// What requests for adapters carry.
    pub adapter_token: Option<ApiToken>,
    /// The data set.
    pub source: Source,
    /// The output.
    pub store: Store,
    /// A directory for scratch files.
    pub scratch: PathBuf,
    /// The servers that are ready.
    pub replicas: watch::Receiver<Replicas>,
    /// Asks the engines of pods how they do, and takes rows to an endpoint.
    pub client: reqwest::Client,
    /// The decision that the job ends before its last row.
    pub stopping: watch::Receiver<Option<Stopping>>,
    /// Whom to tell, and when to stop.
    pub patience: Patience,
    /// What keeps other jobs from working in the output, once it is held. Whoever ends the job releases it.
    pub lease: Arc<OnceLock<Lease>>,
}

impl Feeder {
    /// Does all that is left of the job. May be stopped anywhere and run again. Dropping it stops it.
    ///
    /// # Errors
    ///
    /// [`Stop`]: the job did not come to results, or not yet.
    pub async fn run(&self) -> Result<End, Stop> {
        let was_under_way = self.is_under_way();
        let begun = match self.begin().await {
            Err(Stop::Ended(end)) if was_under_way && end.reason.is_refusal() => {
                return Err(refused_at_start(end, &self.patience).await?);
            }
            begun => begun?,
        };
        let Begun {
            index,
            adapters,
            identity,
            lease,
        } = match begun {
            Taken::Ours(begun) => begun,
            Taken::Finished(end) => return Ok(end),
        };
        let durable_before = OnceLock::new();
        let ended = tokio::select! {
            ended = self.work(&index, &adapters, identity, &durable_before) => ended,
            stop = keep(&lease) => Err(stop),
        };
        let made_progress = durable_before.get().is_some_and(|rows| self.durable_rows() > *rows);
        self.judged(ended, made_progress).await
    }

    /// What comes before the work on rows: the output and the data set are good, and nobody else works here.
    async fn begin(&self) -> Result<Taken<Begun>, Stop> {
        let output = try_output(&self.store, &self.job.reference.uid, &self.patience).await?;
        let clock = StoreClock::new(output.written, Instant::now());
        let begun = self.prepare(clock).await;
        self.judged(begun, false).await
    }

    /// An output that could be tried in this start, and was refused later, may be taken by the next start's keys.
    async fn judged<T>(&self, ended: Result<T, Stop>, made_progress: bool) -> Result<T, Stop> {
        match ended {
            Err(Stop::Ended(end)) if end.reason == Reason::OutputNotWritable => {
                let judged = refused_later(&self.store, &self.job.reference.uid, end, made_progress);
                Err(self.patience.unless_stopped(judged).await?)
            }
            ended => ended,
        }
    }

    /// Whether an earlier start came as far as to rows: keys and places were good then.
    pub(super) fn is_under_way(&self) -> bool {
        self.patience.reporter.latest().is_under_way()
    }

    /// As far as the status tells.
    pub(super) fn durable_rows(&self) -> u64 {
        let progress = self.patience.reporter.latest().progress;
        let rows = progress.map_or(0, |progress| progress.completed + progress.failed);
        u64::try_from(rows).unwrap_or(0)
    }

    /// What is left, when no other job does it.
    async fn work(
        &self,
        index: &Arc<Index>,
        adapters: &[Known],
        identity: Identity,
        durable_before: &OnceLock<u64>,
    ) -> Result<End, Stop> {
        // Not before, as another job may have gone on until now.
        let attempt = self.raise_attempt().await?;
        self.patience.unless_stopped(remove_leftovers(&self.store)).await?;
        let ledger = self.resume(attempt).await?;
        durable_before.get_or_init(|| ledger.durable().rows());
        if ledger.durable().rows() < index.rows {
            self.finish_rows(index, adapters, identity, attempt, ledger).await?;
        }
        self.finalise(index, identity).await
    }

    /// An attempt higher than any that left its mark in the output, also that of a job of another uid.
    async fn raise_attempt(&self) -> Result<u32, Stop> {
        let highest = || async { Ok(highest_attempt(&self.store).await?) };
        let highest = self.patience.until_done(Place::Output, highest).await?;
        self.patience.reporter.update(|report| {
            if report.attempt <= highest {
                report.attempt = report.attempt.saturating_add(highest);
            }
        });
        Ok(self.patience.reporter.latest().attempt)
    }

    async fn resume(&self, attempt: u32) -> Result<Ledger, Stop> {
        let resume = || async { Ok(resume(&self.store, attempt).await?) };
        self.patience.until_done(Place::Output, resume).await
    }

    /// The end, if it was decided before.
    pub(super) async fn reuse(&self, identity: Identity) -> Result<Option<End>, Stop> {
        let manifest = self.manifest().await?;
        let Some(manifest) = manifest.filter(|manifest| manifest.identity == identity) else {
            return Ok(None);
        };
        // Somebody may have removed or cut short what it describes.
        let restore = || Box::pin(async { Ok(restore(&self.store, &manifest).await?) });
        self.patience.until_done(Place::Output, restore).await?;
        Ok(Some(self.conclude(&manifest).await?))
    }

    pub(super) async fn manifest(&self) -> Result<Option<Manifest>, Stop> {
        let read = || async { Ok(read_manifest(&self.store).await?) };
        self.patience.until_done(Place::Output, read).await
    }

    /// The end that a manifest decides; the status has its counts from then on.
    fn end(&self, manifest: &Manifest) -> End {
        let (results, errors) = (manifest.results.rows, manifest.errors.rows);
        self.patience.reporter.update(|report| {
            report.progress = Some(progress(manifest.dataset.rows, results, errors, Pace::default()));
            report.usage = Some(usage(manifest.usage.prompt_tokens, manifest.usage.completion_tokens));
            let models = manifest.models.iter();
            report.count_adapters(&models.map(|model| (model.name.clone(), model.into())).collect());
        });
        end_of(manifest, &self.job.reference, &self.store)
    }

    async fn finalise(&self, index: &Index, identity: Identity) -> Result<End, Stop> {
        self.patience.reporter.update(|report| {
            report.servers_needed = false;
            report.stage = FeederStage::Finalizing;
        });
        let finished = Finished {
            identity,
            job: self.job.reference.clone(),
            dataset: DatasetFacts {
                uri: self.job.dataset_uri.clone(),
                rows: index.rows,
                bytes: index.bytes,
                sha256: <[u8; 32]>::from(index.sha256).into(),
            },
            prices: self.job.prices.clone(),
            started_at: to_the_second(self.job.started_at),
            invalid_rows: index.skipped.rows.clone(),
            finished_at: to_the_second(Timestamp::now()),
            operator_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        // Boxed, as it would make every future that waits for it large.
        let finalise = || Box::pin(async { Ok(finalise(&self.store, &finished).await?) });
        let manifest = self.patience.until_done(Place::Output, finalise).await?;
        tracing::info!(
            results = manifest.results.rows,
            errors = manifest.errors.rows,
            "the results are written"
        );
        self.conclude(&manifest).await
    }

    /// The end that a manifest decides. Whoever wrote it may have been killed before the segments were gone.
    async fn conclude(&self, manifest: &Manifest) -> Result<End, Stop> {
        let mut end = self.end(manifest);
        // A store that is slow in it must not keep the feeder from leaving when it is asked to: the next start goes on.
        if let Some(kept) = self.patience.unless_stopped(self.remove_segments(manifest)).await? {
            end.message = format!("{}; {kept}", end.message);
        }
        Ok(end)
    }

    /// What stays of the segments, if any do. They only take room, so a store that fails is not waited for.
    async fn remove_segments(&self, manifest: &Manifest) -> Option<Kept> {
        match Box::pin(remove_segments(&self.store, manifest)).await {
            Ok(Removal::Removed(segments)) => {
                tracing::info!(segments, "the segments are removed");
                None
            }
            Ok(Removal::Kept(kept)) => Some(kept),
            Err(error) => {
                tracing::warn!(%error, "segments could not be removed");
                None
            }
        }
    }
}

/// RFC 3339, as Kubernetes writes times.
pub(super) fn to_the_second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
