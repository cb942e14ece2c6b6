//! From a data set that was inspected to rows that are all finished and durable: answered, or errors as they cannot be sent or
//! the job was stopped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::{sleep, timeout};

use crate::api::status::FeederStage;
use crate::dataset::Index;
use crate::engine::AdapterNames;
use crate::openai::RowSet;
use crate::results::{Durable, Identity, Ledger, LedgerWriter, Stopped, read_stopped, stop};

use super::adapters::{
    ASK_AGAIN, AdapterTable, Asking, Ending, Equipment, Equipped, Equipping, Known, RowAdapters, equip, refused_rows,
};
use super::budget::Spending;
use super::endpoint::follow_endpoint;
use super::failures::{Failures, Halt};
use super::feed::{Plan, on_own_thread};
use super::finished::Lines;
use super::follow::follow_ledger;
use super::memory::Memory;
use super::open_files;
use super::refusals::Refusals;
use super::report::{Pace, Place};
use super::rows::{ReadRow, RowReader, Rows};
use super::steps::{Feeder, to_the_second};
use super::stopping::halt;
use super::trouble::Stop;
use super::workers::{Limits, Requests, UNDURABLE_BYTES};

/// A store that is away at the end keeps the servers for this long: the answers are in, only their proof is missing.
const KEEP_SERVERS: Duration = Duration::from_secs(30);
/// When the feeder is asked to stop, what is answered has this long to become durable, of the 30 s that a pod has.
const LAST_PUT: Duration = Duration::from_secs(5);

impl Feeder {
    /// Finishes every row that is not finished yet.
    pub(super) async fn finish_rows(
        &self,
        index: &Arc<Index>,
        adapters: &[Known],
        identity: Identity,
        attempt: u32,
        ledger: Ledger,
    ) -> Result<(), Stop> {
        tracing::info!(rows = index.rows, durable = ledger.durable().rows(), "rows are sent");
        let mut equipping = self.equip(index, adapters, ledger.durable());
        let feeding = Feeding {
            feeder: self,
            adapters,
            equipped: equipping.as_ref().map(Equipping::found),
            index: Arc::clone(index),
            lines: Lines::new(
                identity,
                &self.job.served_model_name,
                self.job.row_policy.attempt_timeout(),
            ),
            attempt,
            ledger: LedgerWriter::start(self.store.clone(), ledger).into(),
            memory: Memory::of_container(),
        };
        let (reporter, status) = (&self.patience.reporter, feeding.ledger.status());
        let finished = tokio::select! {
            finished = feeding.run() => finished,
            stop = follow_ledger(reporter, status, index.rows, &self.job.token_budget) => Err(stop),
            stop = ended(equipping.as_mut()) => feeding.settle(Err(stop)).await.map(drop),
            never = follow_endpoint(&self.client, self.job.endpoint.as_ref(), reporter) => match never {},
        };
        reporter.update(|report| {
            report.waits.remove(&Place::Endpoint);
            report.waits.remove(&Place::Adapters);
        });
        feeding.report_progress();
        finished
    }

    /// Has servers load the adapters that rows name, if they name any that can be used.
    fn equip(&self, index: &Index, adapters: &[Known], durable: &Durable) -> Option<Equipping> {
        let wanted = self.job.adapters.as_ref()?;
        let are_usable = adapters.iter().any(|adapter| adapter.bad.is_none());
        let ending = Ending {
            on_error: wanted.on_error,
            rows: index.good_rows(),
        };
        let equipment = Equipment {
            asking: self.asking(&wanted.names),
            adapters: adapters.to_vec(),
            ending: (durable.rows() == 0).then_some(ending),
            ask_again: ASK_AGAIN,
            client: self.client.clone(),
            reporter: self.patience.reporter.clone(),
        };
        are_usable.then(|| equip(equipment, self.replicas.clone()))
    }

    fn asking(&self, names: &AdapterNames) -> Asking {
        Asking {
            engine: self.job.engine,
            served_name: self.job.served_model_name.clone(),
            names: names.clone(),
            token: self.adapter_token.clone(),
            is_checked: self.adapter_check.is_some(),
        }
    }
}

/// Why no rows are to be sent, where servers have to load adapters first.
async fn ended(equipping: Option<&mut Equipping>) -> Stop {
    match equipping {
        Some(equipping) => equipping.ended().await,
        None => std::future::pending().await,
    }
}

