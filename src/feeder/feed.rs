//! The loop that sends rows: it does what [`Dispatch`] decides.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::api::reason::Reason;
use crate::engine::{Engine, Verdict};
use crate::results::{FinishedRow, LedgerWriter};

use super::dispatch::{Assignment, Dispatch, RequestId, Settled};
use super::finished::Lines;
use super::replicas::Replicas;
use super::report::End;
use super::rows::{Row, Rows};
use super::send::Sender;
use super::trouble::Stop;

/// Finished rows that may wait for the store, in bytes. Beyond it nothing is sent until the store takes some.
const UNDURABLE_BYTES: usize = 64 << 20;

/// What a request needs to know.
#[derive(Debug)]
pub struct Requests {
    /// Sends it.
    pub sender: Sender,
    /// Writes down what came of it.
    pub lines: Lines,
    /// Judges it.
    pub engine: Engine,
    /// Which start of the feeder this is.
    pub attempt: u32,
}

/// The sending of all rows.
pub struct Feed<'a> {
    requests: Arc<Requests>,
    rows: Rows,
    all_read: bool,
    replicas: watch::Receiver<Replicas>,
    ledger: &'a LedgerWriter,
    dispatch: Dispatch<Arc<Row>>,
    in_flight: JoinSet<Reported>,
    handles: HashMap<RequestId, AbortHandle>,
}

/// A request that is over.
struct Reported {
    request: RequestId,
    verdict: Verdict,
    finished: FinishedRow,
}

impl<'a> Feed<'a> {
    /// Sends `rows` to `replicas`; what is finished goes to `ledger`.
    #[must_use]
    pub fn new(
        requests: Requests,
        rows: Rows,
        mut replicas: watch::Receiver<Replicas>,
        ledger: &'a LedgerWriter,
    ) -> Self {
        replicas.mark_changed();
        Self {
            requests: Arc::new(requests),
            rows,
            all_read: false,
            replicas,
            ledger,
            dispatch: Dispatch::default(),
            in_flight: JoinSet::new(),
            handles: HashMap::new(),
        }
    }

    /// Goes on until every row is finished, though perhaps not durable. Dropping it aborts what is in flight.
    ///
    /// # Errors
    ///
    /// [`Stop`].
    pub async fn run(mut self, shutdown: &CancellationToken) -> Result<(), Stop> {
        let mut ledger_status = self.ledger.status();
        while !(self.all_read && self.dispatch.is_empty()) {
            let has_room = self.ledger.bytes_in_memory() < UNDURABLE_BYTES;
            if has_room {
                self.send_what_can_be_sent();
            }
            let wakes_at = self.dispatch.wakes_at(Instant::now()).filter(|_| has_room);
            tokio::select! {
                () = shutdown.cancelled() => return Err(Stop::Interrupted),
                Some(reported) = self.in_flight.join_next() => self.settle(reported)?,
                Ok(()) = self.replicas.changed() => self.follow_replicas(),
                row = self.rows.recv(), if !self.all_read && self.dispatch.wants_rows() => self.take(row)?,
                () = sleep_until(wakes_at.unwrap_or_else(Instant::now)), if wakes_at.is_some() => {}
                Ok(()) = ledger_status.changed(), if !has_room => {}
            }
        }
        Ok(())
    }

    fn send_what_can_be_sent(&mut self) {
        let now = Instant::now();
        while let Some(assignment) = self.dispatch.next(now) {
            let request = assignment.request;
            let handle = self.in_flight.spawn(send(Arc::clone(&self.requests), assignment));
            self.handles.insert(request, handle);
        }
    }

    fn take(&mut self, row: Option<Result<Arc<Row>, Stop>>) -> Result<(), Stop> {
        match row {
            Some(row) => self.dispatch.add(row?),
            None => self.all_read = true,
        }
        Ok(())
    }

    fn follow_replicas(&mut self) {
        let gone = self.dispatch.set_replicas(&self.replicas.borrow_and_update());
        if !gone.is_empty() {
            tracing::info!(requests = gone.len(), "servers are gone and their rows are taken back");
        }
        for request in gone {
            if let Some(handle) = self.handles.remove(&request) {
                handle.abort();
            }
        }
    }

    fn settle(&mut self, reported: Result<Reported, JoinError>) -> Result<(), Stop> {
        let Reported {
            request,
            verdict,
            finished,
        } = match reported {
            Ok(reported) => reported,
            Err(error) if error.is_cancelled() => return Ok(()),
            // Without its report, the row would be waited for for ever.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        self.handles.remove(&request);
        tracing::trace!(row = finished.row.0, ?verdict, "a request is over");
        if let Verdict::StopJob(reason) = verdict {
            return Err(Stop::Ended(End::new(Reason::ServerRefusesRequests, reason.to_string())));
        }
        let settled = self.dispatch.settle(request, verdict, Instant::now(), rand::random());
        if settled == Settled::Finished {
            self.ledger.record(finished);
        }
        Ok(())
    }
}

async fn send(requests: Arc<Requests>, assignment: Assignment<Arc<Row>>) -> Reported {
    let Assignment { request, replica, row } = assignment;
    let Requests {
        sender,
        lines,
        engine,
        attempt,
    } = &*requests;
    let request_id = lines.request_id(*attempt, request.0);
    let reply = sender.send(replica.address, &row, &request_id).await;
    let verdict = reply.verdict(*engine);
    let finished = lines.finish(&row, &request_id, &reply, verdict);
    Reported {
        request,
        verdict,
        finished,
    }
}
