//! How many rows one replica has at once: found, not configured. Pure: the time comes in.
//!
//! An engine that tells its queue is asked to keep a short one: enough that a place in its batch never stays empty, and no more. Any
//! other server is judged by the work it does per second: the bound doubles while that grows, stays where it stops growing, and
//! from time to time a little more or less is tried, as rows and servers change. Latency alone does not tell: rows differ a
//! hundredfold in length, and a batch of many is slower than one of few and still worth it.

mod window;

use std::time::Duration;

use tokio::time::Instant;

use crate::engine::EngineLoad;

use self::window::{Pace, Window};

/// The bound of a server of which nothing is known.
const FIRST_LIMIT: usize = 64;
/// Work per second is compared over at least so many answers, as few say little where rows differ in length.
const FEWEST_ANSWERS: usize = 64;
/// And over at least so long, as answers come in bursts; while the bound doubles, and later.
const SHORTEST_WINDOW: Duration = Duration::from_millis(50);
const SHORTEST_HELD: Duration = Duration::from_secs(1);
/// Twice as many in flight are worth it if they bring so much more.
const WORTH_DOUBLING: f64 = 1.1;
/// So often in a row must doubling have been in vain.
const VAIN_DOUBLINGS: u32 = 2;
/// A try of half as many more in flight has shown something if it brings so much more.
const WORTH_MORE: f64 = 1.03;
/// The same from so many in flight on, as each costs a connection here and there.
const MANY: usize = 512;
const WORTH_MANY: f64 = 1.15;
/// Fewer in flight are not worth a loss that the noise may hide.
const WORTH_LESS: f64 = 1.0;
/// Up to here, work alone decides: twice the largest batch of the engines that are known.
const LARGE: usize = 2048;
/// Beyond, so many times the rows that find a place at the server at once. More would only wait there, and noise could look as if it
/// were worth it.
const WORTH_WAITING: f64 = 3.0;
/// Rounds between two tries, where a round is as many answers as the bound.
const ROUNDS_HELD: usize = 4;
/// A try of less costs something when it is in vain: after each such, the next one waits twice as long, up to so many times.
const MOST_PATIENCE: usize = 16;
/// An engine's word about its queue counts for so long.
const WORD_COUNTS_FOR: Duration = Duration::from_secs(10);
/// A queue is too long when it was so often in a row.
const TIMES_LONG: u32 = 3;
/// The shortest queue that an engine is to have, in rows.
const SHORTEST_QUEUE: usize = 4;

/// How much work a row was, in tokens written: rows of unequal length are compared by it. Reading a token costs an engine about an
/// eighth of writing one. At least 1, also where the answer did not say.
#[must_use]
pub fn work(prompt_tokens: u64, completion_tokens: u64) -> u64 {
    completion_tokens.saturating_add(prompt_tokens / 8).max(1)
}

/// The bound of one replica.
#[derive(Debug)]
pub struct Concurrency {
    limit: usize,
    /// The most that answers alone may take the bound to.
    most: usize,
    /// How long a row stays at the server when none waits there: the shortest that it was, on average over a window, in seconds.
    stay: f64,
    search: Search,
    window: Window,
    /// Whether the server has refused a row; then the bound grows by steps.
    refused: bool,
    step: usize,
    patience: usize,
    more_next: bool,
    /// Tries of less that are left out until the next one.
    held: usize,
    /// When the engine last told its queue.
    told: Option<Instant>,
    long: Long,
}

/// How often in a row the queue was too long, and by how much at least.
#[derive(Debug)]
struct Long {
    times: u32,
    surplus: usize,
}

impl Default for Long {
    fn default() -> Self {
        Self {
            times: 0,
            surplus: usize::MAX,
        }
    }
}

/// Bounds and the work per second that they brought, the last one first.
type Tried = [(usize, f64); 4];

/// Where the search for the bound is.
#[derive(Debug)]
enum Search {
    /// It doubles, and was in vain so often in a row.
    Growing { tried: Tried, vain: u32 },
    /// It stays. What was tried before is judged by how it does now.
    Holding { tried: Option<Trial> },
    /// Another is tried.
    Trying { from: usize, before: f64 },
}

