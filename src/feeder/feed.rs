//! The loop around the workers: it brings rows, follows the replicas, and sees that all goes on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::api::shutdown::{Shutdown, Stopping};
use crate::results::{LedgerWriter, StopReason};

use super::dispatch::{ReplicaId, Sign};
use super::failures::Halt;
use super::memory::Memory;
use super::probe::{one_token, probe};
use super::replicas::Replicas;
use super::reporter::Reporter;
use super::rows::{ReadRow, Rows};
use super::stopping::halt;
use super::trouble::Stop;
use super::workers::{Limits, Requests, State, Work};

/// How often it is looked whether replicas make progress.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Sends all rows, on a thread of its own: a row costs a few system calls here, and a change of threads would cost as much again.
/// Dropping the future stops it. Failures may say that the rest should not be sent.
///
/// # Errors
///
/// [`Stop`].
pub async fn on_own_thread(plan: Plan, shutdown: CancellationToken) -> Result<Option<Halt>, Stop> {
    let (sender, receiver) = oneshot::channel();
    let stop = shutdown.child_token();
    let _stopped_with_us = stop.clone().drop_guard();
    let feed = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let fed = match runtime {
            Ok(runtime) => runtime.block_on(run(plan, &stop)),
            Err(error) => Err(Stop::Restart(format!("no runtime to send rows with: {error}"))),
        };
        // Whoever does not wait any more does not need to know.
        let _ = sender.send(fed);
    };
    std::thread::Builder::new()
        .name("rows".to_owned())
        .spawn(feed)
        .map_err(|error| Stop::Restart(format!("no thread to send rows with: {error}")))?;
    let ended = || Stop::Restart("the sending of rows ended without a word".to_owned());
    receiver.await.unwrap_or_else(|_| Err(ended()))
}

async fn run(plan: Plan, shutdown: &CancellationToken) -> Result<Option<Halt>, Stop> {
    Feed::new(plan).run(shutdown).await
}

/// The sending of all rows.
struct Feed {
    work: Arc<Work>,
    ledger: Arc<LedgerWriter>,
    rows: Rows,
    all_read: bool,
    replicas: watch::Receiver<Replicas>,
    stopping: watch::Receiver<Option<Stopping>>,
    probes: JoinSet<(ReplicaId, Sign)>,
    model: Arc<str>,
    memory: Memory,
    reporter: Reporter,
}

/// What is to be sent, and how.
#[derive(Debug)]
pub struct Plan {
    /// How.
    pub requests: Requests,
    /// What.
    pub rows: Rows,
    /// Where to.
    pub replicas: watch::Receiver<Replicas>,
    /// Asks the engines of pods how they do, and takes rows to an endpoint.
    pub client: reqwest::Client,
    /// Takes what is finished.
    pub ledger: Arc<LedgerWriter>,
    /// The decision that the job ends before its last row.
    pub stopping: watch::Receiver<Option<Stopping>>,
    /// How much may be in flight, and beyond what a row, or the job, has failed.
    pub limits: Limits,
    /// Is told which replicas hang.
    pub reporter: Reporter,
}

/// What the loop goes by after a look at the state.
struct Outlook {
    is_done: bool,
    halt: Option<Halt>,
    wants_rows: bool,
    has_room: bool,
    wakes_at: Option<Instant>,
}

impl Feed {
    /// Nothing is sent before it runs.
    fn new(plan: Plan) -> Self {
        let Plan {
            requests,
            rows,
            mut replicas,
            client,
            ledger,
            stopping,
            limits,
            reporter,
        } = plan;
        replicas.mark_changed();
        Self {
            memory: requests.memory.clone(),
            model: Arc::clone(&requests.model),
            work: Arc::new(Work::new(requests, client, Arc::clone(&ledger), limits)),
            ledger,
            rows,
            all_read: false,
            replicas,
            stopping,
            probes: JoinSet::new(),
            reporter,
        }
    }

    /// Goes on until every row is finished, though perhaps not durable, or the rest should not be sent. Dropping it aborts what is in flight.
    ///
    /// # Errors
    ///
    /// [`Stop`].
    async fn run(mut self, shutdown: &CancellationToken) -> Result<Option<Halt>, Stop> {
        let mut ledger_status = self.ledger.status();
        let mut watch = interval(WATCH_INTERVAL);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = Arc::clone(&self.work);
        loop {
            let outlook = self.go_on()?;
            if outlook.is_done || outlook.halt.is_some() {
                return Ok(outlook.halt);
            }
            if let Some(halt) = self.heed_stopping() {
                return Ok(Some(halt));
            }
            self.give_back();
            tokio::select! {
                () = shutdown.cancelled() => return Err(Stop::Interrupted),
                () = work.attention.notified() => {}
                Ok(()) = self.stopping.changed() => {}
                Ok(()) = self.replicas.changed() => self.follow_replicas(),
                rows = self.rows.recv(), if outlook.wants_rows && outlook.has_room => self.take(rows)?,
                () = sleep_until(outlook.wakes_at.unwrap_or_else(Instant::now)), if outlook.wakes_at.is_some() => {}
                Ok(()) = ledger_status.changed(), if !outlook.has_room => {}
                Some(Ok((replica, sign))) = self.probes.join_next() => self.take_probe(replica, sign),
                _ = watch.tick() => {
                    self.leave_the_unready();
                    self.probe_the_silent();
                }
            }
        }
    }

