//! How much of the best fixed concurrency the feeder's own brings, before simulated servers. Prints a table for people, or with
//! `--json` one object for each server and seed. Nothing here is measured: the figures are the same on every machine.

mod cases;
mod share;
mod simulation;

/// The lengths of the rows come from them.
const SEEDS: [u64; 3] = [1, 2, 3];

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    if !json {
        println!("| server | seed | best fixed | rows/s | share with metrics | share without | bound with | without |");
        println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    }
    for case in cases::CASES {
        for seed in SEEDS {
            let shares = share::shares(*case, seed);
            println!("{}", if json { shares.json() } else { shares.row() });
        }
    }
}
