//! Who sends rows: for each request in flight one task with a connection of its own, which asks for the next row as soon as it
//! has settled one.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::api::reason::Reason;
use crate::engine::lorax_bodies::Told;
use crate::engine::metrics::METRICS_PATH;
use crate::engine::{Engine, RetryReason, StopReason, Verdict};
use crate::openai::Usage;
use crate::results::LedgerWriter;

use super::budget::Spending;
use super::dispatch::{Assignment, Dispatch, ReplicaId, Settled};
use super::endpoint::access_denied;
use super::engine_load::follow_engine_load;
use super::failures::{Failure, Failures, Halt};
use super::finished::{Lines, RESPONSE_TOO_LARGE, code_of};
use super::memory::Memory;
use super::probe::ProbedPath;
use super::refusals::Refusals;
use super::replicas::Address;
use super::report::End;
use super::route::Route;
use super::rows::Row;
use super::send::{Outgoing, Reply};
use super::trouble::Stop;

/// Finished rows that may wait for the store, in bytes. Beyond it nothing is sent until the store takes some.
pub const UNDURABLE_BYTES: usize = 8 << 20;
/// Below the 5 s after which uvicorn (vLLM) and cpp-httplib (llama-server) close an idle connection, so that a row is
/// seldom sent into one that is about to be closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// The error of a row that servers die of, or hang up at.
const POISON_ROW: &str = "poison_row";
const SERVER_CRASHED: &str = "the model server crashed each time it was given this row, the last times with no other row in it; \
    it may be too large for the server's memory";
const CONNECTION_LOST: &str = "the connection to the model server was lost each time it was given this row, the last times with no \
    other row in it; the server's log may say why, or what is between ends connections that take long";

/// What a request needs to know.
#[derive(Debug)]
pub struct Requests {
    /// Writes down what came of it.
    pub lines: Lines,
    /// Judges it.
    pub engine: Engine,
    /// The `model` that it is sent with.
    pub model: Arc<str>,
    /// Which start of the feeder this is.
    pub attempt: u32,
    /// How long an answer may take.
    pub attempt_timeout: Duration,
    /// What answers may take.
    pub memory: Memory,
    /// Is told of a server that has lost the adapters that it had loaded.
    pub lost_adapters: Option<mpsc::UnboundedSender<Address>>,
}

/// How much may be in flight, and beyond what a row, or the job, has failed.
#[derive(Debug)]
pub struct Limits {
    /// Failures that a row may have.
    pub max_attempts: u32,
    /// Rows that may be in flight, at all replicas together.
    pub most_in_flight: usize,
    /// Failed rows so far, and how many there may be.
    pub failures: Failures,
    /// Tokens so far, and how many there may be.
    pub spending: Spending,
    /// What an endpoint has refused.
    pub refusals: Refusals,
}

/// What all workers share.
#[derive(Debug)]
pub struct Work {
    requests: Requests,
    /// Asks the engines of pods how they do, and takes rows to an endpoint.
    client: reqwest::Client,
    ledger: Arc<LedgerWriter>,
    state: Mutex<State>,
    /// Something happened that the feed should look at.
    pub attention: Notify,
}

/// What changes as rows are sent.
#[derive(Debug)]
pub struct State {
    /// Decides.
    pub dispatch: Dispatch<Arc<Row>>,
    /// Why no more is sent.
    pub stop: Option<Stop>,
    /// Why the job is to be stopped, with what is there.
    pub halt: Option<Halt>,
    failures: Failures,
    spending: Spending,
    refusals: Refusals,
    /// The job ends before its last row, and what is in flight is waited for.
    pub is_draining: bool,
    /// Where a server is asked that is silent.
    pub probed_path: ProbedPath,
    /// Whether the feed knows that more rows are wanted.
    pub rows_are_asked_for: bool,
    /// Whether no new rows come.
    pub all_are_read: bool,
    crews: HashMap<ReplicaId, Crew>,
}

/// The workers of one replica. Dropping it aborts them.
#[derive(Debug, Default)]
struct Crew {
    tasks: JoinSet<()>,
    /// Who waits for a row, with a connection that was used last at the end.
    idle: Vec<oneshot::Sender<Assignment<Arc<Row>>>>,
}

impl Requests {
    fn verdict(&self, assignment: &Assignment<Arc<Row>>, reply: &Reply) -> Verdict {
        let lost_adapters = self.lost_adapters.as_ref();
        let is_lost = || assignment.row.adapter.is_some() && reply.lacks_adapter(self.engine);
        match lost_adapters.filter(|_| is_lost()) {
            // The row is not to blame, but each try counts: a server may go on saying so.
            Some(lost) => {
                // Where nobody hears it, no more rows are sent.
                let _ = lost.send(assignment.address.clone());
                Verdict::Retry(RetryReason::ServerError)
            }
            None => reply.verdict(self.engine),
        }
    }
}