    fn go_on(&self) -> Result<Outlook, Stop> {
        let has_room = self.work.has_room();
        let mut state = self.work.state();
        state.reap();
        if let Some(stop) = state.stop.take() {
            return Err(stop);
        }
        if has_room && state.may_send() {
            self.work.send_what_can_be_sent(&mut state);
        }
        let wants_rows = !self.all_read && state.dispatch.wants_rows();
        state.rows_are_asked_for = wants_rows || self.all_read;
        state.all_are_read = self.all_read;
        let is_done = self.all_read && state.dispatch.is_empty();
        let halt = state.halt.take();
        Ok(Outlook {
            // A budget that the last row used up keeps nothing from being sent.
            halt: halt.filter(|halt| !is_done || halt.reason != StopReason::BudgetExceeded),
            is_done,
            wants_rows,
            has_room,
            wakes_at: state.dispatch.wakes_at(Instant::now()).filter(|_| has_room),
        })
    }

    /// Says how many servers the last rows need, once there are no others.
    fn give_back(&self) {
        if !self.all_read {
            return;
        }
        let Some(rest) = self.work.state().dispatch.give_back() else {
            return;
        };
        self.reporter.update(|report| {
            report.servers_wanted = i32::try_from(rest.replicas).ok();
            report.idle_servers = rest.given_back;
        });
    }

    /// Whether it is time to end before the last row: at once, or when nothing is in flight any more. From then on nothing is sent.
    fn heed_stopping(&self) -> Option<Halt> {
        let stopping = self.stopping.borrow().clone()?;
        let mut state = self.work.state();
        state.is_draining = true;
        let is_time = match stopping.mode {
            Shutdown::Terminate => true,
            Shutdown::Stop => state.dispatch.in_flight() == 0,
        };
        is_time.then(|| halt(&stopping))
    }

    fn take(&mut self, rows: Option<Result<Vec<ReadRow>, Stop>>) -> Result<(), Stop> {
        let Some(rows) = rows else {
            self.all_read = true;
            return Ok(());
        };
        let mut state = self.work.state();
        for row in rows? {
            match row {
                ReadRow::ToSend(row) => {
                    state.probed_path.read(row.endpoint);
                    state.dispatch.add(row);
                }
                ReadRow::Invalid(finished) => _ = self.ledger.record(finished),
                ReadRow::Missed(finished) => {
                    state.count_unsent();
                    self.ledger.record(finished);
                }
            }
        }
        Ok(())
    }

    fn follow_replicas(&mut self) {
        let there = self.replicas.borrow_and_update().clone();
        let mut state = self.work.state();
        let taken_back = state.dispatch.set_replicas(&there, Instant::now());
        if !taken_back.is_empty() {
            tracing::info!(
                requests = taken_back.len(),
                "servers are gone and their rows are taken back"
            );
        }
        self.rearrange(&mut state);
    }

    fn leave_the_unready(&self) {
        let mut state = self.work.state();
        let taken_back = state.dispatch.take_back_from_unready(Instant::now());
        if taken_back.is_empty() {
            return;
        }
        tracing::info!(
            requests = taken_back.len(),
            "servers are not ready for long and their rows are taken back"
        );
        self.rearrange(&mut state);
    }

    fn probe_the_silent(&mut self) {
        let mut state = self.work.state();
        let Some(endpoint) = state.probed_path.get() else {
            return;
        };
        for silent in state.dispatch.to_probe(Instant::now()) {
            tracing::warn!(address = %silent.address, "a server is asked for one token, to see whether it works");
            let body = one_token(endpoint, &self.model);
            let route = self.work.route(&silent.address);
            self.probes
                .spawn(probe(silent, route, endpoint, body, self.memory.clone()));
        }
    }

    fn take_probe(&mut self, replica: ReplicaId, sign: Sign) {
        let mut state = self.work.state();
        let taken_back = state.dispatch.probed(replica, sign, Instant::now(), rand::random());
        if sign == Sign::None {
            tracing::warn!(
                requests = taken_back.len(),
                "a server hangs and its rows are taken back"
            );
        }
        self.rearrange(&mut state);
    }

    /// Has workers where rows may go now, and nowhere else, and says where they may not.
    fn rearrange(&self, state: &mut State) {
        state.dismiss();
        state.staff(&self.work);
        let hung: Vec<_> = state.dispatch.hung_pods().map(ToOwned::to_owned).collect();
        self.reporter.update(|report| report.hung_servers = hung);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // Workers keep alive what they work on, and that is what keeps the workers.
        self.work.state().dismiss_all();
    }
}