/// Another bound that was tried; work per second.
#[derive(Clone, Copy, Debug)]
struct Trial {
    limit: usize,
    rate: f64,
    before: f64,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self::new()
    }
}

impl Concurrency {
    /// For a server of which nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self {
            limit: FIRST_LIMIT,
            most: LARGE,
            stay: f64::INFINITY,
            search: Search::Growing {
                tried: [(0, 0.0); 4],
                vain: 0,
            },
            window: Window::new(0, None, FIRST_LIMIT, SHORTEST_WINDOW),
            refused: false,
            step: 1,
            patience: 2,
            more_next: false,
            held: 0,
            told: None,
            long: Long::default(),
        }
    }

    /// How many rows may be in flight; at least 1.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Takes that a row was answered, and how much [`work`] it was; `in_flight` counts that row too.
    pub fn answered(&mut self, now: Instant, work: u64, in_flight: usize) {
        let used = in_flight + in_flight / 8 >= self.limit;
        let Some(pace) = self.window.answered(now, work, used) else {
            return;
        };
        if self.window.is_of_the_bound() {
            self.find_most(pace);
            self.judge(now, pace.work);
        } else {
            self.measure(Some(now), 1);
        }
    }

    /// Takes that the server had no room for a row (429, 503); `in_flight` counts that row too.
    pub fn refused(&mut self, now: Instant, in_flight: usize) {
        // The others have found room. Rows that were refused together take the bound down together.
        self.limit = self.limit.min(in_flight.saturating_sub(1)).max(1);
        self.refused = true;
        self.step = 1 + self.limit / 16;
        self.hold(Some(now), None);
    }

    /// Takes what the engine said of its queue; `in_flight` is what it had from here at that moment.
    pub fn observed(&mut self, now: Instant, load: EngineLoad, in_flight: usize) {
        let running = usize::try_from(load.running).unwrap_or(usize::MAX);
        let waiting = usize::try_from(load.waiting).unwrap_or(usize::MAX);
        let queue = SHORTEST_QUEUE.max(running / 4);
        // Where most rows are on the way, and not in the engine, its queue does not tell whether more would help.
        if running.saturating_add(waiting) < in_flight.max(1) / 2 {
            return;
        }
        self.told = Some(now);
        if waiting > queue.saturating_mul(2) {
            self.shorten(now, running, in_flight, waiting - queue);
            return;
        }
        self.long = Long::default();
        if waiting < queue / 2 && in_flight + in_flight / 8 >= self.limit {
            let more = if waiting == 0 { self.limit } else { queue - waiting };
            self.limit = self.limit.saturating_add(more);
            self.measure(Some(now), 1);
        }
    }

    /// Takes back what waits too much, once it has waited for some time: a batch that has just ended makes a long queue for a moment.
    fn shorten(&mut self, now: Instant, running: usize, in_flight: usize, surplus: usize) {
        self.long.times += 1;
        self.long.surplus = self.long.surplus.min(surplus);
        if self.long.times < TIMES_LONG {
            return;
        }
        let less = in_flight.min(self.limit).saturating_sub(self.long.surplus);
        self.limit = less.max(running).max(1).min(self.limit);
        self.long = Long::default();
        self.hold(Some(now), None);
    }

    /// By Little's law, the rows at a server are those that it answers in a second times the seconds that one stays.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rows at a server are far below 2^52, and what is too many saturates"
    )]
    fn find_most(&mut self, pace: Pace) {
        // The first answers may come all at once, as their rows were sent.
        if self.window.has_known_begin() {
            self.stay = self.stay.min(self.limit as f64 / pace.answers);
        }
        if self.stay.is_finite() {
            self.most = LARGE.max((pace.answers * self.stay * WORTH_WAITING) as usize);
        }
    }

    fn judge(&mut self, now: Instant, rate: f64) {
        let told = self
            .told
            .is_some_and(|at| now.saturating_duration_since(at) < WORD_COUNTS_FOR);
        match self.search {
            Search::Growing { tried, vain } => self.grow(now, rate, tried, vain),
            // The engine's own word is the better one.
            Search::Holding { .. } if told => self.hold(Some(now), None),
            Search::Trying { from, .. } if told => {
                self.limit = from;
                self.hold(None, None);
            }
            Search::Holding { .. } if self.refused => {
                self.limit = self.limit.saturating_add(self.step).min(self.most).max(self.limit);
                self.step = (self.step * 2).min(self.limit);
                self.hold(Some(now), None);
            }
            Search::Holding { tried: None } => self.try_another(now, rate),
            Search::Holding { tried: Some(trial) } => self.judge_trial(now, rate, trial),
            Search::Trying { from, before } => {
                let limit = self.limit;
                self.limit = from;
                self.hold(None, Some(Trial { limit, rate, before }));
            }
        }
    }

    fn grow(&mut self, now: Instant, rate: f64, mut tried: Tried, mut vain: u32) {
        let best = tried.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
        vain = if rate < best * WORTH_DOUBLING { vain + 1 } else { 0 };
        tried.rotate_right(1);
        tried[0] = (self.limit, rate);
        if self.limit >= self.most {
            self.hold(None, None);
            return;
        }
        if vain < VAIN_DOUBLINGS {
            self.search = Search::Growing { tried, vain };
            self.limit = self.limit.saturating_mul(2).min(self.most);
            self.measure(Some(now), 1);
            return;
        }
        // The first one that was in vain: the one before it may have been a little too small.
        self.limit = self.limit.div_ceil(2);
        self.hold(None, None);
    }

    fn try_another(&mut self, now: Instant, before: f64) {
        let from = self.limit;
        self.more_next = !self.more_next;
        if self.more_next {
            self.limit = (from + from.div_ceil(2)).min(self.most).max(from);
        } else if self.held > 0 {
            self.held -= 1;
            self.hold(Some(now), None);
            return;
        } else {
            self.limit = from.div_ceil(2);
        }
        self.search = Search::Trying { from, before };
        self.measure(None, if self.more_next { 2 } else { 4 });
    }

    /// Against the mean of before and after, so that rows that become longer or shorter all the time decide nothing.
    fn judge_trial(&mut self, now: Instant, after: f64, trial: Trial) {
        let here = f64::midpoint(trial.before, after);
        let worth = if self.limit < MANY { WORTH_MORE } else { WORTH_MANY };
        if trial.limit > self.limit && trial.rate > here * worth {
            self.patience = 2;
            let mut tried = [(0, 0.0); 4];
            tried[0] = (self.limit, here);
            self.limit = trial.limit;
            self.search = Search::Growing { tried, vain: 0 };
            self.measure(Some(now), 1);
        } else if trial.limit < self.limit && trial.rate >= here * WORTH_LESS {
            self.limit = trial.limit;
            self.hold(None, None);
        } else {
            if trial.limit < self.limit {
                self.held = self.patience;
                self.patience = (self.patience * 2).min(MOST_PATIENCE);
            }
            self.try_another(now, after);
        }
    }

    fn hold(&mut self, since: Option<Instant>, tried: Option<Trial>) {
        self.search = Search::Holding { tried };
        self.measure(since, ROUNDS_HELD);
    }

    /// Begins a window, at `since`, or when as many answers have come as may be of what was before.
    fn measure(&mut self, since: Option<Instant>, rounds: usize) {
        let skipped = if since.is_some() { 0 } else { self.limit };
        let growing = matches!(self.search, Search::Growing { .. });
        let shortest = if growing { SHORTEST_WINDOW } else { SHORTEST_HELD };
        // After a refusal the bound grows whatever the pace.
        let fewest = if self.refused { 1 } else { FEWEST_ANSWERS };
        let wanted = self.limit.saturating_mul(rounds).max(fewest);
        self.window = Window::new(skipped, since, wanted, shortest);
    }
}

#[cfg(test)]
#[path = "concurrency_tests.rs"]
mod tests;