impl Work {
    /// Nothing is sent yet.
    #[must_use]
    pub fn new(requests: Requests, client: reqwest::Client, ledger: Arc<LedgerWriter>, limits: Limits) -> Self {
        let state = State {
            dispatch: Dispatch::new(limits.max_attempts, limits.most_in_flight),
            stop: None,
            halt: None,
            failures: limits.failures,
            spending: limits.spending,
            refusals: limits.refusals,
            is_draining: false,
            probed_path: ProbedPath::default(),
            rows_are_asked_for: false,
            all_are_read: false,
            crews: HashMap::new(),
        };
        Self {
            requests,
            client,
            ledger,
            state: Mutex::new(state),
            attention: Notify::new(),
        }
    }

    /// What changes. Held for moments only.
    pub fn state(&self) -> MutexGuard<'_, State> {
        // A panic ends the feeder, see `reap`.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way to a replica.
    #[must_use]
    pub fn route(&self, address: &Address) -> Route {
        Route::to(address, &self.client)
    }

    /// Whether the store keeps up, so that more may be sent.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.ledger.bytes_in_memory() < UNDURABLE_BYTES
    }

    /// Sends all that can be sent now.
    pub fn send_what_can_be_sent(self: &Arc<Self>, state: &mut State) {
        let now = Instant::now();
        while let Some(assignment) = state.dispatch.next(now) {
            self.begin(state, assignment);
        }
    }

    /// Gives a row to a worker that is idle, or to a new one.
    fn begin(self: &Arc<Self>, state: &mut State, mut assignment: Assignment<Arc<Row>>) {
        let crew = state.crews.entry(assignment.replica).or_default();
        while let Some(idle) = crew.idle.pop() {
            match idle.send(assignment) {
                Ok(()) => return,
                Err(back) => assignment = back,
            }
        }
        crew.tasks.spawn(Arc::clone(self).work(assignment));
    }

    async fn work(self: Arc<Self>, mut assignment: Assignment<Arc<Row>>) {
        let _noticed = Noticed(&self.attention);
        let mut route = self.route(&assignment.address);
        loop {
            let request_id = self
                .requests
                .lines
                .request_id(self.requests.attempt, assignment.request.0);
            let outgoing = Outgoing {
                endpoint: assignment.row.endpoint,
                body: assignment.row.body.clone(),
                request_id: &request_id,
            };
            let sent = route.send(outgoing, self.requests.attempt_timeout, &self.requests.memory);
            let reply = sent.await.in_openai_form(self.requests.engine, || Told {
                endpoint: assignment.row.endpoint,
                id: &request_id,
                model: assignment.row.adapter.as_deref().unwrap_or(&self.requests.model),
                created: Timestamp::now().as_second(),
            });
            let next = match self.settle(assignment, &request_id, reply) {
                Next::Row(next) => Some(next),
                Next::Wait(next) => wait(next).await,
            };
            let Some(next) = next else { return };
            assignment = next;
        }
    }

    async fn observe(self: Arc<Self>, replica: ReplicaId, address: SocketAddr) {
        let engine = self.requests.engine;
        let tell = |load| {
            self.state().dispatch.observed(replica, load, Instant::now());
            // It may take more now.
            self.attention.notify_one();
        };
        follow_engine_load(&self.client, engine, address, METRICS_PATH, tell).await;
    }

    fn settle(self: &Arc<Self>, assignment: Assignment<Arc<Row>>, request_id: &str, reply: Reply) -> Next {
        let verdict = self.requests.verdict(&assignment, &reply);
        let Assignment {
            request,
            replica,
            address,
            row,
        } = assignment;
        let now = Instant::now();
        let mut state = self.state();
        let verdict = match &address {
            Address::Pod(_) => verdict,
            Address::Endpoint(_) => state.refusals.judge(reply.status(), verdict),
        };
        tracing::trace!(row = row.number.0, ?verdict, "a request is over");
        state.probed_path.settled(row.endpoint, verdict);
        match state
            .dispatch
            .settle(request, verdict, reply.work(), now, rand::random())
        {
            Settled::Finished => {
                state.count(verdict, &reply);
                let finished = self.requests.lines.finish(&row, request_id, reply, verdict);
                state.spend(finished.usage);
                self.ledger.record(finished);
            }
            Settled::Poison => {
                state.count_failed(|| Failure::without_answer(POISON_ROW));
                let message = match verdict {
                    Verdict::ServerCrashed => SERVER_CRASHED,
                    _ => CONNECTION_LOST,
                };
                let finished = self.requests.lines.unanswered(&row, POISON_ROW, message);
                self.ledger.record(finished);
            }
            Settled::Again => self.attention.notify_one(),
            Settled::TakenBack => {}
        }
        if let Verdict::StopJob(reason) = verdict {
            let stop = refused(&address, reason, state.refusals);
            state.stop = Some(stop);
        }
        self.next(&mut state, replica, now)
    }

    fn next(self: &Arc<Self>, state: &mut State, replica: ReplicaId, now: Instant) -> Next {
        let may_send = state.may_send() && self.has_room();
        let next = if may_send {
            state.dispatch.next_for(replica, now)
        } else {
            None
        };
        let wants_rows = !state.rows_are_asked_for && state.dispatch.wants_rows();
        if !may_send || wants_rows || state.dispatch.is_empty() {
            self.attention.notify_one();
        }
        let Some(next) = next else {
            if state.all_are_read {
                // The replica may not be needed any more.
                self.attention.notify_one();
            }
            let (sender, receiver) = oneshot::channel();
            if let Some(crew) = state.crews.get_mut(&replica) {
                crew.idle.push(sender);
            }
            return Next::Wait(receiver);
        };
        // A replica that showed itself fast may take more than one for one.
        while let Some(more) = state.dispatch.next_for(replica, now) {
            self.begin(state, more);
        }
        Next::Row(next)
    }
}

