//! What comes before servers are needed: the hub is asked of the model, the data set inspected, the hub asked of adapters, the output claimed,
//! and other jobs are waited for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::api::output::IfExists;
use crate::api::reason::Reason;
use crate::api::status::ModelStatus;
use crate::api::wait::Wait;
use crate::dataset::Index;
use crate::engine::repository_file::is_commit;
use crate::results::{
    Claim, Claimed, INDEX, Identity, LEASE_LOOKED_AT_EVERY, Lease, OutputNotEmpty, StoreClock, claim, read_claim,
};

use super::adapters::{self, Known};
use super::job::Job;
use super::model::{Asked, ModelCheck};
use super::outcome::already_claimed;
use super::report::{End, Place};
use super::steps::Feeder;
use super::stopping::end_without_turn;
use super::trouble::Stop;
use super::turn::Turn;

/// A hub that answers within this time is asked without a word.
const TOLD_AFTER: Duration = Duration::from_secs(2);

/// What came of waiting for other jobs.
pub enum Taken<T> {
    /// None works here: what this one goes on with.
    Ours(T),
    /// The work is done.
    Finished(End),
}

/// What the work on rows begins with.
pub struct Begun {
    /// Of the data set.
    pub index: Arc<Index>,
    /// Those that rows name.
    pub adapters: Vec<Known>,
    /// Of the work.
    pub identity: Identity,
    /// What keeps other jobs from working here.
    pub lease: Lease,
}

impl Feeder {
    /// Does it, unless another job has done the work already.
    pub(super) async fn prepare(&self, clock: StoreClock) -> Result<Taken<Begun>, Stop> {
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

    /// Waits until no other job works here, or the work is done.
    async fn take_turn(&self, mut turn: Turn<'_>, identity: Identity) -> Result<Taken<Lease>, Stop> {
        loop {
            if let Some(end) = self.reuse(identity).await? {
                return Ok(Taken::Finished(end));
            }
            if let Some(lease) = turn.take().await? {
                let lease = self.lease.get_or_init(|| lease).clone();
                // The job before may have ended between the two looks.
                let reused = self.reuse(identity).await?;
                return Ok(reused.map_or(Taken::Ours(lease), Taken::Finished));
            }
            let decided = self.stopping.borrow().clone();
            if let Some(stopping) = decided {
                return Err(Stop::Ended(end_without_turn(&stopping)));
            }
            self.patience.unless_stopped(sleep(LEASE_LOOKED_AT_EVERY)).await?;
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
