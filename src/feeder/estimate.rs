//! When the last row will be finished, from the pace so far. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Samples that are kept; when there are more, every second one is forgotten.
const MOST_SAMPLES: usize = 128;
/// Rows become durable a segment at a time: over less than this a pace says little.
const SHORTEST: Duration = Duration::from_secs(10);
/// Answers differ in length: a pace of fewer rows is off by more than a few percent.
const ENOUGH_ROWS: u64 = 800;

/// Counts of finished rows since the first of this start.
#[derive(Debug)]
pub struct Estimate {
    /// Rows that earlier starts finished.
    before: u64,
    /// Oldest first.
    samples: Vec<(Instant, u64)>,
    spacing: Duration,
}

impl Estimate {
    /// Begins with rows that were finished before.
    #[must_use]
    pub fn new(before: u64) -> Self {
        Self {
            before,
            samples: Vec::new(),
            spacing: Duration::ZERO,
        }
    }

    /// Takes the count of now; it never falls.
    pub fn sample(&mut self, now: Instant, finished: u64) {
        let has_begun = finished > self.before;
        let is_due = self
            .samples
            .last()
            .is_none_or(|(at, _)| now.duration_since(*at) >= self.spacing);
        if !has_begun || !is_due {
            return;
        }
        self.samples.push((now, finished));
        if self.samples.len() > MOST_SAMPLES {
            let mut number = 0_usize;
            self.samples.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.spacing = (self.spacing * 2).max(Duration::from_secs(1));
        }
    }

    /// How long the rows up to `total` take, at the pace of the second half of the time: servers may have come or gone since. Where that
    /// half has few rows, it looks back further.
    #[must_use]
    pub fn left(&self, now: Instant, finished: u64, total: u64) -> Option<Duration> {
        let (first, _) = *self.samples.first()?;
        let half = now.duration_since(first) / 2;
        let window = half.max(SHORTEST);
        let is_long = |sample: &&(Instant, u64)| now.duration_since(sample.0) >= window;
        let is_enough = |sample: &&(Instant, u64)| is_long(sample) && finished.saturating_sub(sample.1) >= ENOUGH_ROWS;
        let oldest = self.samples.first().filter(is_long);
        let (from, before) = self.samples.iter().rev().find(is_enough).or(oldest)?;
        let rows = finished.checked_sub(*before).filter(|rows| *rows > 0)?;
        let millis =
            now.duration_since(*from).as_millis() * u128::from(total.saturating_sub(finished)) / u128::from(rows);
        u64::try_from(millis).ok().map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Samples each second; `rows` says how many are finished after so many seconds.
    fn run(seconds: u32, rows: impl Fn(u32) -> u64) -> (Estimate, Instant) {
        let (start, mut estimate) = (Instant::now(), Estimate::new(0));
        for second in 0..=seconds {
            estimate.sample(start + SECOND * second, rows(second));
        }
        (estimate, start + SECOND * seconds)
    }

    fn seconds_left(seconds: u32, total: u64, rows: impl Fn(u32) -> u64) -> Option<u64> {
        let (estimate, now) = run(seconds, &rows);
        estimate.left(now, rows(seconds), total).map(|left| left.as_secs())
    }

    #[test]
    fn a_steady_pace_is_carried_on() {
        assert_eq!(seconds_left(5, 1000, u64::from), None, "too early");
        assert_eq!(seconds_left(100, 1000, u64::from), Some(900));
        // It takes no account of the time before the first row: servers were starting.
        let late = |second: u32| u64::from(second.saturating_sub(1000));
        assert_eq!(seconds_left(1100, 1000, late), Some(900));
    }

    #[test]
    fn segments_that_come_every_five_seconds_change_little() {
        let left = seconds_left(103, 1000, |second| u64::from(second / 5 * 5)).unwrap();
        assert!((720..1080).contains(&left), "{left}");
    }

    /// When each of so many rows is finished, in milliseconds: answers of random length, in 64 slots that are never idle.
    fn finished_at(rows: usize, dice: &mut StdRng) -> Vec<u64> {
        let mut free_at = BinaryHeap::from(vec![Reverse(0_u64); 64]);
        let mut finished: Vec<_> = (0..rows)
            .map(|_| {
                let Reverse(begin) = free_at.pop().expect("a slot");
                // Most answers are short, and a few a hundred times as long.
                let end = begin + 2_000 * dice.random_range(1_u64..10).pow(2);
                free_at.push(Reverse(end));
                end
            })
            .collect();
        finished.sort_unstable();
        finished
    }

    #[test]
    fn from_a_tenth_of_the_job_on_the_end_is_known_within_a_fifth_of_the_whole() {
        let seed = rand::random::<u64>();
        println!("seed {seed}");
        let mut dice = StdRng::seed_from_u64(seed);
        for rows in [1_000, 2_000, 5_000, 50_000] {
            let finished = finished_at(rows, &mut dice);
            let end = finished[rows - 1] / 1000;
            let (start, mut estimate) = (Instant::now(), Estimate::new(0));
            for second in 0..end {
                // A segment holds what five seconds have brought.
                let durable = finished.partition_point(|at| *at < second / 5 * 5_000);
                let now = start + SECOND * u32::try_from(second).expect("in range");
                estimate.sample(now, durable as u64);
                // Of fewer rows no pace is certain: their lengths differ too much.
                if durable * 10 >= rows && durable >= 500 {
                    let left = estimate.left(now, durable as u64, rows as u64).expect("an estimate");
                    let error = (second + left.as_secs()).abs_diff(end);
                    assert!(
                        error * 5 <= end,
                        "{rows} rows: off by {error} s of {end} s after {second} s"
                    );
                }
            }
        }
    }

    #[test]
    fn after_a_change_of_pace_the_new_one_counts() {
        let faster = |second: u32| u64::from(second.min(100) + second.saturating_sub(100) * 10);
        let left = seconds_left(220, 10_000, faster).unwrap();
        assert!((850..900).contains(&left), "{left}");
    }

    #[test]
    fn a_pace_of_few_rows_looks_further_back() {
        let slower = |second: u32| u64::from(second.min(100)) + u64::from(second.saturating_sub(100)) * 6 / 10;
        let left = seconds_left(200, 320, slower).unwrap();
        assert!((195..=205).contains(&left), "of 160 rows in 200 s: {left}");
    }

    #[test]
    fn days_of_samples_take_no_more_memory() {
        let (estimate, now) = run(100_000, |second| u64::from(second) * 3);
        assert!(estimate.samples.len() <= MOST_SAMPLES);
        assert_eq!(
            estimate.left(now, 300_000, 600_000).map(|left| left.as_secs()),
            Some(100_000)
        );
        let nothing = Estimate::new(7);
        assert_eq!(nothing.left(now, 7, 100), None);
    }
}