impl State {
    /// Gives a crew to each replica that has none, and with it someone who asks the engine how it does. An endpoint is not asked: who
    /// else uses it, and what is behind it, is not known.
    pub fn staff(&mut self, work: &Arc<Work>) {
        for (replica, address) in self.dispatch.in_use() {
            let crew = self.crews.entry(replica);
            crew.or_insert_with(|| {
                let mut crew = Crew::default();
                if let Address::Pod(address) = address {
                    crew.tasks.spawn(Arc::clone(work).observe(replica, address));
                }
                crew
            });
        }
    }

    /// Whether anything may be sent.
    pub fn may_send(&self) -> bool {
        self.stop.is_none() && self.halt.is_none() && !self.is_draining
    }

    fn spend(&mut self, usage: Usage) {
        let halt = self.spending.spend(usage);
        self.halt = self.halt.take().or(halt);
    }

    fn count(&mut self, verdict: Verdict, reply: &Reply) {
        if verdict == Verdict::Done {
            return self.failures.succeeded();
        }
        self.count_failed(|| match reply {
            Reply::Answered(answered) => Failure::answered(answered.status, answered.body.as_bytes()),
            Reply::TooLarge => Failure::without_answer(RESPONSE_TOO_LARGE),
            Reply::Fault(fault) => Failure::without_answer(code_of(*fault)),
        });
    }

    fn count_failed(&mut self, failure: impl FnOnce() -> Failure) {
        let halt = self.failures.failed(failure);
        self.halt = self.halt.take().or(halt);
    }

    /// Counts a row that fails without being sent.
    pub fn count_unsent(&mut self) {
        let halt = self.failures.unsent();
        self.halt = self.halt.take().or(halt);
    }

    /// Ends the workers whose requests the dispatch took back.
    pub fn dismiss(&mut self) {
        let dispatch = &self.dispatch;
        self.crews.retain(|replica, _| dispatch.is_in_use(*replica));
    }

    /// Ends all workers.
    pub fn dismiss_all(&mut self) {
        self.crews.clear();
    }

    /// Forgets workers that have ended.
    pub fn reap(&mut self) {
        for crew in self.crews.values_mut() {
            let workers = crew.tasks.len();
            while let Some(ended) = crew.tasks.try_join_next() {
                if let Err(error) = ended
                    && error.is_panic()
                {
                    // Its row would be waited for for ever.
                    std::panic::resume_unwind(error.into_panic());
                }
            }
            if crew.tasks.len() < workers {
                crew.idle.retain(|idle| !idle.is_closed());
            }
        }
    }
}

/// What becomes of a job whose requests a server refuses.
fn refused(by: &Address, why: StopReason, refusals: Refusals) -> Stop {
    match by {
        Address::Pod(_) => Stop::Ended(End::new(Reason::ServerRefusesRequests, why.to_string())),
        Address::Endpoint(url) => refusals.stop(access_denied(url, why)),
    }
}

/// What a worker does next.
enum Next {
    Row(Assignment<Arc<Row>>),
    Wait(oneshot::Receiver<Assignment<Arc<Row>>>),
}

/// The next row, unless there is none for so long that the connection is not worth keeping.
async fn wait(mut next: oneshot::Receiver<Assignment<Arc<Row>>>) -> Option<Assignment<Arc<Row>>> {
    if let Ok(next) = timeout(IDLE_TIMEOUT, &mut next).await {
        return next.ok();
    }
    // One may have come in the last moment.
    next.close();
    next.try_recv().ok()
}

/// Tells when a worker ends, so that one that panicked is seen at once.
struct Noticed<'a>(&'a Notify);

impl Drop for Noticed<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
