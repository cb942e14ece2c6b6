//! A job of 20,000 rows whose feeder is killed at random points, again and again, until the job ends: seeded, and proven each time.
//!
//! `CRASH_SEEDS` is how many seeds are run with the output in a bucket, `CRASH_FIRST_SEED` the first of them (unset: any); of each
//! seven, the first ones are run with the output on a claim too. A seed that fails prints the command
//! that runs it again: the same rows, and kills at the same points, though not to the same microsecond.
//!
//! `points` is where a feeder is killed, `witness` what a run must have kept to.

mod points;
mod witness;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use batch_inference_operator::results::resume;
use batch_inference_operator::storage::Store;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::rows::line_with;
use crate::world::World;
use points::KillPoint;
use witness::{Kill, Witness};

const ROWS: usize = 20_000;
const SEEDS: u64 = 20;
/// Runs with the output in a bucket for each one with it on a claim.
const BUCKETS_A_CLAIM: u64 = 7;
/// Runs at a time: more would make each so slow that its clock means nothing.
const LANES: usize = 4;
/// The longest that a run without further kills may take, on a busy machine too.
const RUN_WITHIN: Duration = Duration::from_mins(5);
/// Two servers of 64 slots at this pace take six seconds for all rows: segments are closed meanwhile.
const LATENCY: Duration = Duration::from_millis(40);
const SLOTS: usize = 64;
const SERVERS: [&str; 2] = ["server-a", "server-b"];

/// A seed, and where the output is.
#[derive(Clone, Copy, Debug)]
struct Run {
    seed: u64,
    on_claim: bool,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}",
            self.seed,
            if self.on_claim { "on a claim" } else { "in a bucket" }
        )
    }
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_there_once_wherever_the_feeder_is_killed() {
    let count = number("CRASH_SEEDS").unwrap_or(SEEDS);
    let first = number("CRASH_FIRST_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let claims = count.div_ceil(BUCKETS_A_CLAIM);
    println!("crash matrix: {count} seeds from {first}, {claims} of them on a claim too");
    let runs = |on_claim, count| (first..first + count).map(move |seed| Run { seed, on_claim });
    let runs: VecDeque<Run> = runs(true, claims).chain(runs(false, count)).collect();
    let runs = Arc::new(Mutex::new(runs));
    let lanes = [(); LANES].map(|()| tokio::spawn(lane(Arc::clone(&runs))));
    let mut witnesses = Vec::new();
    let mut failed = Vec::new();
    for lane in lanes {
        let (kept, broken) = lane.await.unwrap();
        witnesses.extend(kept);
        failed.extend(broken);
    }
    println!("{}", witness::summary(&witnesses));
    for run in &failed {
        let Run { seed, .. } = run;
        println!(
            "failed, seed {run}: CRASH_FIRST_SEED={seed} CRASH_SEEDS=1 cargo test --test feeder crash_matrix -- --nocapture"
        );
    }
    assert!(failed.is_empty(), "seeds that failed: {failed:?}");
    let kills: usize = witnesses.iter().map(Witness::kills).sum();
    assert!(kills as u64 >= count, "{kills} kills in {count} seeds show little");
}

/// Does runs until none is left; gives what was seen, and those that failed.
async fn lane(runs: Arc<Mutex<VecDeque<Run>>>) -> (Vec<Witness>, Vec<Run>) {
    let (mut witnesses, mut failed) = (Vec::new(), Vec::new());
    loop {
        let next = runs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(next) = next else {
            return (witnesses, failed);
        };
        // A runtime of its own, as a failed assertion must not end the others.
        match tokio::task::spawn_blocking(move || in_a_runtime(run(next))).await {
            Ok(witness) => {
                println!("seed {next}: {witness}");
                witnesses.push(witness);
            }
            Err(_) => failed.push(next),
        }
    }
}

fn in_a_runtime<T>(run: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(run)
}

/// Rows, of which few fail for good and few lose a connection.
fn dataset(random: &mut StdRng) -> String {
    let row = |number| {
        let fake = match random.random_range(0..400) {
            0 => json!({"status": "400"}),
            1 => json!({"close": "true", "times": "1"}),
            2 => json!({"cut": "reset", "times": "1"}),
            _ => json!({}),
        };
        line_with(&id(number), &fake)
    };
    (0..ROWS).map(row).collect()
}

fn id(number: usize) -> String {
    format!("row-{number:05}")
}

async fn run(Run { seed, on_claim }: Run) -> Witness {
    let mut random = StdRng::seed_from_u64(seed);
    let dataset = dataset(&mut random);
    let place = if on_claim { "claim" } else { "bucket" };
    let mut world = World::new(format!("crash-{seed}-{place}"), &dataset).await;
    if on_claim {
        world.put_output_on_claim();
    }
    for server in SERVERS {
        world.add_server_with(server, |settings| {
            settings.latency = LATENCY;
            settings.slots = SLOTS;
        });
    }
    let store = world.output_store();
    let mut points: VecDeque<KillPoint> = KillPoint::draw(seed, &mut random).into();
    let begun = Instant::now();
    let mut kills = Vec::new();
    loop {
        let point = points.pop_front();
        let mut feeder = world.start();
        let Some(point) = point else {
            assert_eq!(feeder.exit_code_within(RUN_WITHIN).await, 0);
            break;
        };
        tokio::select! {
            () = point.reached(&world, &store) => {}
            () = feeder.until_ended(RUN_WITHIN) => {}
        }
        if let Some(code) = feeder.kill().await {
            assert_eq!(code, 0, "the feeder ended by itself, and not well");
            break;
        }
        let at = Instant::now();
        kills.push(witnessed(&world, &store, point, at).await);
    }
    check_end(&world, &dataset, kills.len()).await;
    let witness = Witness::new(begun.elapsed(), kills, &world, SERVERS);
    witness.check(ROWS, id);
    witness
}

/// What is durable right after a kill, and what had been sent.
async fn witnessed(world: &World, store: &Store, point: KillPoint, at: Instant) -> Kill {
    let durable = resume(store, u32::MAX).await.unwrap().durable().clone();
    Kill {
        point,
        at,
        durable,
        counts: world.counts(),
    }
}

async fn check_end(world: &World, dataset: &str, kills: usize) {
    world.assert_nothing_was_refused();
    let status = world.status();
    let output = world.output().await;
    output.prove(dataset);
    assert_eq!(status["feeder"]["state"], "Ended", "{status}");
    assert_eq!(status["feeder"]["serversNeeded"], false, "{status}");
    assert_eq!(status["feeder"]["reason"], output.manifest["outcome"], "{status}");
    // A feeder that is killed before its first word has no attempt.
    let attempt = status["feeder"]["attempt"].as_u64().unwrap();
    assert!((1..=kills as u64 + 1).contains(&attempt), "{status}");
    let done = [&output.results, &output.errors].map(|file| Value::from(file.lines().count()));
    assert_eq!(
        [&status["progress"]["completed"], &status["progress"]["failed"]],
        [&done[0], &done[1]]
    );
}
