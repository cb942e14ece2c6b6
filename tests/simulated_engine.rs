//! The concurrency that the feeder finds brings nearly what the best fixed one would, before servers of all kinds. In simulated time:
//! a figure, and no timing.

#![allow(dead_code, reason = "the bench prints more than is asserted")]

#[path = "../benches/simulated_engine/cases.rs"]
mod cases;
#[path = "../benches/simulated_engine/share.rs"]
mod share;
#[path = "../benches/simulated_engine/simulation.rs"]
mod simulation;

const SEEDS: [u64; 2] = [1, 2];
const WITH_METRICS: f64 = 0.98;
const WITHOUT: f64 = 0.95;
/// Short of the goal: a job of eight rows for each slot ends before a search by answers alone has paid for itself.
const WITHOUT_AND_SHORT: (&str, f64) = ("small model, 2,000 rows", 0.94);

#[test]
fn the_concurrency_found_is_nearly_as_good_as_the_best() {
    let mut short_of = Vec::new();
    for case in cases::CASES {
        for seed in SEEDS {
            let shares = share::shares(*case, seed);
            println!("{}", shares.row());
            let with_metrics = shares.share(&shares.with_metrics) >= WITH_METRICS;
            let (short, for_short) = WITHOUT_AND_SHORT;
            let goal = if case.name == short { for_short } else { WITHOUT };
            if !with_metrics || shares.share(&shares.without) < goal {
                short_of.push(shares.row());
            }
        }
    }
    assert!(short_of.is_empty(), "{}", short_of.join("\n"));
}
