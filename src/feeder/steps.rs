//! The work on one job, step by step, without Kubernetes.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::api::dataset::InvalidRows;
use crate::api::output::IfExists;
use crate::api::reason::Reason;
use crate::api::shutdown::Stopping;
use crate::api::status::{FeederStage, ModelStatus};
use crate::api::wait::Wait;
use crate::dataset::{Index, InspectError, Inspection, Scratch, Source, inspect};
use crate::engine::repository_file::is_commit;
use crate::results::{
    Claim, Claimed, DatasetFacts, Finished, INDEX, Identity, Kept, LEASE_LOOKED_AT_EVERY, Lease, Ledger, Manifest,
    OutputNotEmpty, Removal, StoreClock, claim, finalise, highest_attempt, read_claim, read_manifest, remove_leftovers,
    remove_segments, restore, resume,
};
use crate::storage::Store;

use super::adapters::{self, AdapterCheck, ApiToken, Known};
use super::inspected;
use super::job::Job;
use super::model::{Asked, ModelCheck};
use super::outcome::{already_claimed, end_of};
use super::patience::Patience;
use super::preflight::{refused_at_start, refused_later, try_output};
use super::replicas::Replicas;
use super::report::{End, Pace, Place, progress, usage};
use super::stopping::end_without_turn;
pub use super::trouble::Stop;
use super::trouble::Trouble;
use super::turn::{Turn, keep};

/// A hub that answers within this time is asked without a word.
const TOLD_AFTER: Duration = Duration::from_secs(2);

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

/// What came of waiting for other jobs.
enum Taken<T> {
    Ours(T),
    Finished(End),
}

