//! Lets rows go to a server only once it has the adapters that they name.
//!
//! Stands between the servers that are ready and those that rows may be sent to: a server that is ready is given on as such when it has
//! loaded all adapters. One that says at a row that it lacks its adapter was started anew, without any, and loads them again. One that is
//! unready for a moment keeps what it has: a busy server can miss a probe.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinSet};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::api::adapters::OnAdapterError;
use crate::api::reason::Reason;
use crate::api::wait::Wait;
use crate::feeder::replicas::{Address, Readiness, Replica, Replicas};
use crate::feeder::report::Place;
use crate::feeder::reporter::Reporter;
use crate::feeder::trouble::Stop;

use super::left::{ROUNDS, Refusing, is_any_ready, is_nobody_else_left, is_ready, ready};
use super::load::{Report, load};
use super::table::{AdapterTable, Asking};
use super::{Bad, Known, end, in_words, told};

/// A server that refuses what another one has loaded is asked again after this time.
pub const ASK_AGAIN: Duration = Duration::from_secs(30);

/// What equipping needs.
#[derive(Clone, Debug)]
pub struct Equipment {
    /// How rows ask for adapters.
    pub asking: Asking,
    /// Those that rows name.
    pub adapters: Vec<Known>,
    /// When those that cannot be used end the job; never, where it has results already, which are not to be lost.
    pub ending: Option<Ending>,
    /// After this time a server is asked again that refuses what another one has: [`ASK_AGAIN`].
    pub ask_again: Duration,
    /// Talks to servers.
    pub client: reqwest::Client,
    /// Is told what is loaded.
    pub reporter: Reporter,
}

/// When adapters that cannot be used end a job.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// What becomes of their rows.
    pub on_error: OnAdapterError,
    /// Good rows of the data set.
    pub rows: u64,
}

/// What comes of it.
#[derive(Clone, Debug)]
pub struct Equipped {
    /// The servers that rows may be sent to.
    pub replicas: watch::Receiver<Replicas>,
    /// How rows of each adapter are sent, once the first server has loaded them.
    pub table: watch::Receiver<Option<Arc<AdapterTable>>>,
    /// Takes servers that lack what they had loaded.
    pub lost: mpsc::UnboundedSender<Address>,
}

/// Equipping under way, until it is dropped.
#[derive(Debug)]
pub struct Equipping {
    found: Equipped,
    work: AbortOnDropHandle<Stop>,
}

impl Equipping {
    /// What comes of it.
    #[must_use]
    pub fn found(&self) -> Equipped {
        self.found.clone()
    }

    /// Why no rows are to be sent; else it never ends.
    pub async fn ended(&mut self) -> Stop {
        match (&mut self.work).await {
            Ok(stop) => stop,
            Err(_) => Stop::Restart("the loading of adapters ended without a word".to_owned()),
        }
    }
}

/// Starts to equip the servers of `there`, as they come and go.
#[must_use]
pub fn equip(equipment: Equipment, there: watch::Receiver<Replicas>) -> Equipping {
    let (work, found) = Work::new(equipment, there);
    Equipping {
        found,
        work: AbortOnDropHandle::new(tokio::spawn(work.run())),
    }
}

struct Work {
    equipment: Equipment,
    there: watch::Receiver<Replicas>,
    equipped: watch::Sender<Replicas>,
    table: watch::Sender<Option<Arc<AdapterTable>>>,
    lost_at: mpsc::UnboundedReceiver<Address>,
    done: BTreeSet<Replica>,
    refusing: Refusing,
    /// The task of each server that is loading.
    loading: BTreeMap<Replica, task::AbortHandle>,
    loads: JoinSet<(Replica, Report)>,
}

impl Work {
    fn new(equipment: Equipment, there: watch::Receiver<Replicas>) -> (Self, Equipped) {
        let (equipped, replicas) = watch::channel(Replicas::new());
        let (table, tables) = watch::channel(None);
        let (lost, lost_at) = mpsc::unbounded_channel();
        let work = Self {
            equipment,
            there,
            equipped,
            table,
            lost_at,
            done: BTreeSet::new(),
            refusing: Refusing::new(),
            loading: BTreeMap::new(),
            loads: JoinSet::new(),
        };
        let found = Equipped {
            replicas,
            table: tables,
            lost,
        };
        (work, found)
    }

