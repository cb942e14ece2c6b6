//! A model server and the feeder's loop before it, in simulated time: no clock, no thread, the same figures on every machine.
//!
//! The batching engine works as vLLM and llama-server do: in steps; each step gives every running row one token and reads prompts up
//! to a budget; rows are taken in order while there is a slot and room in the cache for what they have so far; when the cache
//! overflows, the youngest row loses its place and is read again later. Too much in flight therefore costs what it costs there:
//! prompts that are read twice.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::large_enum_variant,
    reason = "numbers of a simulation are far below 2^52, and there are few of its bounds"
)]

use std::collections::VecDeque;

use batch_inference_operator::engine::EngineLoad;
use batch_inference_operator::feeder::concurrency::{Concurrency, work};
use std::time::Duration;
use tokio::time::Instant;

const SECOND: u64 = 1_000_000_000;
/// When a refused row is sent again.
const REFUSED_FOR: u64 = SECOND;
/// How often the metrics are read, and more often at first.
const SCRAPE_PERIOD: u64 = SECOND;
const FIRST_SCRAPES: (u64, u64) = (SECOND / 4, 2 * SECOND);

/// Durations in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub enum Server {
    /// Works in steps over many rows at once.
    Batching(Batching),
    /// Answers after a time, however many rows it has.
    Delay(u64),
    /// Takes one row after another, each for a time.
    Line(u64),
}

/// A batching engine.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// Rows in a batch.
    pub slots: usize,
    /// Tokens in the cache.
    pub cache: u64,
    /// Prompt tokens read in one step.
    pub step_tokens: u64,
    /// A step.
    pub step: u64,
    /// More for each row in it.
    pub row: u64,
    /// More for each prompt token in it.
    pub prompt_token: u64,
    /// Rows that may wait; one more is refused.
    pub queue: usize,
}

/// Lengths of rows, log-normal.
#[derive(Clone, Copy, Debug)]
pub struct Lengths {
    /// Half of the prompts and outputs are shorter, in tokens.
    pub median: (f64, f64),
    /// The standard deviation of the logarithm: at 1, a tenth are 3.6 times as long and longer.
    pub sigma: f64,
    /// None is longer, in tokens.
    pub longest: u64,
}

/// A data set before a server.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What the table calls it.
    pub name: &'static str,
    /// The server.
    pub server: Server,
    /// The way there and back.
    pub round_trip: u64,
    /// The rows' lengths.
    pub lengths: Lengths,
    /// How many rows.
    pub rows: usize,
    /// Whether the shortest outputs come first, and not as it happens.
    pub sorted: bool,
}

/// What bounds the rows in flight.
pub enum Bound {
    /// A number.
    Fixed(usize),
    /// Ours, with the engine's metrics or without.
    Found { bound: Concurrency, metrics: bool },
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// All rows by the time of the last answer.
    pub rows_per_second: f64,
    /// Rows that lost their place in the batch.
    pub preemptions: u64,
    /// Answers that there is no room.
    pub refusals: u64,
    /// The bound when the last row was answered.
    pub limit: usize,
    /// The most rows in flight.
    pub most: usize,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    prompt: u64,
    output: u64,
    written: u64,
    unread: u64,
}

impl Row {
    fn work(&self) -> u64 {
        work(self.prompt, self.output)
    }

    fn tokens(&self) -> u64 {
        self.prompt + self.written
    }
}

/// Whether the server took the row.
#[derive(Clone, Copy)]
enum Answer {
    /// How much work it was.
    Done(u64),
    NoRoom(Row),
}

struct Simulation {
    case: Case,
    start: Instant,
    now: u64,
    bound: Bound,
    in_flight: usize,
    unsent: VecDeque<Row>,
    refused: VecDeque<(u64, Row)>,
    waiting: VecDeque<Row>,
    running: Vec<Row>,
    step_ends: Option<u64>,
    busy_until: u64,
    cache_used: u64,
    answers: VecDeque<(u64, Answer)>,
    next_scrape: u64,
    work: u64,
    figures: Figures,
}

/// Runs all rows of a case; the seed decides their lengths.
pub fn run(case: Case, bound: Bound, seed: u64) -> Figures {
    let mut simulation = Simulation {
        case,
        start: Instant::now(),
        now: 0,
        bound,
        in_flight: 0,
        unsent: rows(case, seed),
        refused: VecDeque::new(),
        waiting: VecDeque::new(),
        running: Vec::new(),
        step_ends: None,
        busy_until: 0,
        cache_used: 0,
        answers: VecDeque::new(),
        next_scrape: case.round_trip,
        work: 0,
        figures: Figures {
            rows_per_second: 0.0,
            preemptions: 0,
            refusals: 0,
            limit: 0,
            most: 0,
        },
    };
    simulation.run();
    simulation.figures
}