/// What the work on rows begins with.
struct Begun {
    index: Arc<Index>,
    adapters: Vec<Known>,
    identity: Identity,
    lease: Lease,
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
        let lease = self.lease.get_or_init(|| lease);
        let durable_before = OnceLock::new();
        let ended = tokio::select! {
            ended = self.work(&index, &adapters, identity, &durable_before) => ended,
            stop = keep(lease) => Err(stop),
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

    async fn prepare(&self, clock: StoreClock) -> Result<Taken<Begun>, Stop> {
        self.refuse_if_claimed().await?;
        let refused = self.check_model().await?;
        // Boxed, as with what is asked of adapters: they would make every future around them large.
        let index = Box::pin(self.inspect()).await?;
        if let Some(end) = self.job.too_many(index.rows) {
            return Err(Stop::Ended(end));
        }
        if let Some(end) = refused {
            self.refuse_unless_done(&index, end).await?;
        }
        let adapters = Box::pin(self.check_adapters(&index)).await?;
        let identity = self.claim(&index).await?;
        let turn = Turn::new(&self.store, &self.job.reference, &self.patience, clock);
        Ok(match self.take_turn(turn, identity).await? {
            Taken::Ours(lease) => Taken::Ours(Begun {
                index,
                adapters,
                identity,
                lease,
            }),
            Taken::Finished(end) => Taken::Finished(end),
        })
    }

    /// Asks the hub of the model. A start in the middle of rows does not ask again: servers may have the model already. What is kept back of a
    /// refusal is given back.
    async fn check_model(&self) -> Result<Option<End>, Stop> {
        let Some(check) = self.model.as_ref().filter(|_| !self.is_under_way()) else {
            return Ok(None);
        };
        let reporter = &self.patience.reporter;
        if self.job.may_mix_commits {
            reporter.update(|report| report.warn(mixed_commits(&self.job.model)));
        }
        let told = self.told_before().await?;
        match self.asked(check, told.as_ref()).await? {
            Asked::Refused(end) => return self.kept_back(end).await,
            Asked::Good(model) => reporter.update(|report| report.model = Some(model)),
            Asked::Unknown(warning) => {
                tracing::warn!("{warning}");
                let revision = self.revision();
                reporter.update(|report| {
                    report.warnings.push(warning);
                    let given = revision.map(|revision| ModelStatus {
                        revision: Some(revision),
                        parameters: None,
                    });
                    // What an earlier start was told stays.
                    report.model = told.or(given);
                });
            }
        }
        if self.job.revision.is_some() {
            // The output is claimed with this commit, and another start must know that.
            self.patience.unless_stopped(reporter.flush()).await?;
        }
        Ok(None)
    }

    /// What the hub says. Where it takes its time, it is said that it is asked.
    async fn asked(&self, check: &ModelCheck, told: Option<&ModelStatus>) -> Result<Asked, Stop> {
        let reporter = &self.patience.reporter;
        // Boxed, as it would make every future around it large.
        let mut asking = Box::pin(self.patience.unless_stopped(check.ask(told)));
        if let Ok(asked) = timeout(TOLD_AFTER, &mut asking).await {
            return asked;
        }
        let wait = Wait::new(Reason::Inspecting, check.in_words());
        reporter.update(|report| _ = report.waits.insert(Place::Hub, wait));
        let asked = asking.await;
        reporter.update(|report| _ = report.waits.remove(&Place::Hub));
        asked
    }

    /// What an earlier start has told of the model, and what stays. A branch or tag stays only where the output is claimed with it: the hub did
    /// not say then which commit it is, and may now.
    async fn told_before(&self) -> Result<Option<ModelStatus>, Stop> {
        let Some(told) = self.patience.reporter.latest().model else {
            return Ok(None);
        };
        if told.revision.as_deref().is_none_or(is_commit) {
            return Ok(Some(told));
        }
        let read = || async { Ok(read_claim(&self.store).await?) };
        let claim = self.patience.until_done(Place::Output, read).await?;
        Ok(claim.is_some().then_some(told))
    }

    /// Keeps a refusal back where the output has results: they may be those of this job.
    async fn kept_back(&self, end: End) -> Result<Option<End>, Stop> {
        // Which work a revision makes is not known without the hub.
        let may_be_done = self.job.revision.is_none() && self.manifest().await?.is_some();
        if may_be_done {
            return Ok(Some(end));
        }
        Err(Stop::Ended(end))
    }

    /// Rows that are done need no model, whatever became of it or of its token.
    async fn refuse_unless_done(&self, index: &Index, end: End) -> Result<(), Stop> {
        if self.is_done(index).await? {
            return Ok(());
        }
        Err(Stop::Ended(end))
    }

    /// Whether the output has the results of this work.
    async fn is_done(&self, index: &Index) -> Result<bool, Stop> {
        let ours = self.own_claim(index).identity();
        Ok(self.manifest().await?.is_some_and(|manifest| manifest.identity == ours))
    }

    /// The adapters that rows name, with what the hub says of them. A start in the middle of rows does not ask again: servers may have
    /// them already.
    async fn check_adapters(&self, index: &Index) -> Result<Vec<Known>, Stop> {
        let reporter = &self.patience.reporter;
        let told_before = reporter.latest().adapters.filter(|_| self.is_under_way());
        let mut known = adapters::known(&self.job, index, told_before.as_ref());
        let Some(wanted) = self.job.adapters.as_ref().filter(|_| !known.is_empty()) else {
            return Ok(known);
        };
        if self.is_done(index).await? {
            return Ok(known);
        }
        if let Some(end) = adapters::too_many(self.job.engine, wanted.names.source(), &known) {
            return Err(Stop::Ended(end));
        }
        // What an earlier start has found out is told of so many.
        if told_before.is_none() || known.len() > adapters::LISTED {
            known = self.ask_of_adapters(known).await?;
        }
        // What is answered already would be lost with the job.
        if self.durable_rows() > 0 {
            return Ok(known);
        }
        match adapters::end(&known, wanted.on_error, index.good_rows()) {
            Some(end) => Err(Stop::Ended(end)),
            None => Ok(known),
        }
    }

    async fn ask_of_adapters(&self, known: Vec<Known>) -> Result<Vec<Known>, Stop> {
        let (known, silence) = match &self.adapter_check {
            Some(check) => self.patience.unless_stopped(check.ask(known)).await?,
            None => (known, None),
        };
        let warnings: Vec<_> = silence.into_iter().chain(adapters::in_words(&known)).collect();
        let told = adapters::told(&known);
        self.patience.reporter.update(|report| {
            report.adapters = Some(told);
            for warning in warnings {
                tracing::warn!("{warning}");
                report.warn(warning);
            }
        });
        Ok(known)
    }

    /// The revision that servers are told: its commit, where the hub said it.
    fn revision(&self) -> Option<String> {
        let given = self.job.revision.clone()?;
        let told = self.patience.reporter.latest().model;
        told.and_then(|model| model.revision).or(Some(given))
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
    fn is_under_way(&self) -> bool {
        let stage = self.patience.reporter.latest().stage;
        matches!(stage, FeederStage::Feeding | FeederStage::Finalizing)
    }

    /// Waits until no other job works here, or the work is done.
    async fn take_turn(&self, mut turn: Turn<'_>, identity: Identity) -> Result<Taken<Lease>, Stop> {
        loop {
            if let Some(end) = self.reuse(identity).await? {
                return Ok(Taken::Finished(end));
            }
            if let Some(lease) = turn.take().await? {
                return Ok(Taken::Ours(lease));
            }
            let decided = self.stopping.borrow().clone();
            if let Some(stopping) = decided {
                return Err(Stop::Ended(end_without_turn(&stopping)));
            }
            self.patience.unless_stopped(sleep(LEASE_LOOKED_AT_EVERY)).await?;
        }
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
        remove_leftovers(&self.store).await;
        let ledger = self.resume(attempt).await?;
        durable_before.get_or_init(|| ledger.durable().rows());
        if ledger.durable().rows() < index.rows {
            self.finish_rows(index, adapters, identity, attempt, ledger).await?;
        }
        self.finalise(index, identity).await
    }

    /// As far as the status tells.
    fn durable_rows(&self) -> u64 {
        let progress = self.patience.reporter.latest().progress;
        let rows = progress.map_or(0, |progress| progress.completed + progress.failed);
        u64::try_from(rows).unwrap_or(0)
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

    async fn inspect(&self) -> Result<Arc<Index>, Stop> {
        let earlier = self.patience.until_done(Place::Output, || self.earlier_index()).await?;
        let version = || async { Ok(self.source.version().await?.to_string()) };
        let version = self.patience.until_done(Place::Dataset, version).await?;
        let names = self.job.model_names();
        // A name that was good then may be none now: names do not make other work. Nor does what becomes of invalid rows.
        let is_good = |index: &Index| {
            let may_skip = self.job.invalid_rows == InvalidRows::Skip || index.skipped.rows.is_empty();
            may_skip && index.version == version && names.include(&index.model_names) && names.have(&index.adapters)
        };
        let index = match earlier.filter(is_good) {
            Some(index) => index,
            None => self.patience.until_done(Place::Dataset, || self.inspect_anew()).await?,
        };
        let dataset = inspected::status(&index);
        self.patience.reporter.update(|report| report.dataset = Some(dataset));
        Ok(Arc::new(index))
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

    /// With `ifExists: Fail`, another job's claim is an end, and to be found before a large data set is read.
    async fn refuse_if_claimed(&self) -> Result<(), Stop> {
        if self.job.if_exists == IfExists::Resume {
            return Ok(());
        }
        let read = || async { Ok(read_claim(&self.store).await?) };
        let claim = self.patience.until_done(Place::Output, read).await?;
        claim.map_or(Ok(()), |claim| self.refuse_theirs(&claim))
    }

    fn refuse_theirs(&self, claim: &Claim) -> Result<(), Stop> {
        let is_ours = claim.job().uid == self.job.reference.uid;
        if is_ours || self.job.if_exists == IfExists::Resume {
            return Ok(());
        }
        Err(Stop::Ended(already_claimed(claim, &self.store)))
    }

    fn own_claim(&self, index: &Index) -> Claim {
        let Job {
            reference, dataset_uri, ..
        } = &self.job;
        let work = self.job.work(index, self.revision());
        Claim::new(reference.clone(), dataset_uri, index.rows, work)
    }

    async fn claim(&self, index: &Index) -> Result<Identity, Stop> {
        let ours = self.own_claim(index);
        let claim = || async { Ok(claim(&self.store, &ours).await?) };
        match self.patience.until_done(Place::Output, claim).await? {
            Claimed::New => tracing::info!(identity = %ours.identity(), "the output is claimed"),
            Claimed::Resumed(theirs) => {
                self.refuse_theirs(&theirs)?;
                tracing::info!(job = %theirs.job(), "work that was begun is taken up");
            }
            Claimed::OutputNotEmpty(reason) => return Err(Stop::Ended(self.refusal(&reason))),
        }
        // Another one that is there is of the same data set, as its claim is. One of other names stays, and the data set is
        // inspected at each start.
        let index = index.encode();
        let create = || async { Ok(self.store.create(INDEX, index.clone()).await?) };
        self.patience.until_done(Place::Output, create).await?;
        Ok(ours.identity())
    }

    fn refusal(&self, reason: &OutputNotEmpty) -> End {
        match reason {
            OutputNotEmpty::OtherWork { theirs, .. } if theirs.job().uid == self.job.reference.uid => {
                let dataset = &self.job.dataset_uri;
                let advice = Reason::DatasetChanged.advice();
                let message = format!("the data set ({dataset}) is another one than when this job began. {advice}");
                End::new(Reason::DatasetChanged, message)
            }
            _ => End::new(Reason::OutputNotEmpty, reason.to_string()),
        }
    }

    /// The end, if it was decided before.
    async fn reuse(&self, identity: Identity) -> Result<Option<End>, Stop> {
        let manifest = self.manifest().await?;
        let Some(manifest) = manifest.filter(|manifest| manifest.identity == identity) else {
            return Ok(None);
        };
        // Somebody may have removed or cut short what it describes.
        let restore = || Box::pin(async { Ok(restore(&self.store, &manifest).await?) });
        self.patience.until_done(Place::Output, restore).await?;
        Ok(Some(self.conclude(&manifest).await?))
    }

    async fn manifest(&self) -> Result<Option<Manifest>, Stop> {
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

    async fn resume(&self, attempt: u32) -> Result<Ledger, Stop> {
        let resume = || async { Ok(resume(&self.store, attempt).await?) };
        self.patience.until_done(Place::Output, resume).await
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

/// What is said of servers that cannot be told a commit.
fn mixed_commits(model: &str) -> String {
    format!(
        "each server of engine LlamaCpp loads what is the newest of {model} when it starts, which may change while the job runs: with \
         spec.server.modelCache all have the files of one commit"
    )
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

/// RFC 3339, as Kubernetes writes times.
pub(super) fn to_the_second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