    async fn run(mut self) -> Stop {
        match self.equip_all().await {
            Ok(never) => match never {},
            Err(stop) => stop,
        }
    }

    async fn equip_all(&mut self) -> Result<Infallible, Stop> {
        self.there.mark_changed();
        loop {
            tokio::select! {
                changed = self.there.changed() => match changed {
                    Ok(()) => self.follow(),
                    // Nobody watches servers any more, and the feeder ends.
                    Err(_) => std::future::pending().await,
                },
                Some(joined) = self.loads.join_next_with_id() => {
                    // One that was aborted has nothing to say.
                    if let Ok((id, (replica, report))) = joined {
                        self.loaded(id, replica, report)?;
                    }
                }
                Some(address) = self.lost_at.recv() => self.load_again(&address),
            }
        }
    }

    /// Has new servers load, and forgets those that are gone.
    fn follow(&mut self) {
        let there = self.there.borrow_and_update().clone();
        self.done.retain(|replica| there.contains_key(replica));
        self.refusing.retain(|replica, _| there.contains_key(replica));
        for (_, load) in self.loading.extract_if(.., |replica, _| !is_ready(&there, replica)) {
            load.abort();
        }
        for replica in ready(&there) {
            if !self.done.contains(replica) && !self.loading.contains_key(replica) {
                self.begin(replica.clone(), Duration::ZERO);
            }
        }
        self.publish(&there);
        self.tell_waiting();
    }

    /// Has a server load all again. That it lacks them, each of its rows says, and the first one counts.
    fn load_again(&mut self, address: &Address) {
        let Some(replica) = self.done.iter().find(|replica| replica.address == *address).cloned() else {
            return;
        };
        tracing::warn!(pod = %replica.pod, "a server has lost its adapters");
        self.done.remove(&replica);
        self.begin(replica, Duration::ZERO);
        let there = self.there.borrow().clone();
        self.publish(&there);
        self.tell_waiting();
    }

    fn begin(&mut self, replica: Replica, after: Duration) {
        let equipment = self.equipment.clone();
        let equipped = self.equipped.subscribe();
        let known = replica.clone();
        tracing::info!(pod = %replica.pod, adapters = equipment.adapters.len(), "a server loads the adapters");
        let load = self.loads.spawn(async move {
            sleep(after).await;
            let address = replica.address.to_string();
            let tell = |problem: String| {
                tracing::warn!(pod = %replica.pod, %problem, "a server has not all adapters yet");
                // Where another one takes rows, nothing waits for this one.
                if is_any_ready(&equipped.borrow()) {
                    return;
                }
                let message = format!(
                    "server {} is loading the adapters that rows name: {problem}",
                    replica.pod
                );
                say(&equipment.reporter, message);
            };
            let Equipment {
                asking,
                client,
                adapters,
                ..
            } = &equipment;
            let report = load(asking, client, &address, adapters, tell).await;
            (replica, report)
        });
        self.loading.insert(known, load);
    }

    fn loaded(&mut self, id: task::Id, replica: Replica, report: Report) -> Result<(), Stop> {
        // Of a server that was not ready since, what it has is not known.
        if self.loading.get(&replica).is_none_or(|load| load.id() != id) {
            return Ok(());
        }
        self.loading.remove(&replica);
        let there = self.there.borrow().clone();
        // Nor is one believed that is about to go. Should it be ready again, it is asked again.
        if !is_ready(&there, &replica) {
            return Ok(());
        }
        let is_first = self.table.borrow().is_none();
        if !is_first && self.refuses_more(&report) {
            return self.not_as_the_others(replica, report, &there);
        }
        tracing::info!(pod = %replica.pod, refused = report.refused.len(), "a server has the adapters");
        self.refusing.remove(&replica);
        self.done.insert(replica);
        if is_first {
            self.decide(report)?;
        }
        self.publish(&there);
        self.equipment
            .reporter
            .update(|report| _ = report.waits.remove(&Place::Adapters));
        Ok(())
    }