fn rows(case: Case, seed: u64) -> VecDeque<Row> {
    let mut random = Random(seed);
    let Lengths { median, sigma, longest } = case.lengths;
    let mut length = |median: f64| {
        // Box-Muller.
        let (u, v) = (random.next(), random.next());
        let normal = (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        ((median * (sigma * normal).exp()) as u64).clamp(1, longest)
    };
    let row = |_| {
        let prompt = length(median.0);
        Row {
            prompt,
            output: length(median.1),
            written: 0,
            unread: prompt,
        }
    };
    let mut rows: Vec<Row> = (0..case.rows).map(row).collect();
    if case.sorted {
        rows.sort_by_key(|row| row.output);
    }
    rows.into()
}

/// SplitMix64: small, and the same in every version.
struct Random(u64);

impl Random {
    /// From 0 to below 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl Simulation {
    fn run(&mut self) {
        let mut left = self.case.rows;
        while left > 0 {
            self.send();
            self.start_step();
            self.now = self.next_event();
            while let Some(&(at, answer)) = self.answers.front().filter(|(at, _)| *at <= self.now) {
                self.answers.pop_front();
                debug_assert!(at <= self.now);
                left -= usize::from(matches!(answer, Answer::Done(_)));
                self.take(answer);
                self.send();
            }
            if self.step_ends.is_some_and(|end| end <= self.now) {
                self.end_step();
            }
            if self.next_scrape <= self.now {
                self.scrape();
            }
        }
        self.figures.rows_per_second = self.case.rows as f64 * SECOND as f64 / self.now as f64;
        self.figures.limit = self.limit();
    }

    fn limit(&self) -> usize {
        match &self.bound {
            Bound::Fixed(limit) => *limit,
            Bound::Found { bound, .. } => bound.limit(),
        }
    }

    fn next_event(&self) -> u64 {
        let answer = self.answers.front().map(|(at, _)| *at);
        let again = self.refused.front().map(|(at, _)| *at).filter(|at| *at > self.now);
        let events = [answer, again, self.step_ends, Some(self.next_scrape)];
        events.into_iter().flatten().min().unwrap_or(self.next_scrape)
    }

    fn send(&mut self) {
        while self.in_flight < self.limit() {
            let due = self.refused.front().is_some_and(|(at, _)| *at <= self.now);
            let row = if due {
                self.refused.pop_front().map(|(_, row)| row)
            } else {
                self.unsent.pop_front()
            };
            let Some(row) = row else { return };
            self.in_flight += 1;
            self.figures.most = self.figures.most.max(self.in_flight);
            self.arrive(row);
        }
    }

    fn arrive(&mut self, row: Row) {
        let back = self.now + self.case.round_trip;
        match self.case.server {
            Server::Batching(engine) if self.waiting.len() >= engine.queue => {
                self.answers.push_back((back, Answer::NoRoom(row)));
            }
            Server::Batching(_) => self.waiting.push_back(row),
            Server::Delay(delay) => self.answers.push_back((back + delay, Answer::Done(row.work()))),
            Server::Line(time) => {
                self.busy_until = self.busy_until.max(self.now) + time;
                self.answers
                    .push_back((self.busy_until + self.case.round_trip, Answer::Done(row.work())));
            }
        }
    }

    fn take(&mut self, answer: Answer) {
        let now = self.start + Duration::from_nanos(self.now);
        match answer {
            Answer::Done(work) => {
                if let Bound::Found { bound, .. } = &mut self.bound {
                    bound.answered(now, work, self.in_flight);
                }
            }
            Answer::NoRoom(row) => {
                self.figures.refusals += 1;
                self.refused.push_back((self.now + REFUSED_FOR, row));
                if let Bound::Found { bound, .. } = &mut self.bound {
                    bound.refused(now, self.in_flight);
                }
            }
        }
        self.in_flight -= 1;
    }

    fn scrape(&mut self) {
        let (period, until) = FIRST_SCRAPES;
        self.next_scrape += if self.now < until { period } else { SCRAPE_PERIOD };
        if let Bound::Found { bound, metrics: true } = &mut self.bound {
            let load = EngineLoad {
                running: self.running.len() as u64,
                waiting: self.waiting.len() as u64,
                work: self.work,
            };
            bound.observed(self.start + Duration::from_nanos(self.now), load, self.in_flight);
        }
    }

    fn start_step(&mut self) {
        let Server::Batching(engine) = self.case.server else {
            return;
        };
        if self.step_ends.is_some() {
            return;
        }
        self.preempt(engine);
        self.admit(engine);
        if self.running.is_empty() {
            return;
        }
        let mut budget = engine.step_tokens;
        let mut decoding = 0;
        for row in &mut self.running {
            let read = row.unread.min(budget);
            row.unread -= read;
            budget -= read;
            decoding += u64::from(read == 0 && row.unread == 0);
        }
        let read = engine.step_tokens - budget;
        self.step_ends = Some(self.now + engine.step + engine.row * decoding + engine.prompt_token * read);
    }

    fn preempt(&mut self, engine: Batching) {
        while self.cache_used + self.running.len() as u64 > engine.cache && self.running.len() > 1 {
            let Some(mut row) = self.running.pop() else { return };
            self.cache_used -= row.tokens();
            row.unread = row.tokens();
            self.figures.preemptions += 1;
            self.waiting.push_front(row);
        }
    }

    fn admit(&mut self, engine: Batching) {
        while let Some(row) = self.waiting.front() {
            let fits = self.cache_used + row.tokens() + (self.running.len() as u64) < engine.cache;
            if self.running.len() >= engine.slots || (!fits && !self.running.is_empty()) {
                return;
            }
            self.cache_used += row.tokens();
            let row = self.waiting.pop_front();
            self.running.extend(row);
        }
    }

    fn end_step(&mut self) {
        self.step_ends = None;
        let back = self.now + self.case.round_trip;
        let Self {
            running,
            cache_used,
            answers,
            work,
            ..
        } = self;
        running.retain_mut(|row| {
            if row.unread > 0 {
                return true;
            }
            row.written += 1;
            *cache_used += 1;
            *work += 1;
            let done = row.written >= row.output;
            if done {
                *cache_used -= row.tokens();
                answers.push_back((back, Answer::Done(row.work())));
            }
            !done
        });
    }
}
