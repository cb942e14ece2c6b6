//! What whole servers make of it is in `tests/simulated_engine.rs`.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of a simulation are far below 2^52"
)]

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);

fn load(running: u64, waiting: u64) -> EngineLoad {
    EngineLoad {
        running,
        waiting,
        work: 0,
    }
}

/// Answers come at `rate` a second for `seconds`, all of the bound in flight; returns when it is over.
fn answers(bound: &mut Concurrency, from: Instant, mut rate: impl FnMut(usize) -> usize, seconds: u64) -> Instant {
    let (mut now, mut due) = (from, 0);
    let end = from + Duration::from_secs(seconds);
    while now < end {
        now += MILLISECOND;
        due += rate(bound.limit());
        for _ in 0..due / 1000 {
            bound.answered(now, 1, bound.limit());
        }
        due %= 1000;
    }
    now
}

#[test]
fn the_bound_doubles_while_the_work_does() {
    let mut bound = Concurrency::new();
    let now = Instant::now();
    // 20 ms for each, whatever the load.
    answers(&mut bound, now, |limit| limit * 50, 1);
    assert!(bound.limit() >= 1024, "{}", bound.limit());
}

#[test]
fn the_bound_stays_near_where_the_work_stops_growing() {
    let mut bound = Concurrency::new();
    let now = Instant::now();
    answers(&mut bound, now, |limit| limit.min(256) * 50, 60);
    assert!((200..=1024).contains(&bound.limit()), "{}", bound.limit());
}

#[test]
fn no_bound_is_too_high_for_a_server_that_does_more_with_more() {
    // Rows take 5 s, however many there are.
    let mut bound = Concurrency::new();
    answers(&mut bound, Instant::now(), |limit| limit / 5, 120);
    assert!(bound.limit() >= 32_768, "{}", bound.limit());
}

#[test]
fn an_uneven_server_that_does_no_more_is_not_given_ever_more() {
    for seed in 1..=20 {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut unevenness, mut milliseconds) = (1.0, 0);
        let uneven = |limit: usize| {
            milliseconds += 1;
            if milliseconds % 2000 == 0 {
                unevenness = 0.5 + random.random::<f64>();
            }
            (limit.min(400) as f64 * 50.0 * unevenness) as usize
        };
        let mut bound = Concurrency::new();
        answers(&mut bound, Instant::now(), uneven, 600);
        // Half of what is best is tried now and then.
        assert!((200..=LARGE).contains(&bound.limit()), "seed {seed}: {}", bound.limit());
    }
}

#[test]
fn first_answers_that_come_all_at_once_hold_nothing_back() {
    let mut bound = Concurrency::new();
    let mut now = Instant::now();
    // 64 rows that were sent together, 10 s ago.
    for _ in 0..64 {
        now += MILLISECOND;
        bound.answered(now, 1, 64);
    }
    answers(&mut bound, now, |limit| limit / 10, 400);
    assert!(bound.limit() > 4 * LARGE, "{}", bound.limit());
}

#[test]
fn a_bound_that_may_not_grow_any_more_stays() {
    let mut bound = Concurrency::new();
    // The more there are, the longer each takes, and yet a little more is done.
    let slower = |limit: usize| ((limit as f64).powf(0.3) * 400.0) as usize;
    let now = answers(&mut bound, Instant::now(), slower, 300);
    let reached = bound.limit();
    answers(&mut bound, now, slower, 20);
    assert!(
        reached <= LARGE && bound.limit() >= reached / 2,
        "{reached}, {}",
        bound.limit()
    );
}

#[test]
fn after_one_refusal_the_bound_does_not_grow_for_ever() {
    let mut bound = Concurrency::new();
    let now = answers(&mut bound, Instant::now(), |limit| limit.min(64) * 20, 10);
    bound.refused(now, 64);
    answers(&mut bound, now, |limit| limit.min(64) * 20, 600);
    assert!(bound.limit() <= LARGE, "{}", bound.limit());
}

#[test]
fn a_storm_of_refusals_is_over_soon_where_rows_are_slow() {
    let mut bound = Concurrency::new();
    let now = Instant::now();
    for in_flight in (1..=64).rev() {
        bound.refused(now, in_flight);
    }
    assert_eq!(bound.limit(), 1);
    let mut now = now;
    for _ in 0..30 {
        now += Duration::from_secs(20);
        for _ in 0..bound.limit() {
            bound.answered(now, 1, bound.limit());
        }
    }
    assert!(bound.limit() >= 32, "{} after ten minutes", bound.limit());
}

#[test]
fn rows_that_do_not_use_the_bound_do_not_raise_it() {
    let mut bound = Concurrency::new();
    let mut now = Instant::now();
    for _ in 0..10_000 {
        now += MILLISECOND;
        bound.answered(now, 1, 3);
    }
    assert_eq!(bound.limit(), FIRST_LIMIT);
}

#[test]
fn refusals_take_the_bound_to_what_the_server_holds_and_never_below_one() {
    let mut bound = Concurrency::new();
    let now = Instant::now();
    for in_flight in (41..=64).rev() {
        bound.refused(now, in_flight);
    }
    assert_eq!(bound.limit(), 40);
    for _ in 0..100 {
        bound.refused(now, 1);
    }
    assert_eq!(bound.limit(), 1);
}

#[test]
fn after_a_refusal_the_bound_grows_again() {
    let mut bound = Concurrency::new();
    let now = Instant::now();
    bound.refused(now, 11);
    answers(&mut bound, now, |limit| limit.min(40) * 1000, 8);
    assert!(bound.limit() > 20, "{}", bound.limit());
}

#[test]
fn an_engine_without_a_queue_gets_more() {
    let mut bound = Concurrency::new();
    let now = Instant::now();
    bound.observed(now, load(64, 0), 64);
    assert_eq!(bound.limit(), 128);
    // Not when the rows are not there to be sent.
    bound.observed(now, load(64, 0), 64);
    assert_eq!(bound.limit(), 128);
    // Nor when most of them are on the way.
    bound.observed(now, load(10, 0), 128);
    assert_eq!(bound.limit(), 128);
}

#[test]
fn a_queue_that_stays_long_is_shortened_to_a_fraction_of_the_batch() {
    let mut bound = Concurrency::new();
    let now = Instant::now();
    for _ in 0..TIMES_LONG {
        assert_eq!(bound.limit(), 64);
        bound.observed(now, load(16, 48), 64);
    }
    assert_eq!(bound.limit(), 16 + 4);
}

#[test]
fn a_queue_that_is_long_for_a_moment_is_left() {
    let mut bound = Concurrency::new();
    let now = Instant::now();
    for _ in 0..10 {
        bound.observed(now, load(16, 48), 64);
        bound.observed(now, load(56, 8), 64);
    }
    assert_eq!(bound.limit(), 64);
}

#[test]
fn an_engines_word_goes_before_what_is_tried() {
    let mut bound = Concurrency::new();
    let mut now = Instant::now();
    for _ in 0..TIMES_LONG {
        bound.observed(now, load(16, 48), 64);
    }
    for _ in 0..30 {
        now = answers(&mut bound, now, |_| 1000, 1);
        bound.observed(now, load(16, 4), 20);
        assert_eq!(bound.limit(), 20);
    }
}

#[test]
fn a_row_is_at_least_some_work() {
    assert_eq!(work(0, 0), 1);
    assert_eq!(work(80, 5), 15);
}