    /// Whether a server refuses what the first one has. It may have begun before that one had decided what nobody has.
    fn refuses_more(&self, report: &Report) -> bool {
        let mut refused = report.refused.iter();
        refused.any(|(place, _)| self.equipment.adapters[*place].bad.is_none())
    }

    /// What the first server says counts for all rows.
    fn decide(&mut self, report: Report) -> Result<(), Stop> {
        let Report { refused, ids } = report;
        self.mark(refused);
        let Equipment {
            asking,
            adapters,
            ending,
            ..
        } = &self.equipment;
        if let Some(end) = ending.and_then(|Ending { on_error, rows }| end(adapters, on_error, rows)) {
            return Err(Stop::Ended(end));
        }
        self.table
            .send_replace(Some(Arc::new(AdapterTable::new(asking, adapters, &ids))));
        Ok(())
    }

    /// A server that refuses what another one has: rows do not go to it, until it has the same.
    fn not_as_the_others(&mut self, replica: Replica, report: Report, there: &Replicas) -> Result<(), Stop> {
        let problem = report.refused.first().map_or("", |(_, bad)| bad.message.as_str());
        tracing::warn!(pod = %replica.pod, %problem, "a server refuses adapters that another one has");
        let does_one_have_them = self.done.iter().any(|replica| is_ready(there, replica));
        let rounds = self.refusing.entry(replica.clone()).or_default();
        // Else a probe that the one misses would be enough.
        *rounds = if does_one_have_them { 0 } else { *rounds + 1 };
        if *rounds >= ROUNDS && is_nobody_else_left(there, &self.refusing) {
            return Err(self.give_up(report));
        }
        self.begin(replica, self.equipment.ask_again);
        Ok(())
    }

    /// Rows that are read already are to be sent with these adapters. The next start reads of the status that they cannot be used.
    fn give_up(&mut self, report: Report) -> Stop {
        self.mark(report.refused);
        Stop::Restart(
            "no server is left that has all adapters, and rows of those that are refused are to fail".to_owned(),
        )
    }

    fn mark(&mut self, refused: Vec<(usize, Bad)>) {
        for (place, bad) in refused {
            self.equipment.adapters[place].bad = Some(bad);
        }
        tell_refused(&self.equipment.reporter, &self.equipment.adapters);
    }

    /// Servers that have not all adapters are there, and take no rows.
    fn publish(&self, there: &Replicas) {
        let seen = there.iter().map(|(replica, readiness)| {
            let has_all = self.done.contains(replica);
            (replica.clone(), if has_all { *readiness } else { Readiness::Unready })
        });
        let now: Replicas = seen.collect();
        self.equipped.send_if_modified(|equipped| {
            let is_changed = *equipped != now;
            *equipped = now;
            is_changed
        });
    }

    fn tell_waiting(&self) {
        if !self.done.is_empty() || self.loading.is_empty() {
            self.equipment
                .reporter
                .update(|report| _ = report.waits.remove(&Place::Adapters));
            return;
        }
        let count = self.equipment.adapters.len();
        let message = format!("servers are loading the {count} adapters that rows name");
        say(&self.equipment.reporter, message);
    }
}

fn say(reporter: &Reporter, message: String) {
    let wait = Wait::new(Reason::AdaptersLoading, message);
    reporter.update(|report| _ = report.waits.insert(Place::Adapters, wait));
}

/// Says which adapters no server has.
fn tell_refused(reporter: &Reporter, adapters: &[Known]) {
    let Some(warning) = in_words(adapters) else { return };
    tracing::warn!("{warning}");
    let told = told(adapters);
    reporter.update(|report| {
        report.warn(warning);
        if let Some(before) = &mut report.adapters {
            before.most_used = told.most_used;
        }
    });
}

#[cfg(test)]
#[path = "equip_tests.rs"]
mod tests;