/// The rows of one start of the feeder.
struct Feeding<'a> {
    feeder: &'a Feeder,
    /// The adapters that rows name.
    adapters: &'a [Known],
    /// What comes of having servers load them.
    equipped: Option<Equipped>,
    index: Arc<Index>,
    lines: Lines,
    attempt: u32,
    ledger: Arc<LedgerWriter>,
    memory: Memory,
}

impl Feeding<'_> {
    async fn run(&self) -> Result<(), Stop> {
        let read = || async { Ok(read_stopped(&self.feeder.store).await?) };
        let stopped = match self.feeder.patience.until_done(Place::Output, read).await? {
            Some(stopped) => Some(stopped),
            None => self.send_rows().await?,
        };
        match stopped {
            Some(stopped) => self.fail_the_rest(&stopped).await,
            None => Ok(()),
        }
    }

    /// Sends rows until all are finished, or the decision stands that no more are sent.
    async fn send_rows(&self) -> Result<Option<Stopped>, Stop> {
        let durable = self.ledger.durable();
        // Rows that are skipped were never tried, and are known and agreed to.
        let sent = |rows: &RowSet| rows.len() - rows.len_shared(&self.index.skipped.rows);
        let (succeeded, failed) = (sent(&durable.results), sent(&durable.errors));
        // So are those whose adapter cannot be used.
        let refused = self.refused(&durable);
        let may_fail = self.index.rows_to_send().saturating_sub(refused_rows(self.adapters));
        let most = self.feeder.job.row_policy.failed_rows(may_fail);
        let limits = Limits {
            max_attempts: self.feeder.job.row_policy.attempts(),
            most_in_flight: self.memory.rows_in_flight().min(open_files::rows_in_flight()),
            failures: Failures::new(most, succeeded, failed.saturating_sub(refused)),
            refusals: Refusals::new(succeeded),
            spending: Spending::new(self.feeder.job.token_budget.clone(), durable.usage.total()),
        };
        let has_rows_to_send = succeeded + failed < self.index.rows_to_send();
        let over_budget = limits.spending.too_much().filter(|_| has_rows_to_send);
        let stopping = self
            .feeder
            .stopping
            .borrow()
            .as_ref()
            .filter(|_| has_rows_to_send)
            .map(halt);
        if let Some(halt) = limits.failures.too_many().or(over_budget).or(stopping) {
            return self.stop(halt).await.map(Some);
        }
        self.report_feeding(has_rows_to_send);
        let shutdown = self.feeder.patience.shutdown.clone();
        // Where no row is left for a server, none has to load anything.
        let adapters = if has_rows_to_send {
            self.row_adapters()
        } else {
            self.unsent()
        };
        let fed = on_own_thread(self.plan(limits, adapters), shutdown).await;
        match self.settle(fed).await? {
            Some(halt) => self.stop(halt).await.map(Some),
            None => Ok(None),
        }
    }

    fn plan(&self, limits: Limits, adapters: RowAdapters) -> Plan {
        let job = &self.feeder.job;
        Plan {
            requests: Requests {
                lines: self.lines.clone(),
                engine: job.engine,
                model: job.served_model_name.as_str().into(),
                attempt: self.attempt,
                attempt_timeout: job.row_policy.attempt_timeout(),
                memory: self.memory.clone(),
                lost_adapters: self.equipped.as_ref().map(|equipped| equipped.lost.clone()),
            },
            rows: self.rows_left(adapters),
            replicas: match &self.equipped {
                Some(equipped) => equipped.replicas.clone(),
                None => self.feeder.replicas.clone(),
            },
            client: self.feeder.client.clone(),
            ledger: Arc::clone(&self.ledger),
            stopping: self.feeder.stopping.clone(),
            limits,
            reporter: self.feeder.patience.reporter.clone(),
        }
    }

    /// Durable rows that were never sent, as their adapter cannot be used.
    fn refused(&self, durable: &Durable) -> u64 {
        let bad = self.adapters.iter().filter(|adapter| adapter.bad.is_some());
        let counted = bad.filter_map(|adapter| durable.models.get(&*adapter.name));
        counted.map(|model| model.failed).sum()
    }

    /// How rows of adapters are sent; known at once where no server has to load any.
    fn row_adapters(&self) -> RowAdapters {
        match &self.equipped {
            Some(equipped) => RowAdapters::WhenLoaded(equipped.table.clone()),
            None => self.unsent(),
        }
    }

    /// The same, for rows that are not sent any more.
    fn unsent(&self) -> RowAdapters {
        let wanted = self.feeder.job.adapters.as_ref();
        let table = wanted.map(|wanted| {
            let asking = self.feeder.asking(&wanted.names);
            AdapterTable::new(&asking, self.adapters, &HashMap::new())
        });
        RowAdapters::Known(Arc::new(table.unwrap_or_default()))
    }

    fn rows_left(&self, adapters: RowAdapters) -> Rows {
        let reader = RowReader {
            source: self.feeder.source.clone(),
            index: Arc::clone(&self.index),
            durable: self.ledger.durable(),
            model: self.feeder.job.served_model_name.clone(),
            adapters,
            lines: self.lines.clone(),
            memory: self.memory.clone(),
            patience: self.feeder.patience.clone(),
        };
        reader.start()
    }

    /// Makes durable what was answered.
    async fn settle(&self, fed: Result<Option<Halt>, Stop>) -> Result<Option<Halt>, Stop> {
        let last_put = || timeout(LAST_PUT, self.ledger.flush());
        if matches!(fed, Err(Stop::Interrupted | Stop::Restart(_))) {
            // What is not durable by then is sent again.
            let _ = last_put().await;
            return fed;
        }
        let keep_servers = match &fed {
            Ok(Some(_)) => Duration::ZERO,
            _ => KEEP_SERVERS,
        };
        let free_servers = async {
            sleep(keep_servers).await;
            self.free_servers();
            std::future::pending().await
        };
        tokio::select! {
            () = self.ledger.flush() => fed,
            () = self.feeder.patience.shutdown.cancelled() => {
                let _ = last_put().await;
                Err(Stop::Interrupted)
            }
            never = free_servers => never,
        }
    }

    /// Decides that the job ends with what is there, unless something else was decided before.
    async fn stop(&self, halt: Halt) -> Result<Stopped, Stop> {
        self.free_servers();
        tracing::warn!(reason = ?halt.reason, message = %halt.message, "no more rows are sent");
        let stopped = Stopped {
            reason: halt.reason,
            message: halt.message,
            at: to_the_second(Timestamp::now()),
        };
        let store = &self.feeder.store;
        let decide = || async { Ok(stop(store, &stopped).await?) };
        self.feeder.patience.until_done(Place::Output, decide).await
    }

    /// Rows that are not finished are error rows now.
    async fn fail_the_rest(&self, stopped: &Stopped) -> Result<(), Stop> {
        self.free_servers();
        let recorded = self.record_the_rest(stopped).await;
        self.settle(recorded.map(|()| None)).await.map(|_| ())
    }

    async fn record_the_rest(&self, stopped: &Stopped) -> Result<(), Stop> {
        let mut rows = self.rows_left(self.unsent());
        let mut status = self.ledger.status();
        while let Some(rows) = rows.recv().await {
            for row in rows? {
                let finished = match row {
                    ReadRow::ToSend(row) => self.lines.unanswered(&row, stopped.code(), &stopped.message),
                    ReadRow::Invalid(finished) | ReadRow::Missed(finished) => finished,
                };
                self.ledger.record(finished);
            }
            while self.ledger.bytes_in_memory() >= UNDURABLE_BYTES {
                // The writer lives as long as this.
                let _ = self.feeder.patience.unless_stopped(status.changed()).await?;
            }
        }
        Ok(())
    }

    fn report_feeding(&self, servers_needed: bool) {
        let status = self.ledger.status().borrow().clone();
        self.feeder.patience.reporter.update(|report| {
            report.stage = FeederStage::Feeding;
            report.servers_needed = servers_needed;
            report.set_progress(self.index.rows, &status, Pace::default());
        });
    }

    fn free_servers(&self) {
        let reporter = &self.feeder.patience.reporter;
        reporter.update(|report| report.servers_needed = false);
    }

    fn report_progress(&self) {
        let status = self.ledger.status().borrow().clone();
        let reporter = &self.feeder.patience.reporter;
        reporter.update(|report| report.set_progress(self.index.rows, &status, Pace::default()));
    }
}
